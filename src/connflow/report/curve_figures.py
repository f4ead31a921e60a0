"""Figures of the detection curves: ROC and precision against recall, with their chance lines."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from connflow.report.style import (
    COLOURS,
    THIRD_WIDTH_IN,
    Drawing,
    LegendPlace,
    add_legend,
    new_figure,
    style_axes,
    write_inside,
)


def draw_roc(curves: pd.DataFrame) -> Drawing:
    """Draw the share of synapses found against the share of false alarms."""
    drawing = _start(
        "ROC curve",
        ("false positive rate", "true positive rate"),
        "Share of the synapses that are found against the share of the other pairs taken for one, "
        "as the threshold falls. Dashed: guessing. The nearer to the upper left corner, the "
        "better.",
    )
    axes = drawing.figure.axes[0]
    if not _plot_curves(axes, curves, "roc"):
        axes.plot([0, 1], [0, 1], "--", color=COLOURS["muted"], linewidth=1)
    _add_names(axes, curves, "roc", "lower right")
    return drawing


def draw_precision_recall(curves: pd.DataFrame, density: float | None) -> Drawing:
    """Draw the share of right answers against the share of synapses found.

    Parameters
    ----------
    curves : DataFrame
        As in `ReportContent`.
    density : float, optional
        Share of the pairs that have a synapse: what guessing gives.
    """
    drawing = _start(
        "Precision against recall",
        ("recall", "precision"),
        "Share of right answers among the pairs taken for a synapse, against the share of the "
        "synapses that are found. Dashed: guessing, which is right as often as there are "
        "synapses. The nearer to the upper right corner, the better.",
    )
    axes = drawing.figure.axes[0]
    if not _plot_curves(axes, curves, "precision_recall") and density is not None:
        axes.axhline(density, linestyle="--", color=COLOURS["muted"], linewidth=1)
    _add_names(axes, curves, "precision_recall", "lower left")
    return drawing


def has_curve(curves: pd.DataFrame | None, prefix: str) -> bool:
    """Say whether there is a curve whose name starts so."""
    return curves is not None and bool(_is_curve(curves, prefix).any())


def _start(heading: str, labels: tuple[str, str], caption: str) -> Drawing:
    figure = new_figure(THIRD_WIDTH_IN, THIRD_WIDTH_IN)
    axes = style_axes(figure.subplots(), *labels)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
    return Drawing(figure, heading, f"{heading}: {labels[1]} against {labels[0]}.", caption)


def _is_curve(curves: pd.DataFrame, prefix: str) -> "pd.Series[bool]":
    return curves["curve"].astype(str).str.startswith(prefix)


def _plot_curves(axes: Axes, curves: pd.DataFrame, prefix: str) -> bool:
    """Plot each curve of this family; say whether a chance line was among them."""
    has_chance = False
    for name, curve in curves[_is_curve(curves, prefix)].groupby("curve", sort=False):
        label = str(name).removeprefix(prefix).strip("_- ").replace("_", " ")
        colour = COLOURS.get(label, COLOURS["curve"])
        axes.plot(curve["x"], curve["y"], color=colour, linewidth=1.8, label=label or "all pairs")
        has_chance |= _plot_chance(axes, curve, colour)
    if not axes.lines:
        write_inside(axes, "no curve")
    return has_chance


def _add_names(axes: Axes, curves: pd.DataFrame, prefix: str, place: LegendPlace) -> None:
    if len(set(curves["curve"][_is_curve(curves, prefix)])) > 1:
        add_legend(axes, place)


def _plot_chance(axes: Axes, curve: pd.DataFrame, colour: str) -> bool:
    if "chance" not in curve or not np.isfinite(curve["chance"].to_numpy(np.float64)).any():
        return False
    axes.plot(curve["x"], curve["chance"], "--", color=colour, linewidth=1, alpha=0.8)
    return True
