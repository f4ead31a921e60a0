"""Speed and memory of connectivity: correlograms, second moments, regression, tiles.

Run ``python -m benchmarks.bench_connectivity_speed [--elephant-python PATH] [--full]``.

PATH is a Python in which elephant is installed (it is no dependency of ours); without it, or with
``CONNFLOW_ELEPHANT_PYTHON`` unset, that comparison is left out, loudly. ``--full`` adds N = 10 000,
one hour, and a tile of N = 100 000. All spikes are Poisson at 5 Hz: speed does not depend on who
drives whom. CPU seconds are of all threads; wall time means something on a quiet machine only.
"""

import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks._measure import Cost, measure, print_header, print_table, run_alone
from connflow.connectivity.activity import SpikeTrains, traces
from connflow.connectivity.events import correlograms, event_moments
from connflow.connectivity.least_squares import solve
from connflow.connectivity.moments import Kernel, accumulate_moments
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.tiles import TARGETS_A_TILE, infer_tile, plan_tiles
from tasks._blocks import map_blocks

RATE_HZ = 5.0
COSTS = ("CPU s", "of it system", "wall s", "peak GB")


def draw_poisson(n_units: int, duration_s: float, interval_s: float) -> SpikeTrains:
    """Draw independent Poisson trains."""
    rng, n_ticks = np.random.default_rng(0), round(duration_s / interval_s)
    ticks = rng.integers(0, n_ticks, rng.poisson(n_units * RATE_HZ * duration_s))
    ticks.sort()
    units = rng.integers(0, n_units, len(ticks), dtype=np.int32)
    return SpikeTrains(ticks, units, n_units, interval_s, np.array([[0, n_ticks]]))


def compile_all() -> None:
    """Have all loops compiled, so that no measurement holds it."""
    trains = draw_poisson(40, 20, 0.001)
    event_moments(trains, [(1, 3)], with_gram=True)
    correlograms(trains, 2)
    correlograms(trains, 2, sources=np.arange(2))
    infer_tile(plan_tiles(trains, [(1, 3)]), ConnectivityParams(n_candidates=5), slice(0, 3))
    rows = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    accumulate_moments(traces(rows, 0.02), [(1, 3)], with_gram=True)


def row(name: str, cost: Cost) -> tuple[str, ...]:
    values = (cost.cpu_s, cost.system_s, cost.wall_s, cost.peak_gb)
    return (name, *(f"{value:.2f}" for value in values))


def compare_with_elephant(python: str, n_units: int = 100, n_pairs: int = 60) -> None:
    """Compare all correlograms of 10 min, ±50 ms in bins of 1 ms, with a sample of elephant's."""
    trains, lag = draw_poisson(n_units, 600, 0.001), 50
    counts, cost = measure(lambda: correlograms(trains, lag))
    pairs = np.random.default_rng(0).integers(0, n_units, (n_pairs, 2))
    with tempfile.TemporaryDirectory() as folder:
        spikes, found = Path(folder, "spikes.npz"), Path(folder, "counts.npz")
        n_ticks = trains.segments[0, 1]
        given = {"ticks": trains.ticks, "units": trains.units, "pairs": pairs}
        np.savez(spikes, **given, lag=lag, n_ticks=n_ticks)
        script = Path(__file__).with_name("_elephant_correlograms.py")
        subprocess.run([python, script, spikes, found], check=True)
        theirs = np.load(found)
        cpu_s = float(theirs["cpu_s"])
        np.testing.assert_array_equal(theirs["counts"], counts[:, pairs[:, 0], pairs[:, 1]].T)
    whole_s = cpu_s / n_pairs * n_units**2
    print(
        f"\nall {n_units**2} correlograms, {n_units} units, 10 min, ±{lag} bins of 1 ms; "
        f"elephant's {n_pairs} are equal to ours, count by count"
    )
    rows = [("connflow, all pairs", f"{cost.cpu_s:.3f}", "")]
    rows += [(f"elephant, {n_pairs} pairs", f"{cpu_s:.2f}", "")]
    for name, theirs_s in (("all pairs", whole_s), ("half of them, mirrored", whole_s / 2)):
        ratio = f"{theirs_s / cost.cpu_s:.0f}x"
        rows.append((f"elephant, {name} (in proportion)", f"{theirs_s:.1f}", ratio))
    print_table(("CPU", "s", "ratio"), rows)


def measure_moments(
    n_units: int, duration_s: float, interval_s: float, window_s: float
) -> tuple[Cost, Cost, float]:
    """Measure the second moments of one window, and the regression; return z's deviation, too."""
    compile_all()
    trains = draw_poisson(n_units, duration_s, interval_s)
    kernels: list[Kernel] = [(1, round(window_s / interval_s))]
    moments, first = measure(
        lambda: event_moments(trains, kernels, with_gram=True, map_blocks=map_blocks).centred()
    )
    z, second = measure(lambda: solve(moments, 0.001, overwrite=True).z(0))
    return first, second, float(z.std())


def measure_lags(n_units: int, duration_s: float, n_lags: int) -> list[Cost]:
    """Measure all cross products at every one of some lags, in bins of 1 ms, with two cores."""
    compile_all()
    trains = draw_poisson(n_units, duration_s, 0.001)
    return [measure(lambda: correlograms(trains, n_lags, map_blocks=map_blocks))[1]]


def measure_share_of_peak(kernels: Sequence[Kernel], n_rows: int = 131_072) -> list[float]:
    """Return Gflop/s of a large sgemm, and of the moments of 1000 traces; one thread each."""
    compile_all()
    rng, n_units, n_kernels = np.random.default_rng(0), 1000, len(kernels)
    square = rng.random((4096, 4096), dtype=np.float32)
    rows = traces(rng.standard_normal((n_rows, n_units), dtype=np.float32), 0.02)
    with threadpool_limits(1, user_api="blas"):
        peak_s = min(measure(lambda: square @ square)[1].cpu_s for _ in range(5))
    ours_s = min(
        measure(lambda: accumulate_moments(rows, kernels, with_gram=True))[1].cpu_s
        for _ in range(2)
    )
    flops = n_rows * n_units**2 * (2 * n_kernels + n_kernels**2)  # half of the Gram matrix
    return [2 * 4096**3 / peak_s / 1e9, flops / ours_s / 1e9]


def measure_tile(n_units: int, duration_s: float, n_candidates: int) -> tuple[list[Cost], int]:
    """Measure one tile of targets on one core: 10 ms kernel, ticks of .1 ms."""
    compile_all()
    trains = draw_poisson(n_units, duration_s, 1e-4)
    plan, first = measure(lambda: plan_tiles(trains, [(10, 100)]))
    params = ConnectivityParams(n_candidates=n_candidates)
    edges, second = measure(lambda: infer_tile(plan, params, slice(0, TARGETS_A_TILE)))
    return [first, second], int(edges.z_counts.sum())


def print_moments(sizes: Sequence[tuple[int, float, float, float]]) -> None:
    for n_units, duration_s, interval_s, window_s in sizes:
        print(
            f"\n{n_units} units, {duration_s:g} s at {RATE_HZ:g} Hz, ticks of {interval_s * 1e3:g} "
            f"ms, one kernel of {window_s * 1e3:g} ms, {len(os.sched_getaffinity(0))} cores"
        )
        first, second, deviation = run_alone(
            measure_moments, n_units, duration_s, interval_s, window_s
        )
        rows = [row("cross, Gram, centred", first), row("regression", second)]
        print_table(("", *COSTS), rows)
        print(f"standard deviation of z, where nobody influences anybody: {deviation:.3f}")


def print_tile(n_units: int = 100_000, n_candidates: int = 2000) -> None:
    """Measure a tile at two durations; counting grows with the duration, solving does not."""
    print(
        f"\none tile of {n_units} units: {TARGETS_A_TILE} targets, kernel 1 to 10 ms, "
        f"{n_candidates} candidates a target, one core"
    )
    durations_s, rows, cpu_s = (60.0, 180.0), [], []
    for duration_s in durations_s:
        (plan, tile), _ = run_alone(measure_tile, n_units, duration_s, n_candidates)
        rows += [row(f"{duration_s:g} s: sort the spikes", plan), row("its tile", tile)]
        cpu_s.append(tile.cpu_s)
    print_table(("", *COSTS), rows)
    slope = (cpu_s[1] - cpu_s[0]) / (durations_s[1] - durations_s[0])
    hour_s, n_tiles = cpu_s[0] + slope * (3600 - durations_s[0]), -(-n_units // TARGETS_A_TILE)
    n_spikes = n_units * RATE_HZ * 3600
    print(
        f"in proportion, 1 h: {hour_s:.0f} CPU s a tile, {n_tiles} tiles, "
        f"{hour_s * n_tiles / 3600:.0f} core hours; {n_spikes * 12 / 1e9:.0f} GB of sorted spikes "
        "a node, which its threads share"
    )


def print_share(several: Sequence[list[Kernel]] = ([(1, 1)], [(1, 10)], [(1, 1), (2, 20)])) -> None:
    print("\nmoments of 1000 traces (float32), one thread, against a large sgemm of the same run")
    rows = []
    for kernels in several:
        peak, ours = run_alone(measure_share_of_peak, kernels)
        rows.append((str(kernels), f"{peak:.0f}", f"{ours:.0f}", f"{ours / peak:.0%}"))
    print_table(("windows", "sgemm Gflop/s", "moments Gflop/s", "share"), rows)


def main(arguments: Sequence[str]) -> None:
    parser = ArgumentParser()
    parser.add_argument("--elephant-python", default=os.environ.get("CONNFLOW_ELEPHANT_PYTHON"))
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args(arguments)
    print_header("connectivity: speed and memory")
    compile_all()
    if options.elephant_python:
        compare_with_elephant(options.elephant_python)
    else:
        print("\nNOT COMPARED WITH ELEPHANT: give --elephant-python PATH (pip install elephant)")
    print_share()
    print_moments([(1000, 3600, 0.001, 0.03), (1000, 3600, 0.0001, 0.03)])
    print("\n1000 units, 3600 s, every lag from -30 to 30 ms in bins of 1 ms")
    print_table(("", *COSTS), [row("cross products", *run_alone(measure_lags, 1000, 3600, 30))])
    if options.full:
        print_tile()
        print_moments([(10_000, 3600, 0.0001, 0.01)])


if __name__ == "__main__":
    main(sys.argv[1:])
