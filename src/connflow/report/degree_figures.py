"""The figure of a result without matrices: how many edges the units have."""

import numpy as np
import xarray as xr

from connflow.report.style import (
    COLOURS,
    FULL_WIDTH_IN,
    Drawing,
    add_legend,
    new_figure,
    style_axes,
)

_MOST_BINS = 60


def draw_degrees(connectivity: xr.Dataset) -> Drawing:
    """Draw how many units have how many edges.

    Parameters
    ----------
    connectivity : Dataset
        Variables ``out_degree`` over source and ``in_degree`` over target.
    """
    degrees = {
        "from a unit": connectivity["out_degree"].to_numpy(),
        "onto a unit": connectivity["in_degree"].to_numpy(),
    }
    most = max(int(degree.max(initial=0)) for degree in degrees.values())
    step = -(-(most + 1) // _MOST_BINS)
    bins = np.arange(0, most + step + 1, step) - 0.5
    figure = new_figure(FULL_WIDTH_IN, 3.2)
    axes = style_axes(figure.subplots(), "significant edges", "units")
    for (name, degree), colour in zip(degrees.items(), ("excitatory", "inhibitory"), strict=True):
        axes.stairs(np.histogram(degree, bins)[0], bins, color=COLOURS[colour], label=name)
    add_legend(axes, "upper right")
    return Drawing(
        figure,
        "Edges of each unit",
        f"Histograms of the significant edges from and onto each of {degree.size} units.",
        "Units by how many significant edges lead away from them, and to them.",
        is_wide=True,
    )
