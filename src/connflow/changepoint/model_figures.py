"""Figures of the inference: evidence for each number of states, and how the ELBO rose."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from connflow.changepoint.fit_view import FitView
from connflow.changepoint.panels import count_up, scale_nats
from connflow.report.style import (
    COLOURS,
    FONT,
    FULL_WIDTH_IN,
    Drawing,
    new_figure,
    style_axes,
)

Values = NDArray[Any]

_LINEAR_NATS = 1.0


def draw_evidence(table: pd.DataFrame, n_states: int) -> Drawing:
    """Draw the evidence for each number of states, and its posterior probability."""
    table = table.sort_values("n_states")
    counts = table["n_states"].to_numpy(np.int64)
    below = table["evidence"].to_numpy(np.float64) - float(table["evidence"].max())
    figure = new_figure(height_in=4.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.7, 1])
    style_axes(upper, ylabel="log evidence\nbelow the best (nats)")
    upper.plot(counts, below, "o-", color=COLOURS["curve"], linewidth=1.4, ms=5)
    _ring(upper, counts, below, n_states)
    scale_nats(upper, below)
    style_axes(lower, "number of states", "probability")
    probability = table["probability"].to_numpy(np.float64)
    colours = [COLOURS["excitatory" if one == n_states else "none"] for one in counts]
    lower.bar(counts, probability, color=colours, width=0.6)
    _write_probabilities(lower, counts, probability)
    lower.set_ylim(0, 1.25)
    lower.set_yticks([0, 0.5, 1])
    count_up(lower)
    return Drawing(
        figure,
        "How many states",
        f"Log evidence and probability of {counts[0]} to {counts[-1]} states.",
        "Above: log evidence of each number of states, less that of the best; orange: the number "
        "that this page shows. Below: probability of each number, given that all of them were as "
        "likely before. e-fold odds for each nat.",
    )


def draw_climb(view: FitView) -> Drawing:
    """Draw how the ELBO rose from the best starting point, and where all of them ended."""
    has_restarts = "restart_elbo" in view.fit and view.fit.sizes["restart"] > 1
    figure = new_figure(FULL_WIDTH_IN if has_restarts else 5.2, 3.0)
    panels = figure.subplots(1, 2 if has_restarts else 1, squeeze=False)[0]
    n_iterations = _draw_trace(panels[0], view)
    text = f"ELBO over {n_iterations} iterations from the best start, less its last value. "
    if has_restarts:
        _draw_restarts(panels[1], view)
        text = (
            f"Left: {text}Right: where each start ended, less the best; starts that fell behind "
            "were not taken to the end. Several at the top found the same fit."
        )
    return Drawing(
        figure,
        "How the fit was found",
        "ELBO over the iterations of the best start, and the last ELBO of all starts.",
        text,
        is_wide=has_restarts,
    )


def _ring(axes: Axes, counts: Values, below: Values, n_states: int) -> None:
    is_shown = counts == n_states
    axes.plot(counts[is_shown], below[is_shown], "o", color=COLOURS["excitatory"], ms=8)


def _write_probabilities(axes: Axes, counts: Values, probability: Values) -> None:
    for count, one in zip(counts, probability, strict=True):
        if one >= 0.005:
            axes.annotate(
                f"{one:.2f}",
                (count, one),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=COLOURS["ink"],
                **FONT,
            )


def _draw_trace(axes: Axes, view: FitView) -> int:
    style_axes(axes, "iteration", "ELBO less the last (nats)")
    elbo = view.read("elbo", "iteration")
    elbo = elbo[np.isfinite(elbo)]
    below = elbo - elbo[-1]
    axes.plot(np.arange(1, len(elbo) + 1), below, ".-", color=COLOURS["curve"], linewidth=1.3)
    scale_nats(axes, below, _LINEAR_NATS)
    count_up(axes)
    return len(elbo)


def _draw_restarts(axes: Axes, view: FitView) -> None:
    style_axes(axes, "start, best first", "ELBO less the best (nats)")
    ends = np.sort(view.read("restart_elbo", "restart"))[::-1]
    below = ends[np.isfinite(ends)] - ends[0]
    axes.plot(np.arange(1, len(below) + 1), below, "o", color=COLOURS["inhibitory"], ms=5)
    scale_nats(axes, below, _LINEAR_NATS)
    count_up(axes)
