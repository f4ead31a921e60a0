"""Scores and curves as files: whole, readable by other tools, never those of another run."""

import json
import logging

import numpy as np
import pandas as pd

from connflow.store import ArtifactRef, Provenance, Store
from flows.commands.metrics import CURVES, write_metrics
from flows.running.result import FlowResult

REF = ArtifactRef(step="evaluation", key="1" * 64)


def evaluated(folder):
    """Return a run with an evaluation of two scores, one of which is no number."""
    store = Store(folder)
    curves = [{"curve": name, "x": x, "y": 1 - x} for name in CURVES for x in (0.0, 1.0)]
    with store.create(REF, Provenance(version=1, params={}, inputs={})) as artifact:
        artifact.write_table(pd.DataFrame({"score": ["auroc", "recall"], "value": [0.75, np.nan]}))
        artifact.write_table(pd.DataFrame(curves), "curves")
    return FlowResult({"evaluation": REF}, store)


def test_scores_and_curves(tmp_path):
    folder = tmp_path / "metrics" / "connectivity"
    write_metrics(evaluated(tmp_path / "store"), folder)
    assert json.loads((folder / "scores.json").read_text()) == {"auroc": 0.75}
    for name in CURVES:
        assert pd.read_csv(folder / f"{name}.csv").to_dict("list") == {"x": [0, 1], "y": [1, 0]}


def test_run_without_evaluation_empties_the_files_and_says_so(tmp_path, caplog):
    write_metrics(evaluated(tmp_path / "store"), tmp_path)
    with caplog.at_level(logging.WARNING):
        write_metrics(FlowResult({}, Store(tmp_path / "store")), tmp_path)
    assert "no known wiring" in caplog.text
    assert json.loads((tmp_path / "scores.json").read_text()) == {}
    assert {(tmp_path / f"{name}.csv").read_text() for name in CURVES} == {"x,y\n"}
