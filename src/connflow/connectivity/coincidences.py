"""Few coincidences: their z-scores, which are skewed, turned into normal ones.

Two units that fire rarely meet a handful of times by chance, or never. The count of such meetings
is a Poisson variable of small mean, whose z-score is beyond 6 where a normal one is beyond 4.
"""

import numpy as np
from numpy.typing import NDArray

from connflow.connectivity.activity import Activity, counts_events
from connflow.connectivity.moments import Moments

Array = NDArray[np.float64]

Expected = tuple[Array, Array]
"""By source, and by target: their product is what a pair has by chance."""

_SMALL = 1e-3  # of (k - m) / m, below which the deviance is summed as a series


def centre(
    activity: Activity, sums: Moments, heights: NDArray[np.number]
) -> tuple[Moments, Expected | None]:
    """Centre the moments of an activity, and say what coincidences its spikes have by chance.

    Parameters
    ----------
    activity : Activity
    sums : Moments
        Of it, not centred.
    heights : (n_delays, n_kernels)
        Kernels of the first features, which are tested together.

    Returns
    -------
    moments : Moments
    expected : Expected or None
        None if the activity is no count of spikes.
    """
    moments = sums.centred()
    if not counts_events(activity):
        return moments, None
    square = moments.feature_square[: heights.shape[1]].sum(axis=0)
    n_spikes, by_delay = sums.target_sum, heights.sum(axis=1)
    return moments, expected_coincidences(n_spikes, sums.n_bins, square, by_delay)


def expected_coincidences(
    n_spikes: NDArray[np.number],
    n_bins: int,
    feature_square: NDArray[np.number],
    heights: NDArray[np.number],
) -> Expected:
    """Return how many coincidences every two trains of spikes have by chance.

    Parameters
    ----------
    n_spikes : (n_units,)
    n_bins : int
        Time bins in all.
    feature_square : (n_units,)
        Sum over time of the square of a unit's feature, its mean taken off.
    heights : (n_delays,)
        What a spike adds to the feature of its unit at each delay.

    Returns
    -------
    by_source, by_target : (n_units,) float64
        Their product is the mean of the Poisson variable with the skewness of the sum of the
        source's feature over the target's spikes, were these independent of it.

    Notes
    -----
    Such a sum has the cumulants ``r_j sum_t x_i[t]^k``, k = 2 and 3, of the feature x and the
    target's rate r. The third moment of x is taken from the second, as it is where spikes lie
    further apart than the kernel is long; where they come in bursts, it grows as its square.
    """
    height = np.abs(np.asarray(heights, np.float64))
    n_spikes = np.maximum(n_spikes, 1)  # one may lie where its past is not known
    apart = n_spikes * np.sum(height**2)
    square = np.maximum(feature_square, apart)
    step = np.sum(height**3) / np.sum(height**2) * square / apart
    return np.asarray(square / step**2), np.asarray(n_spikes / n_bins)


def to_normal(z: NDArray[np.floating], expected: NDArray[np.floating]) -> Array:
    """Turn z-scores of counts into scores that are normal however few are expected.

    Parameters
    ----------
    z : array
        ``(k - m) / sqrt(m)`` of a count k.
    expected : array
        m, above 0.

    Returns
    -------
    array
        ``sign(k - m) sqrt(2 (k log(k / m) - k + m))``, the signed root of the deviance. It grows
        with z, and comes to z itself where m is large. Where the estimates of other units'
        influences make k negative, it is that of k = 0: nothing is rarer than never.

    References
    ----------
    McCullagh P, Nelder JA (1989). Generalized linear models, 2nd ed., sections 2.4.3 and 6.2.
    """
    root = np.sqrt(np.asarray(expected, np.float64))
    x = np.maximum(z / root, -1)
    with np.errstate(divide="ignore", invalid="ignore"):  # k = 0
        deviance = np.where(x > -1, (1 + x) * np.log1p(x) - x, 1)
    deviance = np.where(np.abs(x) < _SMALL, x**2 * (0.5 - x / 6 + x**2 / 12), deviance)
    return np.asarray(np.sign(x) * root * np.sqrt(2 * deviance))


def score_coincidences(z: NDArray[np.floating], expected: Expected) -> Array:
    """Turn z of all pairs into normal scores.

    Parameters
    ----------
    z : (n_sources, n_targets)
    expected : Expected
        See `expected_coincidences`.
    """
    scores = np.empty(z.shape)
    for score, row, mean in zip(scores, z, expected[0], strict=True):  # N² is held once
        score[:] = to_normal(row, mean * expected[1])
    return scores
