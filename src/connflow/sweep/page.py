"""The page of a sweep: its best trial, its figure and its table in one HTML file."""

import base64
import functools

import pandas as pd
from jinja2 import Template

from connflow.pages import load_template
from connflow.sweep.figure import label, say_score
from connflow.sweep.params import SweepParams
from connflow.sweep.table import best_row


def render_page(table: pd.DataFrame, figure: bytes, params: SweepParams) -> str:
    """Return a self-contained page.

    Parameters
    ----------
    table : DataFrame
        As `tabulate` returns it.
    figure : bytes
        As `draw_sweep` returns it.
    params : SweepParams
        What was swept.
    """
    varied = list(params.over)
    best = best_row(table, params.direction)
    columns = {"trial": "trial", **{name: label(name) for name in varied}, "score": "score"}
    columns |= {"state": "state", "reason": "reason"}
    return _template().render(
        flow=params.flow,
        method=params.method,
        score=say_score(params),
        best=None if best is None else table.iloc[best].to_dict(),
        varied=varied,
        label=label,
        figure=base64.b64encode(figure).decode(),
        columns=columns,
        rows=[
            {name: _say(row[name]) for name in columns}
            for row in _best_first(table, params.direction).to_dict("records")
        ],
    )


def _best_first(table: pd.DataFrame, direction: str) -> pd.DataFrame:
    return table.sort_values("score", ascending=direction == "minimize", kind="stable")


def _say(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return str(value)


@functools.cache
def _template() -> Template:
    return load_template("connflow.sweep")
