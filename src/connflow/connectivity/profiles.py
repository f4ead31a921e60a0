"""Second moments of spike trains seen through kernels of any shape.

A *profile* says what a spike adds to a feature of its unit at each delay. In: `SpikeTrains` and
integer profiles. Out: `Moments`, exact integers.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import MapBlocks, split
from connflow.connectivity import _profile_sweeps as sweeps
from connflow.connectivity.activity import Activity, SpikeTrains
from connflow.connectivity.events import add_transpose, sum_own
from connflow.connectivity.moments import Moments, trace_moments
from connflow.connectivity.spike_index import SpikeIndex, index_spikes
from connflow.progress import track

_ROW_BLOCK = 16  # units in a block of work


def profile_moments(
    activity: Activity, heights: NDArray[np.int64], map_blocks: MapBlocks = map
) -> Moments:
    """Sum the moments of an activity under one or several profiles.

    Parameters
    ----------
    activity : SpikeTrains or Traces
    heights : (n_delays, n_kernels) int64
        What one unit of activity adds to the features of its unit 0, 1, ... samples later; 0 at 0.
    map_blocks
        Who computes the blocks.

    Returns
    -------
    Moments
        With a Gram matrix, over the samples that have a whole past in their segment.
    """
    if isinstance(activity, SpikeTrains):
        return event_profile_moments(activity, heights, map_blocks)
    return trace_moments(activity, heights.astype(np.float32), map_blocks=map_blocks)


def event_profile_moments(
    trains: SpikeTrains, heights: NDArray[np.int64], map_blocks: MapBlocks = map
) -> Moments:
    """Sum the moments of spike trains under one or several profiles, spike by spike.

    Parameters
    ----------
    trains : SpikeTrains
    heights : (n_delays, n_kernels) int64
        What a spike adds to the features of its unit 0, 1, ... ticks later; 0 at 0.
    map_blocks
        Who computes the blocks of units.

    Returns
    -------
    Moments
        With a Gram matrix, around 0, over the ticks that have a whole past in their segment.

    Notes
    -----
    With ``x`` the spike counts of a unit per tick, its features are
    ``phi_f[t] = sum_d heights[d, f] x[t - d]``. Two spikes ``lag`` apart contribute the constant
    ``sum_d heights[d, f] heights[d - lag, g]``, which is tabulated.
    """
    past, n_kernels = len(heights) - 1, heights.shape[1]
    index, n_units = index_spikes(trains), trains.n_units
    n_sums = n_kernels**2 + n_kernels
    n_lanes = -(-n_sums // sweeps.LANES) * sweeps.LANES
    table = sweeps.tabulate_products(heights, n_lanes)
    blocks = split(n_units, _ROW_BLOCK)
    parts = track(map_blocks(partial(_sum_rows, index, heights, table), blocks), len(blocks))
    gram = np.empty((n_kernels, n_units, n_kernels, n_units))
    cross = np.empty((n_kernels, n_units, n_units))
    for rows, sums in zip(blocks, parts, strict=True):
        pairs = sums[:, :, : n_kernels**2].reshape(*sums.shape[:2], n_kernels, n_kernels)
        gram[:, rows] = pairs.transpose(2, 0, 3, 1)
        cross[:, rows] = sums[:, :, n_kernels**2 : n_sums].transpose(2, 0, 1)
    total, alone = sweeps.sum_features(index.ticks, index.units, index.segments, heights, n_units)
    _complete(gram, alone)
    target_sum, target_square = sum_own(index, (0, 0), past)
    square = gram.reshape(n_kernels * n_units, -1)
    return Moments(
        n_bins=int(np.maximum(np.diff(index.segments) - past, 0).sum()),
        feature_sum=total.astype(np.float64),
        target_sum=target_sum.astype(np.float64),
        target_square=target_square.astype(np.float64),
        gram=square,
        feature_square=np.diag(square).reshape(n_kernels, n_units).copy(),
        cross=cross,
    )


def _sum_rows(
    index: SpikeIndex, heights: NDArray[np.int64], table: NDArray[np.int64], rows: slice
) -> NDArray[np.int64]:
    """Return some sources' sums, (n_rows, n_units, n_lanes)."""
    sums = np.zeros((rows.stop - rows.start, index.n_units, table.shape[1]), np.int64)
    for number, row in enumerate(sums):
        sweeps.sweep_products(
            index.ticks,
            index.units,
            index.own(rows.start + number),
            index.segments,
            index.bounds,
            heights,
            table,
            row,
        )
    return sums


def _complete(gram: NDArray[np.float64], alone: NDArray[np.int64]) -> None:
    """Add the transpose to a half Gram matrix in place, and each spike's product with itself."""
    n_kernels, n_units = gram.shape[:2]
    square = gram.reshape(n_kernels * n_units, n_kernels * n_units)
    add_transpose(square)
    units = np.arange(n_units)
    for f in range(n_kernels):
        for g in range(n_kernels):
            gram[f, units, g, units] += alone[:, f, g]
