"""The pages of changepoint fits: one for a fit and one for a batch, each a single HTML file."""

import base64
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr
from jinja2 import Template

from connflow.changepoint import batch_figures, batch_words, page_words
from connflow.changepoint.figures import draw_fit
from connflow.changepoint.fit_view import view_fit
from connflow.changepoint.params import CHANGEPOINT_VERSION
from connflow.pages import load_template
from connflow.report.style import Drawing, encode_png
from connflow.report.tables import list_steps
from connflow.report.words import flatten
from connflow.trials import Trials


def render_fit_page(
    trials: Trials,
    fit: xr.Dataset,
    tables: Mapping[str, pd.DataFrame],
    title: str,
    steps: Sequence[dict[str, Any]] = (),
) -> tuple[str, dict[str, bytes]]:
    """Render the page of a fit; the same content gives the same bytes.

    Parameters
    ----------
    trials : Trials
        What was fitted; for a surrogate, the surrogate trials.
    fit : Dataset
        As `fit_changepoints` makes it.
    tables : mapping of DataFrame
        "evidence", "held_out" and "responses", as far as there are.
    title : str
    steps : sequence of dict
        Manifests of the steps behind the fit.

    Returns
    -------
    tuple of str and dict of bytes
        A self-contained page, and its figures as PNG by name.

    Raises
    ------
    InvalidInputError
        If the fit is not of these trials.
    """
    view = view_fit(trials, fit, tables)
    figures = draw_fit(view)
    pngs = _encode(figures.drawings)
    html = _template("page.html.j2").render(
        title=title,
        version=CHANGEPOINT_VERSION,
        figures=_embed(figures.drawings, pngs),
        missing=figures.missing,
        headlines=page_words.list_headlines(view),
        sentences=page_words.say_fit(view),
        changepoints=page_words.list_changepoints(view),
        responses=page_words.list_responses(view),
        on_responses=page_words.say_responses(view),
        how=list(flatten({str(name): value for name, value in fit.attrs.items()})),
        steps=list_steps(list(steps)),
    )
    return html, pngs


def render_batch_page(table: pd.DataFrame, title: str) -> tuple[str, dict[str, bytes]]:
    """Render the page of a batch of fits.

    Parameters
    ----------
    table : DataFrame
        One row a fit: ``source``, ``region``, ``n_states``, ``bin_size_s``, ``surrogate``,
        ``emission``, ``evidence`` (nats), ``held_out_bits_per_spike``, ``state`` ("Completed" or
        "Failed") and ``reason``.
    title : str

    Returns
    -------
    tuple of str and dict of bytes
        A self-contained page, and its figures as PNG by name.

    Raises
    ------
    InvalidInputError
        If a column is missing.
    """
    fits = batch_words.tidy(table)
    done = fits[fits["state"] == "Completed"]
    found = {
        "evidence": batch_figures.draw_evidence_panels(done),
        "surrogates": batch_figures.draw_surrogates(done),
    }
    drawings = {name: drawing for name, drawing in found.items() if drawing is not None}
    pngs = _encode(drawings)
    html = _template("batch_page.html.j2").render(
        title=title,
        version=CHANGEPOINT_VERSION,
        figures=_embed(drawings, pngs),
        missing=batch_words.say_missing(drawings),
        headlines=batch_words.list_headlines(fits),
        failures=batch_words.list_failures(fits),
        columns=batch_words.COLUMNS,
        rows=batch_words.list_fits(fits),
    )
    return html, pngs


@functools.cache
def _template(name: str) -> Template:
    return load_template("connflow.changepoint", name)


def _encode(drawings: Mapping[str, Drawing]) -> dict[str, bytes]:
    return {name: encode_png(drawing.figure) for name, drawing in drawings.items()}


def _embed(drawings: Mapping[str, Drawing], pngs: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        name: {"drawing": one, "png": base64.b64encode(pngs[name]).decode()}
        for name, one in drawings.items()
    }
