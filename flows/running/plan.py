"""What a flow would do: the same flow body, with tasks that only say what they would make."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prefect import Flow

from connflow.contexts import set_inside
from connflow.store import ArtifactRef, Provenance, Store
from connflow.store.foresight import Foresight, foresee
from flows.running.result import FlowResult
from tasks._step import recording_steps
from tasks.recording import foresee_recording

if TYPE_CHECKING:
    import xarray as xr

_plan: ContextVar["Plan | None"] = ContextVar("connflow_plan", default=None)


@dataclass(frozen=True)
class PlannedStep:
    """A step of a plan: the artifact it makes, from what, and what is to be expected."""

    ref: ArtifactRef
    provenance: Provenance
    arguments: Mapping[str, Any]
    foresight: Foresight


@dataclass
class Plan:
    """The steps that a flow would take, in order.

    Where the way on depends on what a step finds, and it has not run yet, the plan ends with that
    step, `undecided`.
    """

    store: Store | None = None
    steps: list[PlannedStep] = field(default_factory=list)
    undecided: str | None = None

    def add(self, ref: ArtifactRef, provenance: Provenance, arguments: Mapping[str, Any]) -> None:
        """Note a step that a flow submits."""
        assert self.store is not None
        self.steps.append(
            PlannedStep(ref, provenance, arguments, foresee(self.store, ref, provenance))
        )

    @property
    def wall_time_s(self) -> float:
        """Seconds that the steps which will run took in the nearest runs so far."""
        return sum(
            step.foresight.wall_time_s or 0.0 for step in self.steps if step.foresight.reason
        )


class PlannedRun:
    """Stands for `flows.running.run.Run` while a flow is planned."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self._plan = store, plan

    def wait(self, step: str, made: ArtifactRef) -> ArtifactRef:
        """Return the ref of what the step would make."""
        return made

    def is_made(self, made: ArtifactRef) -> bool:
        """Whether a step that the run can do without is made: a plan expects so."""
        return True

    def look_into(self, made: ArtifactRef) -> "xr.Dataset":
        """Open what a step has made.

        A recording that is not there yet is foreseen, reading its file if need be; on anything
        else the plan ends.
        """
        if self.store.exists(made):
            return self.store.open_dataset(made)
        if made.step != "recording":
            raise _PlanEndsError(made.step)
        planned = next(step for step in self._plan.steps if step.ref == made)
        if "parts" in planned.arguments:  # joined: what one of them holds, all do
            return self.look_into(planned.arguments["parts"][0])
        return foresee_recording(**planned.arguments)

    def finish(self, steps: Mapping[str, Any], dropped: Sequence[str] = ()) -> FlowResult:
        """Return the refs that the run would return."""
        return FlowResult({step: ref for step, ref in steps.items() if ref}, self.store)


def plan_flow(flow: Flow[..., FlowResult], **arguments: Any) -> Plan:
    """Return what a flow would do with these arguments. Nothing is computed or written."""
    plan = Plan()
    with set_inside(_plan, plan), recording_steps(plan.add):
        try:
            flow.fn(**arguments)
        except _PlanEndsError as end:
            plan.undecided = str(end)
    return plan


class _PlanEndsError(Exception):
    """Leaves a flow that is planned at the step on which its way depends."""


def remove_damaged(plan: Plan) -> dict[ArtifactRef, list[str]]:
    """Remove the artifacts of a plan that are damaged, so that the run makes them anew.

    Returns
    -------
    dict
        For each of them, what was wrong.
    """
    assert plan.store is not None
    damaged = {}
    for step in plan.steps:
        problems = plan.store.verify(step.ref) if plan.store.exists(step.ref) else []
        if problems:
            plan.store.delete(step.ref)
            damaged[step.ref] = problems
    return damaged


@contextmanager
def planned_run(store: Store) -> Iterator[PlannedRun | None]:
    """Yield what stands for the run while a flow is planned; None while it is not."""
    plan = _plan.get()
    if plan is None:
        yield None
    else:
        plan.store = store
        yield PlannedRun(store, plan)
