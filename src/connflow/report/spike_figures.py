"""Figures of spikes: raster with population rate, firing rates, irregularity."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from connflow.recording.model import SpikeRecording
from connflow.report.params import ReportParams
from connflow.report.style import (
    COLOURS,
    FULL_WIDTH_IN,
    Drawing,
    add_legend,
    label_ids,
    new_figure,
    spread_indices,
    style_axes,
    write_inside,
)

MIN_INTERVALS = 10
KINDS = ("excitatory", "inhibitory", "unknown")


def draw_raster(
    recording: SpikeRecording, kinds: NDArray[np.str_], params: ReportParams
) -> Drawing:
    """Draw the first seconds of spikes and, below, the rate of the whole population."""
    rows = spread_indices(recording.n_units, params.n_raster_units)
    t_stop = min(recording.t_stop, recording.t_start + params.raster_s)
    figure = new_figure(FULL_WIDTH_IN, 4.6)
    raster, rate = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    _plot_spikes(style_axes(raster, ylabel="unit"), recording, kinds, rows, t_stop)
    bin_size_s = _plot_population_rate(rate, recording, t_stop)
    raster.tick_params(labelbottom=False)
    rate.set_xlim(recording.t_start, t_stop)
    shown = _say_shown(len(rows), recording.n_units)
    colours = (
        " Orange: excitatory, blue: inhibitory, by the true synapses."
        if (kinds != "unknown").any()
        else ""
    )
    return Drawing(
        figure,
        "Spikes",
        f"Spike raster of {len(rows)} units from {recording.t_start:g} s to {t_stop:g} s, with "
        "the population rate below.",
        f"One row a unit, one tick a spike; {shown}.{colours} Below: spikes per second and unit, "
        f"mean over all {recording.n_units} units, in bins of {1000 * bin_size_s:.3g} ms.",
        is_wide=True,
    )


def draw_rates(recording: SpikeRecording, kinds: NDArray[np.str_]) -> Drawing:
    """Draw the distributions of firing rate and of spiking irregularity over units."""
    rates = unit_rates_hz(recording)
    figure = new_figure(FULL_WIDTH_IN, 2.9)
    left, right = figure.subplots(1, 2)
    _plot_histogram(style_axes(left, "firing rate (Hz)", "units"), rates, kinds)
    left.axvline(float(np.median(rates)), color=COLOURS["ink"], linewidth=1, linestyle="--")
    irregularity = interval_cv(recording)
    _plot_histogram(style_axes(right, "CV of inter-spike intervals", "units"), irregularity, kinds)
    add_legend(left)
    n_silent = int(np.count_nonzero(rates == 0))
    n_without = int(np.count_nonzero(np.isnan(irregularity)))
    return Drawing(
        figure,
        "Firing rates and regularity",
        f"Histogram of the firing rates of {recording.n_units} units, median "
        f"{np.median(rates):.3g} Hz, beside the histogram of their interval CV.",
        f"Left: rate of each unit over the whole recording; dashed: median, "
        f"{np.median(rates):.3g} Hz; silent units: {n_silent}. Right: standard deviation over "
        "mean of the intervals between a unit's spikes (1: like a Poisson process, 0: a clock); "
        f"units with under {MIN_INTERVALS} intervals, left out: {n_without}.",
        is_wide=True,
    )


def unit_rates_hz(recording: SpikeRecording) -> NDArray[np.float64]:
    """Return the mean rate of each unit, shape (n_units,)."""
    counts = np.bincount(recording.spike_units, minlength=recording.n_units)
    return counts / recording.duration_s


def interval_cv(recording: SpikeRecording) -> NDArray[np.float64]:
    """Return each unit's coefficient of variation of intervals; NaN where there are too few."""
    order = np.argsort(recording.spike_units, kind="stable")
    units, times = recording.spike_units[order], recording.spike_times[order]
    is_interval = np.diff(units) == 0
    intervals = pd.Series(np.diff(times)[is_interval]).groupby(units[1:][is_interval])
    table = intervals.agg(["mean", "std", "count"])
    table = table[(table["count"] >= MIN_INTERVALS) & (table["mean"] > 0)]
    cv = (table["std"] / table["mean"]).reindex(range(recording.n_units))
    return cv.to_numpy(np.float64)


def _say_shown(n_shown: int, n_all: int) -> str:
    if n_shown == n_all:
        return f"all {n_all} units, in the recording's order"
    return f"{n_shown} of {n_all} units, spread evenly over the recording's order"


def _plot_spikes(
    axes: Axes,
    recording: SpikeRecording,
    kinds: NDArray[np.str_],
    rows: NDArray[np.intp],
    t_stop: float,
) -> None:
    n_shown = int(np.searchsorted(recording.spike_times, t_stop))
    lane_of = np.full(recording.n_units, -1)
    lane_of[rows] = np.arange(len(rows))
    units = recording.spike_units[:n_shown]
    height_pt = min(8.0, max(1.2, 200 / max(len(rows), 1)))
    for kind in KINDS:
        is_drawn = (lane_of[units] >= 0) & (kinds[units] == kind)
        axes.plot(
            recording.spike_times[:n_shown][is_drawn],
            lane_of[units[is_drawn]],
            "|",
            color=COLOURS[kind],
            markersize=height_pt,
            markeredgewidth=0.8,
        )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    label_ids(axes, recording.unit_ids[rows], "y")
    if not np.any(lane_of[units] >= 0):
        write_inside(axes, "no spikes in this window")


def _plot_population_rate(axes: Axes, recording: SpikeRecording, t_stop: float) -> float:
    style_axes(axes, "time (s)", "rate (Hz)")
    edges = np.linspace(recording.t_start, t_stop, 251)
    bin_size_s = float(edges[1] - edges[0])
    counts = np.histogram(recording.spike_times, edges)[0]
    rate = counts / bin_size_s / max(recording.n_units, 1)
    axes.stairs(rate, edges, fill=True, color=COLOURS["none"])
    axes.set_ylim(0, max(float(rate.max()) * 1.05, 1e-3))
    return bin_size_s


def _plot_histogram(axes: Axes, values: NDArray[np.float64], kinds: NDArray[np.str_]) -> None:
    is_finite = np.isfinite(values)
    if not is_finite.any():
        write_inside(axes, "too few spikes")
        return
    top = max(float(values[is_finite].max()) * 1.02, 1e-3)
    edges = np.linspace(0, top, 31)
    present = [kind for kind in KINDS if (kinds == kind).any()]
    axes.hist(
        [values[is_finite & (kinds == kind)] for kind in present],
        bins=edges.tolist(),
        stacked=True,
        color=[COLOURS[kind] for kind in present],
        label=present if present != ["unknown"] else None,
    )
    axes.set_xlim(0, top)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
