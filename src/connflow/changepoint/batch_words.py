"""The words and tables of a batch's page."""

from collections.abc import Collection
from typing import Any, Final

import pandas as pd

from connflow.changepoint.batch_figures import DATA
from connflow.errors import InvalidInputError
from connflow.report.tables import Fact
from connflow.report.words import say_number

COLUMNS: Final = {
    "source": "Session",
    "region": "Region",
    "n_states": "States",
    "bin_size_s": "Bin (s)",
    "emission": "Emission",
    "surrogate": "Trials",
    "held_out_bits_per_spike": "Held out (bits/spike)",
    "evidence": "Log evidence (nats)",
    "state": "State",
    "reason": "Reason",
}
NUMBERS: Final = ("n_states", "bin_size_s", "held_out_bits_per_spike", "evidence")

_MISSING: Final = {
    "evidence": "No session and region has fits of several numbers of states, so that there is no "
    "evidence to compare.",
    "surrogates": "No fit was made both of recorded trials and of surrogates with held-out trials "
    "scored, so that the two are not compared.",
}


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with numbers as numbers, and with a text in every column of names.

    Raises
    ------
    InvalidInputError
        If a column is missing.
    """
    if "state" in table and (table["state"] == "Failed").all():
        table = table.reindex(columns=list(COLUMNS))  # a session that was not read has no settings
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise InvalidInputError(
            f"a table of fits needs the columns {', '.join(COLUMNS)}, but lacks "
            f"{', '.join(missing)}"
        )
    texts = {
        name: table[name].astype(object).where(table[name].notna(), "").astype(str)
        for name in COLUMNS
        if name not in NUMBERS
    }
    numbers = {name: pd.to_numeric(table[name]).astype(float) for name in NUMBERS}
    fits = pd.DataFrame({name: (texts | numbers)[name] for name in COLUMNS})
    fits["surrogate"] = fits["surrogate"].replace({"": DATA, "None": DATA})
    return fits.reset_index(drop=True)


def list_headlines(fits: pd.DataFrame) -> list[Fact]:
    """Return the counts at the top of the page."""
    n_failed = int((fits["state"] == "Failed").sum())
    done = fits[fits["state"] == "Completed"]
    n_places = len(fits[["source", "region"]].drop_duplicates())
    return [
        Fact("Fits", say_number(len(fits))),
        Fact("Completed", say_number(len(done))),
        Fact("Failed", say_number(n_failed)),
        Fact("Sessions and regions", say_number(n_places)),
        Fact("Of surrogates", say_number(int((fits["surrogate"] != DATA).sum()))),
    ]


def list_failures(fits: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each reason of failure, the commonest first, with its count and its sessions."""
    failed = fits[fits["state"] == "Failed"]
    failed = failed.assign(reason=failed["reason"].replace("", "no reason was recorded"))
    rows = [
        {"reason": reason, "n": len(one), "sources": _say_some(one["source"])}
        for reason, one in failed.groupby("reason")
    ]
    return sorted(rows, key=lambda row: -int(row["n"]))


def list_fits(fits: pd.DataFrame) -> list[dict[str, str]]:
    """Return all fits as texts, best first: by held-out trials, then by evidence."""
    ordered = fits.sort_values(
        ["held_out_bits_per_spike", "evidence"], ascending=False, kind="stable"
    )
    return [{name: _say(name, row[name]) for name in COLUMNS} for row in ordered.to_dict("records")]


def say_missing(drawn: Collection[str]) -> dict[str, str]:
    """Return, by the name of each figure that is not there, why."""
    return {name: text for name, text in _MISSING.items() if name not in drawn}


def _say_some(sources: "pd.Series[str]") -> str:
    names = list(dict.fromkeys(sources))
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _say(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value).replace("_", " ") if name in ("emission", "surrogate") else str(value)
    if value != value:
        return ""
    if name == "held_out_bits_per_spike":
        return f"{value:.4f}"
    return f"{value:,.2f}" if name == "evidence" else f"{value:.6g}"
