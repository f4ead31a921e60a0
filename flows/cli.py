"""The console script `connflow`."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from connflow.errors import InvalidInputError
from flows._console import console, readable_errors
from flows._exchange_cli import register as register_exchange
from flows._plan_tables import show_plan, show_repairs
from flows._store_cli import store_app

app = typer.Typer(
    help="Prefect-orchestrated dataflow with an artifact store for neural data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
run_app = typer.Typer(help="Run a flow.", no_args_is_help=True)
app.add_typer(run_app, name="run")
app.add_typer(store_app, name="store")
register_exchange(store_app)


@run_app.command()
def connectivity(
    recording: Annotated[
        str | None,
        typer.Option(
            help="Path or URL of a recording, or recording/KEY from the store. Without "
            "it a network is simulated."
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
    profile: Annotated[
        str,
        typer.Option(help="Where tasks run: a profile's name or the path of a YAML file."),
    ] = "local",
    store: Annotated[
        str | None,
        typer.Option(help="Root of the artifact store; $CONNFLOW_STORE or ./store."),
    ] = None,
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
    verbose: Annotated[bool, typer.Option(help="Show Prefect's log.")] = False,
) -> None:
    """Infer connectivity from a recording; print the path of the report page last."""
    _quiet_prefect(verbose)
    with readable_errors(verbose):
        values = read_params(params, assignments or [])
        from flows._plan import plan_flow, remove_damaged
        from flows.connectivity import infer_connectivity

        arguments = _flow_arguments(recording, values) | {"profile": profile, "store": store}
        if plan or repair:
            planned = plan_flow(infer_connectivity, **arguments)
            if plan:
                show_plan(planned)
                return
            show_repairs(remove_damaged(planned))
        with _step_table():
            result = infer_connectivity(**arguments, drop_intermediate=drop_intermediate)
        if metrics is not None:
            from flows._metrics import write_metrics

            write_metrics(result, metrics)
    typer.echo(result.report)


def _quiet_prefect(verbose: bool) -> None:
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "CRITICAL")
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "info" if verbose else "error")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")


def _flow_arguments(recording: str | None, values: dict[str, Any]) -> dict[str, Any]:
    """Return the flow's recording and params, from the command's."""
    from connflow.recording.network import NetworkParams
    from connflow.store import ArtifactRef
    from flows.connectivity import ConnectivityFlowParams

    source: Any = NetworkParams.parse(values.pop("network", {}))
    if recording is not None:
        is_ref = recording.startswith("recording/") and not Path(recording).exists()
        source = ArtifactRef.parse(recording) if is_ref else recording
    return {"recording": source, "params": ConnectivityFlowParams.parse(values)}


def read_params(file: Path | None, assignments: list[str]) -> dict[str, Any]:
    """Read parameters from a YAML file, then change those that are assigned.

    Parameters
    ----------
    file : Path, optional
        YAML file with one section per step.
    assignments : list of str
        Each ``section.name=value``, the value in YAML.

    Raises
    ------
    InvalidInputError
        If the file is missing or not a mapping, or if an assignment has another form.
    """
    values = _read_yaml(file) if file is not None else {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise InvalidInputError(f"--set takes NAME=VALUE, not {assignment!r}")
        _assign(values, name.strip().split("."), yaml.safe_load(text))
    return values


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        raise InvalidInputError(f"there is no parameter file {file}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{file} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInputError(f"{file} must hold one section per step, not {content!r}")
    return content


def _assign(values: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        section = values.setdefault(part, {})
        if not isinstance(section, dict):
            raise InvalidInputError(f"--set {'.'.join(path)}: {part} is not a section")
        values = section
    values[path[-1]] = value


@contextmanager
def _step_table() -> Iterator[None]:
    """Show each step as a line with its state, and how far the running one is."""
    from connflow.progress import reporting_to
    from flows._runner import listening

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


if __name__ == "__main__":
    app()
