"""Figures of the wiring: inferred weights, z-scores, the true weights, and how they compare."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from connflow.report.content import Wiring
from connflow.report.params import ReportParams
from connflow.report.style import (
    COLOURS,
    FONT,
    FULL_WIDTH_IN,
    SIGNED,
    THIRD_WIDTH_IN,
    Drawing,
    add_legend,
    label_ids,
    new_figure,
    spread_indices,
    style_axes,
    use_plain_log,
    write_inside,
)

LIMIT_QUANTILE = 0.995
MAX_POINTS = 20_000
MATRIX_HEIGHT_IN = 4.5
MAX_CRISP_CELLS = 380


def draw_weights(wiring: Wiring, params: ReportParams) -> Drawing:
    """Draw the matrix of inferred weights."""
    return _draw_matrix(wiring, wiring.weight, "Inferred weights", "weight", params)


def draw_z(wiring: Wiring, params: ReportParams) -> Drawing:
    """Draw the matrix of z-scores."""
    return _draw_matrix(wiring, wiring.z, "z-scores", "z", params)


def draw_truth(wiring: Wiring, truth: NDArray[np.floating], params: ReportParams) -> Drawing:
    """Draw the matrix of true weights."""
    return _draw_matrix(wiring, truth, "True weights", "true weight", params)


def draw_z_distribution(wiring: Wiring) -> Drawing:
    """Draw how the z-scores of pairs are distributed, by true synapse where that is known."""
    is_used = wiring.is_pair & np.isfinite(wiring.z)
    groups = _pair_groups(wiring, is_used)
    limit = max(5.0, robust_limit(wiring.z[is_used], 0.999))
    edges = np.linspace(-limit, limit, 91)
    is_wide = wiring.truth is None
    figure = new_figure(FULL_WIDTH_IN, 3.2) if is_wide else new_figure(height_in=MATRIX_HEIGHT_IN)
    axes = style_axes(figure.subplots(), "z", "pairs")
    if not is_used.any():
        write_inside(axes, "no pair has an estimate")
    for name, is_in in groups.items():
        _plot_counts(axes, np.clip(wiring.z[is_in], -limit, limit), edges, name)
    like_chance = next(iter(groups.values())) & (wiring.z != 0)
    _plot_null(axes, edges, int(like_chance.sum()))
    use_plain_log(axes)
    axes.set_ylim(0.7, 4 * max(axes.get_ylim()[1], 1))
    axes.set_xlim(-limit, limit)
    add_legend(axes, "upper left")
    n_zero = int(np.count_nonzero(wiring.z[is_used] == 0))
    n_without = int(np.count_nonzero(wiring.is_pair)) - int(np.count_nonzero(is_used))
    return Drawing(
        figure,
        "Distribution of z",
        f"Histogram of the z-scores of {int(is_used.sum())} pairs on a logarithmic count axis.",
        "Pairs of two different units; logarithmic counts; the outermost bars also hold what lies "
        f"beyond ±{limit:.3g}. Dashed: a standard normal curve, which unconnected pairs should "
        f"follow. Pairs with a z of exactly 0, as beside silent units: {n_zero:,}; pairs without "
        f"an estimate, left out: {n_without:,}.",
        is_wide,
    )


def draw_weight_scatter(wiring: Wiring, truth: NDArray[np.floating]) -> Drawing:
    """Draw inferred against true weights."""
    is_used = wiring.is_pair & np.isfinite(wiring.weight) & np.isfinite(truth)
    groups = _pair_groups(wiring, is_used)
    spread = 0.012 * max(float(np.ptp(truth[is_used])) if is_used.any() else 0.0, 1e-12)
    generator = np.random.default_rng(0)
    figure = new_figure(THIRD_WIDTH_IN, THIRD_WIDTH_IN)
    axes = style_axes(figure.subplots(), "true weight", "inferred weight")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    for name, is_in in groups.items():
        pairs = np.flatnonzero(is_in)
        pairs = pairs[spread_indices(len(pairs), MAX_POINTS)]
        aside = generator.uniform(-spread, spread, len(pairs))
        _plot_dots(axes, truth.flat[pairs] + aside, wiring.weight.flat[pairs], name)
    axes.axhline(0, color=COLOURS["faint"], linewidth=0.8, zorder=0)
    axes.axvline(0, color=COLOURS["faint"], linewidth=0.8, zorder=0)
    if not is_used.any():
        write_inside(axes, "no pair has an estimate")
    add_legend(axes, "upper left", markerscale=3)
    is_thinned = any(is_in.sum() > MAX_POINTS for is_in in groups.values())
    return Drawing(
        figure,
        "Inferred against true weight",
        f"Scatter plot of inferred against true weights of {int(is_used.sum())} pairs.",
        "One dot a pair, moved sideways by up to 1.2 % of the range so that equal weights do not "
        "hide one another"
        + (f"; {MAX_POINTS:,} of a larger group are drawn. " if is_thinned else ". ")
        + "The two axes need not share a unit: look at order and sign.",
    )


def robust_limit(values: NDArray[np.floating], quantile: float = LIMIT_QUANTILE) -> float:
    """Return a colour limit: a high quantile of the sizes that are not 0; 1 if all are.

    Examples
    --------
    >>> robust_limit(np.array([0.0, -2.0, np.nan])), robust_limit(np.zeros(3))
    (2.0, 1.0)
    """
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    return float(np.quantile(sizes, quantile)) if len(sizes) else 1.0


def colour_limit(values: NDArray[np.floating]) -> float:
    """Return where the colours end: the geometric mean of the two signs' robust limits.

    Inhibitory weights are often several times the excitatory ones; so neither sign is pale.

    Examples
    --------
    >>> colour_limit(np.array([1.0, 0.0, -4.0])), colour_limit(np.array([0.0, 3.0]))
    (2.0, 3.0)
    """
    signs = [values[values > 0], values[values < 0]]
    limits = [robust_limit(one_sign) for one_sign in signs if len(one_sign)]
    return float(np.prod(limits) ** (1 / len(limits))) if limits else 1.0


def _draw_matrix(
    wiring: Wiring, values: NDArray[np.floating], heading: str, name: str, params: ReportParams
) -> Drawing:
    rows = spread_indices(len(wiring.source_ids), params.max_matrix_units)
    columns = spread_indices(len(wiring.target_ids), params.max_matrix_units)
    pairs = np.where(wiring.is_pair, values, np.nan)
    limit = colour_limit(pairs)
    sizes = np.abs(pairs[np.isfinite(pairs) & (pairs != 0)])
    beyond = float(np.mean(sizes > limit)) if len(sizes) else 0.0
    figure = new_figure(height_in=MATRIX_HEIGHT_IN)
    axes = style_axes(figure.subplots(), "target unit", "source unit")
    _show_image(figure, axes, pairs[np.ix_(rows, columns)], limit, name)
    label_ids(axes, wiring.target_ids[columns], "x")
    label_ids(axes, wiring.source_ids[rows], "y")
    n_missing = int(np.count_nonzero(np.isnan(values) & wiring.is_pair))
    return Drawing(
        figure,
        heading,
        f"Matrix of {heading.lower()}, {len(rows)} sources by {len(columns)} targets, colours "
        f"from -{limit:.3g} to {limit:.3g}.",
        f"Row: source, column: target; orange excites, blue inhibits. Colours end at ±{limit:.3g} "
        f"({100 * beyond:.2g} % of the values that are not 0 are larger). "
        + _say_thinned(len(rows), len(wiring.source_ids))
        + _say_missing(n_missing),
    )


def _show_image(
    figure: Figure, axes: Axes, values: NDArray[np.floating], limit: float, name: str
) -> None:
    image = axes.imshow(
        values, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation=_interpolation(values)
    )
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(COLOURS["faint"])
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="both", pad=0.02)
    bar.outline.set_visible(False)
    style_axes(bar.ax)
    bar.set_label(name, fontsize=9.5, color=COLOURS["ink"], **FONT)


def _interpolation(values: NDArray[np.floating]) -> str:
    """Show each pair as a block of its own colour while the axes have a pixel for each."""
    return "nearest" if max(values.shape) <= MAX_CRISP_CELLS else "auto"


def _say_thinned(n_shown: int, n_all: int) -> str:
    if n_shown == n_all:
        return "Grey: a unit on itself"
    return (
        f"{n_shown} of {n_all} units, spread evenly over the order of the units: each cell is one "
        "real pair, nothing is averaged. Grey: a unit on itself"
    )


def _say_missing(n_missing: int) -> str:
    return f", and the {n_missing:,} pairs without an estimate." if n_missing else "."


def _pair_groups(wiring: Wiring, is_used: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Split the used pairs; the first group is the one that should look like chance."""
    if wiring.truth is None:
        return {"all pairs": is_used}
    return {
        "no synapse": is_used & (wiring.truth == 0),
        "excitatory": is_used & (wiring.truth > 0),
        "inhibitory": is_used & (wiring.truth < 0),
    }


def _colour_of(name: str) -> str:
    return COLOURS.get(name, COLOURS["none"])


def _plot_counts(
    axes: Axes, values: NDArray[np.floating], edges: NDArray[np.floating], name: str
) -> None:
    if len(values) == 0:
        return
    counts = np.histogram(values, edges)[0]
    colour = _colour_of(name)
    axes.stairs(counts, edges, fill=True, alpha=0.35, color=colour)
    axes.stairs(counts, edges, color=colour, linewidth=1.3, label=f"{name} ({len(values):,})")


def _plot_dots(axes: Axes, x: NDArray[np.floating], y: NDArray[np.floating], name: str) -> None:
    colour = _colour_of(name)
    axes.plot(x, y, ".", color=colour, label=name, ms=4, mew=0, alpha=0.55)


def _plot_null(axes: Axes, edges: NDArray[Any], n_pairs: int) -> None:
    z = np.linspace(edges[0], edges[-1], 400)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    expected = n_pairs * (edges[1] - edges[0]) * density
    axes.plot(z, np.maximum(expected, 1e-9), "--", color=COLOURS["ink"], linewidth=1)
