"""The figure of transitions: the activity of units and population around changepoints."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from connflow.changepoint.aligned import AlignedActivity, align_activity, average
from connflow.changepoint.fit_view import FitView
from connflow.changepoint.panels import (
    SMALL,
    add_bar,
    add_title,
    show_rows,
    signed_colours,
    state_colours,
)
from connflow.report.style import (
    COLOURS,
    FULL_WIDTH_IN,
    Drawing,
    label_ids,
    new_figure,
    style_axes,
    write_inside,
)

MOST_COLUMNS = 5


def draw_aligned(view: FitView) -> Drawing:
    """Draw each unit's and the population's activity around every changepoint."""
    half_width = _half_width_bins(view)
    aligned = [
        align_activity(view.activity, view.start_bins(number), half_width, view.conditions)
        for number in range(view.n_changepoints)
    ]
    n_columns = min(len(aligned), MOST_COLUMNS)
    n_rows = -(-len(aligned) // n_columns)
    figure = new_figure(FULL_WIDTH_IN, 0.3 + 4.4 * n_rows)
    panels = figure.subplots(
        2 * n_rows, n_columns, squeeze=False, sharey="row", height_ratios=[2.0, 1.2] * n_rows
    )
    uppers, lowers = panels[::2].ravel(), panels[1::2].ravel()
    for axes in [*uppers[len(aligned) :], *lowers[len(aligned) :]]:
        axes.set_axis_off()
    scores = standardise(aligned)
    for number, one in enumerate(aligned):
        is_first = number % n_columns == 0
        _draw_units(uppers[number], view, scores, number, is_first)
        _draw_population(lowers[number], view, one, number, is_first)
    for axes in lowers[: len(aligned)]:
        axes.set_xlabel("time from changepoint (s)" if n_columns < 4 else "lag (s)")
    add_bar(figure, uppers.tolist(), "SD of the unit")
    handles, labels = lowers[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, prop=SMALL)
    return Drawing(
        figure,
        "Firing around transitions",
        f"Activity of {view.n_units} units and of the population around {len(aligned)} "
        "changepoints.",
        _say_aligned(view, aligned, half_width),
        is_wide=True,
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
    n_bins = view.n_time_bins
    return int(np.clip(round(n_bins / view.n_states), min(3, n_bins), n_bins))


def _draw_units(
    axes: Axes, view: FitView, scores: NDArray[np.float64], number: int, is_first: bool
) -> None:
    half = scores.shape[1] // 2 * view.bin_size_s
    style_axes(axes, ylabel="unit, by state" if is_first else "")
    rows = scores[number][:, view.unit_order].T
    show_rows(axes, rows, -half, half, **signed_colours(scores))
    axes.axvline(0, color=COLOURS["ink"], linewidth=1)
    axes.tick_params(labelbottom=False)
    label_ids(axes, view.fit["unit"].to_numpy()[view.unit_order], "y", 5)
    add_title(axes, f"state {number + 1} to {number + 2}")


def _draw_population(
    axes: Axes, view: FitView, one: AlignedActivity, number: int, is_first: bool
) -> None:
    style_axes(axes, "lag", view.activity_name if is_first else "")
    time = (one.lags_bins + 0.5) * view.bin_size_s
    colour = state_colours(view.n_states)[number + 1]
    own, others = (one.population_mean, one.population_sem), (one.control_mean, one.control_sem)
    _draw_band(axes, time, *own, colour, "all units, at the trial's own changepoint")
    _draw_band(axes, time, *others, COLOURS["none"], "at those of other trials")
    axes.axvline(0, color=COLOURS["ink"], linewidth=0.8, linestyle=":")
    axes.set_xlim(one.lags_bins[0] * view.bin_size_s, -one.lags_bins[0] * view.bin_size_s)
    if not np.isfinite(one.population_mean).any():
        write_inside(axes, "in no trial")


def _draw_band(
    axes: Axes,
    time: NDArray[np.floating],
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
