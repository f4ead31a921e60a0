"""The feed signal: what must have flowed into the calcium for it to move as it did."""

from collections.abc import Iterator

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_coeffs

from connflow.blocks import TIME_BLOCK, TimeUnitArray, padded_blocks
from connflow.deconvolution.params import DeconvolutionParams
from connflow.errors import InvalidInputError


def feed_signal(
    fluorescence: TimeUnitArray,
    frame_rate_hz: float,
    tau_s: NDArray[np.float64],
    params: DeconvolutionParams,
    units: slice | None = None,
    block_frames: int = TIME_BLOCK,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Compute ``dC/dt + C/tau`` from a Savitzky-Golay smooth, a block of frames at a time.

    Parameters
    ----------
    fluorescence : (n_frames, n_units) array-like
    frame_rate_hz : float
    tau_s : (n_chosen_units,) float64
        Decay time constants.
    params : DeconvolutionParams
        Window and degree.
    units : slice, optional
        Which units; all if None.
    block_frames : int
        Frames in a block. The values do not depend on it.

    Yields
    ------
    start : int
        Index of the block's first frame.
    feed : (n_block_frames, n_units) float32
        Per second. A constant baseline of the fluorescence adds a constant.

    Raises
    ------
    InvalidInputError
        If the window is longer than the recording.

    Notes
    -----
    Smooth ``S`` and slope ``D`` are fits of one polynomial over ``window_frames`` frames, both
    linear, so ``D + S / tau`` is one filter. Beyond the ends the outermost frame is repeated
    (``mode="nearest"`` of `scipy.signal.savgol_filter`).
    """
    n_frames, n_units = fluorescence.shape
    if params.window_frames > n_frames:
        raise InvalidInputError(
            f"deconvolution.window_frames is {params.window_frames}, but there are only "
            f"{n_frames} frames; choose a shorter window"
        )
    chosen = range(n_units)[units if units is not None else slice(None)]
    half = params.window_frames // 2
    taps = _feed_filter(params, frame_rate_hz, tau_s)

    def read(rows: slice) -> NDArray[np.float32]:
        return np.asarray(fluorescence[rows, chosen.start : chosen.stop], np.float32)

    for block, padded in padded_blocks(read, n_frames, half, half, block_frames):
        yield block.start, _filter(np.ascontiguousarray(padded), taps)


def _feed_filter(
    params: DeconvolutionParams, frame_rate_hz: float, tau_s: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the taps, shape (window_frames, n_units), in the order of the frames."""
    window, degree = params.window_frames, params.polyorder
    smooth = savgol_coeffs(window, degree, use="dot")
    slope = savgol_coeffs(window, degree, deriv=1, delta=1 / frame_rate_hz, use="dot")
    return np.asarray(slope[:, None] + smooth[:, None] / tau_s[None, :], np.float32)


@numba.njit(cache=True, nogil=True)
def _filter(padded: NDArray[np.float32], taps: NDArray[np.float32]) -> NDArray[np.float32]:
    n_taps, n_units = taps.shape
    result = np.zeros((len(padded) - n_taps + 1, n_units), np.float32)
    for k in range(len(result)):
        for j in range(n_taps):
            for i in range(n_units):
                result[k, i] += taps[j, i] * padded[k + j, i]
    return result
