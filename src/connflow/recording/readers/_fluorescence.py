"""Check fluorescence traces and bring them into the form of `FluorescenceRecording`.

In come the arrays of any reader, in the file's time unit; out comes a recording at a constant
frame rate, finite everywhere.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connflow.recording.model import FluorescenceRecording
from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import Contents, Notes, refuse
from connflow.recording.readers._frames import (
    find_time_base,
    frames_to_keep,
    wrong_axes,
)
from connflow.recording.readers._units import (
    as_numbers,
    given_unit_ids,
    keep_units,
    make_unit_table,
    some,
    true_weights,
)

logger = logging.getLogger(__name__)

_Traces = NDArray[np.float32]


def build_fluorescence(contents: Contents, params: RecordingParams) -> FluorescenceRecording:
    """Check the traces of a file and return them as a recording.

    Parameters
    ----------
    contents : Contents
        Its `arrays` hold ``fluorescence`` (n_frames, n_units) and, unless `params` says the
        frame rate, ``frame_rate_hz`` or ``frame_times`` (n_frames,).
    params : RecordingParams
        Time unit, interval, units to leave out, and the longest gap to interpolate.

    Raises
    ------
    RecordingError
        The message names the file, the field and the remedy.
    """
    traces, unit_ids = _read_traces(contents)
    frame_rate_hz, t_start = find_time_base(contents, params, len(traces))
    keep = keep_units(contents.name, unit_ids, params.exclude_units)
    weights = true_weights(contents, keep)
    notes: Notes = {}
    first, last = frames_to_keep(contents.name, params, len(traces), frame_rate_hz, t_start, notes)
    traces = _to_float32(traces[first:last, keep])
    _refuse_infinite(contents.name, traces, unit_ids[keep], first)
    _fill_gaps(contents.name, params, traces, unit_ids[keep], first, frame_rate_hz, notes)
    refuse_constant(contents.name, "fluorescence", traces, unit_ids[keep])
    units = make_unit_table(contents, unit_ids, keep)
    t_first = t_start + first / frame_rate_hz
    return FluorescenceRecording(traces, frame_rate_hz, units, t_first, weights, notes)


def refuse_constant(
    name: str,
    field: str,
    traces: NDArray[Any],
    unit_ids: NDArray[np.int64],
    exclude: Sequence[int] = (),
) -> None:
    """Refuse traces (n_frames, n_units) that never change, except in the units left out."""
    constant = (traces == traces[:1]).all(axis=0) & ~np.isin(unit_ids, np.asarray(exclude, int))
    if constant.any():
        raise refuse(
            name,
            field,
            f"the traces of units {some(unit_ids[constant])} are constant",
            "Leave them out with recording.exclude_units, or name the right file",
        )


def _read_traces(contents: Contents) -> tuple[NDArray[Any], NDArray[np.int64]]:
    traces = as_numbers(contents.name, "fluorescence", contents.arrays["fluorescence"], 2)
    unit_ids = given_unit_ids(contents)
    if unit_ids is None:
        unit_ids = np.arange(traces.shape[1])
        if traces.shape[1] > len(traces) and "frame_times" not in contents.arrays:
            logger.warning(
                "%s: fluorescence: shape %s has more units than frames; the order read is "
                "(time, unit)",
                contents.name,
                traces.shape,
            )
    if len(unit_ids) != traces.shape[1]:
        raise wrong_axes(contents.name, traces.shape, f"{len(unit_ids)} unit ids")
    if len(traces) < 2:
        raise wrong_axes(contents.name, traces.shape, "at least 2 frames expected")
    return traces, unit_ids


def _to_float32(traces: NDArray[Any]) -> _Traces:
    with np.errstate(over="ignore"):  # what is too great becomes inf and is refused
        return np.ascontiguousarray(traces, np.float32)


def _refuse_infinite(name: str, traces: _Traces, unit_ids: NDArray[np.int64], first: int) -> None:
    infinite = np.isinf(traces)
    if infinite.any():
        frame, column = np.argwhere(infinite)[0]
        raise refuse(
            name,
            "fluorescence",
            f"{infinite.sum()} values are infinite or beyond float32 (first: unit "
            f"{unit_ids[column]}, frame {first + frame})",
            "Correct the file, or leave the unit out with recording.exclude_units",
        )


def _fill_gaps(
    name: str,
    params: RecordingParams,
    traces: _Traces,
    unit_ids: NDArray[np.int64],
    first: int,
    frame_rate_hz: float,
    notes: Notes,
) -> None:
    """Interpolate short runs of NaN in place, linearly in time; at the edges the nearest value."""
    missing = np.isnan(traces)
    max_frames = int(params.max_nan_gap_s * frame_rate_hz + 1e-6)
    for column in np.flatnonzero(missing.any(axis=0)):
        gap = missing[:, column]
        start, length = _longest_run(gap)
        if length > max_frames or gap.all():
            raise refuse(
                name,
                "fluorescence",
                f"unit {unit_ids[column]} is NaN for {length} frames ({length / frame_rate_hz:.3g} "
                f"s) from frame {first + start}, the longest run allowed is {max_frames} frames",
                "Leave the unit out with recording.exclude_units, cut the time out with "
                "recording.t_start or recording.t_stop, or raise recording.max_nan_gap_s",
            )
        frames = np.flatnonzero(~gap)
        traces[gap, column] = np.interp(np.flatnonzero(gap), frames, traces[frames, column])
    if n_missing := int(missing.sum()):
        notes["interpolated_frames"] = n_missing
        logger.warning("%s: interpolated %d missing values of fluorescence", name, n_missing)


def _longest_run(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return start and length of the longest run of True."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    longest = int(np.argmax(stops - starts))
    return int(starts[longest]), int(stops[longest] - starts[longest])
