"""All figures of a fit, and in words those that cannot be drawn."""

from dataclasses import dataclass, field

import numpy as np

from connflow.changepoint.fit_view import FitView
from connflow.changepoint.model_figures import draw_climb, draw_evidence
from connflow.changepoint.state_figures import draw_levels, draw_timing
from connflow.changepoint.transition_figures import draw_aligned
from connflow.changepoint.trial_figures import draw_examples, draw_overview
from connflow.report.style import Drawing


@dataclass(frozen=True)
class FitFigures:
    """Figures by name, and why others are missing.

    Parameters
    ----------
    drawings : dict of Drawing
    missing : dict of str
        By the name of the figure that is not there, a sentence that says why.
    """

    drawings: dict[str, Drawing] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def draw_fit(view: FitView) -> FitFigures:
    """Draw what there is to draw of a fit."""
    figures = FitFigures({"examples": draw_examples(view), "overview": draw_overview(view)})
    _add_aligned(figures, view)
    figures.drawings["levels"] = draw_levels(view)
    figures.drawings["timing"] = draw_timing(view)
    _add_evidence(figures, view)
    _add_climb(figures, view)
    return figures


def _add_aligned(figures: FitFigures, view: FitView) -> None:
    starts = [view.start_bins(number) for number in range(view.n_changepoints)]
    if not starts:
        figures.missing["aligned"] = (
            "The fit has one state, hence no changepoints, and there is no firing around them."
        )
    elif not np.isfinite(starts).any():
        figures.missing["aligned"] = (
            "No changepoint lies inside a trial, so that there is no firing around them."
        )
    else:
        figures.drawings["aligned"] = draw_aligned(view)


def _add_evidence(figures: FitFigures, view: FitView) -> None:
    table = view.tables.get("evidence")
    if table is not None and len(table) > 1:
        figures.drawings["evidence"] = draw_evidence(table, view.n_states)
    else:
        figures.missing["evidence"] = (
            f"Only {view.n_states} state{'s were' if view.n_states > 1 else ' was'} fitted, so "
            "that nothing is said here of other numbers of states."
        )


def _add_climb(figures: FitFigures, view: FitView) -> None:
    if "elbo" in view.fit and np.isfinite(view.fit["elbo"].to_numpy()).sum() > 1:
        figures.drawings["climb"] = draw_climb(view)
    else:
        figures.missing["climb"] = (
            "The fit was not found by climbing: there is no trace of an ELBO to draw."
        )
