"""Where a run's tasks are executed and where its artifacts go: from a profile name and a store.

`@flow` names neither. Inside a flow, `run_on` takes the place of both for the tasks of the block.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import xarray as xr
import yaml
from prefect.context import FlowRunContext
from prefect.filesystems import LocalFileSystem, RemoteFileSystem, WritableFileSystem
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, Field

from connflow.errors import InvalidInputError
from connflow.params import parse_params
from connflow.store import ArtifactRef, Store, default_store_root
from connflow.store.catalogue import is_stale_code
from connflow.store.collect import drop_bytes
from flows._plan import PlannedRun, planned_run
from flows._publish import publish_report
from flows._result import FlowResult

StepListener = Callable[[str, str], None]
"""Is told a step word and the state it has come to: Running, Cached, Completed, Failed."""

_listener: ContextVar[StepListener | None] = ContextVar("connflow_step_listener", default=None)

_PROFILE_FOLDERS = (
    Path(__file__).parent / "profiles",  # in an installed wheel
    Path(__file__).parents[1] / "deployments" / "profiles",  # in the repository
)


class Profile(BaseModel):
    """Where tasks are executed, as read from a YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = ""
    task_runner: Literal["threads", "dask"]
    max_workers: int | None = Field(
        None, ge=1, description="Most threads; Prefect's choice if empty."
    )
    cluster_class: str | None = Field(None, description="Dotted name of a Dask cluster class.")
    cluster_kwargs: dict[str, Any] = {}
    adapt_kwargs: dict[str, Any] | None = None


class Run:
    """The run that a flow is in: its store, and the steps it has started."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def wait(self, step: str, future: PrefectFuture[ArtifactRef]) -> ArtifactRef:
        """Wait for one step and return the ref of its artifact; a failed step raises its error."""
        self._announce(step, "Running")
        future.wait()
        self._announce(step, str(future.state.name))
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

    def look_into(self, recording: ArtifactRef) -> xr.Dataset:
        """Open a recording that is there."""
        return self.store.open_dataset(recording)

    def finish(
        self,
        steps: Mapping[str, PrefectFuture[ArtifactRef] | ArtifactRef | None],
        dropped: Sequence[str] = (),
    ) -> FlowResult:
        """Wait for the steps in order, publish the report, and return what was made.

        A step that is None is one that this run does not have. When all have succeeded, the bytes
        of those in `dropped` go.
        """
        refs = {
            step: self.wait(step, future) if isinstance(future, PrefectFuture) else future
            for step, future in steps.items()
            if future is not None
        }
        publish_report(self.store, refs["report"], refs.get("evaluation"))
        for step in dropped:
            if step in refs:
                drop_bytes(self.store, refs[step])
        return FlowResult(refs, self.store)

    def _announce(self, step: str, state: str) -> None:
        listener = _listener.get()
        if listener is not None:
            listener(step, state)


@contextmanager
def listening(listener: StepListener) -> Iterator[None]:
    """Tell `listener` of the steps of the flows that are called inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def _record_storage(store: Store) -> WritableFileSystem:
    """Return the Prefect block that keeps cache records at the store's root."""
    if store.is_local:
        return LocalFileSystem(basepath=store.root)
    block = RemoteFileSystem(basepath=store.root)  # endpoint and credentials: the environment
    name = hashlib.sha256(store.root.encode()).hexdigest()[:16]
    block.save(f"connflow-{name}", overwrite=True)
    return block


@contextmanager
def run_on(profile: str, store: str | None = None) -> Iterator[Run | PlannedRun]:
    """Execute the tasks of the block as a profile says, with their artifacts in a store.

    Parameters
    ----------
    profile : str
        Name of a profile (`local`, `dask`), or path of a YAML file.
    store : str, optional
        Root of the store; ``$CONNFLOW_STORE`` or ``./store`` if None.

    Raises
    ------
    InvalidInputError
        If there is no such profile, or it is not a profile.
    StoreError
        If the store cannot be written.
    """
    runner = task_runner(load_profile(profile))
    place = Store(store if store is not None else default_store_root())
    with planned_run(place) as planned:
        if planned is not None:
            yield planned
            return
    place.check_writable()
    context = FlowRunContext.get()
    if context is None:
        raise RuntimeError("run_on is for use inside a flow")
    results = context.result_store.model_copy(update={"result_storage": _record_storage(place)})
    with (
        runner,
        context.model_copy(update={"task_runner": runner, "result_store": results}),
    ):
        yield Run(place)


def name_run() -> str:
    """Name a run in the UI after the recording it is about."""
    recording = flow_run.parameters.get("recording")
    if isinstance(recording, BaseModel):
        recording = recording.model_dump()
    if isinstance(recording, Mapping):
        key, n_units = recording.get("key"), recording.get("n_units")
        return f"recording {key[:8]}" if key else f"network of {n_units}"
    return Path(str(recording)).name


def load_profile(name: str) -> Profile:
    """Read a profile by its name or by the path of a YAML file."""
    path = _find_profile(name)
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InvalidInputError(f"profile {path} is not YAML: {error}") from None
    return parse_params(Profile, content)


def profile_names() -> list[str]:
    """Return the names of the profiles that come with connflow."""
    return sorted({file.stem for folder in _PROFILE_FOLDERS for file in folder.glob("*.yaml")})


def task_runner(profile: Profile) -> TaskRunner[Any]:
    """Return the Prefect task runner that a profile describes."""
    if profile.task_runner == "threads":
        return ThreadPoolTaskRunner(max_workers=profile.max_workers)
    from prefect_dask.task_runners import DaskTaskRunner

    if profile.cluster_class is None:
        raise InvalidInputError("a profile with task_runner: dask needs a cluster_class")
    module, _, name = profile.cluster_class.rpartition(".")
    try:
        cluster_class = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise InvalidInputError(f"there is no Dask cluster class {profile.cluster_class}") from None
    return DaskTaskRunner(
        cluster_class=cluster_class,
        cluster_kwargs=profile.cluster_kwargs,
        adapt_kwargs=profile.adapt_kwargs,
    )


def _find_profile(name: str) -> Path:
    if os.sep in name or name.endswith((".yaml", ".yml")):
        candidates = [Path(name)]
    else:
        candidates = [folder / f"{name}.yaml" for folder in _PROFILE_FOLDERS]
    for path in candidates:
        if path.is_file():
            return path
    raise InvalidInputError(
        f"there is no profile {name!r}; take one of {', '.join(profile_names())}, "
        "or the path of a YAML file"
    )
