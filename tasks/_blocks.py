"""Who computes the blocks of a step, and how traces of shape (time, unit) are cut and stored."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import TIME_BLOCK, UNIT_BLOCK, split
from connflow.progress import track
from connflow.store import ArtifactWriter, Block, Variable

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_blocks(
    function: Callable[[Item], Result], blocks: Iterable[Item], folder: Path | None = None
) -> Iterator[Result]:
    """Apply a function to blocks: on the workers of the cluster we run on, or else in threads.

    Parameters
    ----------
    function
        Applied to each block. It may be called in other processes, so it can be pickled: a
        function of a module, with arguments bound by `functools.partial`.
    blocks
        Small descriptions, such as slices. What all blocks need is bound to the function, which
        every worker gets once.
    folder
        Where the function writes, if it does; only workers that see this folder are asked.

    Yields
    ------
    Result
        In the order of the blocks. Few blocks are under way at once, so memory stays bounded.

    Raises
    ------
    WorkerLostError
        If one block took several workers with it. What a block raises is raised here, too. When
        this is left by an error, no block goes on.
    """
    if _is_on_dask_worker():
        from tasks._workers import map_on_workers

        return map_on_workers(function, blocks, folder)
    return _map_on_threads(function, blocks)


def fill_blocks(
    artifact: ArtifactWriter, fill: Callable[[Item], None], blocks: Sequence[Item]
) -> None:
    """Have the blocks of an artifact computed and written, and report how far that is."""
    for _ in track(map_blocks(fill, blocks, artifact.folder), len(blocks)):
        pass


def _is_on_dask_worker() -> bool:
    distributed = sys.modules.get("distributed")  # which takes long to import where it is not
    if distributed is None:
        return False
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True


def _map_on_threads(function: Callable[[Item], Result], blocks: Iterable[Item]) -> Iterator[Result]:
    """Apply a function to blocks on the cores of this machine, as many as there are, and one."""
    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="connflow-block") as pool:
        try:
            for block in blocks:
                running.append(pool.submit(copy_context().run, function, block))
                if len(running) > (n_threads or 1):
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def time_variable(n_time: int) -> Variable:
    """Describe the stored time coordinate."""
    return Variable(("time",), (n_time,), (TIME_BLOCK,), np.dtype(np.float64), {"units": "s"})


def trace_variable(
    n_time: int,
    n_units: int,
    dtype: np.dtype[Any],
    units: str,
    *,
    width: int = UNIT_BLOCK,
    compressible: bool = True,
    sharded: bool = False,
) -> Variable:
    """Describe a stored array of shape (time, unit), in chunks of `width` units.

    Sharded, the chunks of all units at one time share a file: counts shrink to a few kB a chunk.
    """
    chunks = (min(TIME_BLOCK, n_time), min(width, n_units))
    shards = (chunks[0], -(-n_units // chunks[1]) * chunks[1]) if sharded else None
    return Variable(
        ("time", "unit"),
        (n_time, n_units),
        chunks,
        dtype,
        {"units": units},
        compressible=compressible,
        shards=shards,
    )


def time_stream(n_time: int, t_start: float, interval_s: float) -> Iterator[Block]:
    """Yield the time coordinate, the start of each bin or frame, block by block."""
    for part in split(n_time, TIME_BLOCK):
        values = t_start + np.arange(part.start, part.stop) * interval_s
        yield Block({"time": part}, {"time": values})


def trace_stream(
    name: str, units: slice, parts: Iterable[tuple[int, NDArray[Any]]]
) -> Iterator[Block]:
    """Turn blocks along time of some units into blocks of a stored array."""
    for start, values in parts:
        yield Block({"time": slice(start, start + len(values)), "unit": units}, {name: values})
