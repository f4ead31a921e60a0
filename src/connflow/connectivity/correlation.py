"""Correlation: Pearson's r of every source with every target, at the lag where it is strongest."""

import numpy as np

from connflow.blocks import MapBlocks
from connflow.connectivity.activity import Activity, check_length
from connflow.connectivity.coincidences import centre
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.moments import accumulate_moments
from connflow.connectivity.pairwise import log_two_sided, z_of_extreme
from connflow.connectivity.params import ConnectivityParams


def infer_by_correlation(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    """Correlate every source with every target, and keep the delay where it is strongest.

    Notes
    -----
    Weight is Pearson's r, ``z = arctanh(r) sqrt(n_samples - 3)`` (Fisher), corrected for the number
    of lags that it is the largest of. At lag 0 it is symmetric.
    """
    kernels = [(lag, lag) for lag in params.lags]
    check_length(activity, max(params.lags), 0)
    sums = accumulate_moments(activity, kernels, with_gram=False, map_blocks=map_blocks)
    moments, expected = centre(activity, sums, np.eye(1))  # by chance, each lag has as many
    scale = np.sqrt(moments.feature_square[:, :, None] * moments.target_square)
    r = np.clip(moments.cross / np.where(scale > 0, scale, np.inf), -1, 1)
    strongest = np.abs(r).argmax(axis=0)
    weight = np.take_along_axis(r, strongest[None], axis=0)[0]
    bounded = np.clip(weight, -1 + 1e-12, 1 - 1e-12)
    z = np.arctanh(bounded) * np.sqrt(max(moments.n_bins - 3, 1))
    if len(kernels) > 1:
        z = z_of_extreme(log_two_sided(z), np.sign(z), len(kernels))
    delay_s = np.asarray(params.lags)[strongest] * activity.interval_s
    return Estimate(weight, z, delay_s, "Pearson correlation", expected=expected)
