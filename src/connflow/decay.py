"""The decay time constant of calcium, estimated from the fluorescence alone.

For first-order calcium driven by uncorrelated spikes, plus white noise, the autocovariance at lag
``k >= 1`` is ``a gamma^k``: noise touches lag 0 only. What is shared and slow adds a constant.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from connflow.blocks import TimeUnitArray
from connflow.errors import InvalidInputError

_STRETCHES = 4  # places in the recording that the autocovariance is taken from
_STRETCH_FRAMES = 16_384
_N_LAGS = 32
_LONGEST_LAG_S = 3.0
_TAU_GRID = 240


def estimate_decay(
    fluorescence: TimeUnitArray, frame_rate_hz: float, units: slice | None = None
) -> NDArray[np.float64]:
    """Estimate each unit's decay time constant by a fit to its autocovariance.

    Parameters
    ----------
    fluorescence : (n_frames, n_units) array-like
        At most four stretches of 16384 frames, spread evenly, are read.
    frame_rate_hz : float
        Frames a second.
    units : slice, optional
        Which units; all if None.

    Returns
    -------
    (n_units,) float64
        Seconds. NaN where the autocovariance does not fall off within 3 s or is not positive: the
        trace shows no decaying transients.

    Raises
    ------
    InvalidInputError
        If there are fewer than 50 frames.

    Notes
    -----
    ``a exp(-t / tau) + b`` is fitted by least squares to the autocovariance at lags spread evenly
    in logarithm from one frame to three times the lag where it has fallen to 1/e; for each tau of
    a fine grid the two linear parameters have a closed form. Bursts longer than tau and rise times
    bias the estimate upwards, refractoriness biases it downwards by less than a millisecond.

    References
    ----------
    Pnevmatikakis et al. 2016, Neuron 89:285-299, estimates the same from a few short lags.
    """
    n_frames, n_units = fluorescence.shape
    if n_frames < 50:
        raise InvalidInputError(
            f"{n_frames} frames are too few to estimate the decay of calcium; record longer, or "
            "give deconvolution.tau_s"
        )
    chosen = range(n_units)[units if units is not None else slice(None)]
    longest = max(2, min(int(_LONGEST_LAG_S * frame_rate_hz), n_frames // 4))
    lags = np.unique(np.geomspace(1, longest, _N_LAGS).round().astype(np.int64))
    covariance = _mean_autocovariance(fluorescence, chosen, lags)
    return np.array([_fit_decay(lags / frame_rate_hz, unit) for unit in covariance.T])


def _mean_autocovariance(
    fluorescence: TimeUnitArray, units: range, lags: NDArray[np.int64]
) -> NDArray[np.float64]:
    n_frames = fluorescence.shape[0]
    length = min(_STRETCH_FRAMES, n_frames)
    n_stretches = min(_STRETCHES, max(1, n_frames // length))
    starts = np.linspace(0, n_frames - length, n_stretches).astype(int) // length * length
    total = np.zeros((len(lags), len(units)))
    for start in starts:
        stretch = np.asarray(fluorescence[start : start + length, units.start : units.stop])
        centred = stretch - stretch.mean(axis=0, dtype=np.float64)
        total += _autocovariance(centred.astype(np.float32), lags)
    return total / n_stretches


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _autocovariance(traces: NDArray[np.float32], lags: NDArray[np.int64]) -> NDArray[np.float64]:
    n_frames, n_units = traces.shape
    result = np.zeros((len(lags), n_units))
    for row, lag in enumerate(lags):
        for first in range(0, n_frames - lag, 1024):
            part = np.zeros(n_units, np.float32)
            for k in range(first, min(first + 1024, n_frames - lag)):
                for i in range(n_units):
                    part[i] += traces[k, i] * traces[k + lag, i]
            result[row] += part
        result[row] /= n_frames - lag
    return result


def _fit_decay(lag_s: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    if covariance[0] <= 0:
        return float("nan")
    fallen = np.flatnonzero(covariance < covariance[0] / np.e)
    if len(fallen) == 0:
        return float("nan")
    window = lag_s <= max(3 * lag_s[fallen[0]], lag_s[min(3, len(lag_s) - 1)])
    t, y = lag_s[window], covariance[window]
    taus = np.geomspace(lag_s[0] / 4, 3 * lag_s[-1], _TAU_GRID)
    return _refine_minimum(np.log(taus), _residuals(np.exp(-t / taus[:, None]), y))


def _residuals(shapes: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each row of `shapes` the squared error of the best ``a shape + b``."""
    x, centred = shapes - shapes.mean(axis=1, keepdims=True), y - y.mean()
    spread = np.einsum("ij,ij->i", x, x)
    slope = (x @ centred) / np.where(spread > 0, spread, np.inf)
    return np.asarray(((centred - slope[:, None] * x) ** 2).sum(axis=1))


def _refine_minimum(log_tau: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """Return exp of the minimum of the parabola through the smallest error and its neighbours."""
    k = int(np.argmin(errors))
    if k in (0, len(errors) - 1):
        return float("nan")
    left, middle, right = errors[k - 1 : k + 2]
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / curvature if curvature > 0 else 0.0
    return float(np.exp(log_tau[k] + shift * (log_tau[1] - log_tau[0])))
