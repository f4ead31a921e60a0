"""States of real recordings: against stimulus and outcome, and against trials shuffled.

Run ``python -m benchmarks.bench_changepoint_recordings``; it looks for the recordings in
``../shared/data``, or where ``CONNFLOW_SHARED_DATA`` says. Mouse visual cortex (Steinmetz et al.
2019): 20 ms bins from the stimulus on, units with over 20 spikes; the parameters are not told what
was shown.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from benchmarks._measure import measure, print_header, print_table
from connflow.changepoint import ChangepointParams, fit_changepoints
from connflow.trials import Trials

DATA = Path(os.environ.get("CONNFLOW_SHARED_DATA", "../shared/data"))
SESSIONS = ("session1_Cori_2016-12-14", "session3_Cori_2016-12-18")
LEAST_SPIKES = 20
SETTINGS = {"pooling": "shared", "max_states": 5}


def read_session(name: str) -> tuple[Trials, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return trials, whether there was a stimulus on the right, and whether it was rewarded."""
    with np.load(DATA / "steinmetz-visual-cortex" / f"{name}.npz") as file:
        counts = file["counts"].transpose(0, 2, 1).astype(np.float64)
        right, rewarded = file["contrast_right"] > 0, file["feedback"] > 0
    counts = counts[:, :38, counts.sum(axis=(0, 1)) > LEAST_SPIKES]
    merged = counts.reshape(len(counts), 19, 2, -1).sum(axis=2)
    units = pd.DataFrame(index=pd.Index(np.arange(merged.shape[2]), name="unit"))
    table = pd.DataFrame(index=pd.Index(np.arange(len(merged)), name="trial"))
    return Trials(merged, 0.02, 0.0, units, table), right, rewarded


def describe(name: str) -> None:
    """Print the states of a session, when they come, and what they are worth."""
    trials, right, rewarded = read_session(name)
    settings = ChangepointParams.parse({**SETTINGS, "n_shuffles": 200})
    fit, cost = measure(lambda: fit_changepoints(trials, settings))
    n_states, gain = (fit.dataset.attrs[key] for key in ("n_states", "held_out_bits_per_spike"))
    shuffled = ChangepointParams.parse(
        {**SETTINGS, "n_states": n_states, "surrogate": "trial_shuffled"}
    )
    lost = fit_changepoints(trials, shuffled).dataset.attrs["held_out_bits_per_spike"]
    tests = fit.tables["responses"]
    responding = tests[tests["test"] == "state"]["q"].lt(0.05).mean()
    turning = tests[tests["test"] == "transition"]["q"].lt(0.05).mean()
    print(
        f"\n{name}: {trials.n_trials} trials, {trials.n_units} units, {n_states} states, "
        f"{cost.cpu_s:.0f} CPU s; held-out bits a spike {gain:.3f}, of trials shuffled {lost:.3f}; "
        f"units that respond to states {responding:.0%}, to transitions beyond the mean "
        f"{turning:.0%}"
    )
    rows = []
    for number, median in enumerate(fit.dataset["changepoint_median"].to_numpy().T, start=1):
        cells = []
        for is_one in (right, rewarded):
            one, other = median[is_one], median[~is_one]
            p = mannwhitneyu(one, other).pvalue
            cells += [f"{np.median(one):.3f}", f"{np.median(other):.3f}", f"{p:.1g}"]
        rows.append((f"changepoint {number}", *cells))
    head = ("median, s", "right stimulus", "none", "p", "rewarded", "not", "p")
    print_table(head, rows)


def main() -> None:
    """Describe the sessions."""
    print_header("states of real recordings")
    for name in SESSIONS:
        describe(name)


if __name__ == "__main__":
    main()
