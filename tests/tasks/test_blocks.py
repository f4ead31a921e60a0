"""The blocks of a step on the workers of a Dask cluster: same bytes, same errors, no deadlock."""

import os
import random
import signal
import sys
import time
import uuid
from collections import Counter
from functools import partial
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from connflow.binning import BinningParams
from connflow.calcium import CalciumParams
from connflow.connectivity import ConnectivityParams
from connflow.deconvolution import DeconvolutionParams
from connflow.errors import InvalidInputError, StoreError, WorkerLostError
from connflow.progress import reporting_to
from connflow.recording.network import NetworkParams
from connflow.store import ArtifactRef, Block, Provenance, Store, Variable
from tasks._blocks import fill_blocks, map_blocks
from tasks._workers import BLOCKS_A_THREAD
from tasks.binning import bin_spikes
from tasks.calcium import simulate_calcium
from tasks.connectivity import infer_connectivity
from tasks.deconvolution import deconvolve
from tasks.recording import simulate_network

REF = ArtifactRef(step="toy", key="a" * 64)
PROVENANCE = Provenance(version=1, params={}, inputs={})
N_BLOCKS, LENGTH = 12, 1000
LIMIT_S = 100  # far beyond what anything here takes, short of for ever


@pytest.fixture(scope="module", params=[2], ids=["two workers"])
def client(request):
    """A cluster whose workers have one thread each, and that gives up at the first lost worker."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(request.param, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


one_worker = pytest.mark.parametrize("client", [1], indirect=True, ids=["one worker"])


def run_step(client, function, *arguments):
    """Do what a step does where a flow has it done: in a task on a worker."""
    return client.submit(function, *arguments, pure=False).result(LIMIT_S)


# The steps


def make_chain(root, network, bin_size_s, method):
    """Return the checksums of all files of all steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONNFLOW_STORE", str(root))
        counts = bin_spikes.fn(simulate_network.fn(network), BinningParams(bin_size_s=bin_size_s))
        fluorescence = simulate_calcium.fn(counts, CalciumParams(dropped_frames=7))
        feed = deconvolve.fn(fluorescence, DeconvolutionParams(method=method))
        weights = [
            infer_connectivity.fn(feed, ConnectivityParams()),
            infer_connectivity.fn(counts, ConnectivityParams(method="correlation")),
        ]
        return [files_of(root, ref) for ref in (counts, fluorescence, feed, *weights)]


def files_of(root, ref):
    return {name: file.checksum for name, file in Store(root).manifest(ref).files.items()}


@pytest.mark.parametrize(
    "chain",
    [
        (NetworkParams(n_units=150, duration_s=40), 0.001, "savgol"),
        (NetworkParams(n_units=66, duration_s=20), 0.01, "oasis"),
    ],
    ids=["savgol", "oasis"],
)
def test_same_bytes_as_from_threads(client, tmp_path, chain):
    here = make_chain(tmp_path / "here", *chain)
    assert run_step(client, make_chain, tmp_path / "there", *chain) == here


# Blocks that write


def make_toy(root, happening=None):
    """Write an artifact block by block; return the checksums, and the progress reported."""
    variable = Variable(("time",), (N_BLOCKS * LENGTH,), (LENGTH,), np.dtype(np.float64))
    progress = []
    with (
        reporting_to(progress.append),
        Store(root).create(REF, PROVENANCE) as artifact,
        artifact.dataset({"x": variable}) as dataset,
    ):
        fill_blocks(artifact, partial(fill_toy, dataset, happening, os.getpid()), range(N_BLOCKS))
    return files_of(root, REF), progress


def fill_toy(dataset, happening, coordinator, block):
    if happening is not None:
        happening(dataset, coordinator, block)
    part = slice(block * LENGTH, (block + 1) * LENGTH)
    dataset.write([Block({"time": part}, {"x": np.arange(part.start, part.stop) / 7})])


def die_once(marker, dataset, coordinator, block):
    """Kill the first other worker than the coordinator's that comes here, amid writing."""
    time.sleep(0.1)
    if os.getpid() == coordinator or marker.exists():
        return
    marker.write_text(str(block))
    chunks = dataset.path / "x" / "c"
    chunks.mkdir(exist_ok=True)
    (chunks / f"{block}.{uuid.uuid4().hex}.partial").write_bytes(b"half a chunk")
    os.kill(os.getpid(), signal.SIGKILL)


def test_block_lost_with_its_worker_is_begun_again(client, tmp_path):
    wanted, _ = make_toy(tmp_path / "here")
    hazard = partial(die_once, tmp_path / "marker")
    made, progress = run_step(client, make_toy, tmp_path / "there", hazard)
    assert (tmp_path / "marker").exists()
    assert made == wanted
    assert progress == [pytest.approx((k + 1) / N_BLOCKS) for k in range(N_BLOCKS)]


def make_toy_without_patience(root, hazard):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks._workers.MOST_LOSSES", 0)
        return make_toy(root, hazard)


def test_block_that_is_lost_too_often_ends_the_step(client, tmp_path):
    hazard = partial(die_once, tmp_path / "marker")
    with pytest.raises(WorkerLostError, match=r"fill_toy of \d+ was lost with tcp.*after 0 others"):
        run_step(client, make_toy_without_patience, tmp_path / "store", hazard)
    assert_nothing_left(tmp_path / "store")


@one_worker
def test_one_thread_is_enough_for_several_steps_at_once(client, tmp_path):
    runs = [client.submit(make_toy, tmp_path / str(k), pure=False) for k in range(4)]
    first, *others = client.gather(runs)
    assert others == [first] * 3


def fail(notes, dataset, coordinator, block):
    if block == 1:
        raise InvalidInputError("block 1 is bad")
    (notes / f"{block}-began").touch()
    time.sleep(0.5)
    (notes / f"{block}-ended").touch()


def test_error_of_a_block_is_the_error_of_the_step_and_nobody_writes_on(client, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    with pytest.raises(InvalidInputError, match=r"^block 1 is bad$"):
        run_step(client, make_toy, tmp_path / "store", partial(fail, notes))
    assert_nothing_left(tmp_path / "store")
    seen = Counter(path.name.partition("-")[2] for path in notes.iterdir())
    assert seen["began"] == seen["ended"] < N_BLOCKS - 1


def assert_nothing_left(root):
    assert not Store(root).exists(REF)
    assert not list((root / ".staging").iterdir())


def test_chunk_that_nobody_wrote_is_found(tmp_path):
    variable = Variable(("time",), (30,), (10,), np.dtype(np.float64))
    with (
        pytest.raises(StoreError, match=r"1 of 3 chunks .* have not been written, 1 first"),
        Store(tmp_path).create(REF, PROVENANCE) as artifact,
    ):
        artifact.write_blocks(
            {"x": variable},
            [[Block({"time": part}, {"x": np.ones(10)})] for part in (slice(10), slice(20, 30))],
        )


# Blocks that compute


def square(number):
    time.sleep(random.uniform(0, 0.02))
    return number**2


def map_and_count(n_blocks):
    """Return the results, and how many blocks there were at most between start and result."""
    n_begun, most = 0, 0

    def blocks():
        nonlocal n_begun
        for block in range(n_blocks):
            n_begun += 1
            yield block

    results = []
    for result in map_blocks(square, blocks()):
        most = max(most, n_begun - len(results))
        results.append(result)
    return results, most


def test_results_come_in_order_and_few_blocks_are_under_way(client):
    results, most = run_step(client, map_and_count, 40)
    assert results == [number**2 for number in range(40)]
    assert most == BLOCKS_A_THREAD * sum(client.nthreads().values())


def process_of(block):
    time.sleep(0.05)
    return os.getpid()


def processes(folder_of_one):
    """Return our process, and those that blocks run in."""
    folder = Path(f"/proc/self/task/{os.getpid()}") if folder_of_one else None
    return os.getpid(), set(map_blocks(process_of, range(12), folder))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_only_workers_that_see_the_folder_are_asked_to_write_there(client):
    coordinator, anyone = run_step(client, processes, False)
    assert {coordinator} < anyone == set(client.run(os.getpid).values())
    coordinator, who_sees = run_step(client, processes, True)
    assert who_sees == {coordinator}


def test_outside_of_a_worker_threads_of_this_process_compute(client):
    assert processes(False) == (os.getpid(), {os.getpid()})


class Burden:
    """Notes in a folder each time that it arrives in a process."""

    def __init__(self, folder):
        self.folder, self.values = folder, np.zeros(100_000)

    def __setstate__(self, state):
        self.__dict__ |= state
        (self.folder / f"{os.getpid()}-{uuid.uuid4().hex}").touch()

    def __call__(self, block):
        return len(self.values)


def map_with_burden(folder):
    return list(map_blocks(Burden(folder), range(20)))


def test_what_blocks_share_travels_once_to_each_worker(client, tmp_path):
    assert run_step(client, map_with_burden, tmp_path) == [100_000] * 20
    arrivals = Counter(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert set(arrivals.values()) == {1}
