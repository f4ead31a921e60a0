"""At which delay each influence is strongest, pair by pair."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import MapBlocks, split
from connflow.connectivity.activity import Activity, SpikeTrains, Traces
from connflow.connectivity.events import correlograms
from connflow.connectivity.moments import accumulate_moments
from connflow.connectivity.params import ConnectivityParams

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
    lags = _lags(params, coarse.interval_s)
    blocks = split(activity.n_units, _SOURCE_BLOCK)
    compute = partial(_delays_of_sources, coarse, lags, np.sign(weight).astype(np.int8))
    return np.concatenate(list(map_blocks(compute, blocks)))


def _lags(params: ConnectivityParams, interval_s: float) -> NDArray[np.int64]:
    first = max(1, round(params.delay_min_s / interval_s))
    return np.arange(first, max(first, round(params.delay_max_s / interval_s)) + 1)


def _delays_of_sources(
    trains: SpikeTrains, lags: NDArray[np.int64], sign: NDArray[np.int8], rows: slice
) -> NDArray[np.float32]:
    sources, longest = np.arange(rows.start, rows.stop), int(lags[-1])
    counts = correlograms(trains, longest, sources=sources)[longest + lags]
    place = (counts * sign[rows]).argmax(axis=0)
    return np.asarray(lags[place] * trains.interval_s, np.float32)


def _delays_of_traces(
    activity: Traces,
    weight: NDArray[np.floating],
    params: ConnectivityParams,
    map_blocks: MapBlocks,
) -> NDArray[np.float32]:
    lags = _lags(params, activity.interval_s)
    if len(lags) == 1:
        return np.full(weight.shape, lags[0] * activity.interval_s, np.float32)
    windows = [(int(lag), int(lag)) for lag in lags]
    moments = accumulate_moments(activity, windows, with_gram=False, map_blocks=map_blocks)
    place = (moments.centred().cross * np.sign(weight)).argmax(axis=0)
    return np.asarray(lags[place] * activity.interval_s, np.float32)
