"""Which figures a report has: one list, decided by what the content holds."""

from connflow.recording.model import SpikeRecording
from connflow.report.content import ReportContent, Wiring, excerpt_fluorescence, unit_kinds
from connflow.report.curve_figures import draw_precision_recall, draw_roc, has_curve
from connflow.report.degree_figures import draw_degrees
from connflow.report.matrix_figures import (
    draw_truth,
    draw_weight_scatter,
    draw_weights,
    draw_z,
    draw_z_distribution,
)
from connflow.report.params import ReportParams
from connflow.report.spike_figures import draw_raster, draw_rates
from connflow.report.style import Drawing
from connflow.report.trace_figures import draw_traces
from connflow.report.worth_figures import draw_expectation


def draw_figures(
    content: ReportContent, wiring: Wiring | None, params: ReportParams
) -> dict[str, Drawing]:
    """Draw every figure that the content allows, by name, in the order of the page."""
    return {
        **_draw_activity(content, wiring, params),
        **(
            {"degrees": draw_degrees(content.connectivity)}
            if wiring is None
            else _draw_wiring(wiring, params)
        ),
        **_draw_agreement(content, wiring),
        **_draw_worth(content),
    }


def _draw_activity(
    content: ReportContent, wiring: Wiring | None, params: ReportParams
) -> dict[str, Drawing]:
    drawings = {}
    spikes = content.recording if isinstance(content.recording, SpikeRecording) else None
    if spikes is not None and spikes.n_units:
        kinds = unit_kinds(wiring, spikes.unit_ids)
        drawings["raster"] = draw_raster(spikes, kinds, params)
        drawings["rates"] = draw_rates(spikes, kinds)
    fluorescence = excerpt_fluorescence(content, params.raster_s)
    if fluorescence is not None or content.activity is not None:
        drawings["traces"] = draw_traces(fluorescence, content.activity, spikes, params)
    return drawings


def _draw_wiring(wiring: Wiring, params: ReportParams) -> dict[str, Drawing]:
    drawings = {"weights": draw_weights(wiring, params)}
    if wiring.truth is not None:
        drawings["truth"] = draw_truth(wiring, wiring.truth, params)
    drawings["z"] = draw_z(wiring, params)
    drawings["z_distribution"] = draw_z_distribution(wiring)
    return drawings


def _draw_agreement(content: ReportContent, wiring: Wiring | None) -> dict[str, Drawing]:
    drawings = {}
    if wiring is not None and wiring.truth is not None:
        drawings["weight_scatter"] = draw_weight_scatter(wiring, wiring.truth)
    if content.curves is not None and has_curve(content.curves, "roc"):
        drawings["roc"] = draw_roc(content.curves)
    if content.curves is not None and has_curve(content.curves, "precision_recall"):
        density = None if wiring is None else wiring.density
        drawings["precision_recall"] = draw_precision_recall(content.curves, density)
    return drawings


def _draw_worth(content: ReportContent) -> dict[str, Drawing]:
    return (
        {}
        if content.expectation is None
        else {"expectation": draw_expectation(content.expectation)}
    )
