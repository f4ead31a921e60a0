"""Intervals of regression weights by a bootstrap over blocks of time.

In: an activity, and how its moments and the weights from them are computed. Out: a lower and an
upper end for each weight. Only moments are kept, one set for each block, so the recording is read
once.

References
----------
Kuensch HR (1989). The jackknife and the bootstrap for general stationary observations. Annals of
Statistics 17:1217-1241.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from connflow.connectivity.activity import Activity, check_length, split_time
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.moments import Moments
from connflow.connectivity.params import ConnectivityParams
from connflow.errors import InvalidInputError

N_BLOCKS = 20
LEVEL = 0.95

_MOST_BYTES = 8 * 2**30
_LEAST_PASTS = 10  # that a block is long


@dataclass(frozen=True, eq=False)
class Intervals:
    """Ends of the intervals of all weights.

    Parameters
    ----------
    low, high : (n_sources, n_targets) float64
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def bootstrap_weights(
    activity: Activity,
    accumulate: Callable[[Activity], Moments],
    weigh: Callable[[Moments], NDArray[np.float64]],
    past: int,
    n_resamples: int,
    seed: int = 0,
) -> Intervals:
    """Return 95 % intervals of weights from resampled blocks of time.

    Parameters
    ----------
    activity : Activity
        Cut into `N_BLOCKS` blocks of equal length.
    accumulate
        Returns the moments of an activity.
    weigh
        Returns the weights, (n_sources, n_targets), from centred moments.
    past : int
        Longest delay, in samples; it is lost at the start of each block.
    n_resamples : int
        100 give the width of an interval to 7 %.
    seed : int
        Of the draws.

    Returns
    -------
    Intervals

    Raises
    ------
    InvalidInputError
        If the recording is too short to be cut up, or has too many units to keep the blocks.

    Notes
    -----
    Blocks are drawn with replacement, as many as there are; the moments of those drawn are added
    and the weights solved for anew. The interval is ``w ± t sd sqrt(B / (B - 1))`` with w the
    weight from all B blocks, sd the standard deviation over the resamples and t Student's quantile
    with B - 1 degrees of freedom: B blocks know a variance no better, and ends read off the
    resamples would be too close. Each block is centred by itself, so changes slower than a block
    neither widen nor move the interval.
    """
    blocks = _moments_of_blocks(activity, accumulate, past)
    rng = np.random.default_rng(seed)
    centre = weigh(_sum(blocks).centred())
    sd = _sd_of_resamples(blocks, weigh, centre, max(n_resamples, 2), rng)
    correction = np.sqrt(len(blocks) / (len(blocks) - 1))
    half = student.ppf((1 + LEVEL) / 2, len(blocks) - 1) * correction * sd
    return Intervals(centre - half, centre + half)


def _sd_of_resamples(
    blocks: list[Moments],
    weigh: Callable[[Moments], NDArray[np.float64]],
    centre: NDArray[np.float64],
    n_resamples: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the standard deviation of the weights, without keeping those of each resample."""
    total, square = np.zeros_like(centre), np.zeros_like(centre)
    for _ in range(n_resamples):
        drawn = rng.integers(len(blocks), size=len(blocks))
        deviation = weigh(_sum([blocks[k] for k in drawn]).centred()) - centre
        total += deviation
        square += deviation**2
    variance = (square - total**2 / n_resamples) / (n_resamples - 1)
    return np.asarray(np.sqrt(np.maximum(variance, 0)))


def _sum(blocks: list[Moments]) -> Moments:
    total = blocks[0] + blocks[1]
    for block in blocks[2:]:
        total += block
    return total


def with_intervals(
    estimate: Estimate,
    activity: Activity,
    accumulate: Callable[[Activity], Moments],
    weigh: Callable[[Moments], NDArray[np.float64]],
    past: int,
    params: ConnectivityParams,
) -> Estimate:
    """Return the estimate with intervals of its weights, if they are asked for."""
    if params.n_bootstrap == 0:
        return estimate
    ends = bootstrap_weights(activity, accumulate, weigh, past, params.n_bootstrap, params.seed)
    return replace(estimate, weight_low=ends.low, weight_high=ends.high)


def _moments_of_blocks(
    activity: Activity, accumulate: Callable[[Activity], Moments], past: int
) -> list[Moments]:
    length = activity.n_samples // N_BLOCKS
    if length < _LEAST_PASTS * max(past, 1):
        raise InvalidInputError(
            f"connectivity.n_bootstrap: {N_BLOCKS} blocks of time have {length} samples each, and "
            f"delays of {past} samples need at least {_LEAST_PASTS * past}; record longer, or set "
            "connectivity.n_bootstrap to 0"
        )
    blocks: list[Moments] = []
    for segments in split_time(activity, N_BLOCKS):
        block = activity.within(segments)
        check_length(block, past, 0)
        blocks.append(accumulate(block).centred())
        _check_size(blocks[0])
    return blocks


def _check_size(moments: Moments) -> None:
    assert moments.gram is not None
    needed = N_BLOCKS * (moments.gram.nbytes + moments.cross.nbytes)
    if needed > _MOST_BYTES:
        n_units = moments.cross.shape[1]
        raise InvalidInputError(
            f"connectivity.n_bootstrap: the moments of {N_BLOCKS} blocks of {n_units} units take "
            f"{needed / 2**30:.1f} GiB, more than {_MOST_BYTES / 2**30:.0f}; set "
            "connectivity.n_bootstrap to 0, or infer fewer units"
        )
