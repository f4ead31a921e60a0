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
LEAST_AGREEMENT = 0.99
PRESET = {"preset": "calnet"}


@dataclass(frozen=True)
class Agreement:
    """How our weights relate to the reference's: correlation, slope, and the two decays."""

    correlation: float
    slope: float
    our_tau_s: float
    their_tau_s: float


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


def run_ours(recording: ArtifactRef) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef]:
    """Run our four tasks; return the refs of fluorescence, feed and weights."""
    counts = bin_spikes.fn(recording, BinningParams(bin_size_s=reference.DT_S))
    fluorescence = simulate_calcium.fn(counts, CalciumParams.parse({**PRESET, "seed": SEED}))
    feed = deconvolve.fn(fluorescence, DeconvolutionParams.parse(PRESET))
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


def compare_answers(seconds: float) -> Agreement:
    """Give the reference the fluorescence that our chain made, and compare the weights."""
    spikes = simulate_network(describe_network(seconds))
    with temporary_store() as store:
        refs = run_ours(record_network.fn(describe_network(seconds)))
        fluorescence, feed, weights = (store.open_dataset(ref).load() for ref in refs)
    traces = fluorescence["fluorescence"].to_numpy().astype(np.float64)
    times, units = spikes.spike_times, spikes.spike_units
    counts = reference.count_spikes(times, units, N_UNITS, seconds)[reference.DROPPED :]
    their_feed, their_tau_s = reference.feed_signal(traces, counts)
    pairs = ~np.eye(N_UNITS, dtype=bool)
    ours, theirs = weights["weight"].to_numpy()[pairs], reference.regress(their_feed)[pairs]
    r = float(np.corrcoef(ours, theirs)[0, 1])
    assert r > LEAST_AGREEMENT, f"weights of ours and of the reference correlate at {r:.4f} only"
    return Agreement(r, float(np.polyfit(theirs, ours, 1)[0]), float(feed["tau"][0]), their_tau_s)


def main(full: bool) -> None:
    """Compare answers, then measure both sides, and print it all."""
    print_header(f"calnet chain, {N_UNITS} units at 1 ms: connflow against calnet's formulas")
    _print_agreement(run_alone(compare_answers, ANSWER_S))
    ours = {seconds: run_alone(measure_ours, seconds) for seconds in (SHORT_S, MIDDLE_S, FULL_S)}
    short = run_alone(measure_reference, SHORT_S)
    long, is_measured = _extrapolate(short, FULL_S / SHORT_S), False
    if full and long.peak_gb < available_gb():
        long, is_measured = run_alone(measure_reference, FULL_S), True
    elif full:
        print(f"not run in full: about {long.peak_gb:.0f} GB needed, {available_gb():.0f} GB free")
    print_table(
        ("", "recording, s", "CPU s", "wall s", "peak GB", "before"),
        [
            *(_row("connflow", seconds, cost) for seconds, cost in ours.items()),
            _row("reference", SHORT_S, short),
            _row("reference" if is_measured else "reference, EXTRAPOLATED", FULL_S, long),
        ],
    )
    seconds, theirs = (FULL_S, long) if is_measured else (SHORT_S, short)
    ratio = theirs.cpu_s / ours[seconds].cpu_s
    print(f"CPU time, reference / connflow, both measured at {seconds:g} s: {ratio:.1f}")


def _print_agreement(found: Agreement) -> None:
    print(
        f"same fluorescence of {ANSWER_S:g} s to both: weights off the diagonal correlate at "
        f"{found.correlation:.5f}, slope {found.slope:.4f};\ndecay (true: {reference.TAU_S:g} s) "
        f"{found.our_tau_s:.4f} s by connflow, {found.their_tau_s:.4f} s by the reference"
    )


def _extrapolate(cost: Cost, factor: float) -> Cost:
    peak_gb = cost.base_gb + factor * (cost.peak_gb - cost.base_gb)
    return Cost(factor * cost.cpu_s, factor * cost.wall_s, cost.base_gb, peak_gb)


def _row(name: str, seconds: float, cost: Cost) -> tuple[str, ...]:
    figures = (cost.cpu_s, cost.wall_s, cost.peak_gb, cost.base_gb)
    return (name, f"{seconds:g}", *(f"{figure:.2f}" for figure in figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.bench_calnet_chain")
    parser.add_argument(
        "--full", action="store_true", help=f"run the reference at {FULL_S:g} s too: about 20 GB"
    )
    main(parser.parse_args().full)
