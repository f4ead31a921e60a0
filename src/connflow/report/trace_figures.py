"""Figure of fluorescence traces with the activity that was deconvolved from them."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from connflow.errors import InvalidInputError
from connflow.recording.model import SpikeRecording
from connflow.report.params import ReportParams
from connflow.report.style import (
    COLOURS,
    FONT,
    FULL_WIDTH_IN,
    Drawing,
    new_figure,
    spread_indices,
    style_axes,
)

# Where in its lane of height 1 a trace may lie: bottom, height.
UPPER, LOWER, WHOLE = (0.40, 0.46), (0.10, 0.22), (0.12, 0.74)
FLUORESCENCE, ACTIVITY = COLOURS["calcium"], COLOURS["unknown"]
LANE_RULE: dict[str, Any] = {"color": COLOURS["faint"], "linewidth": 0.8, "zorder": 0}
SPIKE_COLOUR = COLOURS["excitatory"]


def draw_traces(
    fluorescence: xr.DataArray | None,
    activity: xr.DataArray | None,
    recording: SpikeRecording | None,
    params: ReportParams,
) -> Drawing:
    """Draw a few units' fluorescence and, below each, the activity deconvolved from it.

    Parameters
    ----------
    fluorescence, activity : (time, unit) DataArray
        At least one of them, over the same units.
    recording : SpikeRecording, optional
        Where the true spikes are, if they are known.
    params : ReportParams
        How many units and seconds.
    """
    given = {
        colour: _first_seconds(trace, params.raster_s)
        for trace, colour in ((fluorescence, FLUORESCENCE), (activity, ACTIVITY))
        if trace is not None
    }
    leading = next(iter(given.values()))
    bands = (UPPER, LOWER) if len(given) == 2 else (WHOLE,)
    lanes = _choose_units(leading, params.n_trace_units)
    figure = new_figure(FULL_WIDTH_IN, 0.8 + 0.86 * len(lanes))
    axes = _prepare_lanes(figure.subplots(), leading, lanes)
    for lane, unit in enumerate(lanes):
        for band, (colour, trace) in zip(bands, given.items(), strict=True):
            _plot_trace(axes, -lane, trace.isel(unit=unit), band, colour)
        if recording is not None:
            _plot_true_spikes(axes, -lane, leading.isel(unit=unit), recording)
    return Drawing(
        figure,
        "Fluorescence" if activity is None else "Fluorescence and deconvolved activity",
        f"Traces of {len(lanes)} units over {_seconds(leading).max() - _seconds(leading).min():.3g}"
        " s, one lane a unit.",
        _describe(list(given), len(lanes), leading.sizes["unit"], recording is not None),
        is_wide=True,
    )


def _first_seconds(trace: xr.DataArray, duration_s: float) -> xr.DataArray:
    trace = trace.transpose("time", "unit")
    if trace.sizes["time"] == 0:
        raise InvalidInputError(
            "the excerpt of fluorescence or activity holds no frame; hand in "
            "None to leave the traces out"
        )
    time = _seconds(trace)
    return trace.isel(time=slice(0, int(np.searchsorted(time, time[0] + duration_s))))


def _seconds(trace: xr.DataArray) -> NDArray[np.float64]:
    return np.asarray(trace["time"], np.float64)


def _choose_units(trace: xr.DataArray, n_wanted: int) -> list[int]:
    ranking = np.argsort(-np.asarray(trace).std(axis=0), kind="stable")
    return [int(unit) for unit in ranking[spread_indices(len(ranking), n_wanted)]]


def _prepare_lanes(axes: Axes, trace: xr.DataArray, lanes: list[int]) -> Axes:
    style_axes(axes, "time (s)")
    time = _seconds(trace)
    axes.set_xlim(time[0], max(time[-1], time[0] + 1e-3))
    axes.set_ylim(-len(lanes) + 0.97, 0.95)
    names = [f"unit {str(trace['unit'].to_numpy()[unit])[:12]}" for unit in lanes]
    axes.set_yticks([0.5 - lane for lane in range(len(lanes))], names)
    axes.tick_params(axis="y", length=0)
    axes.hlines([-lane - 0.03 for lane in range(len(lanes) - 1)], *axes.get_xlim(), **LANE_RULE)
    axes.spines["left"].set_visible(False)
    return axes


def _describe(colours: list[str], n_shown: int, n_all: int, has_spikes: bool) -> str:
    parts = {FLUORESCENCE: "green: fluorescence", ACTIVITY: "dark: deconvolved activity"}
    lines = [parts[colour] for colour in colours]
    lines += ["orange ticks: the true spikes"] if has_spikes else []
    which = (
        f"All {n_all} units" if n_shown == n_all else f"{n_shown} of {n_all} units, spread evenly"
    )
    return (
        f"{'; '.join(lines).capitalize()}. {which}, from the most to the least variable. Each "
        "trace fills its own lane; its peak-to-peak range stands to the right."
    )


def _plot_trace(
    axes: Axes, base: int, trace: xr.DataArray, band: tuple[float, float], colour: str
) -> None:
    bottom, height = band
    values = np.asarray(trace, np.float64)
    extent = float(np.ptp(values))
    scaled = (values - values.min()) / extent if extent > 0 else np.zeros(len(values))
    axes.plot(_seconds(trace), base + bottom + height * scaled, color=colour, linewidth=0.9)
    axes.text(
        1.005,
        base + bottom + height / 2,
        f"{extent:.3g} {str(trace.attrs.get('units', 'a.u.'))[:14]}",
        transform=axes.get_yaxis_transform(),
        fontsize=8,
        color=colour,
        va="center",
        **FONT,
    )


def _plot_true_spikes(
    axes: Axes, base: int, trace: xr.DataArray, recording: SpikeRecording
) -> None:
    time = _seconds(trace)
    rows = np.flatnonzero(recording.unit_ids == trace["unit"].item())
    first, last = np.searchsorted(recording.spike_times, [time[0], time[-1]])
    is_own = np.isin(recording.spike_units[first:last], rows)
    spikes = recording.spike_times[first:last][is_own]
    axes.vlines(spikes, base, base + 0.07, color=SPIKE_COLOUR, linewidth=0.9)
