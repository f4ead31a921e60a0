"""The page: figures, tables and words put into one HTML file that needs nothing else."""

import base64
import functools
from typing import Any

from jinja2 import Template

from connflow.pages import load_template
from connflow.report import tables, worth
from connflow.report.content import Report, ReportContent, Wiring, read_wiring
from connflow.report.figures import draw_figures
from connflow.report.params import REPORT_VERSION, ReportParams
from connflow.report.style import Drawing, encode_png
from connflow.report.words import flatten


def render_report(content: ReportContent, params: ReportParams) -> Report:
    """Render the report; the same content and parameters give the same bytes.

    Parameters
    ----------
    content : ReportContent
        What the earlier steps made.
    params : ReportParams
        Title of the page, and how much it shows.

    Returns
    -------
    Report
        The page, and its figures as PNG by name.

    Raises
    ------
    InvalidInputError
        If the matrices are not there, lack a dimension, or are of different units.
    """
    wiring = read_wiring(content) if content.edges is None else None
    drawings = draw_figures(content, wiring, params)
    figures = {name: encode_png(drawing.figure) for name, drawing in drawings.items()}
    views = {name: _view_figure(name, drawings[name], png) for name, png in figures.items()}
    html = _template().render(figures=views, **_describe(content, wiring, params))
    return Report(html, figures)


@functools.cache
def _template() -> Template:
    return load_template("connflow.report")


def _view_figure(name: str, drawing: Drawing, png: bytes) -> dict[str, Any]:
    width, height = (round(side) for side in drawing.figure.bbox.size)
    return {
        "name": name,
        "heading": drawing.heading,
        "alt": drawing.alt,
        "caption": drawing.caption,
        "is_wide": drawing.is_wide,
        "width": width,
        "height": height,
        "data": base64.b64encode(png).decode(),
    }


def _describe(
    content: ReportContent, wiring: Wiring | None, params: ReportParams
) -> dict[str, Any]:
    attrs = {str(name): value for name, value in content.connectivity.attrs.items()}
    recording, scores, expected = content.recording, content.scores, content.expectation
    return {
        "title": params.title,
        "report_version": REPORT_VERSION,
        "headlines": tables.list_headlines(
            recording, content.connectivity.sizes["source"], attrs, scores
        ),
        "recording": None if recording is None else tables.list_recording(recording),
        "how_inferred": list(flatten(attrs)),
        "strongest": {
            kind: _list_strongest(content, wiring, sign)
            for kind, sign in (("excitatory", 1), ("inhibitory", -1))
        },
        "significance": worth.say_significance(content, wiring),
        "expected": None if expected is None else worth.list_expected(expected),
        "expectation": [] if expected is None else worth.say_expectation(expected),
        "assumptions": content.assumptions,
        "has_matrices": wiring is not None,
        "has_truth": wiring is not None and wiring.truth is not None,
        "scores": None if scores is None else tables.list_scores(scores),
        "steps": tables.list_steps(content.steps),
        "opening": tables.write_opening(content.steps),
    }


def _list_strongest(
    content: ReportContent, wiring: Wiring | None, sign: int
) -> list[dict[str, str]]:
    if content.edges is not None:
        return tables.list_strongest_edges(content.edges, sign)
    return [] if wiring is None else tables.list_strongest(wiring, sign)
