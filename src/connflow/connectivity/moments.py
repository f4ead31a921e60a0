"""Second moments of lagged activity: all that the linear methods need to know of a recording.

A *kernel* is a window of delays ``first..last`` in bins; the feature of a source is its activity
summed over that window. The moments of disjoint stretches of time add up.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from connflow.blocks import TIME_BLOCK, MapBlocks, split
from connflow.connectivity.activity import Activity, Segments, SpikeTrains, Traces
from connflow.progress import track

Kernel = tuple[int, int]
"""First and last delay of a window, in bins, both included."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over time of products of features and targets, around a reference level.

    Moments of disjoint stretches of time add up where their level is the same, as it is for
    spikes and counts (0): ``+`` then gives the same numbers in any order.

    Parameters
    ----------
    n_bins : int
        Time bins that were summed over.
    feature_sum : (n_kernels, n_units) float64
    target_sum, target_square : (n_units,) float64
    gram : (n_kernels * n_units, n_kernels * n_units) float64, or None
        Feature times feature; None if only pairwise methods are asked for.
    feature_square : (n_kernels, n_units) float64
        The diagonal of `gram`.
    cross : (n_kernels, n_sources, n_targets) float64
        Feature times target.
    """

    n_bins: int
    feature_sum: NDArray[np.float64]
    target_sum: NDArray[np.float64]
    target_square: NDArray[np.float64]
    gram: NDArray[np.float64] | None
    feature_square: NDArray[np.float64]
    cross: NDArray[np.float64]

    def __add__(self, other: Self) -> Self:
        mine = {name: None if sums is None else sums.copy() for name, sums in self._sums().items()}
        total = replace(self, **mine)  # type: ignore[arg-type]  # None where it was None
        total += other
        return total

    def __iadd__(self, other: Self) -> Self:
        for name, mine in self._sums().items():
            if mine is not None:
                mine += getattr(other, name)
        return replace(self, n_bins=self.n_bins + other.n_bins)

    def centred(self) -> Self:
        """Return the moments around the means: covariances times `n_bins`."""
        feature, target, n_bins = self.feature_sum.ravel(), self.target_sum, self.n_bins
        cross = self.cross.reshape(len(feature), -1)
        gram = self.gram
        return replace(
            self,
            feature_sum=np.zeros_like(self.feature_sum),
            target_sum=np.zeros_like(target),
            target_square=self.target_square - target**2 / n_bins,
            gram=None if gram is None else _subtract_product(gram, feature, feature / n_bins),
            feature_square=self.feature_square - self.feature_sum**2 / n_bins,
            cross=_subtract_product(cross, feature, target / n_bins).reshape(self.cross.shape),
        )

    def _sums(self) -> dict[str, NDArray[np.float64] | None]:
        return {field.name: getattr(self, field.name) for field in fields(self)[1:]}


def mixed(moments: Moments, mix: NDArray[np.floating]) -> Moments:
    """Return the moments of other features, each a sum of the present ones.

    Parameters
    ----------
    moments : Moments
    mix : (n_new_kernels, n_kernels) float
        How much of each present kernel goes into each new one.
    """
    n_kernels, n_units, n_targets = moments.cross.shape
    cross = np.tensordot(mix, moments.cross, axes=1)
    feature_sum = np.asarray(mix, np.float64) @ moments.feature_sum
    assert moments.gram is not None
    gram = moments.gram.reshape(n_kernels, n_units, n_kernels, n_units)
    gram = np.einsum("af,fjgk,bg->ajbk", mix, gram, mix, optimize=True)
    square = gram.reshape(len(mix) * n_units, -1)
    return replace(
        moments,
        feature_sum=feature_sum,
        gram=square,
        feature_square=np.diag(square).reshape(len(mix), n_units).copy(),
        cross=cross.reshape(len(mix), n_units, n_targets),
    )


def _subtract_product(
    matrix: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``matrix - outer(rows, columns)`` without another matrix of that size."""
    result = np.empty_like(matrix)
    for k, row in enumerate(matrix):
        np.subtract(row, rows[k] * columns, out=result[k])
    return result


def accumulate_moments(
    activity: Activity,
    kernels: Sequence[Kernel],
    *,
    with_gram: bool,
    map_blocks: MapBlocks = map,
    block_samples: int = TIME_BLOCK,
    device: str | None = None,
) -> Moments:
    """Sum the moments of an activity.

    Parameters
    ----------
    activity : SpikeTrains or Traces
        Spikes are summed exactly, and other integers as long as the sums of products over a few
        thousand samples stay below 2**24.
    kernels
        Windows of delays.
    with_gram : bool
        Whether the products of features with features are wanted.
    map_blocks
        Who computes the blocks. The sum is taken in the order of time, and each block on one
        thread, so the result has the same bits whoever does.
    block_samples : int
        Samples in a block of traces.
    device : str, optional
        Who multiplies the matrices of traces: ``numpy``, or torch on the device of that name
        (``cpu``, ``cuda``). The environment variable CONNFLOW_DEVICE if None, else numpy. It does
        not belong to the parameters, since the numbers agree (to single precision).

    Returns
    -------
    Moments
        Over the samples that have a whole past in their segment, around the mean of the first
        block (floating-point activity) or around 0 (counts).
    """
    if isinstance(activity, SpikeTrains):
        from connflow.connectivity.events import event_moments  # which needs this module

        return event_moments(activity, kernels, with_gram=with_gram, map_blocks=map_blocks)
    heights = np.zeros((1 + max(last for _, last in kernels), len(kernels)), np.float32)
    for f, (first, last) in enumerate(kernels):
        heights[first : last + 1, f] = 1
    return trace_moments(
        activity,
        heights,
        with_gram=with_gram,
        map_blocks=map_blocks,
        block_samples=block_samples,
        device=device,
    )


def trace_moments(
    activity: Traces,
    heights: NDArray[np.float32],
    *,
    with_gram: bool = True,
    map_blocks: MapBlocks = map,
    block_samples: int = TIME_BLOCK,
    device: str | None = None,
) -> Moments:
    """Sum the moments of traces under kernels of any shape; see `accumulate_moments`.

    Parameters
    ----------
    activity : Traces
    heights : (n_delays, n_kernels) float32
        What a value adds to the features of its unit 0, 1, ... samples later.
    with_gram, map_blocks, block_samples, device
        See `accumulate_moments`.
    """
    from connflow.connectivity.dense import sum_pieces  # which needs this module

    blocks = _cut(activity.segments, len(heights) - 1, block_samples)
    compute = partial(
        sum_pieces,
        activity.values,
        _reference_level(activity, block_samples),
        heights,
        with_gram,
        device or os.environ.get("CONNFLOW_DEVICE") or "numpy",
    )
    with _one_blas_thread():  # where the limit is the process's, it holds until all blocks are done
        parts = track(map_blocks(partial(_on_one_thread, compute), blocks), len(blocks))
        total: Moments = next(parts)
        for part in parts:
            total += part
    return total


def _cut(segments: Segments, past: int, block_samples: int) -> list[list[slice]]:
    """Cut segments into blocks of at most `block_samples` rows; short segments share a block."""
    blocks: list[list[slice]] = [[]]
    room = block_samples
    for start, stop in segments:
        for part in split(int(stop - start) - past, block_samples):
            n_rows = part.stop - part.start
            if n_rows > room:
                blocks.append([])
                room = block_samples
            blocks[-1].append(slice(int(start) + part.start, int(start) + part.stop))
            room -= n_rows
    return blocks


def _on_one_thread(compute: Callable[[list[slice]], Moments], block: list[slice]) -> Moments:
    with _one_blas_thread():  # where it is the thread's, and in other processes
        return compute(block)


def _one_blas_thread() -> threadpool_limits:
    return threadpool_limits(1, user_api="blas")


def _reference_level(activity: Traces, block_samples: int) -> NDArray[np.float32]:
    start, stop = (int(edge) for edge in activity.segments[0])
    first = activity.read(slice(start, min(stop, start + block_samples)))
    if first.dtype.kind in "ui":
        return np.zeros(first.shape[1], np.float32)
    return np.asarray(first.astype(np.float64).mean(axis=0), np.float32)
