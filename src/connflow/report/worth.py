"""What a result is worth, in words: how many pairs are significant, and what is to be expected."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from connflow.report.content import ReportContent, Wiring
from connflow.report.words import NOTHING, say_number, say_score

NAMES: Mapping[str, str] = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "precision_at_density": "precision at the true density",
    "precision": "precision of the significant pairs",
    "recall": "recall of the significant pairs",
    "sign_accuracy": "sign accuracy",
}
_NULLS = {
    "empirical": "a null that was fitted to the bulk of the z-scores",
    "surrogate": "the z-scores of surrogate data",
    "empirical, and surrogates": "a null that was fitted to the bulk of the z-scores, and with the "
    "pair's own z-scores in surrogate data",
    "normal": "the standard normal",
}
_TIMES = {1.0: "this recording", 2.0: "twice the duration", 0.5: "half the duration"}


def say_significance(content: ReportContent, wiring: Wiring | None) -> list[str]:
    """Say how many pairs are significant, against which null, and why this method was taken."""
    method = str(content.connectivity.attrs.get("method", "")).replace("_", " ")
    sentences = []
    if wiring is None:
        sentences.append(_say_edges(content))
    elif "mask" in content.connectivity:
        mask = np.asarray(content.connectivity["mask"].transpose("source", "target"))
        n_found, n_pairs = int(mask[wiring.is_pair].sum()), int(wiring.is_pair.sum())
        sentences.append(_say_found(content, n_found, n_pairs))
    if content.reason:
        sentences.append(f"Why {method or 'this method'}: {content.reason.rstrip('.')}.")
    return sentences


def _say_edges(content: ReportContent) -> str:
    found = content.connectivity
    out, into = (found[name].to_numpy() for name in ("out_degree", "in_degree"))
    sentence = _say_found(content, int(out.sum()), int(found["n_pairs"].sum()))
    return (
        f"{sentence} With so many units there are no matrices of all pairs; the edges are in "
        f"edges.parquet. On the mean {out.mean():.3g} lead away from a unit, and as many to it; "
        f"at most {out.max():,} lead away from one, and {into.max():,} to one."
    )


def _say_found(content: ReportContent, n_found: int, n_pairs: int) -> str:
    params: Mapping[str, Any] = next(
        (step["params"] for step in content.steps if step.get("step") == "connectivity"), {}
    )
    sentence = f"{n_found:,} of {n_pairs:,} pairs are significant ({_share(n_found, n_pairs)})"
    if "false_discovery_rate" in params:
        sentence += f" at a false discovery rate of {100 * params['false_discovery_rate']:g} %"
    null = str(content.connectivity.attrs.get("null", ""))
    return sentence + (f"; z was compared with {_NULLS.get(null, null)}." if null else ".")


def _share(n_found: int, n_pairs: int) -> str:
    return f"{100 * n_found / n_pairs:.2g} %" if n_pairs else NOTHING


def say_expectation(table: pd.DataFrame) -> list[str]:
    """Say in a few sentences which scores are to be expected, now and at other durations.

    Parameters
    ----------
    table : DataFrame
        As `ReportContent.expectation`.
    """
    return [
        sentence
        for factor, rows in table.groupby("duration_factor")
        for sentence in _say_scores(float(str(factor)), rows)
    ]


def _say_scores(factor: float, rows: pd.DataFrame) -> list[str]:
    found = {str(row["score"]): say_interval(row) for _, row in rows.iterrows()}
    told = [
        f"{NAMES[name]} {found[name]}" for name in ("auroc", "average_precision") if name in found
    ]
    if not told:
        return []
    if factor != 1:
        told += [f"{NAMES['recall']} {found['recall']}"] if "recall" in found else []
        return [f"{name_duration(factor).capitalize()} would give {_join(told)}."]
    first = f"On data like yours, this setting finds {_join(told)}."
    if "precision" not in found or "recall" not in found:
        return [first]
    return [
        first,
        f"At your threshold, precision is {found['precision']}: that share of the significant "
        f"pairs are synapses; and recall is {found['recall']}: that share of the synapses are "
        "significant.",
    ]


def _join(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def say_interval(row: "pd.Series[Any]") -> str:
    """Return a mean with its interval: ``0.83 [0.80, 0.86]``."""
    if not math.isfinite(row["mean"]):
        return "that could not be told"
    return f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def name_duration(factor: float) -> str:
    """Name a multiple of the recording's duration."""
    return _TIMES.get(factor, f"{factor:g} times the duration")


def list_expected(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return one row a score and duration."""
    return [
        {
            "duration": name_duration(float(row["duration_factor"])),
            "score": NAMES.get(str(row["score"]), str(row["score"])),
            "mean": say_score(row["mean"]),
            "interval": f"{say_score(row['low'])} to {say_score(row['high'])}",
            "chance": say_score(row["chance"]),
            "n_networks": say_number(int(row["n_networks"])),
            "meaning": str(row["meaning"]),
        }
        for _, row in table.iterrows()
    ]
