"""Total spiking probability edges: edge filters of many widths over the correlogram.

In: spike trains. Out: for each ordered pair the strongest response over delays, equal to what
elephant's function of the same name returns, and a z-score. After De Blasi et al. 2019.
"""

from collections.abc import Callable
from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, ndtri_exp

from connflow.blocks import MapBlocks, split
from connflow.connectivity.activity import Activity, SpikeTrains, as_spike_trains, check_length
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.pairwise import TILE_COUNTS, Tile, count_pairs, map_sources
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.spike_index import SpikeIndex, index_spikes
from connflow.errors import InvalidInputError

SURROUNDING = (3, 4, 5, 6, 7, 8)
"""Widths a of an edge filter's flanks, in bins; the paper's."""

OBSERVED = (2, 3, 4, 5, 6)
"""Widths b of its centre, in bins; the paper's."""

_PADDING = max(SURROUNDING)
_LARGE = 6.0  # score from which on 1 - p is 1
_CHUNK = 1024  # spikes whose neighbours are looked up at a time
_ROWS = 8  # sources whose responses are held at a time
_CENTRAL = 0.05  # score below which counts are normal
_DIGITS = 12  # of weights that are the same but for rounding
_TILTS = np.sinh(np.linspace(-3.9, 3.9, 128))  # s over the largest weight: to 25, and not 0


def infer_by_tspe(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    """Filter each pair's correlogram for edges, and keep the strongest response.

    Parameters
    ----------
    activity : SpikeTrains, or Traces of spike counts
        On bins of 1 ms the filters have the paper's widths.
    params : ConnectivityParams
        `delay_min_s` and `delay_max_s` bound the delays; 0 and 24 ms are elephant's.
    map_blocks

    Returns
    -------
    Estimate
        ``weight`` and ``delay_s`` as in the paper; ``z`` knows how many delays were looked at.

    Notes
    -----
    With ``c[d]`` pairs of spikes at delay d, and a bin's count having the standard deviation s::

        NCC[d]  = c[d] / (n_bins s[source] s[target])
        TSPE[d] = sum over a, b of (NCC * g_ab * h_b)[d]

    where the edge filter g_ab is ``-1/a`` on a bins, ``2/b`` on b bins, ``-1/a`` on a bins, and
    h_b sums up b responses. All this is one matrix K of shape (n_delays, n_lags), whose rows add
    up to 0.

    If the trains are independent Poisson, c[d] is Poisson with the mean ``m = n n' / n_bins``, and
    ``K[d] c`` has mean 0 and variance ``m S[d]^2``, ``S[d]^2 = sum K[d]^2``. The largest response
    is turned into a normal score x by the saddlepoint approximation (Barndorff-Nielsen's r*), since
    counts may be small, in units of the largest S; the choice among correlated delays is corrected
    for as Davies does, by how far they turn from one to the next (Q is the normal tail)::

        p = 1 - (1 - 2 Q(x)) exp(-V(x) / pi exp(-x^2 / 2))
        V(x) = sum_d arccos corr(K[d], K[d + 1]) exp(-x^2 / 2 (max S^2 / S[d]^2 - 1))

    References
    ----------
    De Blasi S, Ciba M, Bahmer A, Thielemann C (2019). Total spiking probability edges: a
    cross-correlation based method for effective connectivity estimation of cortical spiking
    neurons. Journal of Neuroscience Methods 312:169-181.
    Davies RB (1987). Hypothesis testing when a nuisance parameter is present only under the
    alternative. Biometrika 74:33-43.
    """
    trains = as_spike_trains(activity)
    first = round(params.delay_min_s / trains.interval_s)
    check_length(trains, round(params.delay_max_s / trains.interval_s), 0)
    filters = edge_filters(round(params.delay_max_s / trains.interval_s) + 1)
    n_spikes = _count_spikes(trains.units, trains.n_units)
    count = _counter(trains, n_spikes, filters.shape[1])
    compute = partial(_tile, count, filters[first:], first, n_spikes, trains.n_samples)
    largest, z, delay, square = map_sources(
        compute, trains.n_units, 2 * filters.shape[1], map_blocks
    )
    variance = (square - n_spikes**2 / trains.n_samples) / (trains.n_samples - 1)
    weight = largest / (trains.n_samples * np.sqrt(np.outer(variance, variance)))
    units = "normalised cross-correlation, filtered for edges"
    return Estimate(weight, z, delay * trains.interval_s, units)


def edge_filters(n_delays: int) -> NDArray[np.float64]:
    """Return what each lag adds to TSPE at each delay.

    Returns
    -------
    (n_delays, n_delays + 16) float64
        For the delays ``0..n_delays - 1``; the lags start at -8.

    Raises
    ------
    InvalidInputError
        If there are fewer delays than the widest filter observes.
    """
    if n_delays < max(OBSERVED):
        raise InvalidInputError(
            f"connectivity.method tspe looks at {max(OBSERVED)} delays at least, from 0 on, and "
            f"there are {n_delays}; raise connectivity.delay_max_s, or lower resolution_s"
        )
    filters = np.zeros((n_delays, n_delays + 2 * _PADDING))
    for b in OBSERVED:
        edge = np.zeros(b + 2 * _PADDING)
        for a in SURROUNDING:
            edge[_PADDING - a : _PADDING + b + a] -= 1 / a
            edge[_PADDING : _PADDING + b] += 1 / a + 2 / b
        for start in range(n_delays - b + 1):
            filters[start : start + b, start : start + len(edge)] += edge
    return filters


Count = Callable[[slice], NDArray[np.number]]
"""Returns pairs of spikes of some sources at all lags with all targets: (source, lag, target)."""


def _counter(trains: SpikeTrains, n_spikes: NDArray[np.int64], n_lags: int) -> Count:
    """Return who counts the pairs of a tile; where there is room, all are counted at once."""
    if n_lags * trains.n_units**2 <= TILE_COUNTS:
        return count_all_pairs(trains, n_spikes, n_lags).__getitem__
    return partial(_count_tile, index_spikes(trains), n_lags)


def _count_tile(index: SpikeIndex, n_lags: int, rows: slice) -> NDArray[np.float64]:
    lags = -_PADDING, n_lags - _PADDING - 1
    return count_pairs(index, lags, rows).transpose(1, 0, 2)


@numba.njit(cache=True, nogil=True)
def _count_spikes(units: NDArray[np.int32], n_units: int) -> NDArray[np.int64]:
    """Count as `numpy.bincount` does, without a copy in wider integers."""
    n_spikes = np.zeros(n_units, np.int64)
    for unit in units:
        n_spikes[unit] += 1
    return n_spikes


def count_all_pairs(
    trains: SpikeTrains, n_spikes: NDArray[np.int64], n_lags: int
) -> NDArray[np.int32]:
    """Count the pairs of spikes of all units, each pair once, in one walk through time.

    Returns
    -------
    (n_units, n_lags, n_units) int32
        For source, lag and target; the lags start at -8. See `correlograms`.
    """
    n_units = trains.n_units
    counts = np.zeros((n_units, n_lags, n_units), np.int32)
    keys = (trains.ticks * n_units + trains.units).view(np.uint64)
    bounds = np.searchsorted(trains.ticks, trains.segments).astype(np.uint64)
    after, start = n_lags - _PADDING, _PADDING * n_units
    flat = counts.reshape(n_units, -1)
    _sweep_later(trains.ticks, trains.units, keys, bounds, after, start, flat)
    now = counts[:, _PADDING]  # each pair once, and no spike with itself
    now += now.T.copy() + np.diag(n_spikes)
    for lag in range(1, _PADDING + 1):
        counts[:, _PADDING - lag] = counts[:, _PADDING + lag].T
    return counts


@numba.njit(cache=True, nogil=True)
def _sweep_later(
    ticks: NDArray[np.int64],
    units: NDArray[np.int32],
    keys: NDArray[np.uint64],
    bounds: NDArray[np.uint64],
    after: int,
    start: int,
    counts: NDArray[np.int32],
) -> None:
    """Add each spike's pairs with those after it, up to less than `after` ticks later.

    A key is ``tick n_units + unit``, so that the difference of two is a place in a table over
    (lag, unit), in which lag 0 begins at `start`. All indices are unsigned: such as may be negative
    cost half as much again.
    """
    one, chunk = np.uint64(1), np.uint64(_CHUNK)
    ends = np.empty(_CHUNK, np.uint64)
    for k in range(len(bounds)):
        later, end = bounds[k]
        for low in range(later, end, chunk):
            high = min(low + chunk, end)
            s = np.uint64(low)
            while s < high and later < end:  # a merge without branches, which none could foretell
                is_reached = np.uint64(ticks[later] - ticks[s] >= after)
                ends[s - low] = later
                s += is_reached
                later += one - is_reached
            ends[s - low : chunk] = end
            for source in range(low, high):
                row = counts[units[source]]
                base = keys[source] - np.uint64(units[source] + start)
                for target in range(source + one, ends[source - low]):
                    row[keys[target] - base] += 1


def _tile(
    count: Count,
    filters: NDArray[np.float64],
    first: int,
    n_spikes: NDArray[np.int64],
    n_samples: int,
    rows: slice,
) -> Tile:
    """Return the largest response, its z and delay, and each source's sum of squared counts."""
    counts = count(rows)
    parts = [_strongest(counts[part], filters) for part in split(len(counts), _ROWS)]
    largest, best = (np.concatenate(several) for several in zip(*parts, strict=True))
    expected = np.outer(n_spikes[rows], n_spikes) / n_samples
    z = score_largest(largest, best, filters, expected)
    square = counts[np.arange(len(counts)), _PADDING, np.arange(rows.start, rows.stop)]
    return largest, z, first + best.astype(np.float64), square


def _strongest(
    counts: NDArray[np.number], filters: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the largest response, and at which delay it is."""
    response = filters @ counts.astype(np.float64)
    best = np.abs(response).argmax(axis=1)
    return np.take_along_axis(response, best[:, None], axis=1)[:, 0], best


def score_largest(
    largest: NDArray[np.float64],
    best: NDArray[np.intp],
    filters: NDArray[np.float64],
    expected: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the z-score of the largest response over delays.

    Parameters
    ----------
    largest : (n_rows, n_columns) float64
        Row `best` of ``filters @ counts``.
    best : (n_rows, n_columns) int
    filters : (n_delays, n_lags) float64
    expected : (n_rows, n_columns) float64
        Count expected at each lag.
    """
    sd = np.sqrt((filters**2).sum(axis=1))
    score = saddlepoint_score(largest, best, filters, expected) * (sd / sd.max())[best]
    direction = filters / sd[:, None]
    angles = np.arccos(np.clip((direction[1:] * direction[:-1]).sum(axis=1), -1, 1))
    variance = (sd[1:] ** 2 + sd[:-1] ** 2) / (2 * sd.max() ** 2)
    shares, which = np.unique(np.round(variance, _DIGITS), return_inverse=True)
    return _z_of_largest(score, np.bincount(which, angles).astype(np.float64), shares)


def _z_of_largest(
    score: NDArray[np.float64], angles: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Correct the largest of several scores for the choice; see `infer_by_tspe`."""
    x = np.abs(score)
    length = np.zeros_like(x)
    for angle, share in zip(angles, variance, strict=True):
        length += angle / np.pi * np.exp(-(x**2) / 2 * (1 / share - 1))
    far = -(x**2) / 2 + np.log(erfcx(x / np.sqrt(2)) + length)
    near = np.minimum(x, _LARGE)
    with np.errstate(divide="ignore"):  # a score of 0 has p = 1
        log_inside = np.log(-np.expm1(log_ndtr(-near) + np.log(2)))
    log_p = np.log(-np.expm1(log_inside - length * np.exp(-(near**2) / 2)))
    log_p = np.where(x > _LARGE, far, log_p)
    return np.asarray(-np.sign(score) * ndtri_exp(log_p - np.log(2)))


def saddlepoint_score(
    value: NDArray[np.float64],
    best: NDArray[np.intp],
    filters: NDArray[np.float64],
    expected: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return normal scores of weighted sums of Poisson counts with weights that add up to 0.

    Parameters
    ----------
    value, best, filters, expected
        See `score_largest`.

    Notes
    -----
    With weights k and mean m the sum v has the cumulant function ``m K(s)``, where
    ``K(s) = sum(exp(s k) - 1)``; at the saddlepoint, ``K'(s) = v / m``::

        r = sign(s) sqrt(2 (s K' - K)),  u = s sqrt(K''),
        score = sqrt(m) r + log(u / r) / (r sqrt(m))

    r and ``log(u / r) / r`` depend on ``v / m`` only. They are looked up in tables made along s,
    one for each filter, the former with its tangent ``s / r``.
    """
    least, most = filters.min(axis=1, keepdims=True), filters.max(axis=1, keepdims=True)
    s = _TILTS / np.where(_TILTS < 0, -least, most)
    k = filters[:, None]
    tilted = np.exp(s[:, :, None] * k)
    total = tilted.sum(axis=2) - filters.shape[1]
    slope, curvature = (tilted * k).sum(axis=2), (tilted * k**2).sum(axis=2)
    r = np.sign(s) * np.sqrt(2 * (s * slope - total))
    rest = np.log(s * np.sqrt(curvature) / r) / r
    return _look_up(value / expected, best, expected, slope, r, s / r, rest)


@numba.njit(cache=True, nogil=True)
def _look_up(
    y: NDArray[np.float64],
    best: NDArray[np.int64],
    expected: NDArray[np.float64],
    slope: NDArray[np.float64],
    r: NDArray[np.float64],
    tangent: NDArray[np.float64],
    rest: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Interpolate the score between the slopes K' of a table, r by cubics with its tangents."""
    score = np.empty_like(y)
    for j in range(y.shape[0]):
        for i in range(y.shape[1]):
            t, root_mean = best[j, i], np.sqrt(expected[j, i])
            b = min(max(1, np.searchsorted(slope[t], y[j, i])), slope.shape[1] - 1)
            a, width = b - 1, slope[t, b] - slope[t, b - 1]
            f = min(max(0.0, (y[j, i] - slope[t, a]) / width), 1.0)
            rise = r[t, b] - r[t, a]
            bow = (1 - f) * (tangent[t, a] * width - rise) - f * (tangent[t, b] * width - rise)
            score[j, i] = root_mean * (r[t, a] + f * rise + f * (1 - f) * bow)
            if abs(score[j, i]) >= _CENTRAL:
                score[j, i] += ((1 - f) * rest[t, a] + f * rest[t, b]) / root_mean
    return score
