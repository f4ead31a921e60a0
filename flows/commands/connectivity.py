"""`connflow run connectivity`: the connectivity flow, its plan, and its steps as they go."""

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
from flows.commands.console import prepare_prefect, readable_errors
from flows.commands.plan_tables import show_plan, show_repairs
from flows.commands.step_table import step_table


def connectivity(
    recording: Annotated[
        list[str] | None,
        typer.Option(
            help="Path or URL of a recording, or recording/KEY from the store. Repeatable, for "
            "recordings of the same units. Without it a network is simulated."
        ),
    ] = None,
    params: ParamsOption = None,
    assignments: SetOption = None,
    profile: ProfileOption = "local",
    store: StoreOption = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would run, and why; run nothing.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Check the artifacts; make damaged ones anew.")
    ] = False,
    drop_intermediate: Annotated[
        bool,
        typer.Option(
            "--drop-intermediate",
            help="After success, drop the bytes of binning, calcium and deconvolution; their "
            "records stay.",
        ),
    ] = False,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Folder for scores.json and the curves as CSV, for DVC and others."),
    ] = None,
    verbose: VerboseOption = False,
) -> None:
    """Infer connectivity from a recording; print the path of the report page last."""
    prepare_prefect(verbose)
    with readable_errors(verbose):
        values = read_params(params, assignments or [])
        from flows.connectivity import infer_connectivity
        from flows.running.plan import plan_flow, remove_damaged

        arguments = _flow_arguments(recording or [], values) | {"profile": profile, "store": store}
        if plan or repair:
            planned = plan_flow(infer_connectivity, **arguments)
            if plan:
                show_plan(planned)
                return
            show_repairs(remove_damaged(planned))
        with step_table():
            result = infer_connectivity(**arguments, drop_intermediate=drop_intermediate)
        if metrics is not None:
            from flows.commands.metrics import write_metrics

            write_metrics(result, metrics)
    typer.echo(result.report)


def _flow_arguments(recordings: list[str], values: dict[str, Any]) -> dict[str, Any]:
    """Return the flow's recording and params, from the command's."""
    from connflow.recording.network import NetworkParams
    from flows.connectivity import ConnectivityFlowParams

    network = NetworkParams.parse(values.pop("network", {}))
    found = [find_input(recording) for recording in recordings]
    several = found[0] if len(found) == 1 else found
    return {
        "recording": several if found else network,
        "params": ConnectivityFlowParams.parse(values),
    }
