"""Figures of single trials: examples with their changepoints, and the states of all trials."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_rgb
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from connflow.changepoint.fit_view import FitView
from connflow.changepoint.panels import add_state_legend, add_title, show_rows, state_colours
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

N_EXAMPLES = 6
N_COLUMNS = 3
MOST_MARKED_TRIALS = 150
PALEST = 0.12
"""Opacity of a state that is no likelier than the others."""


def draw_examples(view: FitView) -> Drawing:
    """Draw the activity of a few trials under the posterior of their changepoints."""
    shown = view.trial_order[spread_indices(view.n_trials, N_EXAMPLES)]
    n_columns = min(len(shown), N_COLUMNS)
    n_rows = -(-len(shown) // n_columns)
    figure = new_figure(FULL_WIDTH_IN, 0.6 + n_rows * _panel_height_in(view))
    figure.set_layout_engine("constrained", hspace=0.0, h_pad=0.03)
    heights = [1.0, 2.6] if view.n_changepoints else [1e-3, 1.0]
    panels = figure.subplots(
        2 * n_rows, n_columns, sharex=True, squeeze=False, height_ratios=heights * n_rows
    )
    uppers, lowers = panels[::2].ravel(), panels[1::2].ravel()
    for axes in panels.ravel():
        axes.set_axis_off()
    for number, trial in enumerate(shown):
        _draw_posterior(uppers[number], view, trial)
        _draw_activity(lowers[number], view, trial, has_times=number + n_columns >= len(shown))
    return Drawing(
        figure,
        "Example trials" if view.n_trials > 1 else "The trial",
        f"Activity of {view.n_units} units in {len(shown)} trials, with the posterior of "
        f"{view.n_changepoints} changepoints above.",
        _say_examples(view, len(shown)),
        is_wide=True,
    )


def draw_overview(view: FitView) -> Drawing:
    """Draw the most likely state of every trial and bin."""
    figure = new_figure(FULL_WIDTH_IN, float(np.clip(1.5 + 0.028 * view.n_trials, 1.8, 5.4)))
    axes = style_axes(figure.subplots(), "time (s)", "trial, sorted")
    edges = view.edges_s
    image = _state_image(view.state_probability[view.trial_order])
    extent = (edges[0], edges[-1], view.n_trials - 0.5, -0.5)
    axes.imshow(image, aspect="auto", extent=extent, interpolation="nearest")
    _mark_medians(axes, view)
    _label_conditions(axes, view)
    add_state_legend(figure, view.n_states)
    return Drawing(
        figure,
        "States of all trials",
        f"Most likely state over time in {view.n_trials} trials of {view.n_states} states.",
        _say_overview(view),
        is_wide=True,
    )


def _panel_height_in(view: FitView) -> float:
    height = float(np.clip(1.6 + 0.03 * view.n_units, 2.2, 3.3))
    return height if view.n_changepoints else 0.75 * height


def _draw_posterior(axes: Axes, view: FitView, trial: np.intp) -> None:
    add_title(axes, _name_trial(view, trial))
    if view.n_changepoints == 0:
        return
    axes.set_axis_on()
    style_axes(axes, ylabel="posterior" if _is_first(axes) else "")
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(bottom=False, labelbottom=False)
    probability = view.read("changepoint_probability", "trial", "changepoint", "time")[trial]
    median = view.changepoint("median")[trial]
    for number, colour in enumerate(state_colours(view.n_states)[1:]):
        density = np.nan_to_num(probability[number])
        axes.stairs(density, view.edges_s, fill=True, color=colour, alpha=0.5)
        axes.stairs(density, view.edges_s, color=colour, linewidth=0.9)
        axes.axvline(median[number], color=colour, linewidth=1.2)
    axes.set_ylim(0, 1.05 * max(float(np.nanmax(probability, initial=0.0)), 1e-3))


def _draw_activity(axes: Axes, view: FitView, trial: np.intp, has_times: bool) -> None:
    axes.set_axis_on()
    style_axes(axes, "time (s)" if has_times else "", "unit, by state" if _is_first(axes) else "")
    start, stop = view.edges_s[[0, -1]]
    show_rows(axes, view.values[trial][:, view.unit_order].T, start, stop, **_shade(view))
    bounds = [view.changepoint(which)[trial] for which in ("low", "high", "median")]
    for low, high, middle, colour in zip(*bounds, state_colours(view.n_states)[1:], strict=True):
        axes.axvspan(low, high, color=colour, alpha=0.16, linewidth=0)
        axes.axvline(middle, color=colour, linewidth=1.4)
    axes.set_xlim(start, stop)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2.5, 5, 10]))
    label_ids(axes, view.fit["unit"].to_numpy()[view.unit_order], "y", 4)
    axes.tick_params(labelbottom=has_times, labelleft=_is_first(axes))


def _is_first(axes: Axes) -> bool:
    place = axes.get_subplotspec()
    return place is not None and place.is_first_col()


def _shade(view: FitView) -> dict[str, object]:
    """Return how values become grey: counts by their root, the same in all trials."""
    seen = view.values[np.isfinite(view.values)]
    if view.is_counts:
        top = max(float(np.quantile(seen, 0.998)), 1.0)
        return {"cmap": "Greys", "norm": PowerNorm(0.5, vmin=0.0, vmax=top)}
    low, top = np.quantile(seen, [0.01, 0.99])
    return {"cmap": "Greys", "vmin": low, "vmax": max(top, low + 1e-9)}


def _name_trial(view: FitView, trial: np.intp) -> str:
    condition = view.conditions[trial]
    name = f"trial {view.fit['trial'].to_numpy()[trial]}"
    return f"{name}, {condition[:24]}" if condition else name


def _say_examples(view: FitView, n_shown: int) -> str:
    shade = "darker: more spikes (root scale)" if view.is_counts else "darker: higher values"
    some = f"{n_shown} of {view.n_trials} trials, spread evenly over the order of the next figure. "
    text = (some if n_shown < view.n_trials else "") + (
        f"Units are sorted by the state that they prefer; {shade}; grey: not observed. "
    )
    if view.n_changepoints == 0:
        return text + "The fit has one state, so there are no changepoints."
    return text + (
        "Above: probability that a state starts with each bin, in the colour of the state that "
        f"starts. Lines: medians; shaded below: shortest interval that holds {_coverage(view)} of "
        "the probability."
    )


def _coverage(view: FitView) -> str:
    return f"{100 * float(view.fit.attrs.get('coverage', 0.9)):.3g} %"


def _state_image(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return colours, (n_trials, n_time_bins, 4): the likeliest state, opaque where certain."""
    n_states = probability.shape[2]
    is_seen = np.asarray(np.isfinite(probability).all(axis=2))
    filled = np.where(is_seen[:, :, None], probability, 1.0 / n_states)
    certainty = (filled.max(axis=2) * n_states - 1) / max(n_states - 1, 1)
    alpha = 1.0 if n_states == 1 else PALEST + (1 - PALEST) * np.clip(certainty, 0, 1)[..., None]
    colours = np.array([to_rgb(colour) for colour in state_colours(n_states)])
    mixed = 1 - alpha * (1 - colours[filled.argmax(axis=2)])
    return np.where(is_seen[:, :, None], mixed, to_rgb(COLOURS["blank"]))


def _mark_medians(axes: Axes, view: FitView) -> None:
    median = view.changepoint("median")[view.trial_order]
    rows = np.arange(view.n_trials)
    few = view.n_trials <= MOST_MARKED_TRIALS
    for number in range(view.n_changepoints):
        x = median[:, number]
        if few:
            axes.vlines(x, rows - 0.5, rows + 0.5, color=COLOURS["ink"], linewidth=1.1)
        else:
            axes.plot(x, rows, ",", color=COLOURS["ink"], alpha=0.8)
    axes.set_xlim(view.edges_s[0], view.edges_s[-1])


def _label_conditions(axes: Axes, view: FitView) -> None:
    names = np.array(view.conditions)[view.trial_order]
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    if len(starts) == 1:
        label_ids(axes, range(1, view.n_trials + 1), "y", 5)
        return
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=2)
    middles = (starts + np.r_[starts[1:], len(names)] - 1) / 2
    kept = spread_indices(len(starts), 16)
    axes.set_yticks(middles[kept], [name[:18] for name in names[starts[kept]]])
    axes.set_ylabel("trials by condition", fontsize=9.5, color=COLOURS["ink"], **FONT)


def _say_overview(view: FitView) -> str:
    is_split = len(set(view.conditions)) > 1
    order = "by condition and then " if is_split else ""
    marks = f"One row a trial, sorted {order}by the first changepoint; black: medians. "
    paler = "Paler: less certain which state it is. "
    if view.n_changepoints == 0:
        marks, paler = "One row a trial; the fit has one state, which all trials stay in. ", ""
    return marks + paler + "Grey: after the end of a shorter trial."
