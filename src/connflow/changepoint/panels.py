"""Parts that figures of changepoints share: rows of colour, titles, the legend of the states."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from connflow.report.style import COLOURS, FONT, SIGNED, style_axes

# Okabe and Ito's palette, then three of Tol's: neighbours are told apart with any colour blindness.
STATE_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#3B4652",
    "#BBA700",
    "#882255",
    "#A06A45",
)
SMALL = {"family": FONT["family"], "size": 8.5}

_MOST_CRISP_ROWS = 150
_FINE_COLUMNS = 1200
_LINEAR_NATS = 10.0


def state_colours(n_states: int) -> list[str]:
    """Return a colour for each state, in order; with more than ten they come around again."""
    return [STATE_COLOURS[state % len(STATE_COLOURS)] for state in range(n_states)]


def show_rows(
    axes: Axes, values: NDArray[np.float64], start: float, stop: float, **colours: Any
) -> None:
    """Show one row of colours a unit; NaN is grey.

    Parameters
    ----------
    axes : Axes
    values : (n_rows, n_columns)
    start, stop : float
        Where the first column starts and the last one ends.
    **colours
        Of `Axes.imshow`.
    """
    n_rows, n_columns = values.shape
    is_fine = n_rows > _MOST_CRISP_ROWS  # rows share pixels: these are averaged, columns stay sharp
    repeated = np.repeat(values, math.ceil(_FINE_COLUMNS / n_columns) if is_fine else 1, axis=1)
    axes.imshow(
        np.ma.masked_invalid(repeated),
        aspect="auto",
        extent=(start, stop, n_rows - 0.5, -0.5),
        interpolation="antialiased" if is_fine else "nearest",
        **colours,
    )
    axes.set_facecolor(COLOURS["faint"])


def signed_colours(scores: NDArray[np.float64]) -> dict[str, Any]:
    """Return colours for distances from a mean, white at 0."""
    limit = max(float(np.nanquantile(np.abs(scores), 0.99)), 1e-9)
    return {"cmap": SIGNED, "vmin": -limit, "vmax": limit}


def add_bar(figure: Figure, panels: list[Axes], label: str) -> None:
    """Add a colour bar for all of some panels, as thin beside many as beside one."""
    aspect = 7 * figure.get_figheight()
    bar = figure.colorbar(
        panels[0].images[0], ax=panels, shrink=0.7, pad=0.02, extend="both", aspect=aspect
    )
    bar.outline.set_visible(False)
    style_axes(bar.ax)
    bar.set_label(label, fontsize=9, color=COLOURS["ink"], **FONT)


def add_title(axes: Axes, text: str) -> None:
    """Write a short title above the left end of a panel."""
    axes.set_title(text[:40], loc="left", fontsize=9, color=COLOURS["ink"], **FONT)


def add_state_legend(figure: Figure, n_states: int) -> None:
    """Add the colours of the states above all panels, where there are several."""
    if n_states == 1:
        return
    patches = [
        Patch(color=colour, label=f"state {state + 1}" if n_states < 8 else f"{state + 1}")
        for state, colour in enumerate(state_colours(n_states))
    ]
    figure.legend(
        handles=patches,
        loc="outside upper center",
        ncols=min(n_states, 12),
        frameon=False,
        prop=SMALL,
        handlelength=1.0,
        columnspacing=1.2,
    )


def scale_nats(axes: Axes, below: NDArray[np.float64], linear: float = _LINEAR_NATS) -> None:
    """Scale the y axis for differences to the best: far ones are squeezed, on a log scale.

    Parameters
    ----------
    axes : Axes
    below : array
        Differences, 0 or less, nats.
    linear : float
        Size up to which the axis is linear, nats.
    """
    lowest = float(np.min(below, initial=0.0))
    if lowest < -20 * linear:
        axes.set_yscale("symlog", linthresh=linear)
        decades = range(round(math.log10(linear)), math.ceil(math.log10(-lowest)) + 1)
        axes.set_yticks([0.0, *(-(10.0**one) for one in decades)])
        axes.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "\N{MINUS SIGN}"))
        )
        axes.set_ylim(1.6 * lowest, linear * 0.4)
    else:
        lowest = min(lowest, -1.0)
        axes.set_ylim(1.08 * lowest, -0.06 * lowest)


def count_up(axes: Axes) -> None:
    """Tick the x axis with whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
