"""`connflow store`: look into the artifact store, check it, and clean it up."""

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from connflow.errors import InvalidInputError
from flows.commands.arguments import RefArgument, StoreOption
from flows.commands.console import console, readable_errors
from flows.commands.exchange import edges, export, import_

if TYPE_CHECKING:
    from connflow.store import Store
    from connflow.store.drawing import Lineage

store_app = typer.Typer(help="Find, check and clean up artifacts.", no_args_is_help=True)
store_app.command("export")(export)
store_app.command("import")(import_)
store_app.command("edges")(edges)

StepOption = Annotated[str | None, typer.Option("--step", help="Step word, e.g. connectivity.")]
_DAMAGED = 1
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@store_app.command("ls")
def list_artifacts(step: StepOption = None, store: StoreOption = None) -> None:
    """List artifacts, oldest first."""
    _find(store, step)


@store_app.command("find")
def find_artifacts(
    step: StepOption = None,
    params: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME=VALUE",
            help="Made with this, itself or upstream: connectivity.lags=[1]. Repeatable.",
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Made since: 2026-01-31, in UTC.")] = None,
    store: StoreOption = None,
) -> None:
    """Look artifacts up by step, parameters and age."""
    with readable_errors():
        wanted = dict(_assignment(text) for text in params or [])
    _find(store, step, wanted, since, show_params=True)


@store_app.command()
def show(ref: RefArgument, store: StoreOption = None) -> None:
    """Show how an artifact was made."""
    with readable_errors():
        from connflow.store.catalogue import STALE_ADVICE, is_stale_code, resolve
        from connflow.store.lineage import recorded
        from flows.commands.store_tables import print_manifest

        place = _open(store)
        named = resolve(place, ref)
        manifest = recorded(place, named)
        flags = {}
        if is_stale_code(manifest.step, manifest.version, manifest.source_digest):
            flags["stale_code"] = STALE_ADVICE
        if not place.exists(named):
            flags["dropped"] = "its files were dropped; a run that needs it makes it again"
        print_manifest(manifest, flags)


@store_app.command()
def lineage(
    ref: RefArgument,
    html: Annotated[Path | None, typer.Option(help="Write a page with a graph here.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write a graph here.")] = None,
    downstream: Annotated[
        bool, typer.Option("--downstream", help="What was made from it, not what it is made from.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Show what an artifact was made from, as a tree or a graph."""
    with readable_errors():
        from connflow.store.catalogue import resolve
        from connflow.store.drawing import as_html, as_svg, as_text, trace

        place = _open(store)
        found: Lineage = trace(place, resolve(place, ref), downstream)
        for file, draw in ((html, as_html), (svg, as_svg)):
            if file is not None:
                _write(file, draw(found))
        if html is None and svg is None:
            typer.echo(as_text(found))


@store_app.command()
def diff(a: RefArgument, b: RefArgument, store: StoreOption = None) -> None:
    """Show how the derivations of two artifacts differ, upstream too."""
    with readable_errors():
        from connflow.store.catalogue import resolve
        from connflow.store.lineage import diff as compare
        from flows.commands.store_tables import print_differences

        place = _open(store)
        print_differences(compare(place, resolve(place, a), resolve(place, b)))


@store_app.command()
def verify(
    ref: Annotated[
        str | None, typer.Argument(metavar="[REF]", help="step/key; all artifacts without it.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Read every file and compare its checksum; name what is damaged, and what depends on it."""
    with readable_errors():
        from rich.progress import track

        from connflow.store.catalogue import resolve

        place = _open(store)
        refs = place.list_refs() if ref is None else [resolve(place, ref)]
        checked = {
            str(item): place.verify(item)
            for item in track(refs, "checking", console=console, transient=True)
        }
        damaged = {name: problems for name, problems in checked.items() if problems}
        _print_damage(place, damaged)
    typer.echo(f"{len(checked)} checked, {len(damaged)} damaged")
    if damaged:
        raise typer.Exit(_DAMAGED)


@store_app.command()
def gc(
    keep_last: Annotated[
        int | None, typer.Option(min=0, help="Remove all but the newest N artifacts of a step.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Remove artifacts older than 12h, 30d, 8w.")
    ] = None,
    step: StepOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
    store: StoreOption = None,
) -> None:
    """Remove what dead runs left behind, and artifacts not wanted any more.

    Never removes an artifact that a kept one was made from.
    """
    with readable_errors():
        age = None if older_than is None else parse_age(older_than)
        from connflow.sizes import size
        from connflow.store import collect_garbage
        from flows.commands.store_tables import print_removed

        removed = collect_garbage(_open(store), keep_last, age, step, dry_run)
        if removed:
            print_removed(removed)
    total = size(sum(item.bytes for item in removed))
    typer.echo(f"{len(removed)} {'would be removed' if dry_run else 'removed'}, {total}")


@store_app.command()
def drop(ref: RefArgument, store: StoreOption = None) -> None:
    """Remove an artifact's files and keep the record of how it was made."""
    with readable_errors():
        from connflow.sizes import size
        from connflow.store import drop_bytes
        from connflow.store.catalogue import resolve

        place = _open(store)
        named = resolve(place, ref)
        typer.echo(f"dropped {named}, {size(drop_bytes(place, named))}")


def parse_age(text: str) -> timedelta:
    """Read an age such as ``12h``, ``30d`` or ``8w``.

    Examples
    --------
    >>> parse_age("30d").days
    30
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([hdw])", text.strip())
    if match is None:
        raise InvalidInputError(f"an age reads like 12h, 30d or 8w, not {text!r}")
    return timedelta(**{_UNITS[match[2]]: float(match[1])})


def _open(root: str | None) -> "Store":
    from connflow.store import Store

    return Store(root)


def _find(
    root: str | None,
    step: str | None,
    params: dict[str, Any] | None = None,
    since: str | None = None,
    show_params: bool = False,
) -> None:
    with readable_errors():
        from connflow.store.catalogue import STALE_ADVICE
        from flows.commands.store_tables import print_artifacts

        found = _open(root).find(step, params, since)
        print_artifacts(found, show_params)
        n_stale = int(found["is_stale_code"].sum())
    if n_stale:
        console.print(f"{n_stale} of stale code: {STALE_ADVICE}.", soft_wrap=True)


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInputError(f"--param takes NAME=VALUE, not {text!r}")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InvalidInputError(f"--param {name}: {value!r} is no YAML value: {error}") from None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be written: {error}") from None
    typer.echo(file)


def _print_damage(store: "Store", damaged: dict[str, list[str]]) -> None:
    from connflow.store.lineage import dependents

    for name, problems in damaged.items():
        for problem in problems:
            typer.echo(problem)
        for other in dependents(store, name):
            typer.echo(f"    made from it: {other}")
