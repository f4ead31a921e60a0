"""What a sweep returns: its table, its best trial, and how to open them."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_table_artifact

from connflow.errors import ArtifactNotFoundError
from connflow.store import ArtifactRef
from connflow.sweep import SweepRecord, TrialRecord, best_row, tabulate
from flows.running.publish import publish_report
from flows.running.result import FlowResult
from tasks._pages import PAGE
from tasks._publish import best_effort
from tasks.sweep import FIGURE, WORD

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrialResult(FlowResult):
    """The artifacts of a trial, with its number, the values it was run at, and its score."""

    number: int
    point: dict[str, Any]
    score: float | None


@dataclass(frozen=True)
class SweepResult(FlowResult):
    """What came out of a sweep; `refs` and `store` say where its own artifact is.

    Parameters
    ----------
    record : SweepRecord
        What came out of each trial of this run.
    """

    record: SweepRecord

    @cached_property
    def table(self) -> "pd.DataFrame":
        """One row a trial: number, values, score, state, reason, wall time, and refs as JSON."""
        return tabulate(self.record)

    @property
    def best(self) -> TrialResult:
        """The trial with the best score.

        Raises
        ------
        ArtifactNotFoundError
            If the sweep was told no score.
        """
        row = best_row(self.table, self.record.params.direction)
        if row is None:
            raise ArtifactNotFoundError("this sweep has no score, so no trial is the best")
        return self._result(self.record.trials[row])

    @property
    def trials(self) -> list[TrialResult]:
        """The trials that have a result, in order."""
        return [self._result(trial) for trial in self.record.trials if trial.refs]

    @property
    def plot(self) -> str:
        """Path of the figure: the score against each varied parameter."""
        return self.store.path(self.refs[WORD], FIGURE)

    @property
    def report(self) -> str:
        """Path of the page."""
        return self.store.path(self.refs[WORD], PAGE)

    def _result(self, trial: TrialRecord) -> TrialResult:
        refs = {step: ArtifactRef.parse(ref) for step, ref in trial.refs.items()}
        return TrialResult(refs, self.store, trial.trial, trial.point, trial.score)


def publish_sweep(result: SweepResult) -> None:
    """Attach table, figure and the link to the page to the current flow run."""
    table = result.table.drop(columns="refs")
    rows = table.astype({"score": object}).where(table.notna(), None).to_dict("records")
    with best_effort():
        create_table_artifact(
            [{str(key): value for key, value in row.items()} for row in rows],
            key="trials",
            description="The trials of this sweep.",
        )
    publish_report(result.store, result.refs[WORD], None)
