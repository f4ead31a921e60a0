"""Figure of the accuracy to be expected: an interval for each score and duration."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from connflow.report.style import (
    COLOURS,
    FULL_WIDTH_IN,
    Drawing,
    add_legend,
    new_figure,
    style_axes,
)
from connflow.report.worth import NAMES, name_duration

_COLOURS = (COLOURS["excitatory"], COLOURS["inhibitory"], COLOURS["calcium"], COLOURS["unknown"])


def draw_expectation(table: pd.DataFrame) -> Drawing:
    """Draw for each score its mean and interval, one line a duration, and chance.

    Parameters
    ----------
    table : DataFrame
        As `ReportContent.expectation`.
    """
    scores = list(dict.fromkeys(table["score"]))
    factors = sorted(set(table["duration_factor"]))
    figure = new_figure(FULL_WIDTH_IN, 0.9 + 0.2 * len(scores) * (1 + len(factors)))
    axes = style_axes(figure.subplots(), "score")
    axes.set_xlim(-0.01, 1.01)
    axes.set_yticks(np.arange(len(scores)), [NAMES.get(score, score) for score in scores])
    axes.set_ylim(len(scores) - 0.5, -0.5)
    for number, factor in enumerate(factors):
        rows = table[table["duration_factor"] == factor].set_index("score").reindex(scores)
        shift = 0.25 * (number - (len(factors) - 1) / 2)
        colour = _COLOURS[number % len(_COLOURS)]
        _plot_intervals(axes, rows, np.arange(len(scores)) + shift, factor, colour)
    chance = table[table["duration_factor"] == factors[0]].set_index("score").reindex(scores)
    axes.vlines(
        chance["chance"],
        np.arange(len(scores)) - 0.35,
        np.arange(len(scores)) + 0.35,
        color=COLOURS["muted"],
        linestyle=":",
        label="chance",
    )
    axes.grid(visible=True, axis="x", color=COLOURS["faint"], linewidth=0.8)
    add_legend(axes, "lower left")
    return Drawing(
        figure,
        "Scores to be expected",
        f"Expected value and interval of {len(scores)} scores at {len(factors)} durations.",
        "Dot: the score to be expected of a result that looks like this one; line: the interval "
        "that holds the score of one more network. Dotted: what guessing gives in the networks.",
        is_wide=True,
    )


def _plot_intervals(
    axes: Axes,
    rows: pd.DataFrame,
    heights: NDArray[np.floating],
    factor: float,
    colour: str,
) -> None:
    axes.hlines(heights, rows["low"], rows["high"], color=colour, linewidth=2.2, alpha=0.75)
    axes.plot(rows["mean"], heights, "o", color=colour, markersize=6, label=name_duration(factor))
