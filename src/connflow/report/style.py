"""The one look of all figures: colours, sizes, axes, and their way into PNG bytes.

Only matplotlib's object interface is used, and no global setting is touched: pyplot and the
rcParams belong to the whole process, while reports are drawn inside worker threads.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from PIL import Image

LegendPlace = Literal["best", "upper left", "upper right", "lower left", "lower right"]

DPI: Final = 110
FULL_WIDTH_IN: Final = 10.6
HALF_WIDTH_IN: Final = 5.2
THIRD_WIDTH_IN: Final = 3.6

# Okabe and Ito's palette: told apart with any common colour blindness.
COLOURS: Final = {
    "excitatory": "#D55E00",
    "inhibitory": "#0072B2",
    "unknown": "#3B4652",
    "none": "#A3ADB8",
    "calcium": "#009E73",
    "curve": "#3B4652",
    "ink": "#1B2127",
    "muted": "#5B6671",
    "faint": "#DDE2E7",
    "blank": "#CBD2D9",
}
FONT: Final[dict[str, Any]] = {"family": "DejaVu Sans", "parse_math": False}

SIGNED: Final = LinearSegmentedColormap.from_list(
    "signed",
    [
        (0.0, "#053061"),
        (0.26, COLOURS["inhibitory"]),
        (0.42, "#A6CDE5"),
        (0.5, "#FFFFFF"),
        (0.58, "#F7C5A0"),
        (0.74, COLOURS["excitatory"]),
        (1.0, "#6B2A00"),
    ],
    N=257,  # odd: 0 has a colour of its own, white
).with_extremes(bad=COLOURS["blank"])


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with the words that belong to it.

    Parameters
    ----------
    figure : Figure
    heading : str
        What it shows, in two to five words.
    alt : str
        What a reader who cannot see it should know.
    caption : str
        How to read it.
    is_wide : bool
        Whether it takes the whole width of the page.
    """

    figure: Figure
    heading: str
    alt: str
    caption: str
    is_wide: bool = False


def new_figure(width_in: float = HALF_WIDTH_IN, height_in: float = 3.9) -> Figure:
    """Return an empty white figure."""
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="white")


def style_axes(axes: Axes, xlabel: str = "", ylabel: str = "") -> Axes:
    """Give axes the common look, and labels."""
    axes.set_facecolor("white")
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(COLOURS["muted"])
    axes.tick_params(
        colors=COLOURS["muted"],
        labelcolor=COLOURS["ink"],
        labelsize=8.5,
        labelfontfamily=FONT["family"],
        length=3,
    )
    axes.set_xlabel(xlabel, fontsize=9.5, color=COLOURS["ink"], **FONT)
    axes.set_ylabel(ylabel, fontsize=9.5, color=COLOURS["ink"], **FONT)
    return axes


def add_legend(axes: Axes, loc: LegendPlace = "best", markerscale: float = 1.0) -> None:
    """Add a plain legend where something is labelled."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc=loc,
            frameon=False,
            prop={"family": FONT["family"], "size": 8.5},
            labelcolor=COLOURS["ink"],
            markerscale=markerscale,
        )


def write_inside(axes: Axes, text: str) -> None:
    """Write a remark into the middle of the axes."""
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=10,
        color=COLOURS["muted"],
        **FONT,
    )


def label_ids(axes: Axes, ids: Iterable[Any], which: str, n_ticks: int = 6) -> None:
    """Tick positions 0, 1, ... along one axis ("x" or "y") with unit ids."""
    names = [str(unit_id)[:12] for unit_id in ids]
    ticks = spread_indices(len(names), n_ticks)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks.tolist(), [names[tick] for tick in ticks])


def use_plain_log(axes: Axes) -> None:
    """Make the y axis logarithmic with plain numbers as labels."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.tick_params(which="minor", length=1.5, colors=COLOURS["muted"])


def spread_indices(n_items: int, n_wanted: int) -> NDArray[np.intp]:
    """Return at most `n_wanted` indices into `n_items`, evenly spread, ends included.

    Examples
    --------
    >>> spread_indices(9, 3).tolist(), spread_indices(2, 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    if n_items <= n_wanted:
        return np.arange(n_items)
    return np.linspace(0, n_items - 1, n_wanted).round().astype(np.intp)


def encode_png(figure: Figure) -> bytes:
    """Draw the figure into PNG bytes; the same figure gives the same bytes."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(pixels).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=9, dpi=(DPI, DPI))
    return buffer.getvalue()
