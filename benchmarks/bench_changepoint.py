"""Changepoints: accuracy, calibration and speed, beside PyTau's model, an oracle, and a guess.

Run ``python -m benchmarks.bench_changepoint [--seeds 8] [--iterations 10000] [--no-pytau]``.
``CONNFLOW_PYTAU_PYTHON`` names a Python in which PyMC is installed; without it PyTau's model is
left out, loudly. Errors are mean distances of changepoints, in bins; the oracle knows the true
rates; the guess is the mean over trials. After ± stands half the 95 % interval over seeds. CPU
time of ours has the compilation left out, as PyTau's has.
"""

import os
import subprocess
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks._measure import measure, print_header, print_table
from benchmarks.changepoint_truth import (
    KINDS,
    Kind,
    Truth,
    foretell_with_true_rates,
    guess,
    resized,
    simulate,
)
from connflow.changepoint import BatchParams, ChangepointParams, fit_batch, fit_changepoints
from connflow.trials import Trials

Floats = NDArray[np.float64]

QUICK = {"n_folds": 0, "n_draws": 0}
GRADUAL = {"transition": "gradual", "widths_bins": [0.5, 1.0, 2.0, 4.0]}


def as_trials(truth: Truth) -> Trials:
    """Return the counts as trials with bins of 1 s, so that seconds are bins."""
    n_trials, _, n_units = truth.counts.shape
    units = pd.DataFrame(index=pd.Index(np.arange(n_units), name="unit"))
    table = pd.DataFrame(index=pd.Index(np.arange(n_trials), name="trial"))
    return Trials(truth.counts, 1.0, 0.0, units, table)


def judge(truth: Truth, mean: Floats, low: Floats, high: Floats) -> tuple[float, float]:
    """Return the mean error in bins, and the share of changepoints that intervals hold."""
    inside = (low <= truth.changepoints) & (truth.changepoints <= high)
    return float(np.abs(mean - truth.changepoints).mean()), float(inside.mean())


def run_ours(truth: Truth, **params: object) -> tuple[float, float, float]:
    """Fit; return error, coverage and CPU seconds."""
    settings = ChangepointParams.parse({"n_states": len(truth.rates), **QUICK, **params})
    trials = as_trials(truth)
    fit, cost = measure(lambda: fit_changepoints(trials, settings))
    names = ("changepoint_mean", "changepoint_low", "changepoint_high")
    return (*judge(truth, *(fit.dataset[name].to_numpy() for name in names)), cost.cpu_s)


def run_pytau(truth: Truth, how: str, n_iterations: int) -> tuple[float, float, float]:
    """Have PyTau's model fitted; return error, coverage and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "given.npz"), Path(folder, "found.npz")
        np.savez(given, counts=truth.counts, n_states=len(truth.rates))
        script = Path(__file__).with_name("_pytau_fit.py")
        python = os.environ["CONNFLOW_PYTAU_PYTHON"]
        command = [python, "-W", "ignore", script, given, found, str(n_iterations), how]
        subprocess.run(command, check=True, capture_output=True)
        result = np.load(found)
        # PyTau counts from the middle of the first bin
        times = (result[name] + 0.5 for name in ("mean", "low", "high"))
        return (*judge(truth, *times), float(result["cpu_s"]))


def say(values: Sequence[float], digits: int = 3) -> str:
    """Return the mean and half the 95 % interval."""
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return f"{array.mean():.{digits}f}"
    half = student.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return f"{array.mean():.{digits}f} ± {half:.{digits}f}"


def compare(name: str, kind: Kind, seeds: int, n_iterations: int, with_pytau: bool) -> None:
    """Print errors, coverage and times of one kind of trials."""
    truths = [simulate(kind, seed) for seed in range(seeds)]
    print(
        f"\n{name}: {kind.n_trials} trials, {kind.n_units} units, {kind.n_bins} bins, "
        f"{kind.n_states} states, {seeds} seeds"
    )
    rows = [("a guess", say([np.abs(guess(t) - t.changepoints).mean() for t in truths]), "", "")]
    known = [np.abs(foretell_with_true_rates(t) - t.changepoints).mean() for t in truths]
    rows.append(("oracle: true rates", say(known), "", ""))
    ours = {"connflow, vb": {}, "connflow, gibbs": {"inference": "gibbs", "n_draws": 1000}}
    if kind.width_bins > 0:
        steps = {f"{label}, steps": given for label, given in ours.items()}
        ours = {label: {**given, **GRADUAL} for label, given in ours.items()} | steps
    times_s: list[float] = []
    for label, given in ours.items():
        run_ours(truths[0], **given)  # compile
        found = [run_ours(truth, **given) for truth in truths]
        rows.append((label, *(say(column) for column in zip(*found, strict=True))))
        times_s.append(np.mean([one[2] for one in found]))
    vb_s = times_s[0]
    for how in ("published", "tuned") if with_pytau else ():
        found = [run_pytau(truth, how, n_iterations) for truth in truths]
        rows.append((f"PyTau's model, {how}", *(say(one) for one in zip(*found, strict=True))))
        ratio = np.mean([one[2] for one in found]) / vb_s
        print(f"PyTau's model, {how}, takes {ratio:.0f} times the CPU time of ours, vb")
    print_table(("", "error (bins)", "90 % intervals hold", "CPU s a fit"), rows)


def measure_held_out(kind: Kind, seeds: int) -> None:
    """Print how far below the true rates held-out trials are foretold, bits a spike."""
    gaps = []
    for seed in range(seeds):
        truth = simulate(kind, seed)
        settings = ChangepointParams.parse({"n_states": kind.n_states, "n_draws": 0, "n_folds": 5})
        gain = fit_changepoints(as_trials(truth), settings).dataset.attrs["held_out_bits_per_spike"]
        gaps.append(gain - _gain_of_true_rates(truth))
    print(f"held-out bits a spike, less those of the true rates: {say(gaps, 4)}")


def _gain_of_true_rates(truth: Truth) -> float:
    """Return the bits a spike above static rates of one who knows the rates of states."""
    log_p = truth.counts @ np.log(truth.rates).T - truth.rates.sum(axis=1)
    total = 0.0
    for trial in log_p:
        weights = _log_weights(trial)
        total += np.logaddexp.reduce(weights) - np.log(len(weights))
    static = truth.counts.mean(axis=(0, 1))
    flat = (truth.counts @ np.log(static)).sum() - static.sum() * truth.counts[..., 0].size
    return float((total - flat) / np.log(2) / truth.counts.sum())


def _log_weights(log_p: Floats) -> Floats:
    """Return the log weight of every way to cut a trial into as many states as `log_p` has."""
    n_bins, n_states = log_p.shape
    total = np.vstack([np.zeros(n_states), np.cumsum(log_p, axis=0)])
    cuts = np.array(np.meshgrid(*[np.arange(1, n_bins)] * (n_states - 1), indexing="ij"))
    cuts = cuts.reshape(n_states - 1, -1)
    cuts = cuts[:, np.all(np.diff(cuts, axis=0) > 0, axis=0)]
    edges = np.vstack([np.zeros(cuts.shape[1], int), cuts, np.full(cuts.shape[1], n_bins)])
    return sum(total[edges[k + 1], k] - total[edges[k], k] for k in range(n_states))


def measure_choice_of_states(n_sets: int = 32) -> None:
    """Print how often evidence finds the number of states."""
    right = 0
    for seed in range(n_sets):
        kind = resized(KINDS["easy"], n_units=10, n_states=2 + seed % 4)
        settings = ChangepointParams.parse(QUICK)
        fit = fit_changepoints(as_trials(simulate(kind, 100 + seed)), settings)
        right += fit.dataset.attrs["n_states"] == kind.n_states
    print(f"number of states by evidence, 30 trials of 10 units, 2 to 5: {right} of {n_sets} right")


def measure_speed() -> None:
    """Print times of a sweep over numbers of states, of a large fit, and of a batch."""
    trials = as_trials(simulate(KINDS["hard"], 0))
    large = as_trials(
        simulate(resized(KINDS["hard"], n_trials=300, n_bins=100, n_units=100, n_states=6), 0)
    )
    works = {
        "sweep over 1 to 8 states": lambda: fit_changepoints(trials, ChangepointParams(**QUICK)),
        "300 trials x 100 units x 100 bins, 6 states": lambda: fit_changepoints(
            large, ChangepointParams(n_states=6, **QUICK)
        ),
    }
    rows = [(name, f"{measure(work)[1].cpu_s:.3f}") for name, work in works.items()]
    n_fits = 100
    settings = tuple(ChangepointParams(n_states=4, seed=seed, **QUICK) for seed in range(n_fits))
    batch = BatchParams(sources=("a",), places=(0,) * n_fits, fits=settings)
    cost = measure(lambda: fit_batch(lambda _: trials, batch))[1]
    rows.append(("a fit of a batch", f"{cost.cpu_s / n_fits:.4f}"))
    print_table(("", "CPU s"), rows)
    print(f"a batch makes {n_fits / cost.cpu_s:.0f} fits in a CPU second")


def compare_with_nuts() -> None:
    """Print Gibbs sampling beside PyTau's model sampled by NUTS, on a small data set."""
    truth = simulate(resized(KINDS["easy"], n_trials=8, n_units=8, n_bins=20, n_states=3), 0)
    rows = []
    for name, found in (
        ("connflow, gibbs", run_ours(truth, inference="gibbs", n_draws=2000, timing="uniform")),
        ("PyTau's model, NUTS", run_pytau(truth, "nuts", 0)),
    ):
        rows.append((name, *(f"{value:.3f}" for value in found)))
    print("\n8 trials, 8 units, 20 bins, 3 states")
    print_table(("", "error (bins)", "90 % intervals hold", "CPU s"), rows)


def main() -> None:
    """Run everything."""
    parser = ArgumentParser("python -m benchmarks.bench_changepoint")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=10_000, help="of PyTau's ADVI")
    parser.add_argument("--no-pytau", dest="pytau", action="store_false")
    options = parser.parse_args()
    print_header("changepoints of population spiking")
    with_pytau = options.pytau and "CONNFLOW_PYTAU_PYTHON" in os.environ
    if not with_pytau:
        print("\nNOT COMPARED WITH PYTAU: set CONNFLOW_PYTAU_PYTHON to a Python that has PyMC")
    for name, kind in KINDS.items():
        # its sigmoid has the width of steps
        is_theirs = with_pytau and kind.width_bins == 0
        compare(name, kind, options.seeds, options.iterations, is_theirs)
        if name in ("hard", "easy"):
            measure_held_out(kind, options.seeds)
    measure_choice_of_states()
    measure_speed()
    if with_pytau:
        compare_with_nuts()


if __name__ == "__main__":
    main()
