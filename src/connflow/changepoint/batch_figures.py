"""Figures of a batch of fits: evidence over the number of states, and data against surrogates."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from connflow.changepoint.panels import SMALL, STATE_COLOURS, add_title, count_up, scale_nats
from connflow.report.style import (
    COLOURS,
    FONT,
    FULL_WIDTH_IN,
    HALF_WIDTH_IN,
    Drawing,
    add_legend,
    new_figure,
    style_axes,
)

MOST_PANELS = 16
MOST_COLUMNS = 4
DATA = "recorded"
"""What stands in column `surrogate` for fits of the recorded trials themselves."""

SETTING = ["bin_size_s", "emission", "surrogate"]
SAME_FIT = ["source", "region", "n_states", "bin_size_s", "emission"]


def draw_evidence_panels(done: pd.DataFrame) -> Drawing | None:
    """Draw the evidence over the number of states, one panel a session and region.

    Parameters
    ----------
    done : DataFrame
        Completed fits, with texts in every column of names.

    Returns
    -------
    Drawing or None
        None where no session and region has fits of two numbers of states.
    """
    groups = [group for group in done.groupby(["source", "region"]) if _has_counts(group[1])]
    if not groups:
        return None
    shown = groups[:MOST_PANELS]
    n_columns = min(len(shown), MOST_COLUMNS)
    n_rows = math.ceil(len(shown) / n_columns)
    width = HALF_WIDTH_IN if n_columns == 1 else FULL_WIDTH_IN
    figure = new_figure(width, 0.7 + 2.4 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True)
    colours = _setting_colours(done)
    for axes, ((source, region), table) in zip(panels.ravel(), shown, strict=False):
        _draw_panel(axes, table, colours)
        add_title(axes, _name(str(source), str(region)))
    for axes in panels.ravel()[len(shown) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("below the best (nats)", fontsize=9, color=COLOURS["ink"], **FONT)
    if len(colours) > 1:
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=3, frameon=False, prop=SMALL
        )
    some = f" {len(shown)} of {len(groups)} are drawn." if len(shown) < len(groups) else ""
    return Drawing(
        figure,
        "Evidence over the number of states",
        f"Log evidence against the number of states in {len(shown)} sessions and regions.",
        "One panel a session and region. Each line is less its own best, ringed: evidence of "
        f"different bins, emissions or surrogates is of different data, and not compared.{some}",
        is_wide=n_columns > 1,
    )


def draw_surrogates(done: pd.DataFrame) -> Drawing | None:
    """Draw the held-out bits per spike of recorded trials against those of their surrogates."""
    pairs = pair_surrogates(done)
    if pairs.empty:
        return None
    kinds = list(dict.fromkeys(pairs["surrogate"]))
    figure = new_figure(HALF_WIDTH_IN, 4.4)
    axes = style_axes(figure.subplots(), "surrogate (bits/spike)", "recorded (bits/spike)")
    for number, (kind, table) in enumerate(pairs.groupby("surrogate", sort=False)):
        colour = STATE_COLOURS[number % len(STATE_COLOURS)]
        label = f"{str(kind).replace('_', ' ')} ({len(table)})"
        axes.plot(table["fake"], table["real"], "o", color=colour, ms=5, alpha=0.7, label=label)
    ends = [pairs[["fake", "real"]].min().min(), pairs[["fake", "real"]].max().max()]
    axes.plot(ends, ends, "--", color=COLOURS["muted"], linewidth=1)
    add_legend(axes, "lower right")
    higher = [
        f"{kind.replace('_', ' ')}: {int((one['real'] > one['fake']).sum())} of {len(one)}"
        for kind, one in ((kind, pairs[pairs["surrogate"] == kind]) for kind in kinds)
    ]
    return Drawing(
        figure,
        "Recorded trials against surrogates",
        f"Held-out bits per spike of recorded trials against surrogates, {len(pairs)} pairs.",
        "One dot a session, region, number of states, bin and emission that was fitted both to "
        "the recorded trials and to a surrogate. Above the dashed line: states foretell the "
        "recorded trials better than trials without what the surrogate destroys "
        f"({'; '.join(higher)}).",
    )


def pair_surrogates(done: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out score of each kind of fit, of recorded trials and of surrogates.

    Returns
    -------
    DataFrame
        Columns of `SAME_FIT`, ``surrogate``, ``fake`` and ``real`` (bits/spike); means where a
        fit was repeated.
    """
    scored = done.dropna(subset=["held_out_bits_per_spike"])
    means = scored.groupby([*SAME_FIT, "surrogate"], as_index=False)["held_out_bits_per_spike"]
    table = means.mean()
    real = table[table["surrogate"] == DATA].drop(columns="surrogate")
    fake = table[table["surrogate"] != DATA]
    real = real.rename(columns={"held_out_bits_per_spike": "real"})
    fake = fake.rename(columns={"held_out_bits_per_spike": "fake"})
    pairs: pd.DataFrame = fake.merge(real, on=SAME_FIT)
    return pairs


def _has_counts(table: pd.DataFrame) -> bool:
    return len(table.dropna(subset=["evidence"])["n_states"].unique()) > 1


def _setting_colours(done: pd.DataFrame) -> dict[tuple[object, ...], str]:
    """Return a colour for each way of fitting; those of recorded trials come first."""
    settings = done[SETTING].drop_duplicates()
    is_fake = (settings["surrogate"] != DATA).rename("is_fake")
    settings = settings.assign(is_fake=is_fake).sort_values(["is_fake", *SETTING])
    keys = list(settings[SETTING].itertuples(index=False, name=None))
    return {key: STATE_COLOURS[number % len(STATE_COLOURS)] for number, key in enumerate(keys)}


def _draw_panel(axes: Axes, table: pd.DataFrame, colours: dict[tuple[object, ...], str]) -> None:
    style_axes(axes, "states")
    axes.tick_params(labelbottom=True)
    groups = dict(iter(table.dropna(subset=["evidence"]).groupby(SETTING)))
    lowest = 0.0
    for key, colour in colours.items():
        style = "-" if key[2] == DATA else "--"
        best = _best_by_states(groups.get(key))
        below = best.to_numpy() - best.max()
        states = best.index.to_numpy(np.float64)
        name = _say(key)
        axes.plot(states, below, f"o{style}", color=colour, label=name, linewidth=1.2, ms=3.5)
        if len(best):
            axes.plot(states[below.argmax()], 0, "o", mfc="none", mec=colour, ms=9, mew=1.4)
            lowest = min(lowest, float(below.min()))
    count_up(axes)
    scale_nats(axes, np.array([lowest]))


def _best_by_states(table: pd.DataFrame | None) -> "pd.Series[float]":
    """Return the highest evidence of each number of states; nothing where there are no fits."""
    if table is None:
        return pd.Series(np.empty(0))
    best: pd.Series[float] = table.groupby("n_states")["evidence"].max()
    return best


def _say(key: tuple[object, ...]) -> str:
    bin_size_s, emission, surrogate = key
    size = f"{1000 * float(str(bin_size_s)):.4g} ms"
    return ", ".join([size, *(str(one).replace("_", " ") for one in (emission, surrogate))])


def _name(source: str, region: str) -> str:
    short = source if len(source) <= 22 else f"…{source[-21:]}"
    return f"{short}, {region}" if region else short
