"""Multivariate regression on lagged activity, from second moments alone."""

from functools import partial

import numpy as np

from connflow.blocks import MapBlocks
from connflow.connectivity.activity import Activity, check_length
from connflow.connectivity.bootstrap import with_intervals
from connflow.connectivity.coincidences import centre
from connflow.connectivity.delays import find_delays
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.kernels import choose_kernels
from connflow.connectivity.lasso import fit_elastic_net
from connflow.connectivity.least_squares import solve
from connflow.connectivity.moments import accumulate_moments
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.profiles import profile_moments

WEIGHT_UNITS = "activity added to the target by one unit of activity in the source"


def infer_by_kernel(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    """Regress every unit on what all did lately, weighted by the course of influence over delays.

    Notes
    -----
    ``y_i[t] = sum_j (b_ji sum_d h_d x_j[t - d] + c_ji sum_d g_d x_j[t - d]) + noise``: h is the
    kernel asked for, or learned from held-out time (`choose_kernels`), and g a window further back
    that is fitted so that slow common input does not pass for influence. The weight is
    ``b_ji sum_d h_d``: the spikes of the target that one spike of the source adds in all. z is b
    over its standard error (`solve`).

    References
    ----------
    Hansen, Reynaud-Bouret & Rivoirard 2015, Bernoulli 21:83-143 (least squares for point
    processes).
    """
    kernels = choose_kernels(activity, params, map_blocks)
    heights = kernels.heights
    sums = profile_moments(activity, heights, map_blocks)
    moments, expected = centre(activity, sums, heights[:, :1])
    del sums  # with many units it is large
    solution = solve(moments, params.ridge, overwrite=True)
    area = heights[:, 0].sum()
    weight = solution.b[0] * area
    delay_s = find_delays(activity, weight, params, map_blocks)
    return with_intervals(
        Estimate(weight, solution.z(0), delay_s, WEIGHT_UNITS, kernels.notes, expected=expected),
        activity,
        partial(profile_moments, heights=heights, map_blocks=map_blocks),
        lambda resampled: solve(resampled, params.ridge, overwrite=True).b[0] * area,
        len(heights) - 1,
        params,
    )


def infer_by_lags(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    """Regress every unit on the activity of all at each of the lags asked for.

    Without penalty this is the vector autoregression of calcinet (lag 1) and calnet (lag 10), with
    `ridge` ridge regression, with `lasso` the lasso, with both an elastic net.

    Notes
    -----
    ``y_i[t] = sum_j sum_f b_fji x_j[t - lag_f] + noise``. The weight is ``sum_f b_fji``, z is
    ``sum_f z_fji`` over its standard deviation, and the delay the lag of the largest ``|z_f|``.
    The lasso makes weights 0; z and delay are those without it.

    References
    ----------
    Luetkepohl 2005, New Introduction to Multiple Time Series Analysis, ch. 3.
    """
    lags = [(lag, lag) for lag in params.lags]
    check_length(activity, max(params.lags), len(lags))
    sums = accumulate_moments(activity, lags, with_gram=True, map_blocks=map_blocks)
    moments, expected = centre(activity, sums, np.eye(len(lags)))
    del sums
    sparse = fit_elastic_net(moments, params.lasso, params.ridge) if params.lasso else None
    solution = solve(moments, params.ridge, overwrite=True)
    z = np.stack([solution.z(f) for f in range(len(lags))])
    b = solution.b if sparse is None else sparse
    delay_s = np.asarray(params.lags)[np.abs(z).argmax(axis=0)] * activity.interval_s
    return with_intervals(
        Estimate(b.sum(axis=0), solution.z_of_all(), delay_s, WEIGHT_UNITS, expected=expected),
        activity,
        partial(accumulate_moments, kernels=lags, with_gram=True, map_blocks=map_blocks),
        lambda resampled: solve(resampled, params.ridge, overwrite=True).b.sum(axis=0),
        max(params.lags),
        params,
    )
