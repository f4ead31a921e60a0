"""Second moments of lagged activity: all that the linear methods need to know of a recording.

A *kernel* is a window of delays ``first..last`` in bins; the feature of a source is its activity
summed over that window. The moments of disjoint stretches of time add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

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
    with threadpool_limits(1, user_api="blas"):
        parts = track(map_blocks(compute, blocks), len(blocks))
        total: Moments = next(parts)
        for part in parts:
            total = total + part
    return total


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
    rows = raw.astype(np.float32) - reference
    targets = rows[past:]
    features = np.concatenate([_windowed(rows, past, kernel) for kernel in kernels], axis=1)
    n_kernels, n_units = len(kernels), targets.shape[1]
    gram = (features.T @ features).astype(np.float64) if with_gram else None
    square = np.einsum("ki,ki->i", features, features, dtype=np.float64)
    return Moments(
        n_bins=len(targets),
        feature_sum=features.sum(axis=0, dtype=np.float64).reshape(n_kernels, n_units),
        target_sum=targets.sum(axis=0, dtype=np.float64),
        target_square=np.einsum("ki,ki->i", targets, targets, dtype=np.float64),
        gram=gram,
        feature_square=square.reshape(n_kernels, n_units),
        cross=(features.T @ targets).astype(np.float64).reshape(n_kernels, n_units, n_units),
    )


def _windowed(rows: NDArray[np.float32], past: int, kernel: Kernel) -> NDArray[np.float32]:
    """Return for each bin from `past` on the activity summed over a window of delays."""
    first, last = kernel
    n_bins = len(rows) - past
    total: NDArray[np.float32] = rows[past - first : past - first + n_bins].copy()
    for lag in range(first + 1, last + 1):
        total += rows[past - lag : past - lag + n_bins]
    return total
