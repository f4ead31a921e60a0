"""What `connflow store` prints: tables of artifacts, differences and removed things."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connflow.sizes import size

if TYPE_CHECKING:
    import pandas as pd

    from connflow.store import Manifest, Removed

_KEY_DIGITS = 12
_NARROW = 200
"""Columns of output that goes to a file or a pipe, where nobody has said how wide it is."""


def print_artifacts(table: "pd.DataFrame", show_params: bool = False) -> None:
    """Print one line for each artifact, flags last."""
    heads = ["artifact", "version", "made (UTC)", "seconds", "size", "flags"]
    _print_table(heads + ["params"] * show_params, (_cells(r, show_params) for r in _rows(table)))


def print_manifest(manifest: "Manifest", flags: Mapping[str, str]) -> None:
    """Print all that is known of one artifact but its list of files, as YAML."""
    record = manifest.model_dump(mode="json", exclude={"files", "folder"})
    record |= {"size": size(manifest.size_bytes), "n_files": len(manifest.files), **flags}
    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=_NARROW)
    _stdout().print(Text(text.rstrip()), soft_wrap=True)


def print_differences(table: "pd.DataFrame") -> None:
    """Print one line for each difference."""
    rows = ([str(row[name]) for name in row] for row in _rows(table))
    _print_table(["through input", "step", "what", "a", "b"], rows)


def print_removed(removed: Sequence["Removed"]) -> None:
    """Print one line for each thing that was removed."""
    _print_table(
        ["removed", "size", "what"],
        ([item.name, size(item.bytes), item.reason] for item in removed),
    )


def flags_of(row: Mapping[str, Any]) -> list[str]:
    """Return what is to be known about an artifact before it is trusted."""
    flags = {"stale code": "is_stale_code", "dropped": "is_dropped", "uncommitted": "git_dirty"}
    return [flag for flag, name in flags.items() if row[name] is True]


def _rows(table: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _cells(row: Mapping[str, Any], show_params: bool) -> list[str]:
    cells = [
        f"{row['step']}/{row['key'][:_KEY_DIGITS]}",
        str(row["version"]),
        f"{row['created']:%Y-%m-%d %H:%M}",
        f"{row['wall_time_s']:.1f}",
        size(row["bytes"]),
        ", ".join(flags_of(row)),
    ]
    params = ", ".join(f"{name}={value}" for name, value in row["params"].items())
    return cells + [params] * show_params


def _print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, head in enumerate(heads):
        table.add_column(head, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    _stdout().print(table)


def _stdout() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _NARROW)
    return console
