"""GLMCC: a coupling filter on a smooth trend, fitted to each pair's cross-correlogram.

The posterior is that of the paper. Ours differs from the authors' program in two things: the
coupling filter is averaged over each bin of 1 ms, where theirs keeps spike times inside bins; and
the maximum is found by Newton steps, which the concave posterior allows, in place of
Levenberg-Marquardt.

References
----------
Kobayashi R, Kurita S, Kurth A, Kitano K, Mizuseki K, Diesmann M, Richmond BJ, Shinomoto S (2019).
Reconstructing neuronal circuitry from parallel spike trains. Nature Communications 10:4468.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.answer import Answer
from benchmarks.accuracy.rivals._lags import count_lags
from connflow.connectivity import spike_trains
from connflow.recording.model import SpikeRecording

HALF_WINDOW_MS = 50
TAU_MS = 4.0
BETA = 4000.0
DELAYS_MS = (1, 2, 3, 4)
Z_ALPHA = math.sqrt(16.3) / 1.57
"""The program's level: ``J_min = sqrt(16.3 / (tau c))``, that is 1.57 z of a two-sided 1 %."""

LEAST_EXPECTED = 10.0  # spikes expected in the filter's reach; with fewer the program says J = 0


def infer(recording: SpikeRecording) -> Answer:
    """Fit every pair at each synaptic delay, keep the likeliest, and compare J with its error.

    Notes
    -----
    With the correlogram ``c_k``, ``log rate_k = a_k + J_ij f(t_k) + J_ji f(-t_k)``,
    ``f(t) = exp(-(t - d) / tau)`` from the delay d on, and the prior
    ``-beta / 2 sum (a_k+1 - a_k)^2``. The score is
    ``J sqrt(tau c0) / 1.57``, ``c0`` being the trend after the delay.
    """
    trains = spike_trains(recording, resolution_s=0.0001)
    counts = count_lags(trains.ticks, trains.units, trains.n_units, HALF_WINDOW_MS, 10)
    z, weight, expected = fit_pairs(counts, np.array(DELAYS_MS, np.int64), TAU_MS, BETA)
    mask = (np.abs(z) > Z_ALPHA) & (expected > LEAST_EXPECTED)
    return Answer(z=z, weight=weight, mask=mask, notes={})


@numba.njit(cache=True, nogil=True)
def fit_pairs(
    counts: NDArray[np.int32], delays_ms: NDArray[np.int64], tau_ms: float, beta: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return score, coupling J, and spikes expected in the filter's reach, (source, target)."""
    n_units, _, half = counts.shape
    z, weight, expected = (
        np.zeros((n_units, n_units)), np.zeros((n_units, n_units)), np.zeros((n_units, n_units))
    )  # fmt: skip
    c = np.zeros(2 * half)
    reach = int(tau_ms + 0.1)
    for i in range(n_units):
        for j in range(i):
            for k in range(half):
                c[half + k] = counts[i, j, k]
                c[half - 1 - k] = counts[j, i, k]
            best = -np.inf
            for delay in delays_ms:
                a, forward, backward, posterior = fit_correlogram(c, delay, tau_ms, beta)
                if posterior <= best:
                    continue
                best = posterior
                after = np.exp(a[half + delay : half + delay + reach]).mean()
                before = np.exp(a[half - delay - reach : half - delay]).mean()
                weight[i, j], weight[j, i] = forward, backward
                expected[i, j], expected[j, i] = tau_ms * after, tau_ms * before
                z[i, j] = forward * math.sqrt(tau_ms * after) / 1.57
                z[j, i] = backward * math.sqrt(tau_ms * before) / 1.57
    return z, weight, expected


@numba.njit(cache=True, nogil=True)
def fit_correlogram(
    c: NDArray[np.float64], delay: int, tau: float, beta: float
) -> tuple[NDArray[np.float64], float, float, float]:
    """Maximise the posterior of one correlogram by damped Newton steps.

    Parameters
    ----------
    c : (2 half,) float64
        Counts in bins of 1 ms; the target fires after the source in the second half.
    delay : int
        ms.
    tau : float
        ms.
    beta : float
        Stiffness of the trend.

    Returns
    -------
    a : (2 half,) float64
        Logarithm of the trend, spikes a bin.
    forward, backward : float
        Coupling in the second and in the first half.
    posterior : float
        Its logarithm, up to a constant.
    """
    half = len(c) // 2
    f = coupling_filter(half, delay, tau)
    a = np.full(len(c), math.log(max(c.mean(), 1e-3)))
    couplings = np.zeros(2)
    posterior = log_posterior(c, a, couplings, f, beta)
    for _ in range(50):
        step_a, step_j = _newton_step(c, a, couplings, f, beta)
        size = 1.0
        while size > 1e-4:
            new_a, new_j = a + size * step_a, couplings + size * step_j
            new = log_posterior(c, new_a, new_j, f, beta)
            if new >= posterior:
                break
            size /= 2
        if size <= 1e-4:
            break
        gain = new - posterior
        a, couplings, posterior = new_a, new_j, new
        if gain < 1e-6:
            break
    return a, couplings[0], couplings[1], posterior


@numba.njit(cache=True, nogil=True)
def coupling_filter(half: int, delay: int, tau: float) -> NDArray[np.float64]:
    """Return f averaged over the bins of the second half, 0 before the delay, (half,)."""
    f = np.zeros(half)
    for k in range(delay, half):
        f[k] = tau * (math.exp(-(k - delay) / tau) - math.exp(-(k + 1 - delay) / tau))
    return f


@numba.njit(cache=True, nogil=True)
def log_posterior(
    c: NDArray[np.float64],
    a: NDArray[np.float64],
    couplings: NDArray[np.float64],
    f: NDArray[np.float64],
    beta: float,
) -> float:
    """Return the log posterior up to a constant; -inf where a rate overflows."""
    half = len(f)
    total = 0.0
    for k in range(2 * half):
        eta = a[k] + (couplings[0] * f[k - half] if k >= half else couplings[1] * f[half - 1 - k])
        if eta > 50.0:
            return -np.inf
        total += c[k] * eta - math.exp(eta)
        if k > 0:
            total -= beta / 2 * (a[k] - a[k - 1]) ** 2
    return total


@numba.njit(cache=True, nogil=True)
def _newton_step(
    c: NDArray[np.float64],
    a: NDArray[np.float64],
    couplings: NDArray[np.float64],
    f: NDArray[np.float64],
    beta: float,
) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    """Solve the bordered tridiagonal system ``H step = gradient``."""
    half, n = len(f), len(c)
    diagonal = np.full(n, 2 * beta)
    diagonal[0] = diagonal[-1] = beta
    right = np.zeros((n, 3))  # gradient of a, and the borders of the two couplings
    gradient_j, curvature_j = np.zeros(2), np.full(2, 1e-9)
    for k in range(n):
        side, weight = (0, f[k - half]) if k >= half else (1, f[half - 1 - k])
        rate = math.exp(a[k] + couplings[side] * weight)
        diagonal[k] += rate
        right[k, 0] = c[k] - rate
        if k > 0:
            right[k, 0] -= beta * (a[k] - a[k - 1])
        if k < n - 1:
            right[k, 0] -= beta * (a[k] - a[k + 1])
        right[k, 1 + side] = rate * weight
        gradient_j[side] += (c[k] - rate) * weight
        curvature_j[side] += rate * weight**2
    border = right[:, 1:].copy()
    _solve_tridiagonal(diagonal, -beta, right)
    schur = np.diag(curvature_j) - border.T @ np.ascontiguousarray(right[:, 1:])
    step_j = np.linalg.solve(schur, gradient_j - border.T @ np.ascontiguousarray(right[:, 0]))
    step_a = right[:, 0] - right[:, 1] * step_j[0] - right[:, 2] * step_j[1]
    return step_a, step_j


@numba.njit(cache=True, nogil=True)
def _solve_tridiagonal(
    diagonal: NDArray[np.float64], off: float, right: NDArray[np.float64]
) -> None:
    """Solve in place for all columns, the off-diagonals being constant."""
    n = len(diagonal)
    for k in range(1, n):
        factor = off / diagonal[k - 1]
        diagonal[k] -= factor * off
        right[k] -= factor * right[k - 1]
    right[n - 1] /= diagonal[n - 1]
    for k in range(n - 2, -1, -1):
        right[k] = (right[k] - off * right[k + 1]) / diagonal[k]
