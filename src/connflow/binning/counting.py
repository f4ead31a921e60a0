"""Counting: the spikes of sorted times, per bin and unit."""

import math
from collections.abc import Iterator

import numba
import numpy as np
from numpy.typing import NDArray

from connflow.binning.params import BinningParams
from connflow.blocks import TIME_BLOCK
from connflow.errors import InvalidInputError
from connflow.recording.model import SpikeRecording

EDGE_TOLERANCE = 1e-6
"""Share of a bin by which a spike may lie before an edge and still count as on the edge.

Times on a grid, such as 0.57 s in bins of 10 ms, divide to 56.99999999999999 in floating point.
"""


def count_bins(recording: SpikeRecording, params: BinningParams) -> int:
    """Return how many bins cover the observed interval; the last one may be cut short."""
    exact = recording.duration_s / params.bin_size_s
    n_bins = max(1, math.ceil(exact - EDGE_TOLERANCE))
    if len(recording.spike_times) == 0:
        return n_bins
    last = _bin_index(recording.spike_times[-1:], recording.t_start, params.bin_size_s)
    return max(n_bins, int(last[0]) + 1)


def count_dtype(recording: SpikeRecording, params: BinningParams) -> np.dtype[np.unsignedinteger]:
    """Return the smallest unsigned type that holds every count, found in one pass over spikes."""
    largest = _largest_count(
        _bin_index(recording.spike_times, recording.t_start, params.bin_size_s),
        recording.spike_units,
        recording.n_units,
    )
    return np.min_scalar_type(int(largest))


def bin_spikes(
    recording: SpikeRecording, params: BinningParams, block_bins: int = TIME_BLOCK
) -> Iterator[tuple[int, NDArray[np.unsignedinteger]]]:
    """Count spikes per bin and unit, a block of bins at a time.

    Parameters
    ----------
    recording : SpikeRecording
    params : BinningParams
    block_bins : int
        Bins in a block. The counts do not depend on it.

    Yields
    ------
    start : int
        Index of the block's first bin.
    counts : (n_block_bins, n_units) unsigned integer
        Every spike of the recording is counted once, in the block that its bin lies in.

    Raises
    ------
    InvalidInputError
        If the recording is shorter than one bin.
    """
    if params.bin_size_s > recording.duration_s * (1 + EDGE_TOLERANCE):
        raise InvalidInputError(
            f"binning.bin_size_s is {params.bin_size_s:g} s, but the recording lasts only "
            f"{recording.duration_s:g} s; choose smaller bins"
        )
    n_bins, dtype = count_bins(recording, params), count_dtype(recording, params)
    bins = _bin_index(recording.spike_times, recording.t_start, params.bin_size_s)
    for start in range(0, n_bins, block_bins):
        stop = min(start + block_bins, n_bins)
        here = slice(*np.searchsorted(bins, [start, stop]))
        counts = np.zeros((stop - start, recording.n_units), dtype)
        _add_spikes(counts, bins[here] - start, recording.spike_units[here])
        yield start, counts


def _bin_index(
    spike_times: NDArray[np.float64], t_start: float, bin_size_s: float
) -> NDArray[np.int64]:
    position = (spike_times - t_start) / bin_size_s
    return np.floor(position + EDGE_TOLERANCE).astype(np.int64)


@numba.njit(cache=True, nogil=True)
def _add_spikes(
    counts: NDArray[np.unsignedinteger],
    bins: NDArray[np.int64],
    units: NDArray[np.int32],
) -> None:
    for k in range(len(bins)):
        counts[bins[k], units[k]] += 1


@numba.njit(cache=True, nogil=True)
def _largest_count(bins: NDArray[np.int64], units: NDArray[np.int32], n_units: int) -> int:
    current_bin = np.full(n_units, -1, np.int64)
    count = np.zeros(n_units, np.int64)
    largest = 0
    for k in range(len(bins)):
        unit = units[k]
        if current_bin[unit] != bins[k]:
            current_bin[unit], count[unit] = bins[k], 0
        count[unit] += 1
        largest = max(largest, count[unit])
    return largest
