"""`connflow run connectivity`: the connectivity flow, its plan, and its steps as they go."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from flows.commands.arguments import (
    ProfileOption,
    StoreOption,
    VerboseOption,
    find_recording,
    read_params,
)
from flows.commands.console import console, quiet_prefect, readable_errors
from flows.commands.plan_tables import show_plan, show_repairs


def connectivity(
    recording: Annotated[
        list[str] | None,
        typer.Option(
            help="Path or URL of a recording, or recording/KEY from the store. Repeatable, for "
            "recordings of the same units. Without it a network is simulated."
        ),
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="YAML file of parameters, one section per step.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="One parameter, e.g. connectivity.lags=[1,2]. Repeatable.",
        ),
    ] = None,
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
    quiet_prefect(verbose)
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
        with _step_table():
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
    found = [find_recording(recording) for recording in recordings]
    several = found[0] if len(found) == 1 else found
    return {
        "recording": several if found else network,
        "params": ConnectivityFlowParams.parse(values),
    }


@contextmanager
def _step_table() -> Iterator[None]:
    """Show each step as a line with its state, and how far the running one is."""
    from connflow.progress import reporting_to
    from flows.running.run import listening

    progress = Progress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]:<10}"),
        TimeElapsedColumn(),
        console=console,
    )
    lines: dict[str, TaskID] = {}

    def on_step(step: str, state: str) -> None:
        if step not in lines:
            lines[step] = progress.add_task(step, total=1.0, state=state)
        done = state in ("Completed", "Cached")
        progress.update(lines[step], state=state, completed=1.0 if done else 0.0)

    def on_fraction(fraction: float) -> None:
        running = [line for line in progress.tasks if line.fields["state"] == "Running"]
        if running:
            progress.update(running[-1].id, completed=min(fraction, 0.99))

    began = time.perf_counter()
    with progress, listening(on_step), reporting_to(on_fraction):
        yield
    console.print(f"done in {time.perf_counter() - began:.1f} s")
