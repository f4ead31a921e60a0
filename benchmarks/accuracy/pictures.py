"""A picture per case: precision against recall, mean over seeds, of the best contenders."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.accuracy.scoring import RECALLS
from benchmarks.accuracy.tables import Standing

COLOURS = {
    "auto": "#0b3c8c",
    "kernel_regression": "#2f7fd1",
    "kernel_regression_dale": "#58a6e0",
    "lags_1_6": "#17a2a2",
    "glm": "#6a51a3",
    "innovation_regression": "#2f7fd1",
    "feed31_kernel": "#17a2a2",
    "feed5_kernel": "#58a6e0",
    "oasis_kernel": "#6a51a3",
    "ccg": "#7a8b2f",
    "transfer_entropy": "#a3a33c",
    "correlation_1_6": "#8c8c8c",
    "correlation": "#8c8c8c",
    "partial_correlation": "#5f6b6b",
    "tspe": "#d95f02",
    "tspe_z": "#a3a33c",
    "elephant_tspe": "#a6611a",
    "glmcc": "#c2185b",
    "sccg": "#e6842a",
    "sutera": "#c2185b",
    "gte": "#e6842a",
    "calcinet": "#b07aa1",
    "calcinet_2": "#9c6fb0",
    "calcinet_5ms": "#8e5ea2",
    "calnet": "#d4a6c8",
}
STYLES = {"ours": "-", "rival": "--", "baseline": ":"}
MOST_CURVES = 7


def draw_case(title: str, standings: Sequence[Standing], file: Path) -> None:
    """Draw the curves of a case into a PNG file."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(figsize=(7.2, 3.9), layout="constrained")
        for standing in choose(standings):
            curve = np.mean([row["scores"]["curve"] for row in standing.rows], axis=0)
            role, colour = standing.contender.role, COLOURS.get(standing.name, "#444444")
            width = 2.6 if standing.name == "auto" else 1.6
            label = f"{standing.contender.label}  {standing.mean('average_precision').value:.3f}"
            axes.plot(RECALLS, curve, STYLES[role], color=colour, lw=width, label=label)
        chance = standings[0].mean("chance").value
        axes.axhline(chance, color="#b0b0b0", lw=1)
        axes.annotate(
            "chance", (0.01, chance), xytext=(0, 3), textcoords="offset points", fontsize=8
        )
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.set_title(title, loc="left", fontsize=10)
        axes.grid(color="#e8e8e8", lw=0.6)
        axes.legend(
            title="method, average precision",
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            fontsize=8.5,
            title_fontsize=8.5,
            alignment="left",
            handlelength=2.6,
        )
        _save_small(figure, file)
        plt.close(figure)


def _save_small(figure: Figure, file: Path) -> None:
    """Write the figure as a PNG of 64 colours, a third of the usual size."""
    file.parent.mkdir(parents=True, exist_ok=True)
    full = BytesIO()
    figure.savefig(full, format="png", dpi=110)
    Image.open(full).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(file, optimize=True)


def choose(standings: Sequence[Standing]) -> list[Standing]:
    """Return the curves worth drawing, the best first: ours as it comes, and the best others.

    Two rivals and a baseline have a place at least; of equal curves one is drawn.
    """
    different = [s for s in standings if s.name == "auto" or not _is_drawn_by_auto(s, standings)]
    chosen = {s.name for s in different if s.name == "auto"}
    for role, n_places in (("rival", 2), ("baseline", 1)):
        chosen |= set([s.name for s in different if s.contender.role == role][:n_places])
    for standing in different:
        if len(chosen) < MOST_CURVES:
            chosen.add(standing.name)
    return [s for s in different if s.name in chosen]


def _is_drawn_by_auto(standing: Standing, standings: Sequence[Standing]) -> bool:
    values = standing.values("average_precision")
    return any(s.name == "auto" and s.values("average_precision") == values for s in standings)
