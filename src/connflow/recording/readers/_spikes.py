"""Check spike trains and bring them into the form of `SpikeRecording`.

In come the arrays of any reader, in the file's time unit; out comes a recording in seconds.
"""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connflow.recording.model import SpikeRecording
from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import Contents, Notes, refuse
from connflow.recording.readers._interval import (
    clip_spikes,
    cut_gapless,
    drop_outside,
    find_interval,
    read_gapless,
)
from connflow.recording.readers._units import (
    as_numbers,
    as_unit_ids,
    given_unit_ids,
    keep_units,
    make_unit_table,
    some,
    true_weights,
)

logger = logging.getLogger(__name__)

_Times = NDArray[np.float64]
_Rows = NDArray[np.int64]


def build_spikes(contents: Contents, params: RecordingParams) -> SpikeRecording:
    """Check the spikes of a file and return them as a recording.

    Parameters
    ----------
    contents : Contents
        Its `arrays` hold ``spike_times`` and ``spike_units``, both (n_spikes,).
    params : RecordingParams
        Time unit, interval, units to leave out, and what to do with flaws.

    Raises
    ------
    RecordingError
        The message names the file, the field and the remedy.
    """
    times, ids = _read_pairs(contents, params.time_unit_s)
    unit_ids = _resolve_unit_ids(contents, ids)
    keep = keep_units(contents.name, unit_ids, params.exclude_units)
    weights = true_weights(contents, keep)
    rows = _rows_of(contents.name, ids, unit_ids)
    kept_spikes = np.flatnonzero(keep[rows])
    _refuse_nonfinite(contents.name, times, ids, kept_spikes)
    notes: Notes = {}
    kept_spikes = _put_in_order(contents, params, times, rows, kept_spikes, notes)
    times, rows = times[kept_spikes], (np.cumsum(keep) - 1)[rows[kept_spikes]]
    stated = read_gapless(contents, params)
    t_start, t_stop = find_interval(contents, params, times, stated)
    times, rows = clip_spikes(contents.name, times, rows, (t_start, t_stop), notes)
    gapless = cut_gapless(contents.name, stated, (t_start, t_stop))
    times, rows = drop_outside(contents.name, times, rows, gapless, notes)
    times, rows = _single(contents.name, params, times, rows, unit_ids[keep], notes)
    units = make_unit_table(contents, unit_ids, keep)
    units_of_spikes = rows.astype(np.int32)
    return SpikeRecording(times, units_of_spikes, units, t_start, t_stop, weights, notes, gapless)


def _read_pairs(contents: Contents, time_unit_s: float) -> tuple[_Times, _Rows]:
    for field in ("spike_times", "spike_units"):
        if field not in contents.arrays:
            raise refuse(
                contents.name,
                field,
                "is missing",
                f"Say in recording.names what {field} is called in this file",
            )
    times = as_numbers(contents.name, "spike_times", contents.arrays["spike_times"], 1)
    ids = as_unit_ids(contents.name, "spike_units", contents.arrays["spike_units"])
    if len(times) != len(ids):
        raise refuse(
            contents.name,
            "spike_units",
            f"{len(ids)} unit ids for {len(times)} spike times",
            "Write one unit id for each spike",
        )
    if len(times) == 0:
        raise refuse(contents.name, "spike_times", "there are no spikes", "Name another file")
    return times.astype(np.float64) * time_unit_s, ids


def _resolve_unit_ids(contents: Contents, ids: _Rows) -> NDArray[np.int64]:
    """Return the file's unit ids, else those that spike, else as many as there are weights."""
    given = given_unit_ids(contents)
    if given is not None:
        return given
    spiking = np.unique(ids)
    n_weights = len(np.atleast_1d(contents.arrays.get("weights", np.empty(0))))
    if n_weights <= len(spiking):
        return spiking
    if spiking[0] < 0 or spiking[-1] >= n_weights:
        raise refuse(
            contents.name,
            "weights",
            f"{n_weights} rows, but {len(spiking)} units spike, with ids from {spiking[0]} to "
            f"{spiking[-1]}: which row is which unit is not said",
            "Add unit_ids, one id for each row",
        )
    return np.arange(n_weights)


def _rows_of(name: str, ids: _Rows, unit_ids: NDArray[np.int64]) -> _Rows:
    """Return for each spike the row of its unit in `unit_ids`."""
    order = np.argsort(unit_ids)
    slots = np.searchsorted(unit_ids, ids, sorter=order).clip(max=len(unit_ids) - 1)
    rows: _Rows = order[slots]
    if (unit_ids[rows] != ids).any():
        unknown = np.setdiff1d(ids, unit_ids)
        raise refuse(
            name,
            "spike_units",
            f"units {some(unknown)} spike but are not in unit_ids",
            "Add them to unit_ids, or leave their spikes out of the file",
        )
    return rows


def _refuse_nonfinite(name: str, times: _Times, ids: _Rows, kept: _Rows) -> None:
    bad = kept[~np.isfinite(times[kept])]
    if bad.size:
        raise refuse(
            name,
            "spike_times",
            f"{bad.size} values are NaN or infinite (first at index {bad[0]}, unit {ids[bad[0]]})",
            "Remove them from the file, or leave the unit out with recording.exclude_units",
        )


def _put_in_order(
    contents: Contents,
    params: RecordingParams,
    times: _Times,
    rows: _Rows,
    kept: _Rows,
    notes: Notes,
) -> _Rows:
    """Return the indices of the spikes kept, in the order of time."""
    falls = np.diff(times[kept]) < 0
    if contents.by_unit:
        falls &= np.diff(rows[kept]) == 0
    if falls.any():
        first = kept[np.argmax(falls) + 1]
        _report_unsorted(contents.name, params, int(falls.sum()), int(first), times, notes)
    if falls.any() or contents.by_unit:
        return kept[np.argsort(times[kept], kind="stable")]
    return kept


def _report_unsorted(
    name: str,
    params: RecordingParams,
    n_falls: int,
    first: int,
    times: _Times,
    notes: Notes,
) -> None:
    if params.on_unsorted == "raise":
        raise refuse(
            name,
            "spike_times",
            f"not ascending: at index {first} {times[first]:.9g} s comes after an earlier but "
            "greater time",
            "Set recording.on_unsorted to sort if only the order is wrong",
        )
    notes["unsorted_spikes"] = n_falls
    logger.warning("%s: sorted spike times that fell back at %d places", name, n_falls)


def _single(
    name: str,
    params: RecordingParams,
    times: _Times,
    rows: _Rows,
    unit_ids: NDArray[np.int64],
    notes: Notes,
) -> tuple[_Times, _Rows]:
    """Refuse or drop second spikes of one unit at one time."""
    again = _repeated(times, rows)
    if again.size == 0:
        return times, rows
    if params.on_duplicate == "raise":
        first = again[0]
        n_there = 1 + int(((times[again] == times[first]) & (rows[again] == rows[first])).sum())
        raise refuse(
            name,
            "spike_times",
            f"unit {unit_ids[rows[first]]} spikes {n_there} times at {times[first]:.9g} s; "
            f"{again.size} such duplicates in all",
            "Set recording.on_duplicate to drop to keep one of each",
        )
    notes["dropped_duplicates"] = int(again.size)
    logger.warning("%s: dropped %d duplicate spikes", name, again.size)
    return np.delete(times, again), np.delete(rows, again)


def _repeated(times: _Times, rows: _Rows) -> NDArray[Any]:
    """Return the indices of spikes whose unit has an earlier one at the same time."""
    same_as_next = np.diff(times) == 0
    tied = np.flatnonzero(np.append(same_as_next, False) | np.append(False, same_as_next))
    by_unit = tied[np.lexsort((tied, rows[tied], times[tied]))]
    same = (np.diff(times[by_unit]) == 0) & (np.diff(rows[by_unit]) == 0)
    return np.sort(by_unit[1:][same])
