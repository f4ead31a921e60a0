"""Compiled recursions for paths whose states' weights depend on both ends, O(K T²).

``scores[k, s, t]`` is the log weight of state k over bins s to t, minus infinity where it cannot
be. For dwell times of a Dirichlet process, and for gradual transitions, in which bins near a
boundary belong to two states.

Modes are what a bin can be: a state by itself; or, for gradual transitions, the j-th bin before or
after a boundary. They are numbered states first, then for each boundary the `reach` bins before it,
nearest first, and the `reach` bins after it.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_compile = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compile
def sum_paths(scores: Floats, before: Floats, after: Floats) -> float:
    """Fill the log weights of all ways to and from each boundary; return that of all paths.

    Parameters
    ----------
    scores : (n_states, n_bins + 1, n_bins + 1)
    before : (n_states, n_bins + 1)
        Filled with the log weight of states 0 to k, the last of them ending there.
    after : (n_states, n_bins + 1)
        Filled with the log weight of states k to the last, the first of them starting there.
    """
    n_states, n = scores.shape[0], scores.shape[1] - 1
    before[0] = scores[0, 0]
    top, total = np.empty(n + 1), np.empty(n + 1)
    for k in range(1, n_states):
        top[:] = -np.inf
        for s in range(n + 1):
            for t in range(s, n + 1):
                top[t] = max(top[t], before[k - 1, s] + scores[k, s, t])
        total[:] = 0.0
        for s in range(n + 1):
            if before[k - 1, s] > -np.inf:
                for t in range(s, n + 1):
                    if scores[k, s, t] > -np.inf:
                        total[t] += np.exp(before[k - 1, s] + scores[k, s, t] - top[t])
        before[k] = top + np.log(total)
    after[-1] = scores[-1, :, n]
    for k in range(n_states - 2, -1, -1):
        for s in range(n + 1):
            best, part = -np.inf, 0.0
            for t in range(s, n + 1):
                best = max(best, scores[k, s, t] + after[k + 1, t])
            if best > -np.inf:
                for t in range(s, n + 1):
                    part += np.exp(scores[k, s, t] + after[k + 1, t] - best)
            after[k, s] = best + np.log(part)
    return float(before[-1, n])


@_compile
def segment_probability(
    scores: Floats, before: Floats, after: Floats, k: int, s: int, t: int, total: float
) -> float:
    """Return the probability that state k is at bins s to t, from what `sum_paths` filled."""
    n_states, n = scores.shape[0], scores.shape[1] - 1
    log_p = scores[k, s, t] - total
    if k > 0:
        log_p += before[k - 1, s]
    elif s > 0:
        return 0.0
    if k < n_states - 1:
        log_p += after[k + 1, t]
    elif t < n:
        return 0.0
    return float(np.exp(log_p))


@_compile
def fill_boundaries(before: Floats, after: Floats, total: float, boundaries: Floats) -> None:
    """Fill the probability of each boundary, (n_states - 1, at least n_bins + 1)."""
    n = before.shape[1] - 1
    boundaries[:] = 0.0
    for k in range(len(boundaries)):
        boundaries[k, : n + 1] = np.exp(before[k] + after[k + 1] - total)


@_compile
def draw_boundaries(
    scores: Floats, before: Floats, uniforms: Floats, drawn: NDArray[np.int64]
) -> None:
    """Draw paths, from the last boundary to the first; one a row of `drawn`."""
    n_states, n = scores.shape[0], scores.shape[1] - 1
    for draw in range(len(drawn)):
        end = n
        for k in range(n_states - 1, 0, -1):
            rest = uniforms[draw, k - 1]
            start = 0
            for s in range(end, -1, -1):
                p = np.exp(before[k - 1, s] + scores[k, s, end] - before[k, end])
                if p > 0.0:
                    start = s
                    rest -= p
                    if rest < 0.0:
                        break
            end = start
            drawn[draw, k - 1] = end


@_compile
def fill_skipping(log_likelihood: Floats, log_dwell: Floats, scores: Floats) -> None:
    """Fill scores of states that may last no bin at all.

    Parameters
    ----------
    log_likelihood : (n_bins, n_states)
    log_dwell : (at least n_bins + 1, as many)
        Log probability of a dwell time, ``[bins left, dwell]``.
    scores : (n_states, n_bins + 1, n_bins + 1)
    """
    n, n_states = log_likelihood.shape
    scores[:] = -np.inf
    for k in range(n_states):
        for s in range(n + 1):
            total = 0.0
            for t in range(s, n + 1):
                if t > s:
                    total += log_likelihood[t - 1, k]
                if k < n_states - 1:
                    scores[k, s, t] = total + log_dwell[n - s, t - s]
                elif t == n:
                    scores[k, s, t] = total


@_compile
def sides(k: int, dwell: int, n_states: int, reach: int) -> tuple[int, int]:
    """Return how many bins of a state belong to the transitions into it and out of it."""
    if n_states == 1:
        return 0, 0
    if k == 0:
        return 0, min(reach, dwell)
    if k == n_states - 1:
        return min(reach, dwell), 0
    return min(reach, (dwell + 1) // 2), min(reach, dwell // 2)


@_compile
def fill_gradual(
    log_likelihood: Floats,
    n_states: int,
    reach: int,
    min_dwell: int,
    survive: Floats,
    leave: Floats,
    scores: Floats,
) -> None:
    """Fill scores of states with gradual transitions between them.

    Parameters
    ----------
    log_likelihood : (n_bins, n_modes)
    n_states, reach, min_dwell
    survive, leave : (n_states - 1, at least n_bins + 1)
        Timing prior, as `connflow.changepoint._paths` describes it.
    scores : (n_states, n_bins + 1, n_bins + 1)
    """
    n = len(log_likelihood)
    pure = np.zeros(n + 1)
    into, out_of = np.zeros((n + 1, reach + 1)), np.zeros((n + 1, reach + 1))
    scores[:] = -np.inf
    for k in range(n_states):
        for t in range(n):
            pure[t + 1] = pure[t] + log_likelihood[t, k]
        for j in range(1, reach + 1):
            for t in range(n + 1):
                if k > 0 and t + j <= n:
                    mode = n_states + (k - 1) * 2 * reach + reach + j - 1
                    into[t, j] = into[t, j - 1] + log_likelihood[t + j - 1, mode]
                if k < n_states - 1 and t - j >= 0:
                    mode = n_states + k * 2 * reach + j - 1
                    out_of[t, j] = out_of[t, j - 1] + log_likelihood[t - j, mode]
        last = n - (n_states - 1 - k) * min_dwell
        for s in range(k * min_dwell, n + 1):
            for t in range(s + min_dwell, last + 1):
                n_in, n_out = sides(k, t - s, n_states, reach)
                score = into[s, n_in] + pure[t - n_out] - pure[s + n_in] + out_of[t, n_out]
                if k < n_states - 1:
                    score += survive[k, t - 1] - survive[k, s + min_dwell - 1]
                    if t < last:
                        score += leave[k, t]
                scores[k, s, t] = score


@_compile
def add_gradual(
    scores: Floats,
    before: Floats,
    after: Floats,
    total: float,
    reach: int,
    weights: Floats,
) -> None:
    """Fill the probability of each mode in each bin, (at least n_bins, n_modes)."""
    n_states, n = scores.shape[0], scores.shape[1] - 1
    weights[:] = 0.0
    change = np.zeros(n + 2)
    for k in range(n_states):
        change[:] = 0.0
        for s in range(n + 1):
            for t in range(s + 1, n + 1):
                if scores[k, s, t] == -np.inf:
                    continue
                p = segment_probability(scores, before, after, k, s, t, total)
                if p < 1e-14:
                    continue
                n_in, n_out = sides(k, t - s, n_states, reach)
                change[s + n_in] += p
                change[t - n_out] -= p
                for j in range(n_in):
                    weights[s + j, n_states + (k - 1) * 2 * reach + reach + j] += p
                for j in range(n_out):
                    weights[t - 1 - j, n_states + k * 2 * reach + j] += p
        held = 0.0
        for t in range(n):
            held += change[t]
            weights[t, k] = max(0.0, held)


@_compile
def weigh_gradual(
    boundaries: NDArray[np.int64],
    lengths: NDArray[np.int64],
    n_states: int,
    reach: int,
    weights: Floats,
) -> None:
    """Set 1 for the mode of each bin of known paths, in zeros (n_trials, n_bins, n_modes)."""
    for i in range(len(lengths)):
        s = 0
        for k in range(n_states):
            t = lengths[i] if k == n_states - 1 else boundaries[i, k]
            n_in, n_out = sides(k, t - s, n_states, reach)
            for j in range(n_in):
                weights[i, s + j, n_states + (k - 1) * 2 * reach + reach + j] = 1.0
            for j in range(n_out):
                weights[i, t - 1 - j, n_states + k * 2 * reach + j] = 1.0
            weights[i, s + n_in : t - n_out, k] = 1.0
            s = t
