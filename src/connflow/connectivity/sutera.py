"""The winner of the connectomics challenge: partial correlations of rises of fluorescence.

For cultures that burst as one: sharp rises are kept, frames in which many units rise count less,
and what two units share beyond all others is averaged over several filters and thresholds.
"""

from functools import partial
from itertools import product

import numba
import numpy as np
from numpy.typing import NDArray

from connflow.blocks import TIME_BLOCK, MapBlocks, TimeUnitArray, split
from connflow.connectivity.activity import Activity, Traces, check_length
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.partial_correlation import fisher_z, to_partial
from connflow.progress import track

LOW_PASS = ((0.0, 0.0, 1.0, 1.0, 1.0, 0.0), (0.4, 0.8, 1.0, 1.0, 0.0, 0.0))
"""Weights of frames t-3 to t+2: the symmetric filter of the paper and its one of the past."""

THRESHOLDS = (0.10, 0.125, 0.15, 0.175, 0.20)
"""Of a rise, in the challenge's fluorescence, whose noise has a standard deviation of 0.03."""

_NOISE_SD = 0.03
_COMPONENTS = 0.8  # share of the principal components that is kept
_BEFORE, _AFTER = 4, 2  # frames that a rise depends on
_DENSE = 8  # where more than one unit in so many rises, a matrix product is faster
_EVENT_FRAMES = 3  # that one spike stays above threshold for


def infer_by_sutera(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    """Average the partial correlations of filtered fluorescence over filters and thresholds.

    Parameters
    ----------
    activity : Traces
        Fluorescence at about 50 frames a second, transients upwards.

    Notes
    -----
    As published, for each low-pass filter ``f`` and threshold ``tau`` (frame t, unit i)::

        y[t] = sum_l f_l x[t + l],  l = -3 .. 2             low-pass
        g[t] = y[t] - y[t-1]                                high-pass
        h[t] = g[t] if g[t] >= tau, else 0                  hard threshold
        w[t, i] = (h[t, i] + 1) ** (1 + 1 / sum_j h[t, j])  global activity; 1 where all h are 0
        S = covariance of w, its lowest fifth of eigenvalues (200 of the paper's 1000) flattened
        r = -S^-1[i, j] / sqrt(S^-1[i, i] S^-1[j, j])

    and the r are averaged. Flattened, they are set to their mean, which makes S the covariance of
    probabilistic principal components; it is what the authors' program inverts. Theirs are the
    filters and the range of thresholds, 0.1 to 0.21; ours is to scale any fluorescence so that
    its noise has their standard deviation of 0.03, to take steps of 0.025 instead of 0.001, and
    to leave out the exponents and the weights of filters that were tuned on the challenge's
    networks, among them a directed part of weight 0.003. The authors' program sums ``-S^-1``
    without normalising it; the paper's formula is followed.

    Symmetric: the source is not told from the target. z takes three frames for one sample, the
    time that a spike stays in h, and is approximate.

    h is 0 nearly everywhere, so that S is summed over pairs of events; only in frames where many
    units rise a matrix product is used.

    References
    ----------
    Sutera A, Joly A, François-Lavet V, Qiu ZA, Louppe G, Ernst D, Geurts P (2014). Simple
    connectome inference from partial correlation statistics in calcium imaging.
    arXiv:1406.7865; JMLR W&CP 46 (2015).
    Tipping ME, Bishop CM (1999). Probabilistic principal component analysis. J R Stat Soc B
    61:611-622.
    """
    assert isinstance(activity, Traces)
    check_length(activity, _BEFORE + _AFTER, 1)
    blocks = [
        slice(int(start) + part.start, int(start) + part.stop + _BEFORE + _AFTER)
        for start, stop in activity.segments
        for part in split(int(stop - start) - _BEFORE - _AFTER, TIME_BLOCK)
    ]
    scale = _NOISE_SD / noise_level(activity)
    compute = partial(_block_sums, activity.values, scale)
    parts = track(map_blocks(compute, blocks), len(blocks))
    n_frames, total, square = next(parts)
    for n_block, sums, squares in parts:
        n_frames, total, square = n_frames + n_block, total + sums, square + squares
    covariances = square / n_frames - total[:, :, None] * total[:, None, :] / n_frames**2
    weight = np.mean([_partial_correlation(covariance) for covariance in covariances], axis=0)
    z = fisher_z(weight, n_frames / _EVENT_FRAMES - activity.n_units + 2)
    notes: dict[str, object] = {"noise_sd": _NOISE_SD / scale, "directed": False}
    return Estimate(weight, z, float("nan"), "partial correlation", notes)


def noise_level(fluorescence: Traces) -> float:
    """Return the standard deviation of the fluorescence's noise, median over units.

    Notes
    -----
    From the differences of successive frames that lie below their median, where there are no
    rises: ``sd = median(|d|) / 0.6745 / sqrt(2)``. At least a thousandth of the differences'
    standard deviation, for fluorescence without noise.
    """
    lengths = np.diff(fluorescence.segments)[:, 0]
    start, stop = fluorescence.segments[lengths.argmax()]
    frames = fluorescence.read(slice(int(start), int(min(stop, start + TIME_BLOCK))))
    steps = np.diff(frames.astype(np.float32), axis=0)
    below = np.median(steps, axis=0) - np.quantile(steps, 0.25, axis=0)  # 0.6745 sd
    least = 1e-3 * float(np.median(steps.std(axis=0)))
    return float(max(np.median(below) / 0.6745 / np.sqrt(2), least))


def _block_sums(
    fluorescence: TimeUnitArray, scale: float, block: slice
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return for all settings the number of frames, the sums of w - 1 and of its products."""
    frames = np.asarray(fluorescence[block.start : block.stop], np.float32) * np.float32(scale)
    n_frames, n_units = len(frames) - _BEFORE - _AFTER, frames.shape[1]
    n_settings = len(LOW_PASS) * len(THRESHOLDS)
    sums = np.zeros((n_settings, n_units))
    squares = np.zeros((n_settings, n_units, n_units))
    rises = [_rises(frames, low_pass) for low_pass in LOW_PASS]
    for k, (g, threshold) in enumerate(product(rises, THRESHOLDS)):
        dense = _sum_events(g, threshold, max(8, n_units // _DENSE), sums[k], squares[k])
        crowded = _weigh(g[dense], threshold)
        sums[k] += crowded.sum(axis=0, dtype=np.float64)
        squares[k] += crowded.T @ crowded
        squares[k] = np.triu(squares[k]) + np.triu(squares[k], 1).T
    return n_frames, sums, squares


def _rises(frames: NDArray[np.float32], low_pass: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the differences of the smoothed fluorescence, (n_frames - 6, n_units)."""
    taps = np.convolve(low_pass, [-1, 1])  # of frames t-4 to t+2
    n_frames = len(frames) - _BEFORE - _AFTER
    result = np.zeros((n_frames, frames.shape[1]), np.float32)
    for k in np.flatnonzero(np.abs(taps) > 1e-12):
        result += np.float32(taps[k]) * frames[k : k + n_frames]
    return result


def _weigh(rises: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Return ``w - 1`` of some frames."""
    h = np.where(rises >= threshold, rises, np.float32(0))
    total = np.maximum(h.sum(axis=1, keepdims=True), np.float32(1e-30))
    return np.asarray((h + 1) ** (1 + 1 / total) - 1, np.float32)


@numba.njit(cache=True, nogil=True)
def _sum_events(
    rises: NDArray[np.float32],
    threshold: float,
    n_dense: int,
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Add ``w - 1`` and its products (upper triangle); frames with too many events are returned."""
    n_frames, n_units = rises.shape
    dense = np.zeros(n_frames, np.bool_)
    units, values = np.empty(n_units, np.int64), np.empty(n_units)
    for t in range(n_frames):
        n_events, total = 0, 0.0
        for i in range(n_units):
            if rises[t, i] >= threshold:
                units[n_events], values[n_events] = i, rises[t, i]
                total += rises[t, i]
                n_events += 1
        if n_events > n_dense:
            dense[t] = True
            continue
        for a in range(n_events):
            values[a] = (values[a] + 1) ** (1 + 1 / total) - 1
            sums[units[a]] += values[a]
            for b in range(a + 1):
                squares[units[b], units[a]] += values[a] * values[b]
    return dense


def _partial_correlation(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return partial correlations by the leading principal components; 0 for constant units."""
    varies = np.diag(covariance) > 1e-12
    values, vectors = np.linalg.eigh(covariance[np.ix_(varies, varies)])
    n_flat = len(values) - int(_COMPONENTS * len(values))
    if n_flat:
        values[:n_flat] = values[:n_flat].mean()
    floor = 1e-9 * values.max(initial=0)
    precision = (vectors / np.maximum(values, floor)) @ vectors.T
    result = np.zeros(covariance.shape)
    result[np.ix_(varies, varies)] = to_partial(precision)
    return result
