"""At which delay each influence is strongest, pair by pair."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import MapBlocks, split
from connflow.connectivity.activity import Activity, Traces
from connflow.connectivity.moments import accumulate_moments
from connflow.connectivity.pairwise import count_pairs, delays_of
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.spike_index import SpikeIndex, index_spikes

RESOLUTION_S = 0.0005
"""Delays of spikes are told apart to this, or to the recording's own resolution if coarser."""

_SOURCE_BLOCK = 32


def find_delays(
    activity: Activity,
    weight: NDArray[np.floating],
    params: ConnectivityParams,
    map_blocks: MapBlocks,
) -> NDArray[np.float32]:
    """Return the delay at which a pair's correlogram departs most to the side of its weight.

    Parameters
    ----------
    activity : SpikeTrains or Traces
    weight : (n_units, n_units) float
        Its sign says whether a peak or a trough is sought.
    params : ConnectivityParams
        Delays from `delay_min_s` to `delay_max_s` are looked at.
    map_blocks
        Who computes the blocks of sources.

    Returns
    -------
    (n_units, n_units) float32
        Seconds. A pair without influence has the delay of a chance peak.
    """
    if isinstance(activity, Traces):
        return _delays_of_traces(activity, weight, params, map_blocks)
    coarse = activity.coarsened(RESOLUTION_S)
    lags = delays_of(params, coarse.interval_s)
    blocks = split(activity.n_units, _SOURCE_BLOCK)
    compute = partial(_strongest, index_spikes(coarse), lags, np.sign(weight).astype(np.int8))
    place = np.concatenate(list(map_blocks(compute, blocks)))
    return np.asarray((lags[0] + place) * coarse.interval_s, np.float32)


def _strongest(
    index: SpikeIndex, lags: tuple[int, int], sign: NDArray[np.int8], rows: slice
) -> NDArray[np.intp]:
    return np.asarray((count_pairs(index, lags, rows) * sign[rows]).argmax(axis=0))


def _delays_of_traces(
    activity: Traces,
    weight: NDArray[np.floating],
    params: ConnectivityParams,
    map_blocks: MapBlocks,
) -> NDArray[np.float32]:
    first, last = delays_of(params, activity.interval_s)
    if first == last:
        return np.full(weight.shape, first * activity.interval_s, np.float32)
    windows = [(lag, lag) for lag in range(first, last + 1)]
    moments = accumulate_moments(activity, windows, with_gram=False, map_blocks=map_blocks)
    place = (moments.centred().cross * np.sign(weight)).argmax(axis=0)
    return np.asarray((first + place) * activity.interval_s, np.float32)
