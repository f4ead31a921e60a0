"""Commands of `connflow store` that bring and take: export, import, edges."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.arguments import RefArgument, StoreOption
from flows.commands.console import console, readable_errors

if TYPE_CHECKING:  # costs a second, which --help need not wait for
    import xarray as xr

    from connflow.store import ArtifactRef, Store
    from connflow.store.exchange import Transfer

_RefArguments = typer.Argument(
    metavar="REF...", help="Artifacts: step/key; four digits of the key or more."
)


def export(
    refs: Annotated[list[str], _RefArguments],
    target: Annotated[
        str, typer.Argument(help="Folder or s3://bucket/prefix; usable with --store afterwards.")
    ],
    store: StoreOption = None,
) -> None:
    """Copy artifacts, and everything they were made from, to another store."""
    with readable_errors():
        from connflow.store import Store
        from connflow.store.catalogue import resolve
        from connflow.store.exchange import export_artifacts

        source = Store(store)
        wanted = [resolve(source, text) for text in refs]
        with _progress("export"):
            done = export_artifacts(source, wanted, target)
        _show(done, target)


def import_(
    source: Annotated[str, typer.Argument(help="Folder or s3://bucket/prefix of another store.")],
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="step/key; all artifacts without any."),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Copy artifacts, and everything they were made from, out of another store, checking all."""
    with readable_errors():
        from connflow.store import Store
        from connflow.store.catalogue import resolve
        from connflow.store.exchange import import_artifacts

        target, origin = Store(store), Store(source)
        wanted = [resolve(origin, text) for text in refs] if refs else None
        with _progress("import"):
            done = import_artifacts(target, source, wanted)
        _show(done, target.root)


def edges(
    ref: RefArgument,
    file: Annotated[Path, typer.Argument(help="Its ending is the format: .csv, .graphml, .nwb.")],
    min_z: Annotated[float | None, typer.Option(help="Leave out edges with a smaller |z|.")] = None,
    store: StoreOption = None,
) -> None:
    """Write inferred connectivity as a list of edges for other tools."""
    with readable_errors():
        from connflow.exchange import write_connectivity
        from connflow.store import Store
        from connflow.store.catalogue import resolve

        source = Store(store)
        write_connectivity(_open(source, resolve(source, ref)), file, min_z)
    typer.echo(file)


def _open(store: "Store", ref: "ArtifactRef") -> "xr.Dataset":
    """Open a dataset of which every byte is as written; it takes the artifact's name along."""
    import xarray as xr

    from connflow.errors import ArtifactDamagedError, InvalidInputError

    dataset = store.open(ref)
    if not isinstance(dataset, xr.Dataset):
        raise InvalidInputError(f"{ref} holds a table; name a connectivity artifact")
    problems = store.verify(ref)
    if problems:
        raise ArtifactDamagedError(problems[0])
    return dataset.assign_attrs(artifact=str(ref))


@contextmanager
def _progress(word: str) -> Iterator[None]:
    from rich.progress import Progress

    from connflow.progress import reporting_to

    with Progress(console=console, transient=True) as bar:
        line = bar.add_task(word, total=1.0)
        with reporting_to(lambda fraction: bar.update(line, completed=fraction)):
            yield


def _show(done: "list[Transfer]", target: str) -> None:
    for transfer in done:
        typer.echo(f"{transfer.state:<8} {transfer.bytes:>14,} B  {transfer.ref}")
    counts = Counter(transfer.state for transfer in done)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    size = sum(transfer.bytes for transfer in done if transfer.state == "copied")
    console.print(f"{states}; {size:,} bytes to {target}", markup=False, soft_wrap=True)
