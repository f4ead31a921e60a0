"""The blocks of one step on 1, 2, 4 Dask workers of one thread each, local and SLURM, and threads.

Rows: blocks a second that do nothing, so what a block costs apart from its work; wall and CPU time
of the calcium step over many units, whose bytes are compared. CPU time is that of this process, in
which the scheduler lives, and of the workers. For comparison: tasks a second that do nothing where
each is a Prefect task on the same workers.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client
from prefect import flow, task
from prefect.testing.utilities import prefect_test_harness
from prefect_dask import DaskTaskRunner

from benchmarks._measure import print_header, print_table
from benchmarks._slurm import CLUSTER as SLURM
from benchmarks._slurm import job_kwargs, slurm_environment
from connflow.blocks import TIME_BLOCK, split
from connflow.calcium import CalciumParams
from connflow.store import ArtifactRef, Block, Provenance, Store, Variable
from tasks._blocks import map_blocks
from tasks.calcium import simulate_calcium

LOCAL = "distributed.LocalCluster"
LOCAL_KWARGS = {"n_workers": 0, "threads_per_worker": 1, "dashboard_address": ":0"}
COUNTS = ArtifactRef(step="binning", key="c" * 64)
N_BINS = 2 * TIME_BLOCK
N_EMPTY, N_PREFECT = 400, 60
TURNS = 3
SERVER_TIMEOUT_S = 200


def main() -> None:
    """Measure all rows, and print them."""
    parser = argparse.ArgumentParser("python -m benchmarks.bench_blocks")
    parser.add_argument("--units", type=int, default=2048, help="units of the calcium step")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="how many")
    parser.add_argument("--no-slurm", action="store_true", help="local workers only")
    given = parser.parse_args()
    print_header(f"blocks: calcium of {given.units} units and {N_BINS} frames, 64 units a block")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="connflow-bench-"))
        write_counts(folder, given.units)
        kinds = [("worker", LOCAL, LOCAL_KWARGS)]
        slurm = None if given.no_slurm else stack.enter_context(slurm_environment())
        if slurm is not None:
            os.environ |= slurm
            kinds.append(("SLURM job", SLURM, job_kwargs(Path(folder))))
        with workers(*kinds[0][1:], 0) as client:
            row, files = measure(client, folder)
        rows, made = [("threads", *row)], {files}
        for (kind, cluster, kwargs), n_workers in itertools.product(kinds, given.workers):
            with workers(cluster, kwargs, n_workers) as client:
                row, files = measure(client, folder)
            rows.append((f"{n_workers} {kind}{'s' * (n_workers > 1)}", *row))
            made.add(files)
        assert len(made) == 1, "the bytes depend on who computes"
        print_table(("blocks computed by", "empty blocks/s", "calcium s", "CPU s"), rows)
        for kind, cluster, kwargs in kinds:
            with workers(cluster, kwargs, 2) as client:
                rate = prefect_tasks_per_s(client)
            print(f"each a Prefect task, on 2 {kind}s: {rate:.0f} empty tasks/s")


@contextmanager
def workers(
    cluster_class: str, cluster_kwargs: Mapping[str, Any], n_workers: int
) -> Iterator[Client | None]:
    """Start a cluster of so many workers; None if there are to be none."""
    if n_workers == 0:
        yield None
        return
    module, _, name = cluster_class.rpartition(".")
    with (
        getattr(import_module(module), name)(**cluster_kwargs) as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(n_workers)
        client.wait_for_workers(n_workers)
        yield client


def measure(client: Client | None, root: str) -> tuple[tuple[str, ...], str]:
    """Return a row: empty blocks a second, wall and CPU seconds of calcium; and what was made."""
    run_empty(client), make_calcium(client, root)  # loads and compiles
    empty_s = min(took(lambda: run_empty(client)) for _ in range(TURNS))
    files, costs = "", []
    for _ in range(TURNS):
        cpu_s, began = all_cpu_s(client), time.perf_counter()
        files = make_calcium(client, root)
        costs.append((time.perf_counter() - began, all_cpu_s(client) - cpu_s))
    wall_s, cpu_s = min(costs)
    return (f"{N_EMPTY / empty_s:.0f}", f"{wall_s:.2f}", f"{cpu_s:.2f}"), files


def took(work: Callable[[], object]) -> float:
    """Return the wall seconds of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run_empty(client: Client | None) -> None:
    """Map a function that does nothing: here, or in a task of the cluster, as a step is."""
    on(client, _map_nothing)


def make_calcium(client: Client | None, root: str) -> str:
    """Make the calcium artifact anew; return the checksums of its files."""
    return str(on(client, _make_calcium, root))


def on(client: Client | None, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function on a worker, or here if there is none."""
    if client is None:
        return function(*arguments)
    return client.submit(function, *arguments, pure=False).result()


def all_cpu_s(client: Client | None) -> float:
    """Return the CPU seconds so far of this process and of the workers."""
    there = client.run(time.process_time).values() if client is not None else []
    return time.process_time() + sum(there)


def prefect_tasks_per_s(client: Client) -> float:
    """Return how many empty Prefect tasks a second the workers of a cluster do."""

    @flow(task_runner=DaskTaskRunner(address=client.scheduler.address))
    def many() -> float:
        empty = task(_nothing, name="nothing", persist_result=False)
        empty.submit(0).result()
        return took(lambda: [future.result() for future in empty.map(list(range(N_PREFECT)))])

    with prefect_test_harness(server_startup_timeout=SERVER_TIMEOUT_S):
        return N_PREFECT / many()


def write_counts(root: str, n_units: int) -> None:
    """Write spike counts as the binning step would."""
    values = np.random.default_rng(0).poisson(0.05, (TIME_BLOCK, n_units)).astype(np.uint8)
    variable = Variable(("time", "unit"), (N_BINS, n_units), (TIME_BLOCK, 64), values.dtype)
    stream = (Block({"time": part}, {"spike_counts": values}) for part in split(N_BINS, TIME_BLOCK))
    with Store(root).create(COUNTS, Provenance(version=1, params={}, inputs={})) as artifact:
        artifact.write_blocks(
            {"spike_counts": variable},
            [stream],
            coords=xr.Dataset(coords={"unit": np.arange(n_units)}),
            attrs={"bin_size_s": 0.01, "t_start": 0.0},
        )


def _make_calcium(root: str) -> str:
    os.environ["CONNFLOW_STORE"] = root
    ref, store = simulate_calcium.fn(COUNTS, CalciumParams()), Store(root)
    files = {name: file.checksum for name, file in store.manifest(ref).files.items()}
    store.delete(ref)
    return json.dumps(files, sort_keys=True)


def _map_nothing() -> None:
    for _ in map_blocks(_nothing, range(N_EMPTY)):
        pass


def _nothing(block: int) -> None:
    pass


if __name__ == "__main__":
    # by its name, so that workers find its functions
    import_module("benchmarks.bench_blocks").main()
