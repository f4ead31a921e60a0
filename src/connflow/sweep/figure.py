"""The figure of a sweep: the score against each parameter that was varied."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from connflow.report.style import (
    COLOURS,
    FONT,
    FULL_WIDTH_IN,
    HALF_WIDTH_IN,
    add_legend,
    encode_png,
    new_figure,
    style_axes,
)
from connflow.sweep.params import Range, SweepParams
from connflow.sweep.table import best_row

UNITS = {"s": "s", "hz": "Hz", "mv": "mV", "frames": "frames", "bins": "bins"}
"""Endings of parameter names, and the unit that each stands for."""

MOST_COLUMNS = 3
LOG_FROM = 30.0
"""Listed values whose largest is this many times the smallest are drawn on a log axis."""

MOST_TICKS = 6
MOST_LETTERS = 18


def draw_sweep(table: pd.DataFrame, params: SweepParams) -> bytes:
    """Draw a panel for each varied parameter, as PNG.

    Parameters
    ----------
    table : DataFrame
        As `tabulate` returns it.
    params : SweepParams
        What was varied, and which way is better.
    """
    names = list(params.over)
    n_columns = min(len(names), MOST_COLUMNS)
    n_rows = math.ceil(len(names) / n_columns)
    width = HALF_WIDTH_IN if n_columns == 1 else FULL_WIDTH_IN
    figure = new_figure(width, 3.5 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for axes, name in zip(panels, names, strict=False):
        _draw_panel(axes, table, name, params)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[::n_columns]:
        axes.set_ylabel(say_score(params))
    add_legend(panels[0])
    return encode_png(figure)


def say_score(params: SweepParams) -> str:
    """Return the score's name, and which way is better."""
    better = "higher" if params.direction == "maximize" else "lower"
    return f"{params.score} ({better} is better)" if params.score else "no score"


def label(name: str) -> str:
    """Return a parameter's name with its unit, if it has one.

    Examples
    --------
    >>> label("params.connectivity.kernel_stop_s"), label("recording.seed")
    ('connectivity.kernel_stop (s)', 'recording.seed')
    """
    words, _, ending = name.removeprefix("params.").rpartition("_")
    return f"{words} ({UNITS[ending]})" if words and ending in UNITS else words + _ + ending


def _draw_panel(axes: Axes, table: pd.DataFrame, name: str, params: SweepParams) -> None:
    style_axes(axes, label(name))
    places = _place(axes, table[name], params.over[name])
    scores = table["score"].to_numpy(np.float64)
    if not isinstance(params.over[name], Range) and is_numeric_dtype(table[name]):
        _draw_best_of_each(axes, places, scores, params.direction)
    axes.scatter(places, scores, s=26, color=COLOURS["inhibitory"], alpha=0.75, label="trial")
    best = best_row(table, params.direction)
    if best is not None:
        _draw_ring(axes, places[best], scores[best])
    _draw_failures(axes, places[(table["state"] == "Failed").to_numpy()])


def _draw_ring(axes: Axes, place: float, score: float) -> None:
    axes.scatter(
        place,
        score,
        s=140,
        facecolors="none",
        edgecolors=COLOURS["excitatory"],
        linewidths=2,
        label="best",
    )


def _draw_failures(axes: Axes, places: np.ndarray[Any, Any]) -> None:
    """Mark trials without a score at the foot of the panel."""
    if len(places):
        axes.scatter(
            places,
            np.zeros(len(places)),
            marker="x",
            color=COLOURS["muted"],
            clip_on=False,
            transform=axes.get_xaxis_transform(),  # x in data, y along the axis
            label="failed",
        )


def _place(axes: Axes, column: "pd.Series[Any]", values: Any) -> np.ndarray[Any, Any]:
    """Return where along the axis each trial stands, and give the axis its scale and ticks."""
    if not is_numeric_dtype(column) or is_bool_dtype(column):
        return _place_names(axes, column)
    numbers = column.to_numpy(np.float64)
    if _is_log(values, numbers):
        axes.set_xscale("log")
        is_short = numbers.max() < LOG_FROM * numbers.min()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_short else (1,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    if not isinstance(values, Range) and len(set(numbers)) <= MOST_TICKS:
        axes.set_xticks(sorted(set(numbers)))
    return numbers


def _place_names(axes: Axes, column: "pd.Series[Any]") -> np.ndarray[Any, Any]:
    names = column.astype(str)
    known = list(dict.fromkeys(names))
    shown = [name if len(name) <= MOST_LETTERS else f"…{name[-MOST_LETTERS:]}" for name in known]
    axes.set_xticks(range(len(known)), shown, rotation=30 if len(known) > 2 else 0, **FONT)
    axes.margins(x=0.2)
    return names.map(known.index).to_numpy(np.float64)


def _is_log(values: Any, numbers: np.ndarray[Any, Any]) -> bool:
    if isinstance(values, Range):
        return values.log
    return bool(numbers.min() > 0 and numbers.max() >= LOG_FROM * numbers.min())


def _draw_best_of_each(
    axes: Axes, places: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], direction: str
) -> None:
    """Connect the best score at each listed value."""
    groups = pd.Series(scores).groupby(places)
    best = (groups.max() if direction == "maximize" else groups.min()).dropna()
    axes.plot(best.index, best, color=COLOURS["none"], linewidth=1.4, zorder=1)
