"""Read NWB files with pynwb: the units table, or ROI responses in a processing module."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import (
    Contents,
    Signal,
    check_names,
    choose_signal,
    reading,
    refuse,
)
from connflow.recording.readers._source import Source

_Traces = dict[str, Any]  # "module/container/series" to RoiResponseSeries


def read_nwb(source: Source, params: RecordingParams) -> Contents:
    """Take the spike trains or the fluorescence of an NWB file.

    Parameters
    ----------
    source : Source
        The file. Unit ids are the ids of the units table or of the ROI table; scalar columns of
        the units table go into the unit table.
    params : RecordingParams
        Its `signal`; ``names["fluorescence"]`` chooses between several ROI response series, by
        name or by ``module/container/series``. DfOverF goes before Fluorescence.
    """
    check_names(source.name, params.names, ["fluorescence"])
    with reading(source.name, "NWB"), _opened(source) as file:
        traces = _find_traces(file)
        signal = choose_signal(source.name, _signals(file, traces), params, _describe(file))
        if signal == "spikes":
            return _spikes(source.name, file.units)
        return _fluorescence(source.name, _choose_traces(source.name, traces, params))


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pynwb warns of metadata that older files lack
        pynwb = import_module("pynwb")  # takes a second
        with pynwb.NWBHDF5IO(str(source.path), "r") as io:
            yield io.read()


def _signals(file: Any, traces: _Traces) -> list[Signal]:
    has_spikes = file.units is not None and "spike_times" in file.units.colnames
    spikes: list[Signal] = ["spikes"] if has_spikes else []
    return [*spikes, "fluorescence"] if traces else spikes


def _kind(thing: Any) -> str:
    return type(thing).__name__


def _describe(file: Any) -> list[str]:
    """Say what the file holds, for the message that nothing fits."""
    names = [f"{_kind(child)} {name!r}" for name, child in _interfaces(file)]
    columns = "none" if file.units is None else ", ".join(file.units.colnames) or "no columns"
    return [*names, f"units table: {columns}"]


def _interfaces(file: Any) -> list[tuple[str, Any]]:
    return [
        (f"{module.name}/{interface.name}", interface)
        for module in file.processing.values()
        for interface in module.data_interfaces.values()
    ]


def _spikes(name: str, units: Any) -> Contents:
    unit_ids = np.asarray(units.id[:])
    times, counts = _ragged(name, units)
    arrays = {
        "spike_times": times,
        "spike_units": np.repeat(unit_ids, counts),
        "unit_ids": unit_ids,
    } | _shared_intervals(units)
    return Contents(name, "spikes", arrays, columns=_scalar_columns(units), by_unit=True)


def _shared_intervals(units: Any) -> dict[str, NDArray[Any]]:
    """Return the intervals of observation where all units have the same."""
    if "obs_intervals" not in units.colnames:
        return {}
    first, *others = (np.asarray(units["obs_intervals"][row]) for row in range(len(units)))
    return {"intervals": first} if all(np.array_equal(first, one) for one in others) else {}


def _ragged(name: str, units: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return all spike times, unit after unit, and the number of spikes of each unit."""
    times = np.asarray(units.spike_times_index.target.data[:])
    ends = np.asarray(units.spike_times_index.data[:]).astype(np.int64)  # stored as small as uint8
    counts = np.diff(ends, prepend=0)
    if (counts < 0).any() or counts.sum() != len(times):
        raise refuse(
            name,
            "units/spike_times_index",
            f"its ends are not ascending up to the {len(times)} spike times",
            "Write the file again",
        )
    return times, counts


def _scalar_columns(units: Any) -> dict[str, NDArray[Any]]:
    """Return the columns with one number or text a unit; ragged and object ones are left out."""
    columns = {}
    for name in units.colnames:
        if _kind(units[name]) != "VectorData":  # an index: ragged, such as spike_times
            continue
        values = np.asarray(units[name].data[:])
        is_text = values.dtype.kind == "O" and all(isinstance(value, str) for value in values)
        if values.ndim == 1 and len(values) == len(units) and (is_text or _is_plain(values)):
            columns[name] = values
    return columns


def _is_plain(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "biufU"


def _find_traces(file: Any) -> _Traces:
    found = [
        (f"{path}/{series.name}", _kind(interface), series)
        for path, interface in _interfaces(file)
        if _kind(interface) in ("DfOverF", "Fluorescence")
        for series in interface.roi_response_series.values()
    ]
    # DfOverF first: the order says which is preferred
    return {path: series for path, _, series in sorted(found, key=lambda entry: entry[1])}


def _choose_traces(name: str, traces: _Traces, params: RecordingParams) -> Any:
    wanted = params.names.get("fluorescence")
    if wanted is not None:
        chosen = [path for path in traces if path == wanted or path.endswith(f"/{wanted}")]
    else:
        dff = [path for path in traces if _kind(traces[path].parent) == "DfOverF"]
        chosen = dff or list(traces)
    if len(chosen) != 1:
        raise refuse(
            name,
            "fluorescence",
            f"{'no' if not chosen else len(chosen)} ROI response series fit, of "
            f"{', '.join(traces)}",
            "Set recording.names to {fluorescence: one of these}",
        )
    return traces[chosen[0]]


def _fluorescence(name: str, series: Any) -> Contents:
    data = np.asarray(series.data[:])
    data = data[:, np.newaxis] if data.ndim == 1 else data  # one ROI
    rois = np.asarray(series.rois.data[:])
    arrays = {
        "fluorescence": data * series.conversion + series.offset,
        "unit_ids": np.asarray(series.rois.table.id[:])[rois],
        **_time_base(series),
    }
    return Contents(name, "fluorescence", arrays)


def _time_base(series: Any) -> dict[str, NDArray[Any]]:
    if series.rate is None:
        return {"frame_times": np.asarray(series.timestamps[:])}
    return {
        "frame_rate_hz": np.asarray(series.rate),
        "t_start": np.asarray(series.starting_time or 0.0),
    }
