"""Loops over pairs of spikes: row by row, along the spikes of one unit.

In: the arrays of a `SpikeIndex`. For each spike of a unit the loops walk along the contiguous
stretch of the time-sorted list that its window spans, and add to one row of counts, which stays in
the processor's cache. Times are in ticks of the index; all counts are integers.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]


@numba.njit(cache=True, nogil=True)
def sort_by_unit(units: Ints, n_units: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the spikes' places in the order of units, then of time, and where each unit starts."""
    starts = np.zeros(n_units + 1, np.int64)
    for unit in units:
        starts[unit + 1] += 1
    starts = np.cumsum(starts)
    order, following = np.empty(len(units), np.uint32), starts[:-1].copy()
    for k in range(len(units)):
        order[following[units[k]]] = k
        following[units[k]] += 1
    return order, starts


@numba.njit(cache=True, nogil=True)
def sum_own(
    ticks: Ints,
    order: Ints,
    starts: Ints,
    segments: Ints,
    window: tuple[int, int],
    past: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum each unit's feature, and the feature's square, over the ticks with a whole past."""
    first, last = window
    n_units = len(starts) - 1
    total, square = np.zeros(n_units, np.int64), np.zeros(n_units, np.int64)
    for j in range(n_units):
        home = 0
        for p in range(starts[j], starts[j + 1]):
            t = ticks[order[p]]
            while t >= segments[home, 1]:
                home += 1
            low = segments[home, 0] + past
            stop = min(t + last + 1, segments[home, 1])
            alone = max(0, stop - max(t + first, low))
            total[j] += alone
            square[j] += alone
            for q in range(p + 1, starts[j + 1]):
                shared = stop - max(ticks[order[q]] + first, low)
                if shared <= 0:
                    break
                square[j] += 2 * shared
    return total, square


@numba.njit(cache=True, nogil=True)
def seek(
    ticks: Ints, coarse: Ints, shift: int, tick: np.int64, begin: np.int64, end: np.int64
) -> np.int64:
    """Return the first of the spikes ``begin..end`` that is not before a tick."""
    if tick < 0:
        return begin
    step = min(tick >> shift, np.int64(len(coarse) - 1))
    k = max(begin, np.int64(coarse[step]))
    while k < end and ticks[k] < tick:
        k += 1
    return k


@numba.njit(cache=True, nogil=True)
def sweep_cross_and_gram(
    ticks: Ints,
    units: Ints,
    own: Ints,
    segments: Ints,
    bounds: Ints,
    coarse: Ints,
    shift: int,
    window: tuple[int, int],
    past: int,
    cross: Ints,
    gram: Ints,
) -> None:
    """Add one source's products with all targets, and with the features of its later spikes.

    Without room for cross products, `cross` being empty, the latter only.

    Notes
    -----
    A spike at ``a`` raises its unit's feature on ``[a + first, a + last]``, from ``low`` on and
    before ``high``. With a later spike at ``b`` that has ``stop - max(b + first, low)`` ticks in
    common, where ``stop = min(a + last + 1, high)``. The other half of the Gram matrix is the
    transpose, and its diagonal lacks each spike's product with itself.
    """
    first, last = window
    with_cross = len(cross) > 0
    home = 0
    for s in own:
        t = np.int64(ticks[s])
        while t >= segments[home, 1]:
            home += 1
        low, end = segments[home, 0] + past, bounds[home + 1]
        stop = min(t + last + 1, segments[home, 1])
        if stop <= low:
            continue
        base, floor = stop - first, low - first
        lead = max(t + first, low) if with_cross else stop
        k = np.int64(s)
        while lead == t and k >= bounds[home] and ticks[k] == t:  # the same tick is in the window
            cross[units[k]] += 1
            k -= 1
        k = np.int64(s) + 1
        while k < end and ticks[k] < min(floor, base):
            gram[units[k]] += base - floor
            k += 1
        while k < end and ticks[k] < min(lead, base):
            gram[units[k]] += base - ticks[k]
            k += 1
        while k < end and ticks[k] < base:
            cross[units[k]] += 1
            gram[units[k]] += base - ticks[k]
            k += 1
        if base < lead < stop:
            k = seek(ticks, coarse, shift, lead, k, end)
        while k < end and lead <= ticks[k] < stop:
            cross[units[k]] += 1
            k += 1


@numba.njit(cache=True, nogil=True)
def sweep_cross(
    ticks: Ints,
    units: Ints,
    own: Ints,
    segments: Ints,
    bounds: Ints,
    coarse: Ints,
    shift: int,
    window: tuple[int, int],
    past: int,
    cross: Ints,
) -> None:
    """Add one unit's pairs with spikes ``first..last`` ticks later; negative: earlier.

    Of the pair the later spike has a past of at least `past` ticks in the segment of both.
    """
    first, last = window
    home = 0
    for s in own:
        t = np.int64(ticks[s])
        while t >= segments[home, 1]:
            home += 1
        low = segments[home, 0] + past
        if first < 0 and t < low:
            continue
        begin, end, stop = bounds[home], bounds[home + 1], t + last
        lead = np.int64(t + first if first < 0 else max(t + first, low))
        k = seek(ticks, coarse, shift, lead, begin, end)
        while k < end and ticks[k] <= stop:
            cross[units[k]] += 1
            k += 1


@numba.njit(cache=True, nogil=True)
def sweep_gram(
    ticks: Ints,
    units: Ints,
    own: Ints,
    segments: Ints,
    bounds: Ints,
    coarse: Ints,
    shift: int,
    window: tuple[int, int],
    other: tuple[int, int],
    past: int,
    gram: Ints,
) -> None:
    """Add the products of one unit's feature with all units' features of another window."""
    home = 0
    for s in own:
        t = np.int64(ticks[s])
        while t >= segments[home, 1]:
            home += 1
        begin, end = bounds[home], bounds[home + 1]
        lead = max(t + window[0], segments[home, 0] + past)
        stop = min(t + window[1] + 1, segments[home, 1])
        k = seek(ticks, coarse, shift, lead - other[1], begin, end)
        while k < end and ticks[k] < stop - other[0]:
            shared = min(stop, ticks[k] + other[1] + 1) - max(lead, ticks[k] + other[0])
            gram[units[k]] += max(0, shared)
            k += 1


@numba.njit(cache=True, nogil=True)
def sweep_lags(
    ticks: Ints,
    units: Ints,
    own: Ints,
    segments: Ints,
    bounds: Ints,
    coarse: Ints,
    shift: int,
    lags: tuple[int, int],
    counts: Ints,
) -> None:
    """Add one source's pairs to ``counts[lag - first, unit]``, for lags ``first..last``."""
    first, last = lags
    home = 0
    for s in own:
        t = np.int64(ticks[s])
        while t >= segments[home, 1]:
            home += 1
        begin, end = bounds[home], bounds[home + 1]
        k = seek(ticks, coarse, shift, t + first, begin, end)
        while k < end and ticks[k] <= t + last:
            counts[ticks[k] - t - first, units[k]] += 1
            k += 1
