"""What a step has made, as a Prefect artifact on its task run, where the UI shows it."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from httpx import HTTPError
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_logger

from connflow.sizes import size
from connflow.store import ArtifactRef, Manifest, Store


def publish_artifact(store: Store, ref: ArtifactRef) -> None:
    """Show a finished artifact on the current task run: its arrays, its size, and where it lies."""
    with best_effort():
        create_markdown_artifact(
            _page(store, ref),
            key=ref.step.replace("_", "-"),
            description=f"{ref.step}/{ref.short}",
        )


@contextmanager
def best_effort() -> Iterator[None]:
    """Go on without what a server that cannot be reached was to show: the work itself is done."""
    try:
        yield
    except HTTPError as error:
        get_logger("connflow").warning("not shown in the UI: %s", error)


def shapes(manifest: Manifest) -> dict[str, str]:
    """Return the shape of each variable in words: ``60000 time x 300 unit``."""
    return {
        name: " x ".join(f"{n} {dim}" for n, dim in zip(array.shape, array.dims, strict=True))
        for name, array in manifest.arrays.items()
    }


def _page(store: Store, ref: ArtifactRef) -> str:
    manifest = store.manifest(ref)
    return f"""\
**{size(manifest.size_bytes)}**, made in {manifest.wall_time_s:.1f} s on {manifest.host}

{_array_table(manifest) if manifest.arrays else ", ".join(sorted(manifest.files))}

It lies in

    {store.path(ref)}

How it was made is told by

    connflow store show {ref.step}/{ref.short} --store {shlex.quote(store.root)}
"""


def _array_table(manifest: Manifest) -> str:
    rows = ["| variable | shape | type | unit |", "| --- | --- | --- | --- |"]
    for name, shape in shapes(manifest).items():
        array = manifest.arrays[name]
        rows.append(f"| {name} | {shape} | {array.dtype} | {array.units} |")
    return "\n".join(rows)
