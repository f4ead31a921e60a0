"""Where a run's tasks are executed and where its artifacts go: from a profile name and a store.

`@flow` names neither. Inside a flow, `run_on` takes the place of both for the tasks of the block.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect.context import FlowRunContext
from prefect.filesystems import LocalFileSystem, RemoteFileSystem, WritableFileSystem
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from connflow.contexts import set_inside
from connflow.store import Store, default_store_root
from flows.running.plan import PlannedRun, planned_run
from flows.running.profile import Profile, load_profile
from flows.running.run import Run

_running: ContextVar[tuple[Profile, TaskRunner[Any]] | None] = ContextVar(
    "connflow_running", default=None
)


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
    wanted = load_profile(profile)
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
        _started_runner(wanted) as runner,
        context.model_copy(update={"task_runner": runner, "result_store": results}),
    ):
        yield Run(place)


@contextmanager
def _started_runner(profile: Profile) -> Iterator[TaskRunner[Any]]:
    """Start what executes the tasks; a flow inside a flow of the same profile shares it."""
    outer = _running.get()
    if outer is not None and outer[0] == profile:
        yield outer[1]
        return
    with task_runner(profile) as runner, set_inside(_running, (profile, runner)):
        yield runner


def _record_storage(store: Store) -> WritableFileSystem:
    """Return the Prefect block that keeps cache records at the store's root."""
    if store.is_local:
        return LocalFileSystem(basepath=store.root)
    block = RemoteFileSystem(basepath=store.root)  # endpoint and credentials: the environment
    name = hashlib.sha256(store.root.encode()).hexdigest()[:16]
    block.save(f"connflow-{name}", overwrite=True)
    return block


def task_runner(profile: Profile) -> TaskRunner[Any]:
    """Return the Prefect task runner that a profile describes."""
    if profile.task_runner == "threads":
        return ThreadPoolTaskRunner(max_workers=profile.max_workers)
    from flows.running.step_runner import StepRunner

    return StepRunner(profile)
