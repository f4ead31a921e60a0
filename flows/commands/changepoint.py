"""`connflow run changepoint`, `connflow run changepoint-batch`, `connflow fits`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.arguments import (
    ParamsOption,
    ProfileOption,
    SetOption,
    StoreOption,
    VerboseOption,
    find_input,
    read_params,
)
from flows.commands.console import console, prepare_prefect, readable_errors
from flows.commands.plan_tables import show_plan
from flows.commands.step_table import step_table


def changepoint(
    trials: Annotated[
        str | None,
        typer.Option(
            help="Trials: npz or zarr with spike_counts, HDF5 of blech_clust, trials/KEY."
        ),
    ] = None,
    recording: Annotated[
        str | None, typer.Option(help="Instead, a recording to cut into trials, or recording/KEY.")
    ] = None,
    events: Annotated[
        str | None, typer.Option(help="Table of events (CSV, Parquet, npz) to cut it around.")
    ] = None,
    params: ParamsOption = None,
    assignments: SetOption = None,
    profile: ProfileOption = "local",
    store: StoreOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would run, and why; run nothing.")
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Find the changepoints of trials; print the path of the report page last."""
    prepare_prefect(verbose)
    with readable_errors(verbose):
        values = read_params(params, assignments or [])
        from flows.changepoint import ChangepointFlowParams, infer_changepoints
        from flows.running.plan import plan_flow

        arguments: dict[str, Any] = {
            "trials": None if trials is None else find_input(trials, "trials"),
            "recording": None if recording is None else find_input(recording),
            "events": events,
            "params": ChangepointFlowParams.parse(values),
            "profile": profile,
            "store": store,
        }
        if plan:
            show_plan(plan_flow(infer_changepoints, **arguments))
            return
        with step_table():
            result = infer_changepoints(**arguments)
    typer.echo(result.report)


def changepoint_batch(
    trials: Annotated[
        list[str] | None, typer.Option(help="Trials of a session, as for changepoint. Repeatable.")
    ] = None,
    sessions: Annotated[
        Path | None,
        typer.Option(
            help="YAML list of sessions, each with trials, or recording and events, and perhaps a "
            "name."
        ),
    ] = None,
    params: ParamsOption = None,
    assignments: SetOption = None,
    profile: ProfileOption = "local",
    store: StoreOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fit many sessions at every point of a grid; print the path of the report page last."""
    prepare_prefect(verbose)
    with readable_errors(verbose):
        values = read_params(params, assignments or [])
        from flows.changepoint_batch import ChangepointBatchParams, infer_changepoint_batch
        from flows.trials import read_sessions

        named = [{"trials": find_input(one, "trials")} for one in trials or []]
        with step_table():
            result = infer_changepoint_batch(
                read_sessions(named, sessions), ChangepointBatchParams.parse(values), profile, store
            )
    typer.echo(result.report)


def fits(
    where: Annotated[
        str,
        typer.Option(help="Condition: \"n_states == 3 and region == 'GC' and evidence > -5e3\"."),
    ] = "",
    by: Annotated[str, typer.Option(help="Column to sort by, the largest first.")] = "evidence",
    most: Annotated[int, typer.Option(help="Most rows.")] = 50,
    csv: Annotated[Path | None, typer.Option(help="Write all rows here instead.")] = None,
    store: StoreOption = None,
) -> None:
    """List changepoint fits of the store, those of batches and single ones."""
    with readable_errors():
        from connflow.store import Store
        from flows.commands.fit_table import print_fits
        from flows.running.fits import find_fits, sort_fits

        table = sort_fits(find_fits(Store(store), where), by)
        if csv is not None:
            table.to_csv(csv, index=False)
        else:
            print_fits(console, table, most)
