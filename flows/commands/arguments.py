"""What commands have in common: the store, refs into it, recordings, and parameters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from connflow.errors import InvalidInputError

if TYPE_CHECKING:  # costs time, which --help need not wait for
    from connflow.store import ArtifactRef


StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Root of the artifact store; $CONNFLOW_STORE or ./store."),
]
ProfileOption = Annotated[
    str, typer.Option(help="Where tasks run: a profile's name or the path of a YAML file.")
]
VerboseOption = Annotated[bool, typer.Option(help="Show Prefect's log.")]
RefArgument = Annotated[
    str, typer.Argument(metavar="REF", help="step/key; four digits of the key or more.")
]


ParamsOption = Annotated[
    Path | None, typer.Option(help="YAML file of parameters, one section per step.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="One parameter, e.g. connectivity.lags=[1,2] or changepoint.n_states=4. Repeatable.",
    ),
]


def find_input(text: str, step: str = "recording") -> "ArtifactRef | str":
    """Return the ref that ``<step>/KEY`` names; anything else is a path or URL as it is."""
    from connflow.store import ArtifactRef

    is_ref = text.startswith(f"{step}/") and not Path(text).exists()
    return ArtifactRef.parse(text) if is_ref else text


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
        name, value = read_assignment("--set", "NAME=VALUE", assignment)
        _assign(values, name.split("."), value)
    return values


def read_assignment(option: str, form: str, assignment: str) -> tuple[str, Any]:
    """Read the name and the YAML value that an option of the given form assigns to it."""
    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise InvalidInputError(f"{option} takes {form}, not {assignment!r}")
    try:
        return name.strip(), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInputError(f"{option} {name}: {text!r} is not YAML: {error}") from None


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
