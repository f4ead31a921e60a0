"""The observed interval of a spike recording, and the spikes outside it.

Each edge of ``[t_start, t_stop)`` comes from the parameters, else from the file, else from its
intervals, if it names any, else from the spikes. Spikes outside edges from the parameters, or from
intervals, are left out and counted; spikes outside edges that the file states contradict it, which
is an error.
"""

import logging

import numpy as np
from numpy.typing import NDArray

from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import Contents, Notes, refuse
from connflow.recording.readers._units import as_numbers, as_scalar

logger = logging.getLogger(__name__)

_Times = NDArray[np.float64]
_Rows = NDArray[np.int64]


def find_interval(
    contents: Contents,
    params: RecordingParams,
    times: _Times,
    gapless: NDArray[np.float64] | None,
) -> tuple[float, float]:
    """Return the interval of ascending spike times, in seconds.

    Without an edge anywhere it is that of the stretches without a gap; without these it starts at
    the whole second at or before the first spike and stops at the smallest float above the last.
    """
    if times.size == 0:
        raise refuse(
            contents.name,
            "spike_times",
            "the units that are kept have no spikes",
            "Shorten recording.exclude_units",
        )
    t_start = _edge(contents, params, "t_start", times)
    t_stop = _edge(contents, params, "t_stop", times)
    if t_start is None:
        t_start = _start_of(contents.name, times) if gapless is None else float(gapless[0, 0])
    if t_stop is None:
        after = np.nextafter(times[-1], np.inf) if gapless is None else gapless[-1, 1]
        t_stop = float(after)
    if t_stop <= t_start:
        raise refuse(
            contents.name,
            "t_stop",
            f"the interval [{t_start:.9g}, {t_stop:.9g}) s is empty",
            "Correct recording.t_start and recording.t_stop",
        )
    return t_start, t_stop


def _edge(contents: Contents, params: RecordingParams, field: str, times: _Times) -> float | None:
    """Return an edge from the parameters, else from the file, where no spike may lie outside."""
    given: float | None = getattr(params, field)
    stated = as_scalar(contents, field)
    if given is not None or stated is None:
        return given
    edge = stated * params.time_unit_s
    outside = times < edge if field == "t_start" else times >= edge
    if outside.any():
        side = "before" if field == "t_start" else "at or after"
        raise refuse(
            contents.name,
            field,
            f"the file says {edge:.9g} s, but {outside.sum()} spikes lie {side} it (the interval "
            f"is half open), the first at {times[outside][0]:.9g} s",
            f"Set recording.{field}: to this value to leave them out, to another to keep them",
        )
    return edge


def _start_of(name: str, times: _Times) -> float:
    if times[0] < 0:
        raise refuse(
            name,
            "spike_times",
            f"{(times < 0).sum()} spikes lie before 0 s (first at {times[0]:.9g} s) and the file "
            "does not say when the recording starts",
            "Set recording.t_start, for example to 0 to leave them out",
        )
    return float(np.floor(times[0]))


def clip_spikes(
    name: str, times: _Times, rows: _Rows, interval: tuple[float, float], notes: Notes
) -> tuple[_Times, _Rows]:
    """Return the spikes inside the interval; count the others in `notes`."""
    first, last = np.searchsorted(times, interval)
    n_clipped = len(times) - int(last - first)
    if first == last:
        raise refuse(
            name,
            "spike_times",
            f"all {n_clipped} spikes lie outside [{interval[0]:.9g}, {interval[1]:.9g}) s: the "
            f"recording runs from {times[0]:.9g} to {times[-1]:.9g} s",
            "Correct recording.t_start, recording.t_stop or recording.time_unit_s",
        )
    if n_clipped:
        notes["clipped_spikes"] = n_clipped
        logger.warning("%s: left out %d spikes outside [%g, %g) s", name, n_clipped, *interval)
    return times[first:last], rows[first:last]


def read_gapless(contents: Contents, params: RecordingParams) -> NDArray[np.float64] | None:
    """Return the file's stretches without a gap, in seconds; None if it names none."""
    if "intervals" not in contents.arrays:
        return None
    stated = as_numbers(contents.name, "intervals", contents.arrays["intervals"], 2)
    edges = stated.astype(np.float64).ravel() * params.time_unit_s
    if stated.shape[1] != 2 or stated.size == 0 or (np.diff(edges) < 0).any():
        raise refuse(
            contents.name,
            "intervals",
            f"expected rows of start and stop, ascending and disjoint, found shape {stated.shape}",
            "Write one row (start, stop) for each stretch without a gap",
        )
    return edges.reshape(-1, 2)


def cut_gapless(
    name: str, gapless: NDArray[np.float64] | None, interval: tuple[float, float]
) -> NDArray[np.float64] | None:
    """Return what of the stretches lies in the interval."""
    if gapless is None:
        return None
    cut = np.clip(gapless, *interval)
    kept = cut[cut[:, 1] > cut[:, 0]]
    if len(kept) == 0:
        raise refuse(
            name,
            "intervals",
            f"none of them lies in [{interval[0]:.9g}, {interval[1]:.9g}) s",
            "Correct intervals, recording.t_start or recording.t_stop",
        )
    return kept


def drop_outside(
    name: str, times: _Times, rows: _Rows, gapless: NDArray[np.float64] | None, notes: Notes
) -> tuple[_Times, _Rows]:
    """Return the spikes inside the stretches without a gap; count the others in `notes`."""
    if gapless is None:
        return times, rows
    home = np.searchsorted(gapless[:, 0], times, side="right") - 1
    inside = (home >= 0) & (times < gapless[home, 1])
    n_outside = int((~inside).sum())
    if n_outside:
        notes["spikes_in_gaps"] = n_outside
        logger.warning("%s: left out %d spikes between the intervals", name, n_outside)
    return times[inside], rows[inside]
