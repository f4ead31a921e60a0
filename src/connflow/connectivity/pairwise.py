"""What the methods share that look at one pair of spike trains at a time.

In: correlograms, tile by tile of sources, so that memory stays bounded. Out: the most extreme of
several delays, as a z-score that knows how many were looked at.
"""

from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri_exp

from connflow.blocks import MapBlocks, split
from connflow.connectivity.events import count_lags
from connflow.connectivity.kernels import to_samples
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.spike_index import SpikeIndex
from connflow.progress import track

Tile = tuple[NDArray[np.float64], ...]
"""Results of some sources, each of shape (n_sources, n_targets)."""

TILE_COUNTS = 8_000_000
"""Counts of pairs held at a time, about: lags times sources times targets."""

_MOST_SOURCES = 128  # in a tile
_CACHED_COUNTS = 500_000  # of 4 bytes, that stay in a core's cache

_SMALL_LOG_P = -30.0  # below, one minus p is one


def map_sources(
    compute: Callable[[slice], Tile], n_units: int, n_lags: int, map_blocks: MapBlocks
) -> Tile:
    """Compute tile by tile of sources, and put the tiles together."""
    n_rows = max(1, min(_MOST_SOURCES, TILE_COUNTS // (n_lags * n_units)))
    tiles = split(n_units, n_rows)
    several = list(track(map_blocks(compute, tiles), len(tiles)))
    return tuple(np.concatenate(parts) for parts in zip(*several, strict=True))


def count_pairs(index: SpikeIndex, lags: tuple[int, int], rows: slice) -> NDArray[np.float64]:
    """Count the pairs of spikes of some sources with all targets; see `correlograms`.

    Returns
    -------
    (n_lags, n_sources, n_units) float64
        Integers, for the lags ``first..last`` in ticks.
    """
    shape = lags[1] - lags[0] + 1, index.n_units
    n_rows = rows.stop - rows.start
    if n_rows * shape[0] * shape[1] <= _CACHED_COUNTS:
        tile = np.zeros((n_rows, *shape), np.int32)
        _sweep_time(index.ticks, index.units, index.bounds, lags, rows.start, tile)
        return np.moveaxis(tile, 0, 1).astype(np.float64, order="C")
    return count_lags(index, lags, np.float64, np.arange(rows.start, rows.stop), slice(None))


@numba.njit(cache=True, nogil=True)
def _sweep_time(
    ticks: NDArray[np.integer],
    units: NDArray[np.unsignedinteger],
    bounds: NDArray[np.int64],
    lags: tuple[int, int],
    start: int,
    counts: NDArray[np.int32],
) -> None:
    """Add the pairs of all sources of a tile in one walk through time.

    Faster than source by source as long as ``counts[source, lag, target]`` stays in the cache.
    """
    first, last = lags
    for home in range(len(bounds) - 1):
        low, end = bounds[home], bounds[home + 1]
        for s in range(bounds[home], end):
            row, t = np.int64(units[s]) - start, np.int64(ticks[s])
            if row < 0 or row >= len(counts):
                continue
            while low < end and ticks[low] < t + first:
                low += 1
            k = low
            while k < end and ticks[k] <= t + last:
                counts[row, ticks[k] - t - first, units[k]] += 1
                k += 1


def delays_of(params: ConnectivityParams, interval_s: float) -> tuple[int, int]:
    """Return the first and last synaptic delay looked for, in ticks; the first is at least 1."""
    return to_samples(params.delay_min_s, params.delay_max_s, interval_s)


def z_of_extreme(
    log_p: NDArray[np.float64], sign: NDArray[np.floating], n_delays: int
) -> NDArray[np.float64]:
    """Turn the smallest of several two-sided p-values into a signed z-score.

    Parameters
    ----------
    log_p : array
        Natural logarithm of the smallest p-value; any size, there is no underflow.
    sign : array
        Sign of the effect it belongs to.
    n_delays : int
        How many independent p-values it is the smallest of.

    Returns
    -------
    array
        Standard normal where there is no effect: ``sign z(1 - (1 - p)^n_delays)`` (Šidák), with
        z the normal quantile of a two-sided p-value.
    """
    p = np.exp(np.maximum(log_p, _SMALL_LOG_P))
    with np.errstate(divide="ignore"):  # p = 1 gives log(1 - 0) = 0
        corrected = np.log(-np.expm1(n_delays * np.log1p(-np.minimum(p, 1))))
    corrected = np.where(log_p < _SMALL_LOG_P, log_p + np.log(n_delays), corrected)
    return np.asarray(np.where(sign < 0, 1, -1) * ndtri_exp(corrected - np.log(2)))


def log_two_sided(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of the two-sided p-value of a standard normal score."""
    return np.asarray(log_ndtr(-np.abs(z)) + np.log(2))
