"""Transfer entropy of spike trains: bits that a source's past tells about a target's next bin.

In: spike trains. Out: for each ordered pair the largest transfer entropy over synaptic delays, from
counts of coincidences alone; no array over time is made. After Schreiber 2000 and Ito et al. 2011.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray

from connflow.blocks import MapBlocks
from connflow.connectivity.activity import Activity, SpikeTrains, as_spike_trains, check_length
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.pairwise import (
    Tile,
    count_pairs,
    delays_of,
    map_sources,
    z_of_extreme,
)
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.spike_index import SpikeIndex, index_spikes

_MANY = 30.0  # coincidences expected, from which on their deviance is chi-squared
_LARGE = 60.0  # deviance, from which on that of one count is chi-squared
_NEGLIGIBLE = 1e-18  # probability of a count
_TIE = 1e-9  # difference between deviances


@dataclass(frozen=True, eq=False)
class Margins:
    """How often each unit fired, alone, for every delay d (n_delays, n_units); binary bins t.

    Parameters
    ----------
    n_bins : (n_delays,) float64
        Bins t for which t - d and t - 1 lie in t's segment.
    source, now, before, both : (n_delays, n_units) float64
        Of these, bins with a spike at t - d; at t; at t - 1; at t and t - 1.
    """

    n_bins: NDArray[np.float64]
    source: NDArray[np.float64]
    now: NDArray[np.float64]
    before: NDArray[np.float64]
    both: NDArray[np.float64]


def infer_by_transfer_entropy(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    """Take the delay at which each source's past tells most about each target.

    Parameters
    ----------
    activity : SpikeTrains, or Traces of spike counts
        A bin holds a spike or none.
    params : ConnectivityParams
        `delay_min_s` and `delay_max_s` bound the delays.
    map_blocks

    Returns
    -------
    Estimate
        ``weight``: transfer entropy in bits per bin, with the sign of the correlation. Its size
        is biased upwards by ``1 / (n_bins ln 2)`` and by the choice of the delay.

    Notes
    -----
    With i the target, j the source, one bin of history, and counts n of bins t::

        TE[d] = sum over i_t, i_(t-1), j_(t-d) of n(i_t, i_(t-1), j_(t-d)) / n_bins
                * log2(p(i_t | i_(t-1), j_(t-d)) / p(i_t | i_(t-1)))

    The eight counts follow from the pairs (j_(t-d), i_t) and (j_(t-d), i_(t-1)), and those of j
    with pairs of spikes of i in adjacent bins. Its sign is that of the coincidences of j_(t-d) and
    i_t beyond what i_(t-1) lets expect.

    ``G = 2 n_bins ln(2) TE`` is a likelihood ratio: chi-squared with 2 degrees of freedom without
    influence, one for each value of i_(t-1). A refractory unit has hardly two spikes in adjacent
    bins, and loses one of them; and where few coincidences are expected neither is chi-squared. So
    the two counts of coincidences are held against Poisson distributions, exactly below a mean of
    30 (see `log_tail`). The p-value is corrected for the number of delays (Šidák).

    References
    ----------
    Schreiber T (2000). Measuring information transfer. Physical Review Letters 85:461-464.
    Ito S, Hansen ME, Heiland R, Lumsdaine A, Litke AM, Beggs JM (2011). Extending transfer entropy
    improves identification of effective connectivity in a spiking cortical network model. PLoS
    ONE 6:e27431.
    """
    trains = _binary(as_spike_trains(activity))
    delays = delays_of(params, trains.interval_s)
    check_length(trains, delays[1], 0)
    margins = count_margins(trains, *delays)
    events = index_spikes(_with_histories(trains))
    compute = partial(_tile, events, margins, delays)
    n_lags = 3 * (delays[1] + 1)
    weight, z, delay = map_sources(compute, trains.n_units, n_lags, map_blocks)
    return Estimate(weight, z, delay * trains.interval_s, "bits per bin, signed")


def _binary(trains: SpikeTrains) -> SpikeTrains:
    """Return the trains with at most one spike of a unit in a bin."""
    key = np.unique(trains.ticks * trains.n_units + trains.units)
    units = (key % trains.n_units).astype(np.int32)
    return replace(trains, ticks=key // trains.n_units, units=units)


def _positions(trains: SpikeTrains) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each spike's distance from the first and from the last bin of its segment."""
    home = np.searchsorted(trains.segments[:, 0], trains.ticks, side="right") - 1
    start, stop = trains.segments[home].T
    return trains.ticks - start, stop - 1 - trains.ticks


def _follows(trains: SpikeTrains) -> NDArray[np.bool_]:
    """Return for each spike whether its unit fired in the bin before, in the same segment."""
    key = trains.ticks * trains.n_units + trains.units
    return np.isin(key - trains.n_units, key) & (_positions(trains)[0] > 0)


def _with_histories(trains: SpikeTrains) -> SpikeTrains:
    """Return three trains of each unit: all spikes, those after another, those in last bins."""
    is_last = _positions(trains)[1] == 0
    chosen = (np.ones(len(is_last), bool), _follows(trains), is_last)
    ticks = np.concatenate([trains.ticks[some] for some in chosen])
    units = np.concatenate(
        [trains.units[some] + k * trains.n_units for k, some in enumerate(chosen)]
    )
    order = np.argsort(ticks, kind="stable")
    return replace(
        trains,
        ticks=ticks[order],
        units=units[order].astype(np.int32),
        n_units=3 * trains.n_units,
    )


def count_margins(trains: SpikeTrains, first: int, last: int) -> Margins:
    """Count what the tables of each delay ``first..last`` add up to, from binary trains."""
    since, until = _positions(trains)
    follows, lengths = _follows(trains), np.diff(trains.segments)

    def count(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(trains.units[chosen], minlength=trains.n_units).astype(np.float64)

    delays = range(first, last + 1)
    return Margins(
        np.array([np.maximum(lengths - d, 0).sum() for d in delays], np.float64),
        np.stack([count(until >= d) for d in delays]),
        np.stack([count(since >= d) for d in delays]),
        np.stack([count((since >= d - 1) & (until >= 1)) for d in delays]),
        np.stack([count(follows & (since >= d)) for d in delays]),
    )


def _tile(events: SpikeIndex, margins: Margins, delays: tuple[int, int], rows: slice) -> Tile:
    first, last = delays
    n_units = events.n_units // 3
    counts = count_pairs(events, (0, last), rows)
    now, both, at_end = (counts[:, :, k * n_units : (k + 1) * n_units] for k in range(3))
    before = now[first - 1 : last] - at_end[first - 1 : last]
    joint = np.stack([now[first:], before, both[first:]])
    deviance, observed, expected, best = _strongest(
        joint,
        margins.n_bins,
        margins.source[:, rows],
        margins.now,
        margins.before,
        margins.both,
    )
    bits = deviance / (2 * np.log(2) * margins.n_bins[best])
    sign = np.where((observed - expected).sum(axis=0) < 0, -1.0, 1.0)
    z = z_of_extreme(log_tail(observed, expected), sign, last - first + 1)
    return np.copysign(bits, sign), z, (first + best).astype(np.float64)


@numba.njit(cache=True, nogil=True)
def _strongest(
    joint: NDArray[np.float64],
    n_bins: NDArray[np.float64],
    source: NDArray[np.float64],
    now: NDArray[np.float64],
    before: NDArray[np.float64],
    both: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return each pair's largest TE over delays: G, coincidences and expected ones, index.

    Coincidences are (2, n_rows, n_units): those in bins after a silent one of the target, and after
    one with a spike.
    """
    n_delays, n_rows, n_units = joint.shape[1:]
    largest = np.full((n_rows, n_units), -1.0)
    observed, expected = np.zeros((2, n_rows, n_units)), np.zeros((2, n_rows, n_units))
    best = np.zeros((n_rows, n_units), np.int64)
    for d in range(n_delays):
        for j in range(n_rows):
            for i in range(n_units):
                paired, paired_before, paired_both = joint[:, d, j, i]
                spikes, past, n_both = now[d, i], before[d, i], both[d, i]
                silent = _table(
                    paired - paired_both,
                    source[d, j] - paired_before,
                    spikes - n_both,
                    n_bins[d] - past,
                )
                firing = _table(paired_both, paired_before, n_both, past)
                if silent[0] + firing[0] > n_bins[d] / n_bins[best[j, i]] * largest[j, i]:
                    largest[j, i] = silent[0] + firing[0]
                    observed[0, j, i], observed[1, j, i] = paired - paired_both, paired_both
                    expected[0, j, i], expected[1, j, i] = silent[1], firing[1]
                    best[j, i] = d
    return largest, observed, expected, best


@numba.njit(cache=True, nogil=True)
def _table(joint: float, row: float, column: float, total: float) -> tuple[float, float]:
    """Return the deviance of a table of two by two from independence, and the expected joint."""
    if total == 0:
        return 0.0, 0.0
    deviance = 0.0
    for has_row in (True, False):
        for has_column in (True, False):
            across = row if has_row else total - row
            down = column if has_column else total - column
            if has_row:
                cell = joint if has_column else row - joint
            else:
                cell = column - joint if has_column else total - row - column + joint
            if cell > 0:
                deviance += 2 * cell * np.log(cell * total / (across * down))
    return max(deviance, 0.0), row * column / total


@numba.njit(cache=True, nogil=True)
def log_tail(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log probability of two Poisson counts as far from their means as these.

    Parameters
    ----------
    observed, expected : (2, n_rows, n_columns) float64

    Notes
    -----
    How far is the sum of the two deviances. Outcomes as far as the observed one count half
    (mid-p). A count with a mean of `_MANY` or more has a deviance of chi-squared.
    """
    _, n_rows, n_columns = observed.shape
    log_p = np.empty((n_rows, n_columns))
    for j in range(n_rows):
        for i in range(n_columns):
            first, second = expected[0, j, i], expected[1, j, i]
            far = _deviance(observed[0, j, i], first) + _deviance(observed[1, j, i], second)
            if far > _LARGE:  # to first order
                log_p[j, i] = -far / 2 - math.log(math.pi * far / 2) / 2
            else:
                log_p[j, i] = math.log(_tail_of_two(far, min(first, second), max(first, second)))
    return log_p


@numba.njit(cache=True, nogil=True)
def _tail_of_two(far: float, few: float, many: float) -> float:
    if few >= _MANY:
        return math.exp(-far / 2)
    total, weight, count = 0.0, math.exp(-few), 0
    while count <= few or weight > _NEGLIGIBLE:
        total += weight * _tail_of_one(far - _deviance(count, few), many)
        count += 1
        weight *= few / count
    return total


@numba.njit(cache=True, nogil=True)
def _tail_of_one(far: float, mean: float) -> float:
    if far < -_TIE:
        return 1.0
    if mean >= _MANY:
        return math.erfc(math.sqrt(max(far, 0.0) / 2))
    total, weight, count = 0.0, math.exp(-mean), 0
    while count <= mean or weight > _NEGLIGIBLE:
        beyond = _deviance(count, mean) - far
        if beyond > -_TIE:
            total += weight if beyond > _TIE else weight / 2
        count += 1
        weight *= mean / count
    return total


@numba.njit(cache=True, nogil=True)
def _deviance(count: float, mean: float) -> float:
    """Return the deviance of a Poisson count."""
    return 2 * (count * math.log(count / mean) - count + mean) if count > 0 else 2 * mean
