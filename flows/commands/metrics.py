"""A run's scores and curves as plain files, for DVC and other tools that compare runs."""

import json
import logging
import math
from pathlib import Path

import pandas as pd

from flows.running.result import FlowResult

CURVES = ("roc", "precision_recall")

logger = logging.getLogger(__name__)


def write_metrics(result: FlowResult, folder: Path) -> None:
    """Write ``scores.json`` (score: value) and a CSV file of x and y for each curve.

    Parameters
    ----------
    result : FlowResult
        A finished run.
    folder : Path
        Where the files go; made if it is not there. Files of an earlier run are overwritten: those
        of a run without known wiring are empty, since old scores beside new results would mislead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores, curves = _read_evaluation(result)
    values = dict(zip(scores["score"], scores["value"].astype(float), strict=True))
    finite = {score: value for score, value in values.items() if math.isfinite(value)}
    (folder / "scores.json").write_text(json.dumps(finite, indent=2, allow_nan=False) + "\n")
    for name in CURVES:
        curve = curves.loc[curves["curve"] == name, ["x", "y"]]
        curve.to_csv(folder / f"{name}.csv", index=False)


def _read_evaluation(result: FlowResult) -> tuple[pd.DataFrame, pd.DataFrame]:
    ref = result.refs.get("evaluation")
    if ref is None:
        logger.warning("no known wiring to score this run against: its metrics are empty")
        return pd.DataFrame(columns=["score", "value"]), pd.DataFrame(columns=["curve", "x", "y"])
    return result.store.read_table(ref), result.store.read_table(ref, "curves")
