"""The artifact store against plain zarr of the same chunks and codec, and what a cached step costs.

2 GB of float32 are written block by block and read back, by turns, in one process. Ours makes
checksums of every chunk and file, writes aside, commits with a manifest, and checks when it reads.
Plain zarr writes and reads only. The page cache holds everything, so disks do not hide the work.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from benchmarks._measure import print_header, print_table
from connflow.binning import BinningParams
from connflow.recording.network import NetworkParams
from connflow.store import ArtifactRef, Block, Provenance, Store, Variable
from tasks.binning import bin_spikes
from tasks.recording import simulate_network

N_UNITS, BLOCK = 64, 32_768
ROUNDS = 3
REF = ArtifactRef(step="calcium", key="b" * 64)


def make_block() -> NDArray[np.float32]:
    """Return a block of slow traces with noise, as fluorescence has."""
    rng = np.random.default_rng(0)
    drift = rng.normal(size=(BLOCK, N_UNITS)).cumsum(axis=0) * 0.01
    return (drift + rng.normal(size=(BLOCK, N_UNITS))).astype(np.float32)


def write_ours(folder: Path, block: NDArray[np.float32], n_blocks: int) -> None:
    """Write through the store."""
    shape = (n_blocks * BLOCK, N_UNITS)
    variable = Variable(("time", "unit"), shape, (BLOCK, N_UNITS), np.dtype(np.float32))
    with Store(folder).create(REF, Provenance(version=1, params={}, inputs={})) as artifact:
        artifact.write_blocks({"x": variable}, [_blocks(block, n_blocks)])


def read_ours(folder: Path) -> float:
    """Read everything back through the store."""
    array = Store(folder).open_dataset(REF)["x"]
    return sum(float(array[k : k + BLOCK].to_numpy()[0, 0]) for k in range(0, len(array), BLOCK))


def write_plain(folder: Path, block: NDArray[np.float32], n_blocks: int) -> None:
    """Write with zarr alone."""
    array = zarr.create_array(
        folder / "x.zarr",
        shape=(n_blocks * BLOCK, N_UNITS),
        chunks=(BLOCK, N_UNITS),
        dtype="f4",
        compressors=[BloscCodec(cname="lz4", clevel=1, shuffle="shuffle", typesize=4)],
    )
    for k in range(n_blocks):
        array[k * BLOCK : (k + 1) * BLOCK] = block


def read_plain(folder: Path) -> float:
    """Read everything back with zarr alone."""
    array = zarr.open_array(folder / "x.zarr", mode="r")
    starts = range(0, array.shape[0], BLOCK)
    return sum(float(np.asarray(array[k : k + BLOCK])[0, 0]) for k in starts)


def main(gigabytes: float) -> None:
    """Measure both sides by turns, then a step whose artifact is there."""
    print_header(f"store: {gigabytes:g} GB of float32 against plain zarr, best of {ROUNDS} turns")
    block = make_block()
    n_blocks = round(gigabytes * 1e9 / block.nbytes)
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, write, read in (
            ("connflow", write_ours, read_ours),
            ("plain zarr", write_plain, read_plain),
        ):
            folder = Path(tempfile.mkdtemp(prefix="connflow-bench-"))
            times.setdefault(f"{name} write", []).append(_time(write, folder, block, n_blocks))
            times.setdefault(f"{name} read", []).append(_time(read, folder))
            shutil.rmtree(folder)
    best = {name: min(values) for name, values in times.items()}
    size = n_blocks * block.nbytes / 1e6
    print_table(
        ("", "connflow MB/s", "plain zarr MB/s", "speed of connflow / plain"),
        [
            (
                what,
                f"{size / best[f'connflow {what}']:.0f}",
                f"{size / best[f'plain zarr {what}']:.0f}",
                f"{best[f'plain zarr {what}'] / best[f'connflow {what}']:.2f}",
            )
            for what in ("write", "read")
        ],
    )
    print(f"a step whose artifact is there: {1000 * _time_cached_step():.1f} ms")


def _blocks(block: NDArray[np.float32], n_blocks: int) -> Iterator[Block]:
    for k in range(n_blocks):
        yield Block({"time": slice(k * BLOCK, (k + 1) * BLOCK)}, {"x": block})


def _time(work: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def _time_cached_step() -> float:
    with tempfile.TemporaryDirectory(prefix="connflow-bench-") as folder:
        os.environ["CONNFLOW_STORE"] = folder
        recording = simulate_network.fn(NetworkParams(n_units=20, duration_s=20))
        bin_spikes.fn(recording, BinningParams())
        return statistics.median(
            _time(bin_spikes.fn, recording, BinningParams()) for _ in range(20)
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.bench_store")
    parser.add_argument("--gigabytes", type=float, default=2.0, help="how much to write")
    main(parser.parse_args().gigabytes)
