"""CPU time of TSPE as a whole job: ours against elephant's, equal answers asserted first.

Run ``python -m benchmarks.bench_tspe [n_units] [seconds] [repeats]``, with the environment variable
``CONNFLOW_ELEPHANT_PYTHON`` naming a Python in which elephant is installed; without it only ours is
measured. The recording is a simulated network on bins of 1 ms; the settings are elephant's own
(delays 0 to 24 ms). The whole job goes from spike times to weights; TSPE alone, from spikes that
are binned already. Our figures hold the z-scores, which elephant does not give; our compile time is
left out. Both put the spikes on bins of 1 ms at once (``resolution_s``), the same ones.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._measure import measure, print_header, print_table
from connflow.connectivity import ConnectivityParams, spike_trains
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.tspe import infer_by_tspe
from connflow.recording.model import SpikeRecording
from connflow.recording.network import NetworkParams, simulate_network

PARAMS = ConnectivityParams(method="tspe", delay_min_s=0, delay_max_s=0.024)
BIN_S = 0.001


def run_ours(recording: SpikeRecording) -> tuple[Estimate, tuple[float, float]]:
    """Infer; return what came out, and the CPU seconds of the whole and of TSPE alone."""
    trains, before = measure(lambda: spike_trains(recording, BIN_S))
    found, alone = measure(lambda: infer_by_tspe(trains, PARAMS, map))
    return found, (before.cpu_s + alone.cpu_s, alone.cpu_s)


def run_elephant(
    python: str, recording: SpikeRecording, repeats: int
) -> dict[str, NDArray[np.generic]]:
    """Have elephant infer; return its weights, delays and CPU times."""
    with tempfile.TemporaryDirectory() as folder:
        spikes, found = Path(folder, "spikes.npz"), Path(folder, "found.npz")
        trains = spike_trains(recording, BIN_S)
        times = (trains.ticks + 0.5) * BIN_S  # so that rounding moves none to another bin
        n_ticks = trains.n_samples
        np.savez(
            spikes, spike_times=times, units=trains.units, n_units=trains.n_units, n_ticks=n_ticks
        )
        script = Path(__file__).with_name("_elephant_tspe.py")
        subprocess.run([python, script, spikes, found, str(repeats)], check=True)
        return dict(np.load(found))


def assert_equal(ours: Estimate, theirs: dict[str, NDArray[np.generic]]) -> None:
    """Compare off the diagonal; elephant's rows are targets."""
    weight, delay = theirs["weight"].T, theirs["delay"].T
    off = ~np.eye(len(weight), dtype=bool)
    np.testing.assert_allclose(ours.weight[off], weight[off], rtol=1e-9)
    differ = (np.round(np.asarray(ours.delay_s) / BIN_S) != delay) & off
    # where two delays tie, rounding chooses
    assert differ.sum() <= 1e-3 * off.sum(), f"{differ.sum()} delays differ"


def main(n_units: int = 100, seconds: float = 600.0, repeats: int = 5) -> None:
    """Measure both and print CPU seconds, the best of some runs."""
    print_header(f"TSPE, {n_units} units, {seconds:g} s in bins of 1 ms: connflow against elephant")
    recording = simulate_network(NetworkParams(n_units=n_units, duration_s=seconds))
    run_ours(recording)  # compile
    runs = [run_ours(recording) for _ in range(repeats)]
    best = np.min([times for _, times in runs], axis=0)
    rows = [("connflow", *(f"{time:.3f}" for time in best))]
    python = os.environ.get("CONNFLOW_ELEPHANT_PYTHON")
    if python:
        found = run_elephant(python, recording, repeats)
        assert_equal(runs[0][0], found)
        print("weights are equal to 1e-9, delays too")
        theirs = found["cpu_s"].min(axis=0)
        rows.append(("elephant", *(f"{time:.3f}" for time in theirs)))
        rows.append(("elephant / connflow", *(f"{ratio:.0f}" for ratio in theirs / best)))
    else:
        print("elephant not measured: set CONNFLOW_ELEPHANT_PYTHON to a Python that has it")
    print_table(("CPU s, best", "whole job", "TSPE alone"), rows)


if __name__ == "__main__":
    main(*(kind(a) for kind, a in zip((int, float, int), sys.argv[1:], strict=False)))
