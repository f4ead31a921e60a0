"""Which units respond to states and to transitions, judged by changepoints found without them.

A unit that helped to find the changepoints agrees with them even if it is noise. So units are left
out in parts, the rest is fitted, and those left out are tested:

- *state*: do rates differ between states? Against the unit's own trials, each rotated in time.
- *transition*: does the rate change across a transition in the trial's own time? Against the
  changepoints of other trials of the same condition, so that what is merely locked to the event
  does not count.
"""

from collections.abc import Callable, Sequence

import numba
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from connflow.changepoint.paths import states_of

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

COLUMNS = ("unit", "test", "changepoint", "statistic", "p", "q")

_N_PARTS = 10
"""Parts of the units that are left out in turn."""

WINDOW_BINS = 5
"""Bins before and after a transition that are compared, as far as the two states reach."""


def test_responses(
    values: Floats,
    conditions: Sequence[NDArray[np.intp]],
    find_boundaries: Callable[[Floats], Counts],
    n_shuffles: int,
    seed: int,
) -> pd.DataFrame:
    """Test each unit's responses to states and transitions that were found without it.

    Parameters
    ----------
    values : (n_trials, n_time_bins, n_units)
        NaN where nothing was observed.
    conditions
        Trials of each condition.
    find_boundaries
        Returns the boundaries, (n_trials, n_states - 1), that some units speak for.
    n_shuffles : int
    seed : int

    Returns
    -------
    DataFrame
        ``unit`` (its place), ``test`` (state or transition), ``changepoint`` (-1 for states),
        ``statistic`` (states: variance of the rate between states, (spikes a bin)²; transitions:
        change of the rate, spikes a bin), ``p``, ``q`` (Benjamini-Hochberg, over each kind of
        test). Empty with fewer than two units, or one state.
    """
    rows: list[tuple[int, str, int, float, float]] = []
    n_units = values.shape[2]
    for number in range(min(_N_PARTS, n_units) if n_units > 1 else 0):
        part = np.arange(number, n_units, _N_PARTS)
        boundaries = find_boundaries(np.delete(values, part, axis=2))
        if boundaries.shape[1] == 0:
            break
        for unit in part:
            rng = np.random.default_rng([seed, int(unit)])
            orders = _permute_within(conditions, n_shuffles, rng)
            rows += _test_unit(int(unit), values[:, :, unit], boundaries, orders, rng)
    table = pd.DataFrame(sorted(rows), columns=list(COLUMNS[:-1]))
    if table.empty:
        return table.assign(q=[])
    return table.assign(q=table.groupby("test")["p"].transform(false_discovery_rate))


def _test_unit(
    unit: int, values: Floats, boundaries: Counts, orders: Counts, rng: np.random.Generator
) -> list[tuple[int, str, int, float, float]]:
    n_trials, n_bins = values.shape
    state = states_of(boundaries, n_bins)
    shifts = rng.integers(0, n_bins, (len(orders), n_trials))
    shifted = _state_variances(values, state, boundaries.shape[1] + 1, shifts)
    rows = [(unit, "state", -1, shifted[0], _p_value(shifted))]
    changes = _changes(values, boundaries, orders, WINDOW_BINS)
    rows += [
        (unit, "transition", k, changes[0, k], _p_value(np.abs(changes[:, k])))
        for k in range(boundaries.shape[1])
    ]
    return rows


def _permute_within(
    conditions: Sequence[NDArray[np.intp]], n_shuffles: int, rng: np.random.Generator
) -> Counts:
    """Return orders of the trials, (n_shuffles, n_trials), in which each keeps its condition."""
    orders = np.empty((n_shuffles, sum(map(len, conditions))), np.int64)
    for members in conditions:
        orders[:, members] = rng.permuted(np.tile(members, (n_shuffles, 1)), axis=1)
    return orders


def _p_value(statistics: Floats) -> float:
    """Return the share of all that are as large as the first, itself included."""
    return float(np.mean(statistics >= statistics[0] - 1e-12))


def false_discovery_rate(p: "pd.Series[float]") -> "pd.Series[float]":
    """Return Benjamini and Hochberg's q-values.

    Examples
    --------
    >>> false_discovery_rate(pd.Series([0.01, 0.5, 0.02])).round(3).tolist()
    [0.03, 0.5, 0.03]
    """
    ranked = p.sort_values(ascending=False)
    q = ranked * len(p) / np.arange(len(p), 0, -1)
    return q.cummin().reindex(p.index)


@numba.njit(cache=True, nogil=True)
def _state_variances(values: Floats, state: Counts, n_states: int, shifts: Counts) -> Floats:
    """Return the variance of the mean between states: as observed, then for each shuffle."""
    n_trials, n_bins = values.shape
    found = np.empty(len(shifts) + 1)
    lengths = np.empty(n_trials, np.int64)
    for i in range(n_trials):
        lengths[i] = n_bins
        while lengths[i] > 0 and np.isnan(values[i, lengths[i] - 1]):
            lengths[i] -= 1
    total, count = np.empty(n_states), np.empty(n_states)
    for number in range(len(found)):
        total[:] = 0.0
        count[:] = 0.0
        for i in range(n_trials):
            shift = 0 if number == 0 else shifts[number - 1, i]
            for t in range(lengths[i]):
                value = values[i, (t + shift) % lengths[i]]
                if not np.isnan(value):
                    total[state[i, t]] += value
                    count[state[i, t]] += 1.0
        mean = total.sum() / max(count.sum(), 1.0)
        variance = 0.0
        for k in range(n_states):
            if count[k] > 0:
                variance += count[k] * (total[k] / count[k] - mean) ** 2
        found[number] = variance / max(count.sum(), 1.0)
    return found


@numba.njit(cache=True, nogil=True)
def _changes(values: Floats, boundaries: Counts, orders: Counts, window: int) -> Floats:
    """Return the change of the mean across each boundary: as observed, then for each shuffle."""
    n_trials, n_bins = values.shape
    n_boundaries = boundaries.shape[1]
    found = np.zeros((len(orders) + 1, n_boundaries))
    for number in range(len(found)):
        for k in range(n_boundaries):
            n_used = 0
            for i in range(n_trials):
                of = i if number == 0 else orders[number - 1, i]
                at = boundaries[of, k]
                first = 0 if k == 0 else boundaries[of, k - 1]
                last = n_bins if k == n_boundaries - 1 else boundaries[of, k + 1]
                before, after = 0.0, 0.0
                n_before, n_after = 0, 0
                for t in range(max(first, at - window), min(last, at + window)):
                    value = values[i, t]
                    if np.isnan(value):
                        continue
                    if t < at:
                        before += value
                        n_before += 1
                    else:
                        after += value
                        n_after += 1
                if n_before > 0 and n_after > 0:
                    found[number, k] += after / n_after - before / n_before
                    n_used += 1
            found[number, k] /= max(n_used, 1)
    return found
