"""Figures of states: firing around transitions, firing in states, and when states are there."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from connflow.changepoint.aligned import AlignedActivity, align_activity, average
from connflow.changepoint.fit_view import FitView, state_colours
from connflow.report.style import (
    COLOURS,
    FONT,
    FULL_WIDTH_IN,
    SIGNED,
    Drawing,
    add_legend,
    label_ids,
    new_figure,
    spread_indices,
    style_axes,
    write_inside,
)

MOST_GROUPS = 4
MOST_DOTTED_UNITS = 48
MOST_COLUMNS = 5


def draw_aligned(view: FitView) -> Drawing:
    """Draw each unit's and the population's activity around every changepoint."""
    half_width = _half_width_bins(view)
    starts = [view.start_bins(number) for number in range(view.n_changepoints)]
    aligned = [
        align_activity(view.activity, one, half_width, view.conditions) for one in starts
    ]
    n_columns = min(len(aligned), MOST_COLUMNS)
    n_rows = -(-len(aligned) // n_columns)
    figure = new_figure(FULL_WIDTH_IN, 4.6 * n_rows)
    panels = figure.subplots(
        2 * n_rows, n_columns, squeeze=False, sharey="row", height_ratios=[2.0, 1.2] * n_rows
    )
    scores = standardise(aligned)
    limit = max(float(np.nanquantile(np.abs(scores), 0.99)), 1e-9)
    for number, one in enumerate(aligned):
        row, column = 2 * (number // n_columns), number % n_columns
        _draw_units(panels[row, column], view, scores[number], number, limit)
        _draw_population(panels[row + 1, column], view, one, number)
    for axes in panels[-2:, (len(aligned) - 1) % n_columns + 1 :].ravel():
        axes.set_axis_off()
    _add_bar(figure, panels[::2].ravel().tolist(), "SD of the unit")
    add_legend(panels[1, 0])
    return Drawing(
        figure,
        "Firing around transitions",
        f"Activity of {view.n_units} units and of the population around {len(aligned)} "
        "changepoints.",
        _say_aligned(view, aligned, half_width),
        is_wide=True,
    )


def draw_levels(view: FitView) -> Drawing:
    """Draw the level of each unit in each state, with intervals."""
    groups = spread_indices(len(view.groups), MOST_GROUPS)
    order = view.unit_order
    shown = order[spread_indices(view.n_units, MOST_DOTTED_UNITS)]
    figure = new_figure(FULL_WIDTH_IN, 0.9 + 2.5 * len(groups))
    panels = figure.subplots(
        len(groups), 2, squeeze=False, width_ratios=[1.0, 3.4], sharey="col"
    )
    scores = _standardise_levels(view)
    limit = max(float(np.quantile(np.abs(scores), 0.99)), 1e-9)
    for (left, right), group in zip(panels, groups, strict=True):
        _draw_level_map(left, view, scores[group][:, order], limit)
        _draw_level_dots(right, view, int(group), shown)
        if len(view.groups) > 1:
            _title(right, view.groups[group])
    _add_bar(figure, panels[:, 0].tolist(), "SD of the unit")
    return Drawing(
        figure,
        "Firing in each state",
        f"Level of {view.n_units} units in {view.n_states} states, with intervals.",
        _say_levels(view, len(groups), len(shown)),
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


def standardise(aligned: list[AlignedActivity]) -> NDArray[np.float64]:
    """Return unit activity as distances from its mean in SDs, (n_changepoints, n_lags, n_units).

    Mean and SD of a unit are taken over all that is shown of it; a unit that never varies gets 0.
    """
    means = np.stack([one.unit_mean for one in aligned])
    flat = means.reshape(-1, means.shape[2])
    apart = means - average(flat, axis=0)
    spread = np.sqrt(average((flat - average(flat, axis=0)) ** 2, axis=0))
    return np.divide(apart, spread, out=np.where(np.isnan(means), np.nan, 0.0), where=spread > 0)


def _half_width_bins(view: FitView) -> int:
    """Return about the mean stay in a state, so that neighbours' transitions lie outside."""
    n_bins = view.values.shape[1]
    return int(np.clip(round(n_bins / view.n_states), min(3, n_bins), n_bins))


def _draw_units(
    axes: Axes, view: FitView, scores: NDArray[np.float64], number: int, limit: float
) -> None:
    half = scores.shape[0] // 2 * view.bin_size_s
    style_axes(axes, ylabel="unit, by state" if axes.get_subplotspec().is_first_col() else "")
    axes.imshow(
        scores[:, view.unit_order].T,
        aspect="auto",
        cmap=SIGNED,
        vmin=-limit,
        vmax=limit,
        extent=(-half, half, view.n_units - 0.5, -0.5),
        interpolation="nearest" if view.n_units <= 150 else "auto",
    )
    axes.axvline(0, color=COLOURS["ink"], linewidth=1)
    axes.tick_params(labelbottom=False)
    label_ids(axes, view.fit["unit"].to_numpy()[view.unit_order], "y", 5)
    _title(axes, f"state {number + 1} to {number + 2}")


def _draw_population(axes: Axes, view: FitView, one: AlignedActivity, number: int) -> None:
    is_first = axes.get_subplotspec().is_first_col()
    style_axes(axes, "time from changepoint (s)", view.activity_name if is_first else "")
    time = (one.lags_bins + 0.5) * view.bin_size_s
    colour = state_colours(view.n_states)[number + 1]
    _draw_band(axes, time, one.control_mean, one.control_sem, COLOURS["none"], "at other trials'")
    _draw_band(axes, time, one.population_mean, one.population_sem, colour, "at its own")
    axes.axvline(0, color=COLOURS["ink"], linewidth=0.8, linestyle=":")
    axes.set_xlim(one.lags_bins[0] * view.bin_size_s, -one.lags_bins[0] * view.bin_size_s)
    if not np.isfinite(one.population_mean).any():
        write_inside(axes, "in no trial")


def _draw_band(
    axes: Axes,
    time: NDArray[np.float64],
    mean: NDArray[np.float64],
    sem: NDArray[np.float64],
    colour: str,
    label: str,
) -> None:
    if np.isfinite(mean).any():
        axes.fill_between(time, mean - sem, mean + sem, color=colour, alpha=0.28, linewidth=0)
        axes.plot(time, mean, color=colour, linewidth=1.6, label=label)


def _say_aligned(view: FitView, aligned: list[AlignedActivity], half_width: int) -> str:
    n_entered = [int(one.n_trials.max(initial=0)) for one in aligned]
    few = min(n_entered)
    trials = f"{few}" if few == max(n_entered) else f"{few} to {max(n_entered)}"
    control = (
        "grey: the same at the changepoints of all other trials of the condition. "
        if any(np.isfinite(one.control_mean).any() for one in aligned)
        else "there are no other trials of the condition to compare with. "
    )
    return (
        f"Mean over {trials} trials, aligned at each trial's median changepoint, "
        f"{1000 * half_width * view.bin_size_s:.4g} ms to both sides; units sorted by the state "
        "that they prefer, each in its own standard deviations. Below: mean of all units with "
        f"standard error; {control}The changepoints were found in this same activity, so that "
        "some step is to be seen even where there is none: how sure a response is, the "
        "cross-fitted tests say."
    )


def _standardise_levels(view: FitView) -> NDArray[np.float64]:
    """Return levels as distances from the unit's mean level in SDs over groups and states."""
    mean, spread = view.level.mean(axis=(0, 1)), view.level.std(axis=(0, 1))
    return np.divide(view.level - mean, spread, out=np.zeros_like(view.level), where=spread > 0)


def _draw_level_map(
    axes: Axes, view: FitView, scores: NDArray[np.float64], limit: float
) -> None:
    style_axes(axes, "state", "unit, by state")
    axes.imshow(
        scores.T,
        aspect="auto",
        cmap=SIGNED,
        vmin=-limit,
        vmax=limit,
        interpolation="nearest" if view.n_units <= 150 else "auto",
    )
    axes.set_xticks(range(view.n_states), [str(state + 1) for state in range(view.n_states)])
    label_ids(axes, view.fit["unit"].to_numpy()[view.unit_order], "y", 5)


def _draw_level_dots(
    axes: Axes, view: FitView, group: int, shown: NDArray[np.intp]
) -> None:
    style_axes(axes, "unit", view.level_name)
    level, low, high = (
        view.read(name, "group", "state", "unit")[group][:, shown]
        for name in ("level", "level_low", "level_high")
    )
    aside = 0.62 * ((np.arange(view.n_states) + 0.5) / view.n_states - 0.5)
    size = float(np.clip(150 / (len(shown) * view.n_states) ** 0.5, 2.0, 6.0))
    for state, colour in enumerate(state_colours(view.n_states)):
        x = np.arange(len(shown)) + aside[state]
        axes.vlines(x, low[state], high[state], color=colour, linewidth=1.1)
        axes.plot(x, level[state], "o", color=colour, ms=size, mew=0, label=f"{state + 1}")
    axes.set_xlim(-0.6, len(shown) - 0.4)
    if view.is_counts:
        axes.set_ylim(bottom=0)
    label_ids(axes, view.fit["unit"].to_numpy()[shown], "x", 16)


def _say_levels(view: FitView, n_groups: int, n_shown: int) -> str:
    text = "Left: every unit's level in each state, in standard deviations of its levels. Right: "
    if n_shown < view.n_units:
        text += f"{n_shown} of {view.n_units} units, spread evenly over that order; "
    share = 100 * float(view.fit.attrs.get("coverage", 0.9))
    text += f"levels, with intervals that hold {share:.3g} % of the probability, in the colours of "
    text += "the states. Units are sorted by the state that they prefer, the clearest first."
    if n_groups < len(view.groups):
        text += f" {n_groups} of {len(view.groups)} groups of trials are drawn."
    if view.n_states == 1:
        text += " With one state there is nothing to compare, and the left panel stays white."
    return text


def _draw_presence(axes: Axes, view: FitView) -> None:
    style_axes(axes, ylabel="probability")
    mean = average(view.state_probability, axis=0)
    middles = (view.edges_s[1:] + view.edges_s[:-1]) / 2
    for state, colour in enumerate(state_colours(view.n_states)):
        axes.fill_between(middles, 0, mean[:, state], color=colour, alpha=0.14, linewidth=0)
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


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text[:40], loc="left", fontsize=9, color=COLOURS["ink"], **FONT)


def _add_bar(figure: Figure, panels: list[Axes], label: str) -> None:
    bar = figure.colorbar(panels[0].images[0], ax=panels, shrink=0.8, pad=0.02, extend="both")
    bar.outline.set_visible(False)
    style_axes(bar.ax)
    bar.set_label(label, fontsize=9, color=COLOURS["ink"], **FONT)
