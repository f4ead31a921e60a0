"""Compiled recursions over the paths of one trial through an ordered sequence of states.

A path visits states 0, 1, ... K-1 in this order and all of them, ``min_dwell`` bins each at least.
``log_likelihood[t, k]`` is what bin t says of state k. Boundary k is the number of bins before
state k + 1 starts. The log weight of state k from boundary s to boundary t is

    D_k(t) - O_k(s),  D_k(t) = C_k(t) + close_k(t),  O_k(s) = C_k(s) + open_k(s),

with C the running sum of the log likelihood, so that all sums over paths take one pass along time
a state, O(K T). Sums of exponentials are kept as a pair (top, sum), ``exp(top) * sum``: exact for
any likelihood, with one exponential a term.

A timing prior of hazards has ``close_k(t) = survive_k(t - 1) + leave_k(t)`` and
``open_k(s) = survive_k(s + min_dwell - 1)``, where ``survive_k(t)`` is the running sum of the log
probability of staying and ``leave_k(t)`` the log probability of leaving after bin t. When the
trial's rest only just suffices for the states to come, leaving is certain.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_compile = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compile
def _fill_weights(
    log_likelihood: Floats,
    n_bins: int,
    min_dwell: int,
    survive: Floats,
    leave: Floats,
    closing: Floats,
    opening: Floats,
) -> None:
    """Fill D and O, (n_states, n_bins + 1), of a trial."""
    n_states = log_likelihood.shape[1]
    for k in range(n_states):
        last = n_bins - (n_states - 1 - k) * min_dwell
        is_final = k == n_states - 1
        total = 0.0
        for t in range(n_bins + 1):
            if t > 0:
                total += log_likelihood[t - 1, k]
            closing[k, t] = opening[k, t] = total
            if is_final:
                continue
            opening[k, t] += survive[k, min(t + min_dwell - 1, n_bins)]
            if t > 0:
                closing[k, t] += survive[k, t - 1]
            if t < last:
                closing[k, t] += leave[k, t]


@_compile
def _sweep_forward(
    closing: Floats, opening: Floats, min_dwell: int, top: Floats, sums: Floats
) -> None:
    """Fill, for each state and boundary, the sum over the ways to be in the state by then.

    ``exp(D_k(t) + top[k, t]) * sums[k, t]`` is the weight of all paths whose state k ends at t.
    """
    n_states, n_bins = closing.shape[0], closing.shape[1] - 1
    for k in range(n_states):
        best, total = -np.inf, 0.0
        for t in range(n_bins + 1):
            s = t - min_dwell
            if k == 0:
                if s == 0:
                    best, total = -opening[0, 0], 1.0
            elif s >= k * min_dwell:
                term = closing[k - 1, s] + top[k - 1, s] - opening[k, s]
                if term > best:
                    total = total * np.exp(best - term) + sums[k - 1, s]
                    best = term
                elif term > -np.inf:
                    total += sums[k - 1, s] * np.exp(term - best)
            top[k, t], sums[k, t] = best, total


@_compile
def _sweep_backward(
    closing: Floats, opening: Floats, min_dwell: int, top: Floats, sums: Floats
) -> None:
    """Fill, for each state and boundary, the sum over the ways on.

    ``exp(top[k, s] - O_k(s)) * sums[k, s]`` is the weight of all paths from state k starting at s.
    """
    n_states, n_bins = closing.shape[0], closing.shape[1] - 1
    for k in range(n_states - 1, -1, -1):
        best, total = -np.inf, 0.0
        for s in range(n_bins, -1, -1):
            t = s + min_dwell
            if k == n_states - 1:
                if t == n_bins:
                    best, total = closing[k, n_bins], 1.0
            elif t <= n_bins - (n_states - 1 - k) * min_dwell:
                term = closing[k, t] + top[k + 1, t] - opening[k + 1, t]
                if term > best:
                    total = total * np.exp(best - term) + sums[k + 1, t]
                    best = term
                elif term > -np.inf:
                    total += sums[k + 1, t] * np.exp(term - best)
            top[k, s], sums[k, s] = best, total


@_compile
def infer_paths(
    log_likelihood: Floats,
    lengths: NDArray[np.int64],
    min_dwell: int,
    survive: Floats,
    leave: Floats,
    log_evidence: Floats,
    occupancy: Floats,
    boundaries: Floats,
) -> None:
    """Fill the posterior of trials under several sets of parameters.

    Parameters
    ----------
    log_likelihood : (n_trials, n_bins, n_sets, n_states)
        0 in bins that were not observed.
    lengths : (n_trials,)
        Bins of each trial.
    min_dwell
        Fewest bins of a state.
    survive, leave : (n_sets, n_states - 1, n_bins + 1)
        Log timing prior, see the module; 0 for paths of equal weight.
    log_evidence : (n_sets, n_trials)
        Filled with the log of the sum over all paths.
    occupancy : (n_trials, n_bins, n_sets, n_states)
        Filled with the probability of each state in each bin; 0 beyond a trial's end.
    boundaries : (n_sets, n_trials, n_states - 1, n_bins + 1)
        Filled with the probability of each boundary.
    """
    n_trials, n_bins, n_sets, n_states = log_likelihood.shape
    shape = (n_states, n_bins + 1)
    closing, opening = np.empty(shape), np.empty(shape)
    top, sums = np.empty(shape), np.empty(shape)
    top_on, sums_on = np.empty(shape), np.empty(shape)
    for i in range(n_trials):
        n = lengths[i]
        d, o = closing[:, : n + 1], opening[:, : n + 1]
        a, a_sum = top[:, : n + 1], sums[:, : n + 1]
        b, b_sum = top_on[:, : n + 1], sums_on[:, : n + 1]
        for r in range(n_sets):
            _fill_weights(log_likelihood[i, :, r], n, min_dwell, survive[r], leave[r], d, o)
            _sweep_forward(d, o, min_dwell, a, a_sum)
            _sweep_backward(d, o, min_dwell, b, b_sum)
            z = d[-1, n] + a[-1, n] + np.log(a_sum[-1, n])
            log_evidence[r, i] = z
            for k in range(n_states - 1):
                for s in range(n + 1):
                    weight = a_sum[k, s] * b_sum[k + 1, s]
                    p = 0.0
                    if weight > 0.0:
                        p = weight * np.exp(d[k, s] + a[k, s] + b[k + 1, s] - o[k + 1, s] - z)
                    boundaries[r, i, k, s] = p
                boundaries[r, i, k, n + 1 :] = 0.0
            _fill_occupancy(boundaries[r, i], n, occupancy[i, :, r])


@_compile
def _fill_occupancy(boundaries: Floats, n_bins: int, occupancy: Floats) -> None:
    """Fill the probability of each state in each bin, from those of the boundaries."""
    n_states = occupancy.shape[1]
    occupancy[n_bins:] = 0.0
    for k in range(n_states):
        entered, left = 0.0, 0.0
        for t in range(n_bins):
            entered = 1.0 if k == 0 else entered + boundaries[k - 1, t]
            if k < n_states - 1:
                left += boundaries[k, t]
            occupancy[t, k] = max(0.0, entered - left)


@_compile
def count_leaving(
    boundaries: Floats,
    lengths: NDArray[np.int64],
    min_dwell: int,
    left: Floats,
    stayed: Floats,
) -> None:
    """Add up how often each state was left after each bin, and how often it could have been.

    Where leaving was certain it does not count.

    Parameters
    ----------
    boundaries : (n_trials, n_states - 1, n_bins + 1)
    lengths : (n_trials,)
    min_dwell
    left, stayed : (n_states - 1, n_bins + 1)
        Expected numbers are added.
    """
    n_trials, n_boundaries = boundaries.shape[:2]
    for i in range(n_trials):
        for k in range(n_boundaries):
            last = lengths[i] - (n_boundaries - k) * min_dwell
            entered, gone = 0.0, 0.0
            for t in range(min_dwell, last):
                # could leave after bin t: entered min_dwell bins before, and still there
                s = t - min_dwell
                if k == 0:
                    entered = 1.0
                else:
                    entered += boundaries[i, k - 1, s]
                leaving = boundaries[i, k, t]
                gone += leaving
                left[k, t] += leaving
                stayed[k, t] += max(0.0, entered - gone)


@_compile
def draw_paths(
    log_likelihood: Floats,
    lengths: NDArray[np.int64],
    min_dwell: int,
    survive: Floats,
    leave: Floats,
    uniforms: Floats,
    drawn: NDArray[np.int64],
) -> None:
    """Draw paths from their posterior, from the last boundary to the first.

    Parameters
    ----------
    log_likelihood : (n_trials, n_bins, n_states)
    lengths, min_dwell
        As in `infer_paths`.
    survive, leave : (n_states - 1, n_bins + 1)
    uniforms : (n_draws, n_trials, n_states - 1)
        Numbers between 0 and 1.
    drawn : (n_draws, n_trials, n_states - 1)
        Filled with boundaries.
    """
    n_trials, n_bins, n_states = log_likelihood.shape
    shape = (n_states, n_bins + 1)
    closing, opening = np.empty(shape), np.empty(shape)
    top, sums = np.empty(shape), np.empty(shape)
    for i in range(n_trials):
        n = lengths[i]
        d, o = closing[:, : n + 1], opening[:, : n + 1]
        a, a_sum = top[:, : n + 1], sums[:, : n + 1]
        _fill_weights(log_likelihood[i], n, min_dwell, survive, leave, d, o)
        _sweep_forward(d, o, min_dwell, a, a_sum)
        for draw in range(drawn.shape[0]):
            end = n
            for k in range(n_states - 1, 0, -1):
                end = _draw_start(k, end, d, o, a, a_sum, min_dwell, uniforms[draw, i, k - 1])
                drawn[draw, i, k - 1] = end


@_compile
def _draw_start(
    k: int,
    end: int,
    closing: Floats,
    opening: Floats,
    top: Floats,
    sums: Floats,
    min_dwell: int,
    uniform: float,
) -> int:
    """Draw where state k starts, given where it ends: the latest start is tried first."""
    rest = uniform * sums[k, end]
    first = k * min_dwell
    for s in range(end - min_dwell, first, -1):
        term = closing[k - 1, s] + top[k - 1, s] - opening[k, s] - top[k, end]
        rest -= sums[k - 1, s] * np.exp(term)
        if rest < 0.0:
            return s
    return first
