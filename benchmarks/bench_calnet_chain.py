"""The calnet chain by our tasks, against calnet's formulas written plainly (`calnet_reference`).

500 units at 1 ms: counts, calcium with noise, feed signal, lagged regression. Ours runs through the
real tasks into a temporary store and is charged for reading, writing and check sums; the reference
holds all in memory. Neither is charged for the simulation of the spikes, for imports, nor for a
warm-up of 5 s of recording, which holds the compile time of our numba kernels. Each case has a
fresh process. The ratio is of CPU time, from one run at equal duration on both sides; BLAS runs on
one thread for the reference, which spares it CPU time.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import calnet_reference as reference
from benchmarks._measure import (
    Cost,
    available_gb,
    measure,
    print_header,
    print_table,
    run_alone,
)
from connflow.binning import BinningParams
from connflow.calcium import CalciumParams
from connflow.connectivity import ConnectivityParams
from connflow.deconvolution import DeconvolutionParams
from connflow.recording.model import SpikeRecording
from connflow.recording.network import NetworkParams, simulate_network
from connflow.store import ArtifactRef, Store
from tasks.binning import bin_spikes
from tasks.calcium import simulate_calcium
from tasks.connectivity import infer_connectivity
from tasks.deconvolution import deconvolve
from tasks.recording import simulate_network as record_network

N_UNITS = 500
SEED = 0
WARMUP_S, ANSWER_S, SHORT_S, MIDDLE_S, FULL_S = 5.0, 20.0, 60.0, 200.0, 600.0
LEAST_AGREEMENT, LEAST_AGREEMENT_SAME_DECAY = 0.99, 0.9999
MEMORY_MARGIN = 1.25
"""Free memory over expected need from which on the reference is run in full."""

PRESET = {"preset": "calnet"}


@dataclass(frozen=True)
class Answer:
    """Our weights beside the reference's: the decay we used, their correlation and slope."""

    tau_s: float
    correlation: float
    slope: float


def describe_network(seconds: float) -> NetworkParams:
    """Return the network; its weights follow the number of inputs as `NetworkParams` advises."""
    weight_mv = 0.8 * (30 / (0.1 * N_UNITS)) ** 0.5
    return NetworkParams(
        n_units=N_UNITS, duration_s=seconds, seed=SEED, weight_mean_mv=round(weight_mv, 3)
    )


@contextmanager
def temporary_store() -> Iterator[Store]:
    """Make the store that tasks use outside of flows, and remove it with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="connflow-bench-") as folder:
        os.environ["CONNFLOW_STORE"] = folder
        yield Store(folder)


def run_ours(
    recording: ArtifactRef, tau_s: float | None = None
) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
    """Run our four tasks; return the refs of fluorescence, feed and weights."""
    counts = bin_spikes.fn(recording, BinningParams(bin_size_s=reference.DT_S))
    fluorescence = simulate_calcium.fn(counts, CalciumParams.parse({**PRESET, "seed": SEED}))
    feed = deconvolve.fn(fluorescence, DeconvolutionParams.parse({**PRESET, "tau_s": tau_s}))
    weights = infer_connectivity.fn(feed, ConnectivityParams.parse(PRESET))
    return fluorescence, feed, weights


def measure_ours(seconds: float) -> Cost:
    """Measure our chain; to be called in a fresh process."""
    with temporary_store():
        run_ours(record_network.fn(describe_network(WARMUP_S)))
        recording = record_network.fn(describe_network(seconds))
        return measure(lambda: run_ours(recording))[1]


def measure_reference(seconds: float) -> Cost:
    """Measure the reference; to be called in a fresh process."""
    with threadpool_limits(1):
        run_reference(simulate_network(describe_network(WARMUP_S)))
        spikes = simulate_network(describe_network(seconds))
        return measure(lambda: run_reference(spikes))[1]


def run_reference(spikes: SpikeRecording) -> NDArray[np.float64]:
    """Run the reference from spikes to weights."""
    times, units = spikes.spike_times, spikes.spike_units
    return reference.run_chain(times, units, spikes.n_units, spikes.duration_s, SEED)


def compare_answers(seconds: float) -> tuple[Answer, Answer]:
    """Give the reference the fluorescence that our chain made; compare the weights.

    First with the decay that each side estimates for itself, then with the reference's on both.
    """
    spikes = simulate_network(describe_network(seconds))
    with temporary_store() as store:
        recording = record_network.fn(describe_network(seconds))
        own = run_ours(recording)
        traces = store.open_dataset(own[0])["fluorescence"].to_numpy().astype(np.float64)
        counts = reference.count_spikes(spikes.spike_times, spikes.spike_units, N_UNITS, seconds)
        feed, tau_s = reference.feed_signal(traces, counts[reference.DROPPED :])
        theirs = reference.regress(feed)
        same = run_ours(recording, tau_s)
        return _compare(store, own, theirs), _compare(store, same, theirs)


def _compare(
    store: Store, refs: tuple[ArtifactRef, ArtifactRef, ArtifactRef], theirs: NDArray[np.float64]
) -> Answer:
    _, feed, weights = (store.open_dataset(ref) for ref in refs)
    pairs = ~np.eye(N_UNITS, dtype=bool)
    x, y = theirs[pairs], weights["weight"].to_numpy()[pairs]
    correlation, slope = np.corrcoef(x, y)[0, 1], np.polyfit(x, y, 1)[0]
    return Answer(float(feed["tau"][0]), float(correlation), float(slope))


def main(full: bool) -> None:
    """Compare answers, then measure both sides, and print it all."""
    print_header(f"calnet chain, {N_UNITS} units at 1 ms: connflow against calnet's formulas")
    _report_answers(*run_alone(compare_answers, ANSWER_S))
    ours = {seconds: run_alone(measure_ours, seconds) for seconds in (SHORT_S, MIDDLE_S, FULL_S)}
    theirs = {SHORT_S: run_alone(measure_reference, SHORT_S)}
    expected = _extrapolate(theirs[SHORT_S], FULL_S / SHORT_S)
    if full:
        theirs |= _run_in_full(MEMORY_MARGIN * expected.peak_gb)
    rows = [_row("connflow", seconds, cost) for seconds, cost in ours.items()]
    rows += [_row("reference", seconds, cost) for seconds, cost in theirs.items()]
    if FULL_S not in theirs:
        rows.append(_row("reference, EXTRAPOLATED", FULL_S, expected))
    print_table(
        ("cost", "recording, s", "CPU s", "of it system", "wall s", "peak GB", "before work"), rows
    )
    longest = max(theirs)
    ratio = theirs[longest].cpu_s / ours[longest].cpu_s
    print(f"CPU time, reference / connflow, both measured at {longest:g} s: {ratio:.1f}")


def _report_answers(own: Answer, same: Answer) -> None:
    print(f"same {ANSWER_S:g} s of fluorescence to both; true decay {reference.TAU_S:g} s")
    rows = [
        (name, f"{answer.tau_s:.4f}", f"{answer.correlation:.5f}", f"{answer.slope:.4f}")
        for name, answer in (("connflow", own), ("connflow, the reference's decay", same))
    ]
    head = ("weights off the diagonal against the reference's", "decay, s", "correlation", "slope")
    print_table(head, rows)
    assert own.correlation > LEAST_AGREEMENT, "our weights are not the reference's"
    assert same.correlation > LEAST_AGREEMENT_SAME_DECAY, (
        "with the same decay, our weights are not the reference's"
    )


def _run_in_full(needed_gb: float) -> dict[float, Cost]:
    if needed_gb > available_gb():
        print(f"no full run: it may need {needed_gb:.0f} GB, {available_gb():.0f} GB are free")
        return {}
    try:
        return {FULL_S: run_alone(measure_reference, FULL_S)}
    except BrokenProcessPool:
        print("the full run of the reference was killed, probably for want of memory")
        return {}


def _extrapolate(cost: Cost, factor: float) -> Cost:
    peak_gb = cost.base_gb + factor * (cost.peak_gb - cost.base_gb)
    cpu_s, system_s, wall_s = (factor * x for x in (cost.cpu_s, cost.system_s, cost.wall_s))
    return Cost(cpu_s, system_s, wall_s, cost.base_gb, peak_gb)


def _row(name: str, seconds: float, cost: Cost) -> tuple[str, ...]:
    figures = (cost.cpu_s, cost.system_s, cost.wall_s, cost.peak_gb, cost.base_gb)
    return (name, f"{seconds:g}", *(f"{figure:.2f}" for figure in figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.bench_calnet_chain")
    parser.add_argument(
        "--full", action="store_true", help=f"run the reference at {FULL_S:g} s too: about 20 GB"
    )
    main(parser.parse_args().full)
