"""Sums over pairs of spikes, from the spikes themselves: no array over time is ever made.

In: `SpikeTrains`. Out: the second moments of `moments`, and cross-correlograms; exact integers,
the same that sums over an array of counts on the same grid would give. The work grows with the
pairs of spikes within a window, ``n_spikes * n_units * rate * window``.
"""

from collections.abc import Sequence
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import MapBlocks, split
from connflow.connectivity import _sweeps
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.moments import Kernel, Moments
from connflow.connectivity.spike_index import SpikeIndex, index_spikes
from connflow.progress import track

ROW_BLOCK = 32
"""Units in a block of work."""

_MIRROR_BLOCK = 512


def event_moments(
    trains: SpikeTrains,
    kernels: Sequence[Kernel],
    *,
    with_gram: bool,
    map_blocks: MapBlocks = map,
) -> Moments:
    """Sum the moments of spike trains, spike by spike.

    Parameters
    ----------
    trains : SpikeTrains
    kernels
        Windows of delays, in ticks.
    with_gram : bool
        Whether the products of features with features are wanted.
    map_blocks
        Who computes the blocks of units.

    Returns
    -------
    Moments
        Exact integers, around 0, over the ticks that have a whole past in their segment.

    Notes
    -----
    The feature of source j counts its spikes between ``last`` and ``first`` ticks before. So ::

        cross[f, j, i] = #{spikes a of j, t of i : first_f <= t - a <= last_f}
        gram[fj, gk]   = sum over spikes a of j, b of k of
                         |[a + first_f, a + last_f] & [b + first_g, b + last_g]|

    within each segment, from its longest delay on; spikes that coincide count.
    """
    past = max(last for _, last in kernels)
    index = index_spikes(trains)
    own = [sum_own(index, kernel, past) for kernel in kernels]
    target_sum, target_square = sum_own(index, (0, 0), past)
    feature_square = np.stack([square for _, square in own])
    # no sum of products exceeds the larger sum of squares (Cauchy and Schwarz)
    largest = max(feature_square.max(), target_square.max())
    compute = partial(_sum_rows, index, tuple(kernels), past, row_type(largest), True, with_gram)
    blocks = split(index.n_units, ROW_BLOCK)
    parts = track(map_blocks(compute, blocks), len(blocks))
    feature_sum = np.stack([total for total, _ in own]).astype(np.float64)
    cross = np.empty((len(kernels), index.n_units, index.n_units))
    gram = np.empty((*feature_sum.shape, *feature_sum.shape)) if with_gram else None
    for rows, (some_cross, some_gram) in zip(blocks, parts, strict=True):
        cross[:, rows] = some_cross
        if gram is not None:
            _place(some_gram, gram, rows)
    if gram is not None:
        _mirror(gram, feature_sum)
    return Moments(
        n_bins=int(np.maximum(np.diff(index.segments) - past, 0).sum()),
        feature_sum=feature_sum,
        target_sum=target_sum.astype(np.float64),
        target_square=target_square.astype(np.float64),
        gram=None if gram is None else gram.reshape(feature_sum.size, -1),
        feature_square=feature_square.astype(np.float64),
        cross=cross,
    )


def correlograms(
    trains: SpikeTrains,
    max_lag: int,
    *,
    map_blocks: MapBlocks = map,
    sources: NDArray[np.intp] | None = None,
    targets: NDArray[np.intp] | None = None,
) -> NDArray[np.integer]:
    """Count the pairs of spikes of all pairs of units by the ticks between them.

    Parameters
    ----------
    trains : SpikeTrains
    max_lag : int
        Longest lag, in ticks.
    map_blocks
        Who computes the blocks of sources.
    sources, targets : (n,) int, optional
        Rows of the units wanted; all if None.

    Returns
    -------
    (2 * max_lag + 1, n_sources, n_targets) int32, or int64 where counts may not fit
        Entry ``[max_lag + d, i, j]`` counts the pairs in which a spike of target j comes d ticks
        after one of source i, in one segment. A spike makes a pair with itself, at lag 0. Counts
        of disjoint stretches of time add up.

    References
    ----------
    Perkel, Gerstein & Moore 1967, Biophysical Journal 7: 419-440.
    """
    index = index_spikes(trains)
    rows = np.arange(trains.n_units) if sources is None else np.asarray(sources)
    columns = np.arange(trains.n_units) if targets is None else np.asarray(targets)
    is_square = sources is None and targets is None
    lags = (0 if is_square else -max_lag, max_lag)
    largest = int(np.diff(index.starts).max()) * _most_at_once(index)
    dtype: type[np.integer] = np.int32 if largest < 2**31 else np.int64
    blocks = split(len(rows), ROW_BLOCK)
    compute = partial(count_lags, index, lags, dtype, targets=columns)
    parts = map_blocks(compute, [rows[block] for block in blocks])
    counts = np.empty((2 * max_lag + 1, len(rows), len(columns)), dtype)
    for block, part in zip(blocks, track(parts, len(blocks)), strict=True):
        counts[max_lag + lags[0] :, block] = part
    if is_square:  # what comes d ticks later to one comes d ticks earlier to the other
        for lag in range(1, max_lag + 1):
            counts[max_lag - lag] = counts[max_lag + lag].T
    return counts


def _most_at_once(index: SpikeIndex) -> int:
    """Return how many spikes of one unit there are in one tick, at most."""
    unit = index.units[index.order]
    tick = index.ticks[index.order]
    changes = np.flatnonzero((np.diff(tick) != 0) | (np.diff(unit) != 0)) + 1
    return int(np.diff(np.concatenate(([0], changes, [len(tick)]))).max(initial=1))


def count_lags(
    index: SpikeIndex,
    lags: tuple[int, int],
    dtype: type[np.number],
    sources: NDArray[np.intp],
    targets: NDArray[np.intp] | slice,
) -> NDArray[Any]:
    """Count the pairs of some units by the ticks between them, source by source.

    Returns
    -------
    (n_lags, n_sources, n_targets)
        For the lags ``first..last``.
    """
    row = np.empty((lags[1] - lags[0] + 1, index.n_units), dtype)
    counts = np.empty((len(row), len(sources), row[0, targets].size), dtype)
    for number, source in enumerate(sources):
        row[:] = 0
        _sweeps.sweep_lags(*index.walk(source), lags, row)
        counts[:, number] = row[:, targets]
    return counts


def event_gram(index: SpikeIndex, kernels: Sequence[Kernel], past: int) -> NDArray[np.float64]:
    """Return the Gram matrix of `event_moments` by itself."""
    own = [sum_own(index, kernel, past) for kernel in kernels]
    dtype = row_type(max(square.max() for _, square in own))
    gram = np.empty((len(kernels), index.n_units) * 2)
    for rows in split(index.n_units, ROW_BLOCK):
        _place(_sum_rows(index, tuple(kernels), past, dtype, False, True, rows)[1], gram, rows)
    _mirror(gram, np.stack([total for total, _ in own]))
    return gram.reshape(len(kernels) * index.n_units, -1)


def sum_own(
    index: SpikeIndex, window: Kernel, past: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each unit's feature, and its square, summed over the ticks with a whole past."""
    return _sweeps.sum_own(index.ticks, index.order, index.starts, index.segments, window, past)


def row_type(largest: int) -> type[np.uint32 | np.int64]:
    """Return the narrowest type for sums that do not exceed `largest`."""
    return np.uint32 if largest < 2**32 else np.int64


def _sum_rows(
    index: SpikeIndex,
    kernels: tuple[Kernel, ...],
    past: int,
    dtype: type[np.integer],
    with_cross: bool,
    with_gram: bool,
    rows: slice,
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return some sources' cross products, and their half of the Gram matrix (see `_mirror`)."""
    pairs = _pairs(len(kernels)) if with_gram else []
    n_rows = rows.stop - rows.start
    cross = np.zeros((len(kernels), n_rows, index.n_units if with_cross else 0), dtype)
    gram = np.zeros((len(pairs), n_rows, index.n_units), dtype)
    for row in range(n_rows):
        walk = index.walk(rows.start + row)
        if not with_gram:
            for f, window in enumerate(kernels):
                _sweeps.sweep_cross(*walk, window, past, cross[f, row])
        for number, (f, g) in enumerate(pairs):
            sums = gram[number, row]
            if f == g:
                _sweeps.sweep_cross_and_gram(*walk, kernels[f], past, cross[f, row], sums)
            else:
                _sweeps.sweep_gram(*walk, kernels[f], kernels[g], past, sums)
    return cross, gram


def _pairs(n_kernels: int) -> list[tuple[int, int]]:
    return list(combinations_with_replacement(range(n_kernels), 2))


def _place(sums: NDArray[np.integer], gram: NDArray[np.float64], rows: slice) -> None:
    for (f, g), some in zip(_pairs(len(gram)), sums, strict=True):
        gram[f, rows, g] = some


def _mirror(gram: NDArray[np.float64], alone: NDArray[np.number]) -> None:
    """Complete a half Gram matrix in place; `alone` is each spike's product with itself, summed."""
    for f, g in _pairs(len(gram)):
        if f != g:
            gram[g, :, f] = gram[f, :, g].T
            continue
        square = gram[f, :, f]
        add_transpose(square)
        np.fill_diagonal(square, np.diag(square) + alone[f])


def add_transpose(square: NDArray[np.float64]) -> None:
    """Add the transpose to a square matrix, in place."""
    for rows in split(len(square), _MIRROR_BLOCK):
        for columns in split(rows.stop, _MIRROR_BLOCK):
            both = square[rows, columns] + square[columns, rows].T
            square[rows, columns] = both
            square[columns, rows] = both.T
