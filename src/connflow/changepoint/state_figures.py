"""Figures of states: how much units fire in each, and when they are there."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from connflow.changepoint.aligned import average
from connflow.changepoint.fit_view import FitView
from connflow.changepoint.panels import (
    add_bar,
    add_state_legend,
    add_title,
    show_rows,
    signed_colours,
    state_colours,
)
from connflow.report.style import (
    COLOURS,
    FONT,
    FULL_WIDTH_IN,
    Drawing,
    label_ids,
    new_figure,
    spread_indices,
    style_axes,
)

MOST_GROUPS = 4
MOST_DOTTED_UNITS = 48
MOST_DOTS = 160
MOST_TICKS = 26


def draw_levels(view: FitView) -> Drawing:
    """Draw the level of each unit in each state, with intervals."""
    groups = spread_indices(len(view.groups), MOST_GROUPS)
    n_shown = int(np.clip(MOST_DOTS // view.n_states, 8, MOST_DOTTED_UNITS))
    shown = view.unit_order[spread_indices(view.n_units, n_shown)]
    figure = new_figure(FULL_WIDTH_IN, 0.9 + 2.5 * len(groups))
    has_map = view.n_states > 1 or len(view.groups) > 1
    panels = figure.subplots(
        len(groups),
        1 + has_map,
        squeeze=False,
        width_ratios=[1.0, 3.4] if has_map else None,
        sharey="col",
    )
    for axes, group in zip(panels[:, -1], groups, strict=True):
        _draw_level_dots(axes, view, int(group), shown)
        if len(view.groups) > 1:
            add_title(axes, view.groups[group])
    if view.is_counts:
        panels[0, -1].set_ylim(bottom=0)  # of all groups: they share the axis
    if has_map:
        scores = _standardise_levels(view)
        for axes, group in zip(panels[:, 0], groups, strict=True):
            _draw_level_map(axes, view, scores, int(group))
        add_bar(figure, panels[:, 0].tolist(), "SD of the unit")
    add_state_legend(figure, view.n_states)
    return Drawing(
        figure,
        "Firing in each state",
        f"Level of {view.n_units} units in {view.n_states} states, with intervals.",
        _say_levels(view, len(groups), len(shown), has_map),
        is_wide=True,
    )


def draw_timing(view: FitView) -> Drawing:
    """Draw when states are there on average, and when they tend to be left."""
    has_leaving = "leaving_probability" in view.fit and view.n_changepoints > 0
    figure = new_figure(height_in=4.6 if has_leaving else 3.2)
    panels = figure.subplots(2 if has_leaving else 1, 1, sharex=True, squeeze=False)[:, 0]
    _draw_presence(panels[0], view)
    if has_leaving:
        _draw_leaving(panels[1], view)
    panels[-1].set_xlabel("time (s)", fontsize=9.5, color=COLOURS["ink"], **FONT)
    panels[-1].set_xlim(view.edges_s[0], view.edges_s[-1])
    text = "Above: probability of each state, mean over trials that are still going on. "
    if has_leaving:
        text += (
            "Below: probability that a state is left with a bin, given that it is still on, as "
            "learned from all trials; in the colour of the state that starts."
        )
        if len(view.groups) > 1:
            text += f" One line for each of the {len(view.groups)} groups of trials."
    return Drawing(
        figure,
        "When the states are there",
        f"Probability of {view.n_states} states over the time of the trial.",
        text if has_leaving else text.removeprefix("Above: ").capitalize(),
    )


def _standardise_levels(view: FitView) -> NDArray[np.float64]:
    """Return levels as distances from the unit's mean level in SDs over groups and states."""
    mean, spread = view.level.mean(axis=(0, 1)), view.level.std(axis=(0, 1))
    scores = np.zeros_like(view.level)
    np.divide(view.level - mean, spread, out=scores, where=spread > 0)
    return scores


def _draw_level_map(axes: Axes, view: FitView, scores: NDArray[np.float64], group: int) -> None:
    style_axes(axes, "state", "unit, by state")
    rows = scores[group][:, view.unit_order].T
    show_rows(axes, rows, 0.5, view.n_states + 0.5, **signed_colours(scores))
    axes.set_xticks(range(1, view.n_states + 1))
    label_ids(axes, view.fit["unit"].to_numpy()[view.unit_order], "y", 5)


def _draw_level_dots(axes: Axes, view: FitView, group: int, shown: NDArray[np.intp]) -> None:
    style_axes(axes, "unit", view.level_name)
    for place in range(1, len(shown), 2):
        axes.axvspan(place - 0.5, place + 0.5, color=COLOURS["faint"], alpha=0.35, linewidth=0)
    level, low, high = (
        view.read(name, "group", "state", "unit")[group][:, shown]
        for name in ("level", "level_low", "level_high")
    )
    aside = 0.72 * ((np.arange(view.n_states) + 0.5) / view.n_states - 0.5)
    size = float(np.clip(60 / (len(shown) * view.n_states) ** 0.5, 3.0, 6.0))
    for state, colour in enumerate(state_colours(view.n_states)):
        x = np.arange(len(shown)) + aside[state]
        axes.vlines(x, low[state], high[state], color=colour, linewidth=1.2)
        axes.plot(x, level[state], "o", color=colour, ms=size, mew=0)
    axes.set_xlim(-0.6, len(shown) - 0.4)
    ticks = np.arange(0, len(shown), -(-len(shown) // MOST_TICKS))
    axes.set_xticks(ticks, [str(one) for one in view.fit["unit"].to_numpy()[shown[ticks]]])


def _say_levels(view: FitView, n_groups: int, n_shown: int, has_map: bool) -> str:
    share = 100 * float(view.fit.attrs.get("coverage", 0.9))
    dots = f"levels, with intervals that hold {share:.3g} % of the probability. "
    if n_shown < view.n_units:
        dots = f"{n_shown} of {view.n_units} units, spread evenly over that order: {dots}"
    if not has_map:
        return f"{dots[0].upper()}{dots[1:]}The fit has one state, so there is nothing to compare."
    text = (
        "Left: every unit's level in each state, in standard deviations of its levels; units are "
        f"sorted by the state that they prefer, the clearest first. Right: {dots}"
    )
    if n_groups < len(view.groups):
        text += f"{n_groups} of {len(view.groups)} groups of trials are drawn."
    return text


def _draw_presence(axes: Axes, view: FitView) -> None:
    style_axes(axes, ylabel="probability")
    mean = average(view.state_probability, axis=0)
    middles = (view.edges_s[1:] + view.edges_s[:-1]) / 2
    for state, colour in enumerate(state_colours(view.n_states)):
        axes.plot(middles, mean[:, state], color=colour, linewidth=1.6)
        if np.isfinite(mean[:, state]).any():
            peak = int(np.nanargmax(mean[:, state]))
            _number_state(axes, middles[peak], float(mean[peak, state]), state, colour)
    axes.set_ylim(0, 1.14)
    axes.set_yticks([0, 0.5, 1])


def _number_state(axes: Axes, x: float, y: float, state: int, colour: str) -> None:
    axes.annotate(
        str(state + 1),
        (x, y),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        fontweight="bold",
        color=colour,
        **FONT,
    )


def _draw_leaving(axes: Axes, view: FitView) -> None:
    style_axes(axes, ylabel="probability of leaving")
    leaving = view.read("leaving_probability", "group", "changepoint", "time")
    alpha = max(1 / len(leaving), 0.35)
    for number, colour in enumerate(state_colours(view.n_states)[1:]):
        for one in leaving[:, number]:
            axes.stairs(one, view.edges_s, color=colour, linewidth=1.4, alpha=alpha, baseline=None)
    axes.set_ylim(0, 1.05 * max(float(np.nanmax(leaving, initial=0.0)), 1e-3))
