"""Changepoint fits as a table in the terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = {
    "source": "source",
    "region": "region",
    "emission": "emission",
    "n_states": "states",
    "surrogate": "surrogate",
    "bin_size_s": "bin (s)",
    "evidence": "evidence",
    "held_out_bits_per_spike": "bits/spike",
    "state": "state",
    "artifact": "artifact",
}


def print_fits(console: Console, table: "pd.DataFrame", most: int) -> None:
    """Print the first rows of a table of fits, and how many there are."""
    shown = Table(box=None, pad_edge=False)
    for heading in _SHOWN.values():
        shown.add_column(heading, overflow="fold")
    for row in table.head(most).to_dict("records"):
        shown.add_row(*(_say(row[name]) for name in _SHOWN))
    console.print(shown)
    hidden = len(table) - min(most, len(table))
    console.print(
        f"{len(table)} fits" + (f", {hidden} not shown; --most shows more" if hidden else "")
    )
    for row in table[table["state"] == "Failed"].head(most).to_dict("records"):
        console.print(f"failed: {row['source']}: {row['reason']}", markup=False)


def _say(value: object) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
