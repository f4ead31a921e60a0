"""What came out of the trials of a sweep, as a record and as a table."""

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from connflow.store.ref import canonical_json
from connflow.sweep.params import SweepParams

if TYPE_CHECKING:
    import pandas as pd

HOW_IT_RAN = {"max_parallel", "on_failure", "study"}
"""Parameters that change nothing in what comes out."""


class TrialRecord(BaseModel):
    """What came out of one trial."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trial: int
    point: dict[str, Any]
    state: Literal["Completed", "Cached", "Failed"]
    score: float | None = None
    reason: str = ""
    wall_time_s: float = 0.0
    refs: dict[str, str] = {}

    @property
    def outcome(self) -> dict[str, Any]:
        """What does not depend on when and where the trial ran."""
        outcome = self.model_dump(include={"trial", "point", "score", "reason"})
        return outcome | {"failed": self.state == "Failed"}


class SweepRecord(BaseModel):
    """A finished sweep: its parameters and its trials, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: SweepParams
    trials: tuple[TrialRecord, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What makes two sweeps the same."""
        params = self.params.model_dump(mode="json", exclude=HOW_IT_RAN)
        return params | {"trials": [trial.outcome for trial in self.trials]}

    @property
    def sources(self) -> dict[str, str]:
        """For each trial the artifact that its score stands in; without a score, its last."""
        step = (self.params.score or "").partition(".")[0]
        return {
            f"trial_{trial.trial}": trial.refs.get(step, list(trial.refs.values())[-1])
            for trial in self.trials
            if trial.refs
        }


def tabulate(record: SweepRecord) -> "pd.DataFrame":
    """Return one row for each trial.

    Returns
    -------
    DataFrame
        ``trial``; the value of each varied parameter, under its dotted name; ``score`` (NaN
        without one); ``state``, Completed, Cached or Failed, and the ``reason`` of a failure;
        ``wall_time_s``, what the trial took; ``refs``, its artifacts by step, as JSON.
    """
    import pandas as pd

    trials = record.trials
    varied = {name: _column([trial.point[name] for trial in trials]) for name in record.params.over}
    return pd.DataFrame(
        {
            "trial": [trial.trial for trial in trials],
            **varied,
            "score": pd.Series([trial.score for trial in trials], dtype="float64"),
            "state": [trial.state for trial in trials],
            "reason": [trial.reason for trial in trials],
            "wall_time_s": [trial.wall_time_s for trial in trials],
            "refs": [json.dumps(trial.refs) for trial in trials],
        }
    )


def best_row(table: "pd.DataFrame", direction: str) -> int | None:
    """Return where the best score stands; of several, the first. None if there is no score."""
    scores = table["score"].to_numpy(np.float64)
    if np.isnan(scores).all():
        return None
    return int(np.nanargmax(scores) if direction == "maximize" else np.nanargmin(scores))


def _column(values: list[Any]) -> list[Any]:
    """Return values as one type: numbers and texts as they are, anything else as JSON."""
    kinds = {type(value) for value in values}
    if kinds <= {int, float} or kinds in ({str}, {bool}):
        return values
    return [value if isinstance(value, str) else canonical_json(value) for value in values]
