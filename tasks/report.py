"""Report: the page about a run, and its figures."""

from connflow import report
from connflow.report import REPORT_VERSION, ReportParams
from connflow.store import ArtifactRef, ArtifactWriter, Store, upstream
from tasks._inputs import open_excerpt, open_recording
from tasks._pages import write_page
from tasks._step import step


@step("report", REPORT_VERSION, run_name="{params.title}")
def write_report(
    store: Store,
    artifact: ArtifactWriter,
    recording: ArtifactRef,
    connectivity: ArtifactRef,
    fluorescence: ArtifactRef | None,
    activity: ArtifactRef | None,
    evaluation: ArtifactRef | None,
    regime: ArtifactRef | None,
    expectation: ArtifactRef | None,
    params: ReportParams,
) -> None:
    """Write one self-contained HTML page about everything that was made on the way."""
    source, found = store.open_dataset(recording), store.open_dataset(connectivity).load()
    is_sparse = "n_pairs" in found
    made = upstream(store, connectivity)
    made += [store.manifest(ref) for ref in (evaluation, regime, expectation) if ref is not None]
    page = report.render_report(
        report.ReportContent(
            recording=open_recording(store, recording),
            fluorescence=open_excerpt(store, fluorescence, "fluorescence", params.raster_s),
            activity=open_excerpt(store, activity, "activity", params.raster_s),
            connectivity=found,
            truth=source["weights"].load() if "weights" in source and not is_sparse else None,
            scores=None if evaluation is None else store.read_table(evaluation),
            curves=None if evaluation is None else store.read_table(evaluation, "curves"),
            steps=[manifest.model_dump(mode="json") for manifest in made],
            reason="" if regime is None else store.open_dataset(regime).attrs["reason"],
            expectation=None if expectation is None else store.read_table(expectation),
            assumptions=_assumptions(store, expectation),
            edges=store.read_table(connectivity, "edges") if is_sparse else None,
        ),
        params,
    )
    write_page(artifact, page.html, page.figures)


def _assumptions(store: Store, expectation: ArtifactRef | None) -> list[str]:
    return (
        [] if expectation is None else store.read_table(expectation, "assumptions")["text"].tolist()
    )
