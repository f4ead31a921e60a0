"""Total spiking probability edges: edge filters of many widths over the correlogram.

In: spike trains. Out: for each ordered pair the strongest response over delays, equal to what
elephant's function of the same name returns, and a z-score. After De Blasi et al. 2019.
"""

import itertools
import math
from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, ndtri_exp

from connflow.blocks import MapBlocks
from connflow.connectivity.activity import Activity, as_spike_trains
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.pairwise import Tile, count_pairs, map_sources
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.spike_index import SpikeIndex, index_spikes
from connflow.errors import InvalidInputError

SURROUNDING = (3, 4, 5, 6, 7, 8)
"""Widths a of an edge filter's flanks, in bins; the paper's."""

OBSERVED = (2, 3, 4, 5, 6)
"""Widths b of its centre, in bins; the paper's."""

_PADDING = max(SURROUNDING)
_LARGE = 6.0  # score from which on 1 - p is 1
_PRECISION = 1e-5  # of the saddlepoint; its square counts
_CENTRAL = 0.05  # score below which counts are normal


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
    filters = edge_filters(round(params.delay_max_s / trains.interval_s) + 1)
    n_spikes = np.bincount(trains.units, minlength=trains.n_units).astype(np.float64)
    compute = partial(_tile, index_spikes(trains), filters, first, n_spikes, trains.n_samples)
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
    for a, b in itertools.product(SURROUNDING, OBSERVED):
        edge = np.concatenate([np.full(a, -1 / a), np.full(b, 2 / b), np.full(a, -1 / a)])
        for start in range(n_delays - b + 1):
            low = _PADDING - a + start
            filters[start : start + b, low : low + len(edge)] += edge
    return filters


def _tile(
    index: SpikeIndex,
    filters: NDArray[np.float64],
    first: int,
    n_spikes: NDArray[np.float64],
    n_samples: int,
    rows: slice,
) -> Tile:
    """Return the largest response, its z and delay, and each source's sum of squared counts."""
    counts = count_pairs(index, (-_PADDING, len(filters) - 1 + _PADDING), rows)
    response = np.tensordot(filters[first:], counts, axes=1)
    best = np.abs(response).argmax(axis=0)
    largest = np.take_along_axis(response, best[None], axis=0)[0]
    expected = np.outer(n_spikes[rows], n_spikes) / n_samples
    z = score_largest(largest, best, filters[first:], expected)
    return largest, z, first + best.astype(np.float64), np.diag(counts[_PADDING, :, rows])


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
    score = _saddlepoint_score(largest, filters, best, expected) * (sd / sd.max())[best]
    direction = filters / sd[:, None]
    angles = np.arccos(np.clip((direction[1:] * direction[:-1]).sum(axis=1), -1, 1))
    variance = (sd[1:] ** 2 + sd[:-1] ** 2) / (2 * sd.max() ** 2)
    return _z_of_largest(score, angles, variance)


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


@numba.njit(cache=True, nogil=True)
def _saddlepoint_score(
    value: NDArray[np.float64],
    filters: NDArray[np.float64],
    best: NDArray[np.int64],
    expected: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return normal scores of weighted sums of Poisson counts with weights that add up to 0.

    Notes
    -----
    With weights k and mean m the sum v has the cumulant function ``K(s) = m sum(exp(s k) - 1)``;
    at the saddlepoint, ``K'(s) = v``::

        r = sign(s) sqrt(2 (s v - K(s))),  u = s sqrt(K''(s)),  score = r + log(u / r) / r
    """
    n_rows, n_columns = value.shape
    score = np.empty((n_rows, n_columns))
    for j in range(n_rows):
        for i in range(n_columns):
            weights, v, mean = filters[best[j, i]], value[j, i], expected[j, i]
            variance = mean * (weights**2).sum()
            s = _saddlepoint(weights, v, mean, v / variance)
            total, _, curvature = _tilted_sums(weights, s)
            r = np.sign(s) * np.sqrt(max(2 * (s * v - mean * total), 0.0))
            u = s * np.sqrt(mean * curvature)
            is_central = abs(r) < _CENTRAL
            score[j, i] = v / np.sqrt(variance) if is_central else r + np.log(u / r) / r
    return score


@numba.njit(cache=True, nogil=True)
def _saddlepoint(weights: NDArray[np.float64], v: float, mean: float, start: float) -> float:
    """Solve ``mean sum(k exp(s k)) = v`` for s by Newton's method, in steps that cannot blow up."""
    longest = 1.0 / np.abs(weights).max()
    s = max(-longest, min(longest, start))
    for _ in range(200):
        _, slope, curvature = _tilted_sums(weights, s)
        step = (v / mean - slope) / curvature
        s += max(-longest, min(longest, step))
        if abs(step) < _PRECISION * longest:
            break
    return float(s)


@numba.njit(cache=True, nogil=True)
def _tilted_sums(weights: NDArray[np.float64], s: float) -> tuple[float, float, float]:
    """Return ``sum(exp(s k) - 1)`` over the weights k, and its two derivatives."""
    total, slope, curvature = 0.0, 0.0, 0.0
    for k in weights:
        if k != 0:
            tilted = math.exp(s * k)
            total += tilted - 1
            slope += k * tilted
            curvature += k * k * tilted
    return total, slope, curvature
