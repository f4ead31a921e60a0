"""`connflow run sweep`: a flow over a grid, a random draw, or what Optuna chooses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows.commands.arguments import (
    ProfileOption,
    StoreOption,
    VerboseOption,
    find_input,
    read_assignment,
    read_params,
)
from flows.commands.console import console, prepare_prefect, readable_errors

if TYPE_CHECKING:  # costs time, which --help need not wait for
    from connflow.sweep import Point, SweepParams, TrialRecord
    from flows.sweeping.result import SweepResult


def sweep(
    over: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUES",
            help="What is varied, named as for --set: connectivity.ridge=[0.001,0.01], or "
            "connectivity.ridge={low: 0.001, high: 1, log: true}; recording=['a.npz','b.npz'] too. "
            "Repeatable.",
        ),
    ],
    score: Annotated[
        str | None, typer.Option(help="What tells good from bad: evaluation.auroc.")
    ] = None,
    minimize: Annotated[bool, typer.Option("--minimize", help="A lower score is better.")] = False,
    method: Annotated[str, typer.Option(help="grid, random or optuna.")] = "grid",
    n_trials: Annotated[
        int | None, typer.Option("--trials", help="random and optuna: number of trials.")
    ] = None,
    seed: Annotated[int, typer.Option(help="random and optuna: seed of the draws.")] = 0,
    max_parallel: Annotated[
        int, typer.Option("--parallel", help="Most trials at the same time.")
    ] = 2,
    stop: Annotated[
        bool, typer.Option("--stop-on-failure", help="End at the first trial that fails.")
    ] = False,
    study: Annotated[
        str | None, typer.Option(help="optuna: file that keeps the study; in the store without.")
    ] = None,
    flow: Annotated[
        str, typer.Option(help="Name or dotted path of the flow.")
    ] = "infer-connectivity",
    recording: Annotated[
        str | None, typer.Option(help="As for connectivity; without it a network is simulated.")
    ] = None,
    params: Annotated[
        Path | None, typer.Option(help="YAML file of the parameters that all trials share.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="One parameter that all share. Repeatable."
        ),
    ] = None,
    profile: ProfileOption = "local",
    store: StoreOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Run a flow at many points of its parameters; print the path of the sweep's page last."""
    prepare_prefect(verbose)
    with readable_errors(verbose):
        from connflow.sweep import SweepParams
        from flows.sweep import sweep as sweep_flow
        from flows.sweeping.target import Target

        wanted = SweepParams.parse(
            {
                "flow": flow,
                "over": _space(over),
                "method": method,
                "n_trials": n_trials,
                "seed": seed,
                "score": score,
                "direction": "minimize" if minimize else "maximize",
                "max_parallel": max_parallel,
                "on_failure": "stop" if stop else "continue",
                "study": study,
            }
        )
        if wanted.method == "optuna" and not verbose:
            _quiet_optuna()
        arguments = _arguments(recording, read_params(params, assignments or []))
        Target.find(wanted.flow, arguments).check(wanted.over)  # before a server is started
        with _trial_lines(wanted):
            result = sweep_flow(wanted, arguments, profile, store)
    _show_best(result)
    typer.echo(result.report)


def _quiet_optuna() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _space(assignments: list[str]) -> dict[str, Any]:
    """Read what is varied; names are those of `--set`, made those of the flow's arguments."""
    pairs = [read_assignment("--over", "NAME=VALUES", assignment) for assignment in assignments]
    return {_argument_name(name): values for name, values in pairs}


def _argument_name(name: str) -> str:
    """Return the name into the flow's arguments.

    Examples
    --------
    >>> [_argument_name(name) for name in ("connectivity.ridge", "network.seed", "recording")]
    ['params.connectivity.ridge', 'recording.seed', 'recording']
    """
    if name.startswith("network."):
        return name.replace("network", "recording", 1)
    return name if name == "recording" or name.startswith("params.") else f"params.{name}"


def _arguments(recording: str | None, values: dict[str, Any]) -> dict[str, Any]:
    """Return what all trials give the flow, from the command's options."""
    from connflow.recording.network import NetworkParams

    network = values.pop("network", None)
    arguments: dict[str, Any] = {"params": values} if values else {}
    if recording is not None:
        arguments["recording"] = find_input(recording)
    elif network is not None:
        arguments["recording"] = NetworkParams.parse(network)
    return arguments


@contextmanager
def _trial_lines(params: "SweepParams") -> Iterator[None]:
    """Show a line for each trial that is through, and how many there are."""
    from connflow.sweep import N_TRIALS, draw_points
    from flows.sweeping.trials import watching_trials

    is_optuna = params.method == "optuna"
    n_trials = (params.n_trials or N_TRIALS) if is_optuna else len(draw_points(params))
    columns = (TextColumn("trials"), BarColumn(bar_width=24), MofNCompleteColumn())
    progress = Progress(*columns, TimeElapsedColumn(), console=console)
    bar = progress.add_task("trials", total=n_trials)

    def on_trial(number: int, point: "Point", record: "TrialRecord | None") -> None:
        if record is not None:
            progress.advance(bar)
            console.print(_line(record), markup=False, soft_wrap=True)

    with progress, watching_trials(on_trial):
        yield


def _line(record: "TrialRecord") -> str:
    outcome = record.reason if record.score is None else f"{record.score:<9.4g}"
    return f"{record.trial:>4}  {record.state:<9}  {_say(record.point)}  {outcome}"


def _say(point: "Point") -> str:
    return ", ".join(
        f"{name.removeprefix('params.')}={f'{value:.6g}' if isinstance(value, float) else value}"
        for name, value in point.items()
    )


def _show_best(result: "SweepResult") -> None:
    if result.record.params.score is not None:
        best = result.best
        line = f"best: trial {best.number}, {best.score:.4g}, at {_say(best.point)}"
        console.print(line, markup=False, soft_wrap=True)
        if "report" in best.refs:
            console.print(best.report, markup=False, soft_wrap=True)
