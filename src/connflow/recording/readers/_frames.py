"""When the frames of a fluorescence recording were taken: rate, start, and the interval to use."""

import logging

import numpy as np
from numpy.typing import NDArray

from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import Contents, Notes, refuse
from connflow.recording.readers._units import as_numbers, as_scalar

logger = logging.getLogger(__name__)

_MAX_INTERVAL_DEVIATION = 0.1  # of the median frame interval
_MAX_RATE_DEVIATION = 0.01  # between two statements of the frame rate


def wrong_axes(name: str, shape: tuple[int, ...], came: str) -> Exception:
    """Return the error for traces whose shape does not fit another field."""
    return refuse(
        name,
        "fluorescence",
        f"its shape is {shape}, read in the order (time, unit), but {came}",
        "Transpose it to (time, unit) if it has the units first, or correct the other field",
    )


def find_time_base(
    contents: Contents, params: RecordingParams, n_frames: int
) -> tuple[float, float]:
    """Return the frame rate in Hz and the time of the first frame in s."""
    stated = as_scalar(contents, "frame_rate_hz")
    t_start = (as_scalar(contents, "t_start") or 0.0) * params.time_unit_s
    measured = None
    if "frame_times" in contents.arrays:
        frame_times = _regular_times(contents, params.time_unit_s, n_frames)
        measured = (n_frames - 1) / float(frame_times[-1] - frame_times[0])
        t_start = float(frame_times[0])
    return _agreed_rate(contents.name, stated, measured, params.frame_rate_hz), t_start


def _agreed_rate(
    name: str, stated: float | None, measured: float | None, given: float | None
) -> float:
    """Return the one frame rate that the file and the parameters tell, at least one of them."""
    rates = [rate for rate in (stated, measured, given) if rate is not None]
    if not rates:
        raise refuse(
            name,
            "frame_rate_hz",
            "neither the file nor the parameters say the frame rate (Suite2p keeps it in ops.npy, "
            "a pickle, which is never loaded)",
            "Set recording.frame_rate_hz",
        )
    if min(rates) <= 0 or max(rates) > min(rates) * (1 + _MAX_RATE_DEVIATION):
        raise refuse(
            name,
            "frame_rate_hz",
            f"no single positive rate: the file states {stated}, its frame times give {measured}, "
            f"recording.frame_rate_hz is {given}",
            "Leave recording.frame_rate_hz out, or correct recording.time_unit_s or the file",
        )
    return measured or rates[0]


def _regular_times(contents: Contents, time_unit_s: float, n_frames: int) -> NDArray[np.float64]:
    times = as_numbers(contents.name, "frame_times", contents.arrays["frame_times"], 1)
    if len(times) != n_frames:
        shape = np.shape(contents.arrays["fluorescence"])
        raise wrong_axes(contents.name, shape, f"{len(times)} frame_times")
    times = times.astype(np.float64) * time_unit_s
    intervals = np.diff(times)
    median = np.median(intervals)
    # "not (...)" so that NaN counts as irregular
    odd = ~((intervals > 0) & (np.abs(intervals - median) <= _MAX_INTERVAL_DEVIATION * median))
    if odd.any():
        first = int(np.argmax(odd))
        raise refuse(
            contents.name,
            "frame_times",
            f"{odd.sum()} intervals are irregular: from frame {first} to {first + 1} "
            f"{intervals[first]:.6g} s, median {median:.6g} s",
            "Resample to a constant frame rate, filling dropped frames with NaN",
        )
    return times


def frames_to_keep(
    name: str,
    params: RecordingParams,
    n_frames: int,
    frame_rate_hz: float,
    t_start: float,
    notes: Notes,
) -> tuple[int, int]:
    """Return the first frame in the interval of the parameters and the first one after it."""
    edges = np.array([params.t_start, params.t_stop], np.float64)  # None becomes NaN
    frames = np.ceil((edges - t_start) * frame_rate_hz - 1e-6)  # a frame on the edge is in
    first, last = np.where(np.isnan(frames), [0, n_frames], frames).clip(0, n_frames).astype(int)
    if last - first < 2:
        raise refuse(
            name,
            "frame_times",
            f"fewer than 2 frames lie in the interval: the recording runs from {t_start:.9g} to "
            f"{t_start + n_frames / frame_rate_hz:.9g} s",
            "Correct recording.t_start and recording.t_stop",
        )
    if n_clipped := n_frames - int(last - first):
        notes["clipped_frames"] = n_clipped
        logger.warning("%s: left out %d frames outside the interval", name, n_clipped)
    return int(first), int(last)
