"""Surrogate recordings: what is left of an activity without the timing between units.

In: an activity. Out: one of the same kind and size in which no unit influences another. Spikes are
jittered (Amarasingham et al. 2012), which keeps all that changes more slowly than the jitter;
traces are shifted in a circle, which keeps each unit's own dynamics.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import t as t_distribution

from connflow.connectivity.activity import Activity, SpikeTrains, Traces
from connflow.connectivity.pairwise import z_of_extreme
from connflow.errors import InvalidInputError

_LEAST_VARIANCE = 0.01  # share of the mean over pairs, below which a pair's is that of no event


def jittered(trains: SpikeTrains, jitter_s: float, rng: np.random.Generator) -> SpikeTrains:
    """Redraw each spike uniformly inside its own window of a fixed grid.

    Parameters
    ----------
    trains : SpikeTrains
    jitter_s : float
        Width of a window, s; at least two ticks. No spike moves by as much.
    rng : Generator

    Returns
    -------
    SpikeTrains
        With as many spikes of each unit in each window as before. Windows start with each
        segment, and the last one ends with it. Two spikes of a unit may fall on one tick.

    Raises
    ------
    InvalidInputError
        If a window holds less than two ticks, so that no spike could move.

    References
    ----------
    Amarasingham A, Harrison MT, Hatsopoulos NG, Geman S (2012). Conditional modeling and the
    jitter method of spike resampling. Journal of Neurophysiology 107:517-531.
    """
    width = round(jitter_s / trains.interval_s)
    if width < 2:
        raise InvalidInputError(
            f"connectivity.jitter_s is {jitter_s:g} s, but spikes are compared on a grid of "
            f"{trains.interval_s:g} s and must be able to move by a step; make it at least "
            f"{2 * trains.interval_s:g} s"
        )
    start, stop = trains.segments[_homes(trains)].T
    low = start + (trains.ticks - start) // width * width
    high = np.minimum(low + width, stop)
    return _in_order(trains, rng.integers(low, high))


def shifted(activity: Activity, rng: np.random.Generator) -> Activity:
    """Shift each unit in a circle by an offset of its own, segment by segment.

    Parameters
    ----------
    activity : SpikeTrains or Traces
    rng : Generator
        Draws one offset for each segment and unit, uniform over the segment's length.

    Returns
    -------
    SpikeTrains or Traces
        With the same samples of each unit in each segment, in the same cyclic order. Traces are
        held in memory.
    """
    lengths = np.diff(activity.segments)
    offsets = rng.integers(0, lengths, size=(len(lengths), activity.n_units))
    if isinstance(activity, Traces):
        return _roll_traces(activity, offsets)
    homes = _homes(activity)
    start, stop = activity.segments[homes].T
    moved = activity.ticks - start + offsets[homes, activity.units]
    return _in_order(activity, start + moved % (stop - start))


def _roll_traces(traces: Traces, offsets: NDArray[np.int64]) -> Traces:
    values = np.array(traces.read(slice(0, traces.values.shape[0])))
    for (start, stop), by_unit in zip(traces.segments, offsets, strict=True):
        for unit, offset in enumerate(by_unit):
            values[start:stop, unit] = np.roll(values[start:stop, unit], offset)
    return replace(traces, values=values)


def _homes(trains: SpikeTrains) -> NDArray[np.intp]:
    """Return for each spike the row of its segment."""
    return np.searchsorted(trains.segments[:, 0], trains.ticks, side="right") - 1


def _in_order(trains: SpikeTrains, ticks: NDArray[np.int64]) -> SpikeTrains:
    """Return the trains with their spikes at new ticks."""
    order = np.lexsort((trains.units, ticks))
    return replace(trains, ticks=ticks[order], units=trains.units[order])


def against_surrogates(
    z: NDArray[np.floating], surrogate_z: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compare every pair's z with the z that the same pair has in surrogate data.

    Parameters
    ----------
    z : (n_units, n_units)
    surrogate_z : (n_surrogates, n_units, n_units)
        Of three surrogates or more.

    Returns
    -------
    (n_units, n_units) float64
        Standard normal where z differs from its surrogates by chance alone.

    Notes
    -----
    ``t = (z - mean) / (s sqrt(1 + 1 / n))`` over the n surrogates of a pair, where ``s^2`` is the
    pair's variance drawn towards that of all pairs as far as the pairs agree in it (moderated t,
    ``n - 1 + d`` degrees of freedom); t is then turned into the normal score of the same p. A pair
    that meets in none of the surrogates has no variance there, and is given the mean of all.

    References
    ----------
    Amarasingham et al. 2012, J Neurophysiol 107:517-531 (jitter); Smyth 2004, Stat Appl Genet Mol
    Biol 3:3 (moderated t).
    """
    n_surrogates = len(surrogate_z)
    off = ~np.eye(len(z), dtype=bool)
    values = np.asarray(surrogate_z, np.float64)[:, off]
    variance = values.var(axis=0, ddof=1)
    mean = max(float(variance.mean()), 1e-12)
    variance = np.where(variance < _LEAST_VARIANCE * mean, mean, variance)
    prior, strength = _common_variance(variance, n_surrogates - 1)
    freedom = n_surrogates - 1 + strength
    shared = 1.0 if np.isinf(strength) else strength / freedom
    moderated = shared * prior + (1 - shared) * variance
    t = (z[off] - values.mean(axis=0)) / np.sqrt(moderated * (1 + 1 / n_surrogates))
    log_p = np.log(2) + t_distribution.logsf(np.abs(t), min(freedom, 1e6))
    scores = np.zeros(z.shape)
    scores[off] = z_of_extreme(log_p, t, 1)
    return scores


def _common_variance(variance: NDArray[np.float64], freedom: int) -> tuple[float, float]:
    """Fit a scaled F law to variances: the common one, and its weight in degrees of freedom."""
    log = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(log.var(ddof=1) - polygamma(1, freedom / 2))
    if excess <= 1e-3:
        return float(np.exp(log.mean())), float("inf")
    half = brentq(lambda x: polygamma(1, x) - excess, 1e-3, 1e6)
    return float(np.exp(log.mean() + digamma(half) - np.log(half))), 2 * half
