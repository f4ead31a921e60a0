"""Second moments of lagged activity: all that the linear methods need to know of a recording.

A *kernel* is a window of delays ``first..last`` in bins; the feature of a source is its activity
summed over that window. The moments of disjoint stretches of time add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numba
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from connflow.blocks import TIME_BLOCK, MapBlocks, TimeUnitArray, split
from connflow.progress import track

Kernel = tuple[int, int]
"""First and last delay of a window, in bins, both included."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over time of products of features and targets, around a reference level.

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

    def __add__(self, other: Self) -> "Moments":
        gram = None if self.gram is None or other.gram is None else self.gram + other.gram
        return Moments(
            self.n_bins + other.n_bins,
            self.feature_sum + other.feature_sum,
            self.target_sum + other.target_sum,
            self.target_square + other.target_square,
            gram,
            self.feature_square + other.feature_square,
            self.cross + other.cross,
        )

    def centred(self) -> "Moments":
        """Return the moments around the means: covariances times `n_bins`."""
        feature, target = self.feature_sum.ravel(), self.target_sum
        gram = None if self.gram is None else self.gram - np.outer(feature, feature) / self.n_bins
        return Moments(
            self.n_bins,
            np.zeros_like(self.feature_sum),
            np.zeros_like(target),
            self.target_square - target**2 / self.n_bins,
            gram,
            self.feature_square - self.feature_sum**2 / self.n_bins,
            self.cross - self.feature_sum[:, :, None] * target / self.n_bins,
        )


def accumulate_moments(
    activity: TimeUnitArray,
    kernels: Sequence[Kernel],
    *,
    with_gram: bool,
    map_blocks: MapBlocks = map,
    block_bins: int = TIME_BLOCK,
) -> Moments:
    """Sum the moments of an activity array, one block of time after the other.

    Parameters
    ----------
    activity : (n_time_bins, n_units) array-like
        Integers are summed exactly as long as a block's sums stay below 2**24.
    kernels
        Windows of delays.
    with_gram : bool
        Whether the products of features with features are wanted.
    map_blocks
        Who computes the blocks. The sum is taken in the order of time, and each block on one
        thread, so the result has the same bits whoever does.
    block_bins : int
        Time bins in a block.

    Returns
    -------
    Moments
        Over the bins that have a whole past, around the mean of the first block (floating-point
        activity) or around 0 (counts).
    """
    n_bins = activity.shape[0]
    blocks = split(n_bins - _longest(kernels), block_bins)
    compute = partial(
        _block_moments,
        activity,
        _reference_level(activity, block_bins),
        tuple(kernels),
        with_gram,
    )
    with _one_blas_thread():  # where the limit is the process's, it holds until all blocks are done
        parts = track(map_blocks(compute, blocks), len(blocks))
        total: Moments = next(parts)
        for part in parts:
            total = total + part
    return total


def _one_blas_thread() -> threadpool_limits:
    return threadpool_limits(1, user_api="blas")


def _longest(kernels: Sequence[Kernel]) -> int:
    return max(last for _, last in kernels)


def _reference_level(activity: TimeUnitArray, block_bins: int) -> NDArray[np.float32]:
    first: NDArray[np.generic] = np.asarray(activity[:block_bins, :])
    if first.dtype.kind in "ui":
        return np.zeros(first.shape[1], np.float32)
    return np.asarray(first.astype(np.float64).mean(axis=0), np.float32)


def _block_moments(
    activity: TimeUnitArray,
    reference: NDArray[np.float32],
    kernels: tuple[Kernel, ...],
    with_gram: bool,
    block: slice,
) -> Moments:
    past = _longest(kernels)
    raw: NDArray[np.generic] = np.asarray(activity[block.start : block.stop + past, :])
    rows = np.subtract(raw, reference, dtype=np.float32)
    targets = rows[past:]
    windowed = [_windowed(rows, past, kernel) for kernel in kernels]
    features = windowed[0] if len(windowed) == 1 else np.concatenate(windowed, axis=1)
    n_kernels, n_units = len(kernels), targets.shape[1]
    feature_sum, feature_square = _sum_columns(features)
    target_sum, target_square = _sum_columns(targets)
    with _one_blas_thread():  # where it is the thread's, and in other processes
        cross = np.asarray(features.T @ targets, np.float64)
        gram = np.asarray(features.T @ features, np.float64) if with_gram else None
    return Moments(
        n_bins=len(targets),
        feature_sum=feature_sum.reshape(n_kernels, n_units),
        target_sum=target_sum,
        target_square=target_square,
        gram=gram,
        feature_square=feature_square.reshape(n_kernels, n_units),
        cross=cross.reshape(n_kernels, n_units, n_units),
    )


@numba.njit(cache=True, nogil=True)
def _sum_columns(rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of the columns and of their squares, in double precision."""
    total, square = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for k in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            value = np.float64(rows[k, i])
            total[i] += value
            square[i] += value * value
    return total, square


def _windowed(rows: NDArray[np.float32], past: int, kernel: Kernel) -> NDArray[np.float32]:
    """Return for each bin from `past` on the activity summed over a window of delays."""
    first, last = kernel
    n_bins = len(rows) - past
    total = rows[past - first : past - first + n_bins]
    if last > first:
        total = total.copy()
    for lag in range(first + 1, last + 1):
        total += rows[past - lag : past - lag + n_bins]
    return total
