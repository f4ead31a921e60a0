"""Figures of single trials: examples with their changepoints, and the states of all trials."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from connflow.changepoint.fit_view import FitView, state_colours
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
    height = 0.6 + n_rows * float(np.clip(1.6 + 0.03 * view.n_units, 2.2, 3.3))
    figure = new_figure(FULL_WIDTH_IN, height)
    figure.set_layout_engine("constrained", hspace=0.0, h_pad=0.03)
    panels = figure.subplots(
        2 * n_rows, n_columns, sharex=True, squeeze=False, height_ratios=[1.0, 2.6] * n_rows
    )
    uppers, lowers = panels[::2].ravel(), panels[1::2].ravel()
    for number, trial in enumerate(shown):
        is_first = number % n_columns == 0
        _draw_posterior(uppers[number], view, trial, is_first)
        _draw_activity(lowers[number], view, trial, is_first)
        lowers[number].tick_params(labelbottom=number + n_columns >= len(shown))
        if number + n_columns >= len(shown):
            lowers[number].set_xlabel("time (s)", fontsize=9.5, color=COLOURS["ink"], **FONT)
    for axes in [*uppers[len(shown) :], *lowers[len(shown) :]]:
        axes.set_axis_off()
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
    axes = style_axes(figure.subplots(), "time (s)", "trial")
    edges = view.edges_s
    image = _state_image(view.state_probability[view.trial_order])
    extent = (edges[0], edges[-1], view.n_trials - 0.5, -0.5)
    axes.imshow(image, aspect="auto", extent=extent, interpolation="nearest")
    _mark_medians(axes, view)
    _label_conditions(axes, view)
    _add_state_legend(figure, view)
    return Drawing(
        figure,
        "States of all trials",
        f"Most likely state over time in {view.n_trials} trials of {view.n_states} states.",
        _say_overview(view),
        is_wide=True,
    )


def _draw_posterior(axes: Axes, view: FitView, trial: np.intp, is_first: bool) -> None:
    style_axes(axes, ylabel="posterior" if is_first else "")
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(bottom=False, labelbottom=False)
    axes.set_title(_name_trial(view, trial), loc="left", fontsize=9, color=COLOURS["ink"], **FONT)
    probability = view.read("changepoint_probability", "trial", "changepoint", "time")[trial]
    edges, median = view.edges_s, view.changepoint("median")[trial]
    for number, colour in enumerate(state_colours(view.n_states)[1:]):
        density = np.nan_to_num(probability[number])
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.5)
        axes.stairs(density, edges, color=colour, linewidth=0.9)
        axes.axvline(median[number], color=colour, linewidth=1.2)
    axes.set_ylim(0, 1.05 * max(float(np.nanmax(probability, initial=0.0)), 1e-3))
    axes.set_xlim(edges[0], edges[-1])


def _draw_activity(axes: Axes, view: FitView, trial: np.intp, is_first: bool) -> None:
    style_axes(axes, ylabel="unit, by state" if is_first else "")
    edges = view.edges_s
    values = view.values[trial][:, view.unit_order].T
    axes.imshow(
        np.ma.masked_invalid(values),
        aspect="auto",
        extent=(edges[0], edges[-1], view.n_units - 0.5, -0.5),
        **_shade(view),
    )
    axes.set_facecolor(COLOURS["faint"])
    bounds = [view.changepoint(which)[trial] for which in ("low", "high", "median")]
    for low, high, middle, colour in zip(*bounds, state_colours(view.n_states)[1:], strict=True):
        axes.axvspan(low, high, color=colour, alpha=0.16, linewidth=0)
        axes.axvline(middle, color=colour, linewidth=1.4)
    axes.set_xlim(edges[0], edges[-1])
    label_ids(axes, view.fit["unit"].to_numpy()[view.unit_order], "y", 4)
    if not is_first:
        axes.tick_params(labelleft=False)


def _shade(view: FitView) -> dict[str, object]:
    """Return how values become grey: counts by their root, the same in all trials."""
    interpolation = "nearest" if max(view.values.shape[1:]) <= 120 else "auto"
    seen = view.values[np.isfinite(view.values)]
    if view.is_counts:
        top = max(float(np.quantile(seen, 0.998)), 1.0)
        norm = PowerNorm(0.5, vmin=0.0, vmax=top)
    else:
        low, top = np.quantile(seen, [0.01, 0.99])
        norm = PowerNorm(1.0, vmin=low, vmax=max(top, low + 1e-9))
    return {"cmap": "Greys", "norm": norm, "interpolation": interpolation}


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
    is_seen = np.isfinite(probability).all(axis=2)
    filled = np.where(is_seen[..., None], probability, 1.0 / n_states)
    certainty = (filled.max(axis=2) * n_states - 1) / max(n_states - 1, 1)
    alpha = 1.0 if n_states == 1 else PALEST + (1 - PALEST) * np.clip(certainty, 0, 1)[..., None]
    colours = np.array([to_rgb(colour) for colour in state_colours(n_states)])
    mixed = 1 - alpha * (1 - colours[filled.argmax(axis=2)])
    return np.where(is_seen[..., None], mixed, to_rgb(COLOURS["blank"]))


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
        label_ids(axes, view.fit["trial"].to_numpy()[view.trial_order], "y", 5)
        return
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=2)
    middles = (starts + np.r_[starts[1:], len(names)] - 1) / 2
    kept = spread_indices(len(starts), 16)
    axes.set_yticks(middles[kept], [name[:18] for name in names[starts[kept]]])
    axes.set_ylabel("trials by condition", fontsize=9.5, color=COLOURS["ink"], **FONT)


def _add_state_legend(figure: Figure, view: FitView) -> None:
    patches = [
        Patch(color=colour, label=f"state {state + 1}" if view.n_states < 8 else f"{state + 1}")
        for state, colour in enumerate(state_colours(view.n_states))
    ]
    figure.legend(
        handles=patches,
        loc="outside upper center",
        ncols=min(view.n_states, 12),
        frameon=False,
        prop={"family": FONT["family"], "size": 8.5},
        handlelength=1.0,
        columnspacing=1.2,
    )


def _say_overview(view: FitView) -> str:
    is_split = len(set(view.conditions)) > 1
    order = "by condition and then " if is_split else ""
    marks = f"One row a trial, sorted {order}by the first changepoint; black: medians. "
    paler = "Paler: less certain which state it is. "
    if view.n_changepoints == 0:
        marks, paler = "One row a trial; the fit has one state, which all trials stay in. ", ""
    return marks + paler + "Grey: after the end of a shorter trial."
