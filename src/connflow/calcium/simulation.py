"""The recursion of first-order calcium, with noise before and after it."""

from collections.abc import Callable, Iterator

import numba
import numpy as np
from numpy.typing import NDArray

from connflow.blocks import TIME_BLOCK, TimeUnitArray, split
from connflow.calcium.params import CalciumParams
from connflow.errors import InvalidInputError
from connflow.noise import NormalStreams

_LANES = 16  # units that the recursion takes abreast: one cache line of float32


def simulate_calcium(
    spike_counts: TimeUnitArray,
    bin_size_s: float,
    params: CalciumParams,
    units: slice | None = None,
    block_frames: int = TIME_BLOCK,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Simulate the fluorescence of some units, a block of frames at a time.

    Parameters
    ----------
    spike_counts : (n_time_bins, n_units) array-like
    bin_size_s : float
        Width of a bin, and time between frames, in seconds.
    params : CalciumParams
    units : slice, optional
        Which units to simulate; all if None. The noise of a unit depends on its place among all
        units and on the seed, on nothing else.
    block_frames : int
        Frames in a block. The values do not depend on it.

    Yields
    ------
    start : int
        Index of the block's first frame in the output.
    fluorescence : (n_block_frames, n_units) float32

    Raises
    ------
    InvalidInputError
        If as many frames are dropped as there are bins.

    Notes
    -----
    With counts ``s``, ``gamma = exp(-bin_size_s / tau_s)`` and unit normal ``e``, ``n``::

        c[k] = gamma c[k-1] + amplitude (s[k] + input_noise_sd e[k])
        F[k] = c[k] + noise_sd n[k]
    """
    n_bins, n_units = spike_counts.shape
    if params.dropped_frames >= n_bins:
        raise InvalidInputError(
            f"calcium.dropped_frames is {params.dropped_frames}, but there are only {n_bins} "
            "frames; drop fewer, or record longer"
        )
    chosen = range(n_units)[units if units is not None else slice(None)]
    gamma = np.float32(np.exp(-bin_size_s / params.tau_s))
    draw_input_noise = _noise(params, 0, chosen, params.amplitude * params.input_noise_sd)
    draw_read_noise = _noise(params, 1, chosen, params.noise_sd)
    calcium = np.zeros(len(chosen), np.float32)
    simulated = 0
    for block in split(n_bins - params.dropped_frames, block_frames):
        frames = slice(simulated, block.stop + params.dropped_frames)  # the first has those dropped
        simulated = frames.stop
        counts = np.asarray(spike_counts[frames, chosen.start : chosen.stop])
        traces = np.empty(counts.shape, np.float32)
        _run_recursion(
            counts,
            draw_input_noise(frames),
            draw_read_noise(frames),
            gamma,
            np.float32(params.amplitude),
            calcium,
            traces,
        )
        yield block.start, traces[-(block.stop - block.start) :]


def _noise(
    params: CalciumParams, purpose: int, units: range, sd: float
) -> Callable[[slice], NDArray[np.float32]]:
    """Return what draws the noise of a slice of frames, (n_units, n_frames); one row if none."""
    if sd == 0:
        return lambda frames: np.zeros((1, 1), np.float32)
    return NormalStreams(params.seed, purpose, units, sd).draw


@numba.njit(cache=True, nogil=True)
def _run_recursion(
    counts: NDArray[np.unsignedinteger],
    input_noise: NDArray[np.float32],
    read_noise: NDArray[np.float32],
    gamma: np.float32,
    amplitude: np.float32,
    calcium: NDArray[np.float32],
    traces: NDArray[np.float32],
) -> None:
    n_frames, n_units = counts.shape
    noisy_input, noisy_trace = len(input_noise) == n_units, len(read_noise) == n_units
    for first in range(0, n_units, _LANES):
        for k in range(n_frames):
            for i in range(first, min(first + _LANES, n_units)):
                c = gamma * calcium[i] + amplitude * np.float32(counts[k, i])
                if noisy_input:
                    c += input_noise[i, k]
                calcium[i] = c
                traces[k, i] = c + read_noise[i, k] if noisy_trace else c
