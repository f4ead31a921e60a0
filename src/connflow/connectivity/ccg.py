"""Cross-correlograms: raw counts of pairs by delay, and their excess over a local baseline.

In: spike trains. Out: for each ordered pair of units the most significant peak or trough at
synaptic delays. After Stark & Abeles 2009, with an exact test in place of the normal one.
"""

from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import betainc, xlogy

from connflow.blocks import MapBlocks
from connflow.connectivity.activity import Activity, SpikeTrains, as_spike_trains, check_length
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.events import correlograms
from connflow.connectivity.pairwise import (
    Tile,
    count_pairs,
    delays_of,
    log_two_sided,
    map_sources,
    z_of_extreme,
)
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.spike_index import SpikeIndex, index_spikes

BASELINE_SD_S = 0.01
"""Standard deviation of the Gaussian that the baseline is averaged with, s."""

_BASELINE_REACH = 2.5  # standard deviations beyond the longest delay
_EXACT_BELOW = 6.0  # larger deviance roots are normal as far as anyone can tell


def correlogram(trains: SpikeTrains, unit_ids: NDArray[np.int64], max_lag_s: float) -> xr.DataArray:
    """Count the pairs of spikes of every two units by their distance in time.

    Parameters
    ----------
    trains : SpikeTrains
        Coarsen them first (`SpikeTrains.coarsened`) for wider bins.
    unit_ids : (n_units,) int64
    max_lag_s : float
        Largest distance, s.

    Returns
    -------
    DataArray
        Exact counts over (lag, source, target). At lag L (s), entry ``[L, i, j]`` is how often
        unit j fired L after unit i; pairs that span a gap between segments are not counted.
        Holds ``n_lags n_units^2`` counts.
    """
    max_lag = round(max_lag_s / trains.interval_s)
    lag_s = np.arange(-max_lag, max_lag + 1) * trains.interval_s
    return xr.DataArray(
        correlograms(trains, max_lag),
        dims=("lag", "source", "target"),
        coords={"lag": ("lag", lag_s, {"units": "s"}), "source": unit_ids, "target": unit_ids},
        attrs={"long_name": "pairs of spikes", "units": "1"},
    )


def infer_by_ccg(activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks) -> Estimate:
    """Find the delay at which each pair's correlogram leaves its own baseline furthest.

    Parameters
    ----------
    activity : SpikeTrains, or Traces of spike counts
    params : ConnectivityParams
        `delay_min_s` and `delay_max_s` bound the delays.
    map_blocks

    Returns
    -------
    Estimate
        ``weight``: spikes of the target that one spike of the source adds over all these delays
        (the efficacy, or spike transmission probability). ``z`` and ``delay_s``: of the delay
        that departs most; z counts how many delays were looked at.

    Notes
    -----
    With ``c[d]`` pairs at delay d, the baseline is an average over the lags around it but outside
    the synaptic delays, ``b[d] = sum_k w[d, k] c[k]`` with Gaussian weights w (sd 10 ms), hollow
    over all the delays rather than partly at one bin, so that no peak is in its own baseline. An
    average with these weights is as good as one over ``m = 1 / sum_k w^2`` bins. If there is no
    influence, then given both, ``c ~ Binomial(c + m b, 1 / (1 + m))``: this is exact at any
    count and knows the baseline's own noise. The delay is the one with the largest deviance; its
    two-sided p-value (mid-p) is corrected for the number of delays (Šidák)::

        weight = sum_d (c[d] - b[d]) / n_spikes[source]

    References
    ----------
    Stark E, Abeles M (2009). Unbiased estimation of precise temporal correlations between spike
    trains. Journal of Neuroscience Methods 179:90-100.
    Przyborowski J, Wilenski H (1940). Homogeneity of results in testing samples from Poisson
    series. Biometrika 31:313-323.
    """
    trains = as_spike_trains(activity)
    first, last = delays_of(params, trains.interval_s)
    check_length(trains, last, 0)
    weights = baseline_weights(first, last, BASELINE_SD_S / trains.interval_s)
    n_spikes = np.bincount(trains.units, minlength=trains.n_units)
    compute = partial(_tile, index_spikes(trains), weights, first, n_spikes)
    weight, z, delay = map_sources(compute, trains.n_units, weights.shape[1], map_blocks)
    return Estimate(
        weight, z, delay * trains.interval_s, "spikes of the target added by one of the source"
    )


def baseline_weights(first: int, last: int, sd: float) -> NDArray[np.float64]:
    """Return the weight of each lag in the baseline of each delay; rows add up to 1.

    Returns
    -------
    (n_delays, n_lags) float64
        For the delays ``first..last``, and as many lags before 0 as after it.
    """
    max_lag = last + int(np.ceil(_BASELINE_REACH * sd))
    lags, delays = np.arange(-max_lag, max_lag + 1), np.arange(first, last + 1)
    weights = np.exp(-0.5 * ((lags - delays[:, None]) / sd) ** 2)
    weights[:, (lags >= first) & (lags <= last)] = 0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _tile(
    index: SpikeIndex,
    weights: NDArray[np.float64],
    first: int,
    n_spikes: NDArray[np.intp],
    rows: slice,
) -> Tile:
    n_delays, n_lags = weights.shape
    max_lag = n_lags // 2
    counts = count_pairs(index, (-max_lag, max_lag), rows)
    observed = counts[max_lag + first : max_lag + first + n_delays]
    baseline = np.tensordot(weights, counts, axes=1)
    n_bins = 1 / (weights**2).sum(axis=1)
    root = deviance_root(observed, baseline, n_bins[:, None, None])
    best = np.abs(root).argmax(axis=0)[None]
    count, level, departure = (
        np.take_along_axis(some, best, axis=0)[0] for some in (observed, baseline, root)
    )
    log_p, sign = _log_p(count, level, departure, n_bins[best[0]])
    weight = (observed - baseline).sum(axis=0) / n_spikes[rows, None]
    return weight, z_of_extreme(log_p, sign, n_delays), first + best[0].astype(np.float64)


def deviance_root(
    observed: NDArray[np.float64], baseline: NDArray[np.float64], n_bins: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the signed root of the deviance of a count from a baseline over `n_bins` bins.

    Notes
    -----
    With ``c = observed``, ``s = n_bins baseline`` and ``e = (c + s) / (1 + n_bins)`` expected, the
    deviance of the binomial is ``2 (c log(c / e) + s log(s / (n_bins e)))``.
    """
    rest = n_bins * baseline
    expected = np.maximum((observed + rest) / (1 + n_bins), np.finfo(float).tiny)
    deviance = xlogy(observed, observed / expected) + xlogy(rest, rest / (n_bins * expected))
    return np.asarray(np.sign(observed - baseline) * np.sqrt(np.maximum(2 * deviance, 0)))


def _log_p(
    observed: NDArray[np.float64],
    baseline: NDArray[np.float64],
    root: NDArray[np.float64],
    n_bins: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithm of the two-sided binomial mid-p-value, and the side it is on."""
    share, rest = 1 / (1 + n_bins), n_bins * baseline
    tiny = np.finfo(float).tiny  # a beta function with a parameter of 0 has its limit here
    at_least = betainc(np.maximum(observed, tiny), rest + 1, share)
    more = betainc(observed + 1, np.maximum(rest, tiny), share)
    upper = (at_least + more) / 2
    exact = np.log(np.maximum(2 * np.minimum(upper, 1 - upper), tiny))
    is_large = np.abs(root) > _EXACT_BELOW
    log_p = np.where(is_large, log_two_sided(root), exact)
    return log_p, np.where(is_large, root, 0.5 - upper)
