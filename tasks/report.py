"""Report: the page about a run, and its figures."""

from connflow import report
from connflow.report import REPORT_VERSION, ReportParams
from connflow.store import ArtifactRef, ArtifactWriter, Store, upstream
from tasks._inputs import open_excerpt, open_recording
from tasks._step import step

PAGE = "report.html"
FIGURES = "figures"


@step("report", REPORT_VERSION, run_name="{params.title}")
def write_report(
    store: Store,
    artifact: ArtifactWriter,
    recording: ArtifactRef,
    connectivity: ArtifactRef,
    fluorescence: ArtifactRef | None,
    activity: ArtifactRef | None,
    evaluation: ArtifactRef | None,
    params: ReportParams,
) -> None:
    """Write one self-contained HTML page about everything that was made on the way."""
    source = store.open_dataset(recording)
    made = upstream(store, connectivity)
    if evaluation is not None:
        made.append(store.manifest(evaluation))
    page = report.render_report(
        report.ReportContent(
            recording=open_recording(store, recording),
            fluorescence=open_excerpt(store, fluorescence, "fluorescence", params.raster_s),
            activity=open_excerpt(store, activity, "activity", params.raster_s),
            connectivity=store.open_dataset(connectivity).load(),
            truth=source["weights"].load() if "weights" in source else None,
            scores=None if evaluation is None else store.read_table(evaluation),
            curves=None if evaluation is None else store.read_table(evaluation, "curves"),
            steps=[manifest.model_dump(mode="json") for manifest in made],
        ),
        params,
    )
    artifact.write_file(PAGE, page.html.encode())
    for name, image in page.figures.items():
        artifact.write_file(f"{FIGURES}/{name}.png", image)
