"""The one decorator that makes a step: cache key, commit, retries, provenance, progress."""

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from prefect import Task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_logger, get_run_logger
from prefect.tasks import exponential_backoff

from connflow.contexts import set_inside
from connflow.errors import (
    ArtifactDamagedError,
    ConnflowError,
    InputChangedError,
    StoreError,
)
from connflow.params import StepParams
from connflow.progress import current_reporter, reporting_to
from connflow.recording.readers import content_digest
from connflow.store import ArtifactRef, Provenance, Store, derive_key
from connflow.store.environment import source_digest
from connflow.store.files import is_disk_full
from connflow.store.foresight import foresee
from connflow.store.layout import CACHE_RECORD
from tasks._publish import best_effort, publish_artifact

PROGRESS_EVERY_S = 2.0
"""A step that takes longer than this shows its progress in the Prefect UI, this often."""

RETRIES = 3

StepRecorder = Callable[[ArtifactRef, Provenance, dict[str, Any]], None]
"""Is told what a submitted step would make, from what, and with which arguments."""

_recorder: ContextVar[StepRecorder | None] = ContextVar("connflow_step_recorder", default=None)


class StepTask(Task[..., ArtifactRef]):
    """A Prefect task that makes an artifact; while steps are recorded, it only says which."""

    work: "_Work"

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Submit the step to the flow's task runner, or tell the recorder and return the ref."""
        recorder = _recorder.get()
        if recorder is None:
            return super().submit(*args, **kwargs)
        bound = inspect.signature(self.fn).bind(*args, **kwargs)
        ref, provenance = self.work.derive(dict(bound.arguments))
        recorder(ref, provenance, dict(bound.arguments))
        return ref


@contextmanager
def recording_steps(recorder: StepRecorder) -> Iterator[None]:
    """Tell `recorder` of the steps that are submitted inside the block, instead of running them."""
    with set_inside(_recorder, recorder):
        yield


def step(
    word: str, version: int, *, run_name: str = "", package: str = ""
) -> Callable[[Callable[..., None]], StepTask]:
    """Turn a function that fills an artifact into a cached task that returns the artifact's ref.

    Parameters
    ----------
    word
        The step word.
    version
        Version of the step's science. A new one means that old artifacts are not used any more.
    run_name
        What the run is called behind the step word; may name inputs: ``{params.bin_size_s} s``.
    package
        Module of the science, for the source digest; ``connflow.<word>`` if empty.

    Notes
    -----
    The decorated function takes the store, the artifact to fill, and its inputs, which the task
    takes too: an `ArtifactRef` enters the key by its own key, a `StepParams` whole, a text is the
    place of a recording from outside and enters by the digest of its content. A list or tuple of
    refs enters one by one, in its order.
    """
    work = _Work(word, version, package or f"connflow.{word}")

    def decorate(fill: Callable[..., None]) -> StepTask:
        task = StepTask(
            _making_the_artifact(fill, work),
            name=word,
            task_run_name=f"{word} {run_name}".strip(),
            cache_policy=CacheKeyFnPolicy(cache_key_fn=work.cache_key),
            persist_result=True,
            result_serializer="json",
            cache_result_in_memory=False,
            retries=RETRIES,
            retry_delay_seconds=exponential_backoff(backoff_factor=2),
            retry_jitter_factor=0.5,
            retry_condition_fn=_is_worth_retrying,
            on_failure=[_forget_failure],
        )
        task.work = work
        return task

    return decorate


@dataclass(frozen=True)
class _Work:
    """A step's word, its version, and the module of its science."""

    word: str
    version: int
    module: str

    def derive(self, arguments: dict[str, Any]) -> tuple[ArtifactRef, Provenance]:
        """Return the artifact that these arguments make, and how."""
        params: dict[str, Any] = {}
        inputs: dict[str, str] = {}
        sources: dict[str, str] = {}
        for name, value in _each(arguments):
            if isinstance(value, StepParams):
                params = value.model_dump(mode="json")
            elif isinstance(value, ArtifactRef):
                inputs[name] = str(value)
            elif isinstance(value, str):
                inputs[name], sources[name] = content_digest(value), value
            elif value is not None:
                raise TypeError(f"{self.word}: input {name} is {type(value).__name__}; pass a ref")
        key = derive_key(self.word, self.version, params, inputs)
        return ArtifactRef(step=self.word, key=key), Provenance(
            version=self.version,
            params=params,
            inputs=inputs,
            sources=sources,
            source_digest=source_digest(self.module),
        )

    def cache_key(self, context: TaskRunContext, arguments: dict[str, Any]) -> str:
        """Return the path of the cache record below the store's root."""
        return f"{self.derive(arguments)[0]}/{CACHE_RECORD}"


def _each(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each argument, of several refs each as ``name.index``."""
    for name, value in arguments.items():
        if isinstance(value, list | tuple):
            yield from ((f"{name}.{index}", item) for index, item in enumerate(value))
        else:
            yield name, value


def _making_the_artifact(fill: Callable[..., None], work: _Work) -> Callable[..., ArtifactRef]:
    """Return the task's function: `fill` between derivation and commit."""
    signature = inspect.signature(fill)
    inputs = list(signature.parameters.values())[2:]  # without store and artifact
    signature = signature.replace(parameters=inputs, return_annotation=ArtifactRef)

    @functools.wraps(fill)
    def make(*args: Any, **kwargs: Any) -> ArtifactRef:
        arguments = dict(signature.bind(*args, **kwargs).arguments)
        ref, provenance = work.derive(arguments)
        store, logger = current_store(), _logger()

        def say_whom_we_wait_for(owner: str) -> None:
            logger.info("waiting for %s, which is making %s", owner, ref)

        with store.claim(ref, say_whom_we_wait_for) as is_to_be_made:
            if not is_to_be_made:
                logger.info("%s was made by another run", ref)
                return ref
            if store.is_local:  # elsewhere the look at all manifests may take long
                logger.info("running, because %s", foresee(store, ref, provenance).reason)
            began = time.perf_counter()
            with _shown_progress(work.word), store.create(ref, provenance) as artifact:
                with _blaming_damaged_inputs(store, arguments):
                    fill(store, artifact, **arguments)
                _check_unchanged(work, arguments, ref)
            logger.info("made %s in %.1f s", ref, time.perf_counter() - began)
            if TaskRunContext.get() is not None:
                publish_artifact(store, ref)
            return ref

    make.__signature__ = signature  # type: ignore[attr-defined]
    make.__annotations__ = {item.name: item.annotation for item in inputs}
    return make


def current_store() -> Store:
    """Return the store of the run we are in; outside of a run, the default one."""
    context = TaskRunContext.get()
    storage = context.result_store.result_storage if context else None
    return Store(getattr(storage, "basepath", None))


@contextmanager
def _blaming_damaged_inputs(store: Store, arguments: dict[str, Any]) -> Iterator[None]:
    """Where a step fails over an input that is damaged, say so instead of what it led to."""
    try:
        yield
    except ConnflowError:
        raise
    except Exception as error:
        for _, ref in _each(arguments):
            problems = store.verify(ref) if isinstance(ref, ArtifactRef) else []
            if problems:
                raise ArtifactDamagedError(problems[0]) from error
        raise


def _check_unchanged(work: _Work, arguments: dict[str, Any], ref: ArtifactRef) -> None:
    now, provenance = work.derive(arguments)
    if now != ref:
        raise InputChangedError(
            f"{work.word}: {', '.join(provenance.sources.values())} changed while it was read; "
            "nothing was kept. Run again when the file is complete."
        )


def _is_worth_retrying(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure may pass by itself: the network's or the cluster's, not the input's."""
    error = state.data.__cause__ if isinstance(state.data, StoreError) else state.data
    if is_disk_full(state.data):
        return False
    lasting = (ConnflowError, FileNotFoundError, PermissionError, NotADirectoryError)
    return isinstance(error, OSError) and not isinstance(error, lasting)


def _forget_failure(task: Task[..., Any], run: TaskRun, state: State[Any]) -> None:
    """Remove the record of an exception, which Prefect leaves at the store's root."""
    metadata = getattr(state.data, "metadata", None)
    if metadata is not None and metadata.storage_key:
        current_store().discard_record(metadata.storage_key)


def _logger() -> Any:
    return get_run_logger() if TaskRunContext.get() else get_logger("tasks")


@contextmanager
def _shown_progress(word: str) -> Iterator[None]:
    """Show how far a step is as a Prefect progress artifact, once it has taken a while."""
    if TaskRunContext.get() is None:
        yield
        return
    shown = _ProgressArtifact(word, current_reporter())
    with reporting_to(shown.report):
        yield
    shown.finish()


class _ProgressArtifact:
    """A Prefect progress artifact that is made late, updated seldom, and passes the word on."""

    def __init__(self, word: str, outer: Callable[[float], None] | None) -> None:
        self._word, self._outer = word, outer
        self._last = time.monotonic()
        self._artifact: UUID | None = None

    def report(self, fraction: float) -> None:
        if self._outer is not None:
            self._outer(fraction)
        if time.monotonic() - self._last >= PROGRESS_EVERY_S:
            self._last = time.monotonic()
            self._show(100 * fraction)

    def finish(self) -> None:
        if self._artifact is not None:
            self._show(100.0)

    def _show(self, percent: float) -> None:
        with best_effort():
            if self._artifact is None:
                self._artifact = cast(
                    UUID, create_progress_artifact(progress=percent, description=self._word)
                )
            else:
                update_progress_artifact(self._artifact, progress=percent)
