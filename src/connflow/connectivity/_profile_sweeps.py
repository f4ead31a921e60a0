"""Loops over pairs of spikes for kernels of any shape, given as integers per tick of delay.

In: the arrays of a `SpikeIndex`, and `heights` (n_delays, n_kernels): what a spike adds to its
unit's features so many ticks later, 0 at its own tick. All sums are integers.
"""

import numba
import numpy as np
from numpy.typing import NDArray

LANES = 8
"""Sums of a pair of units stand side by side in a multiple of this: the processor adds them at
once."""

Ints = NDArray[np.integer]


@numba.njit(cache=True, nogil=True)
def add_products(heights: Ints, lag: int, begin: int, end: int, sums: Ints) -> None:
    """Add what two spikes contribute to a pair of units, the second `lag` ticks later.

    ``sums[f * n_kernels + g]`` grows by the product of kernel f of the first and kernel g of the
    second, over delays ``begin..end - 1`` from the first; ``sums[n_kernels**2 + f]`` by kernel f of
    the first at the second, which is a target there.
    """
    n_delays, n_kernels = heights.shape
    for delay in range(max(begin, lag), min(end, n_delays)):
        for f in range(n_kernels):
            for g in range(n_kernels):
                sums[f * n_kernels + g] += heights[delay, f] * heights[delay - lag, g]
    if begin <= lag < n_delays:
        for f in range(n_kernels):
            sums[n_kernels * n_kernels + f] += heights[lag, f]


@numba.njit(cache=True, nogil=True)
def tabulate_products(heights: Ints, n_lanes: int) -> NDArray[np.int64]:
    """Return what a pair of spikes far from the ends contributes, for each lag of the second."""
    n_delays = len(heights)
    table = np.zeros((n_delays, n_lanes), np.int64)
    for lag in range(n_delays):
        add_products(heights, lag, 0, n_delays, table[lag])
    return table


@numba.njit(cache=True, nogil=True)
def sweep_products(
    ticks: Ints,
    units: Ints,
    own: Ints,
    segments: Ints,
    bounds: Ints,
    heights: Ints,
    table: Ints,
    row: Ints,
) -> None:
    """Add a source's products with the features of its later spikes, and with its targets.

    ``row`` is (n_units, n_lanes). The other half of the Gram matrix is the transpose; its diagonal
    lacks each spike's product with itself.
    """
    past, n_groups = len(heights) - 1, row.shape[1] // LANES
    home = 0
    for s in own:
        t = np.int64(ticks[s])
        while t >= segments[home, 1]:
            home += 1
        low, high = segments[home, 0] + past - t, segments[home, 1] - t
        is_whole = low <= 0 and high > past
        k, end = np.int64(s) + 1, bounds[home + 1]
        while k < end:
            lag = ticks[k] - t
            if lag > past:
                break
            if is_whole:
                for group in range(n_groups):
                    for lane in range(LANES):
                        row[units[k], group * LANES + lane] += table[lag, group * LANES + lane]
            else:
                add_products(heights, lag, max(low, 0), high, row[units[k]])
            k += 1


@numba.njit(cache=True, nogil=True)
def sum_features(
    ticks: Ints, units: Ints, segments: Ints, heights: Ints, n_units: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum each unit's features, (n_kernels, n_units), and each spike's products with itself."""
    n_delays, n_kernels = heights.shape
    total = np.zeros((n_units, n_kernels), np.int64)
    alone = np.zeros((n_units, n_kernels, n_kernels), np.int64)
    area, square = heights.sum(axis=0), _square(heights)
    home = 0
    for s in range(len(ticks)):
        t = np.int64(ticks[s])
        while t >= segments[home, 1]:
            home += 1
        low, high = segments[home, 0] + n_delays - 1 - t, segments[home, 1] - t
        if low <= 0 and high >= n_delays:
            total[units[s]] += area
            alone[units[s]] += square
        elif low < n_delays:
            part = heights[max(0, low) : high]
            total[units[s]] += part.sum(axis=0)
            alone[units[s]] += _square(part)
    return total.T, alone


@numba.njit(cache=True, nogil=True)
def _square(heights: Ints) -> NDArray[np.int64]:
    """Return the products of the kernels with one another, summed over delays."""
    n_kernels = heights.shape[1]
    square = np.zeros((n_kernels, n_kernels), np.int64)
    for delay in range(len(heights)):
        for f in range(n_kernels):
            for g in range(n_kernels):
                square[f, g] += heights[delay, f] * heights[delay, g]
    return square
