"""The run that a flow is in: waiting for steps, saying how they go, and finishing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import BaseModel

from connflow.contexts import set_inside
from connflow.store import ArtifactRef, Store, upstream
from connflow.store.catalogue import is_stale_code
from connflow.store.collect import drop_bytes
from flows.running.publish import publish_report, publish_steps
from flows.running.result import FlowResult
from flows.running.tracking import tracked

if TYPE_CHECKING:
    import xarray as xr

StepListener = Callable[[str, str], None]
"""Is told a step word and the state it has come to: Running, Cached, Completed, Failed."""

_listener: ContextVar[StepListener | None] = ContextVar("connflow_step_listener", default=None)


class Run:
    """The run that a flow is in: its store, and the steps it has started."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._states: dict[str, str] = {}

    def wait(self, step: str, future: PrefectFuture[ArtifactRef]) -> ArtifactRef:
        """Wait for one step and return the ref of its artifact; a failed step raises its error."""
        self._announce(step, "Running")
        future.wait()
        self._states[step] = str(future.state.name)
        self._announce(step, self._states[step])
        ref = future.result()
        if future.state.name == "Cached":
            self._warn_of_older_code(ref)
        return ref

    def _warn_of_older_code(self, ref: ArtifactRef) -> None:
        manifest = self.store.manifest(ref)
        if is_stale_code(ref.step, manifest.version, manifest.source_digest):
            get_run_logger().warning(
                "%s/%s was made by other code at the same step version %d. If the change matters, "
                "raise the version, or remove it: connflow store show %s/%s says more",
                ref.step,
                ref.short,
                manifest.version,
                ref.step,
                ref.short,
            )

    def is_made(self, future: PrefectFuture[ArtifactRef]) -> bool:
        """Wait for a step that the run can do without, and say whether it was made."""
        future.wait()
        return bool(future.state.is_completed())

    def look_into(self, made: ArtifactRef) -> "xr.Dataset":
        """Open what a step has made, where the way on depends on it."""
        return self.store.open_dataset(made)

    def finish(
        self,
        steps: Mapping[str, PrefectFuture[ArtifactRef] | ArtifactRef | None],
        dropped: Sequence[str] = (),
    ) -> FlowResult:
        """Wait for the steps in order, publish what they made, and return what was made.

        A step that is None is one that this run does not have. When all have succeeded, the bytes
        of those in `dropped` go.
        """
        refs = {
            step: self.wait(step, future) if isinstance(future, PrefectFuture) else future
            for step, future in steps.items()
            if future is not None
        }
        publish_steps(self.store, refs, self._states)
        publish_report(self.store, refs["report"], refs.get("evaluation"))
        for manifest in upstream(self.store, refs["report"]) if dropped else ():
            if manifest.step in dropped:  # of this recording, and of what stands in for it
                drop_bytes(self.store, ArtifactRef(step=manifest.step, key=manifest.key))
        return tracked(FlowResult(refs, self.store))

    def _announce(self, step: str, state: str) -> None:
        listener = _listener.get()
        if listener is not None:
            listener(step, state)


@contextmanager
def listening(listener: StepListener) -> Iterator[None]:
    """Tell `listener` of the steps of the flows that are called inside the block."""
    with set_inside(_listener, listener):
        yield


def name_run() -> str:
    """Name a run in the UI after the recording, or the trials, that it is about."""
    recording = flow_run.parameters.get("trials") or flow_run.parameters.get("recording")
    if isinstance(recording, BaseModel):
        recording = recording.model_dump()
    if isinstance(recording, list):
        return f"{len(recording)} recordings"
    if isinstance(recording, Mapping):
        key, n_units = recording.get("key"), recording.get("n_units")
        return f"{recording['step']} {key[:8]}" if key else f"network of {n_units}"
    return Path(str(recording)).name
