"""Changepoint: the changepoints of trials, many fits at once, and the pages about them."""

from connflow import changepoint
from connflow.changepoint import (
    BATCH_VERSION,
    CHANGEPOINT_VERSION,
    BatchParams,
    ChangepointParams,
    PageParams,
)
from connflow.store import ArtifactRef, ArtifactWriter, Store, upstream
from tasks._inputs import open_trials
from tasks._pages import write_page
from tasks._step import step

BATCH = "changepoint_batch"
TABLES = ("evidence", "held_out", "responses")


@step("changepoint", CHANGEPOINT_VERSION, run_name="{params.emission}")
def fit_changepoints(
    store: Store, artifact: ArtifactWriter, trials: ArtifactRef, params: ChangepointParams
) -> None:
    """Find the changepoints of each trial, and the states that they part."""
    fit = changepoint.fit_changepoints(open_trials(store, trials), params)
    artifact.write_dataset(fit.dataset)
    for name, table in fit.tables.items():
        artifact.write_table(table, name)


@step("report", CHANGEPOINT_VERSION, run_name="{params.title}", package="connflow.changepoint")
def write_fit_report(
    store: Store,
    artifact: ArtifactWriter,
    trials: ArtifactRef,
    fit: ArtifactRef,
    params: PageParams,
) -> None:
    """Write one self-contained HTML page about a fit."""
    held = [name for name in TABLES if store.holds(fit, f"{name}.parquet")]
    settings = ChangepointParams.parse(store.manifest(fit).params)
    html, figures = changepoint.render_fit_page(
        changepoint.prepare(open_trials(store, trials), settings),
        store.open_dataset(fit).load(),
        {name: store.read_table(fit, name) for name in held},
        params.title,
        [manifest.model_dump(mode="json") for manifest in upstream(store, fit)],
    )
    write_page(artifact, html, figures)


@step(BATCH, BATCH_VERSION, package="connflow.changepoint")
def fit_batch(
    store: Store,
    artifact: ArtifactWriter,
    trials: tuple[ArtifactRef, ...],
    params: BatchParams,
) -> None:
    """Make many fits, each a row of a table."""
    batch = changepoint.fit_batch(lambda place: open_trials(store, trials[place]), params)
    artifact.write_table(batch.fits)
    artifact.write_table(batch.changepoints, "changepoints")
    artifact.write_table(batch.levels, "levels")


@step("report", BATCH_VERSION, run_name="{params.title}", package="connflow.changepoint")
def write_batch_report(
    store: Store,
    artifact: ArtifactWriter,
    batches: tuple[ArtifactRef, ...],
    params: PageParams,
) -> None:
    """Write one self-contained HTML page about many fits."""
    import pandas as pd

    lost = [
        {"source": name, "state": "Failed", "reason": reason}
        for name, reason in params.failures.items()
    ]
    parts = [store.read_table(batch) for batch in batches]
    table = pd.concat([*parts, pd.DataFrame(lost)] if lost else parts, ignore_index=True)
    html, figures = changepoint.render_batch_page(table, params.title)
    artifact.write_table(table)
    write_page(artifact, html, figures)
