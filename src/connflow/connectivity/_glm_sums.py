"""Sums over time of rates that change only where a spike enters or leaves a window.

In: the changes of the features (see `glm.Changes`) and the coefficients of some targets. Out: the
sums over all bins that the likelihood of a Poisson GLM needs; no loop runs over bins.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_REFRESH = 4096  # changes after which rates are computed afresh, against rounding


@numba.njit(cache=True, nogil=True)
def _rates(held: NDArray[np.int64], b: Floats) -> Floats:
    """Return the targets' rates while `held` spikes of each unit are in the window."""
    log_rate = b[0].copy()
    for unit in np.flatnonzero(held):
        log_rate += held[unit] * b[1 + unit]
    rate: Floats = np.exp(log_rate)
    return rate


@numba.njit(cache=True, nogil=True)
def sum_rates(
    times: NDArray[np.int64],
    units: NDArray[np.int32],
    rises: NDArray[np.bool_],
    n_bins: int,
    b: Floats,
) -> Floats:
    """Return the sums over time of each rate, and of its products with the features.

    Parameters
    ----------
    times, units, rises, n_bins
        As in `Changes`.
    b : (1 + n_units, n_targets) float64
        Log rate ratios; first the constant.

    Returns
    -------
    (1 + n_units, n_targets) float64
    """
    n_targets = b.shape[1]
    up, down = np.exp(b), np.exp(-b)
    sums = np.zeros_like(b)
    total = np.zeros(n_targets)
    held = np.zeros(len(b) - 1, np.int64)
    rate, now = up[0].copy(), 0
    for e in range(len(times)):
        gap, row = times[e] - now, 1 + units[e]
        now = times[e]
        total += gap * rate
        if rises[e]:
            sums[row] -= total
            rate *= up[row]
            held[units[e]] += 1
        else:
            sums[row] += total
            rate *= down[row]
            held[units[e]] -= 1
        if e % _REFRESH == 0:
            rate = _rates(held, b)
    sums[0] = total + (n_bins - now) * rate
    return sums


@numba.njit(cache=True, nogil=True)
def sum_information(
    times: NDArray[np.int64],
    units: NDArray[np.int32],
    rises: NDArray[np.bool_],
    n_bins: int,
    most_held: int,
    b: Floats,
) -> Floats:
    """Return the sums over time of the rates times products of two features.

    Parameters
    ----------
    times, units, rises, n_bins, b
        As in `sum_rates`.
    most_held : int
        The most spikes that are in the window at once, of all units together.

    Returns
    -------
    (1 + n_units, 1 + n_units, n_targets) float64
        Lower triangles; the constant is the first feature.

    Notes
    -----
    Spikes leave the window in the order they entered. When one leaves, each of the others has
    shared the window with it since that other one entered.
    """
    n_targets = b.shape[1]
    up, down = np.exp(b), np.exp(-b)
    sums = np.zeros((len(b), len(b), n_targets))
    total = np.zeros(n_targets)
    at_entry = np.zeros((most_held, n_targets))
    inside = np.zeros(most_held, np.int64)
    held = np.zeros(len(b) - 1, np.int64)
    rate, now, head, tail = up[0].copy(), 0, 0, 0
    for e in range(len(times)):
        gap, row = times[e] - now, 1 + units[e]
        now = times[e]
        total += gap * rate
        if rises[e]:
            at_entry[tail % most_held] = total
            inside[tail % most_held] = row
            tail += 1
            rate *= up[row]
            held[units[e]] += 1
        else:
            alone = total - at_entry[head % most_held]
            sums[row, 0] += alone
            sums[row, row] += alone
            head += 1
            for k in range(head, tail):
                other = inside[k % most_held]
                times_two = 2.0 if other == row else 1.0
                entry, cell = at_entry[k % most_held], sums[max(row, other), min(row, other)]
                for j in range(n_targets):
                    cell[j] += times_two * (total[j] - entry[j])
            rate *= down[row]
            held[units[e]] -= 1
        if e % _REFRESH == 0:
            rate = _rates(held, b)
    sums[0, 0] = total + (n_bins - now) * rate
    return sums
