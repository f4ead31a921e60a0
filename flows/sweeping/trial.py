"""One trial of a sweep: the flow at one point, found made or run, and its score."""

import math
import time
from dataclasses import dataclass
from typing import Any

from prefect import Flow, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from connflow.errors import InvalidInputError
from connflow.store import Store
from connflow.sweep import Point, TrialRecord
from flows.running.plan import Plan, plan_flow
from flows.running.result import FlowResult
from flows.running.run import listening
from flows.running.tracking import is_tracking
from flows.sweeping.target import Target

NO_HEARTBEAT = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
"""The sweep's own run has one; that of a trial makes it take whole seconds (Prefect 3.8)."""


class NoScoreError(InvalidInputError):
    """The flow has run, but the score that was asked for is not among its results."""


@dataclass(frozen=True)
class Setup:
    """What all trials of a sweep share.

    Parameters
    ----------
    target : Target
        What is run.
    score : str, optional
        What is read from the results: ``step.score``.
    profile : str
        Where the steps are executed.
    store : Store
        Where their artifacts are.
    """

    target: Target
    score: str | None
    profile: str
    store: Store

    def arguments(self, point: Point) -> dict[str, Any]:
        """Return the whole arguments of the flow at a point."""
        place = {"profile": self.profile, "store": self.store.root}
        return self.target.at(point) | place


@task(name="trial", task_run_name="trial {number}", cache_policy=NO_CACHE, persist_result=False)
def run_trial(number: int, point: Point, setup: Setup) -> TrialRecord:
    """Run the flow at one point and read its score.

    A task, since flows that are called in threads of a flow may otherwise be taken for one another
    (Prefect numbers the children of a flow without a lock, and names those of a task at random).
    """
    began = time.perf_counter()
    states: list[str] = []
    with listening(lambda _, state: states.append(state)), temporary_settings(NO_HEARTBEAT):
        result = setup.target.flow(**setup.arguments(point))
    record = _record(number, point, result, setup.score)
    state = "Completed" if "Completed" in states else "Cached"
    wall_time_s = round(time.perf_counter() - began, 3)
    return record.model_copy(update={"state": state, "wall_time_s": wall_time_s})


def find_trial(number: int, point: Point, setup: Setup) -> TrialRecord | None:
    """Return what came out of a trial if all of it is there, which takes 20 ms instead of a second.

    Where that cannot be told, where artifacts are of other code than today's, where the look at
    them takes long, or where runs are logged elsewhere, the flow is the one to run.
    """
    results: list[FlowResult] = []

    def planned() -> FlowResult:
        results.append(setup.target.flow.fn(**setup.arguments(point)))
        return results[0]

    if is_tracking() or not setup.store.is_local:
        return None
    try:
        if not _is_made_by_todays_code(plan_flow(Flow(planned)), setup.store):
            return None
        return _record(number, point, results[0], setup.score)
    except Exception:  # whatever it is, the flow meets it again, as a failure of its own
        return None


def read_score(result: FlowResult, name: str) -> float:
    """Read a score, ``step.score``, from the table of the step.

    Raises
    ------
    NoScoreError
        If the run has no such step, the step no such score, or the score no value.
    """
    import pandas as pd

    step, _, score = name.partition(".")
    if step not in result.refs:
        raise NoScoreError(f"{name}: the run has no step {step}; it has {', '.join(result.refs)}")
    table = result.open(step)
    if not isinstance(table, pd.DataFrame) or not {"score", "value"} <= set(table):
        raise NoScoreError(f"{name}: {step} holds no scores")
    values = table.set_index("score")["value"]
    if score not in values.index:
        known = ", ".join(values.index)
        raise NoScoreError(f"{name}: {step} holds no score {score}; it holds {known}")
    if not math.isfinite(values[score]):
        raise NoScoreError(f"{name} is {values[score]}")
    return float(values[score])


def _record(number: int, point: Point, result: FlowResult, score: str | None) -> TrialRecord:
    return TrialRecord(
        trial=number,
        point=dict(point),
        state="Cached",
        score=None if score is None else read_score(result, score),
        refs={step: str(ref) for step, ref in result.refs.items()},
    )


def _is_made_by_todays_code(plan: Plan, store: Store) -> bool:
    return all(
        step.foresight.reason is None
        and store.manifest(step.ref).source_digest == step.provenance.source_digest
        for step in plan.steps
    )
