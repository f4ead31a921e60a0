"""Activity around changepoints: the numbers behind transition-aligned firing.

In come the activity of trials and the bin with which a state starts in each; out comes the mean
of every unit around it, and that of the population, beside the population's around the starts
that *other* trials have: what is seen there too comes with the time in the trial, and not with
the transition.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from connflow.errors import InvalidInputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AlignedActivity:
    """Activity around the starts of one state.

    Parameters
    ----------
    lags_bins : (n_lags,)
        Bins after the start; 0 is the first bin of the new state.
    unit_mean : (n_lags, n_units)
        Mean over trials; NaN where no trial was observed.
    population_mean, population_sem : (n_lags,)
        Mean over units, then over trials, and its standard error; NaN with under two trials.
    control_mean, control_sem : (n_lags,)
        The same around the starts of all other trials of the trial's condition.
    n_trials : (n_lags,)
        Trials that were observed at each lag.
    """

    lags_bins: NDArray[np.int64]
    unit_mean: Floats
    population_mean: Floats
    population_sem: Floats
    control_mean: Floats
    control_sem: Floats
    n_trials: NDArray[np.int64]


def align_activity(
    values: Floats, starts: Floats, half_width_bins: int, conditions: Sequence[Any]
) -> AlignedActivity:
    """Average activity around a bin of each trial.

    Parameters
    ----------
    values : (n_trials, n_time_bins, n_units)
        Counts, rates or any signal; NaN where nothing was observed.
    starts : (n_trials,)
        Index of the bin with which the state starts; NaN in a trial that never enters it.
    half_width_bins : int
        Lags reach from this many bins before the start to one fewer after it.
    conditions : sequence of n_trials
        Starts of other trials are taken from the same condition.

    Returns
    -------
    AlignedActivity

    Raises
    ------
    InvalidInputError
        If `starts` does not name a bin of each trial, or the window is empty.
    """
    _check(values, starts, half_width_bins)
    population = average(values, axis=2)
    own = _occupancy(starts, values.shape[1])
    others = _pool_by_condition(own, conditions) - own
    around = _average_around(population, own, half_width_bins)
    control = _average_around(population, others, half_width_bins)
    return AlignedActivity(
        np.arange(-half_width_bins, half_width_bins),
        _average_units(values, starts, half_width_bins),
        average(around, axis=0),
        standard_error(around),
        average(control, axis=0),
        standard_error(control),
        np.count_nonzero(np.isfinite(around), axis=0),
    )


def average(values: Floats, axis: int) -> Floats:
    """Return the mean of what was observed; NaN where nothing was."""
    counts = np.count_nonzero(np.isfinite(values), axis=axis)
    return divide(np.nansum(values, axis=axis), counts)


def standard_error(values: Floats) -> Floats:
    """Return the standard error of the mean over the first axis; NaN with under two values."""
    counts = np.count_nonzero(np.isfinite(values), axis=0)
    squares = np.nansum((values - average(values, axis=0)) ** 2, axis=0)
    return np.sqrt(divide(squares, np.maximum(counts - 1, 0) * counts))


def divide(sums: NDArray[Any], counts: NDArray[Any]) -> Floats:
    """Return sums over counts; NaN where the count is 0."""
    means = np.full(np.shape(sums), np.nan)
    np.divide(sums, counts, out=means, where=np.asarray(counts) > 0)
    return means


def _check(values: Floats, starts: Floats, half_width_bins: int) -> None:
    n_trials, n_bins = values.shape[:2]
    if starts.shape != (n_trials,):
        raise InvalidInputError(
            f"starts must have one entry for each of the {n_trials} trials, not the shape "
            f"{starts.shape}"
        )
    known = starts[np.isfinite(starts)]
    if np.any((known < 0) | (known >= n_bins)):
        raise InvalidInputError(
            f"starts must be bins from 0 to {n_bins - 1}, but reach from {known.min():g} to "
            f"{known.max():g}; count them from the first bin of the trial"
        )
    if half_width_bins < 1:
        raise InvalidInputError(f"half_width_bins must be at least 1, not {half_width_bins}")


def _occupancy(starts: Floats, n_bins: int) -> Floats:
    """Return 1 at each trial's start and 0 elsewhere, (n_trials, n_time_bins)."""
    return np.asarray(starts[:, None] == np.arange(n_bins), np.float64)


def _pool_by_condition(own: Floats, conditions: Sequence[Any]) -> Floats:
    """Return the number of starts in each bin over the trials of each trial's condition."""
    names = np.array([str(one) for one in conditions])
    is_same = (names[:, None] == names).astype(np.float64)
    return np.asarray(is_same @ own)


def _average_around(population: Floats, weights: Floats, half_width_bins: int) -> Floats:
    """Return each trial's mean around its bins, weighted, (n_trials, n_lags)."""
    seen = np.isfinite(population)
    sums = _sum_around(np.where(seen, population, 0.0), weights, half_width_bins)
    return divide(sums, _sum_around(seen.astype(np.float64), weights, half_width_bins))


def _sum_around(values: Floats, weights: Floats, half_width_bins: int) -> Floats:
    """Return Σ_t weights[t] values[t + lag] of each trial; nothing lies outside it."""
    padded = np.pad(values, ((0, 0), (half_width_bins, half_width_bins - 1)))
    windows = sliding_window_view(padded, 2 * half_width_bins, axis=1)
    return np.asarray(np.einsum("it,itl->il", weights, windows))


def _average_units(values: Floats, starts: Floats, half_width_bins: int) -> Floats:
    """Return the mean of each unit around the starts; one trial at a time, to save memory."""
    n_bins, n_units = values.shape[1:]
    sums = np.zeros((2 * half_width_bins, n_units))
    counts = np.zeros_like(sums)
    for trial in np.flatnonzero(np.isfinite(starts)):
        first = int(starts[trial]) - half_width_bins
        bins = slice(max(first, 0), min(first + len(sums), n_bins))
        lags = slice(bins.start - first, bins.stop - first)
        seen = np.isfinite(values[trial, bins])
        sums[lags] += np.where(seen, values[trial, bins], 0.0)
        counts[lags] += seen
    return divide(sums, counts)
