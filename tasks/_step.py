"""The one decorator that makes a step: cache key, commit, retries, provenance, progress."""

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, cast

from prefect import Task, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_logger, get_run_logger
from prefect.results import ResultRecord, ResultRecordMetadata
from prefect.states import State
from prefect.tasks import exponential_backoff

from connflow.errors import ConnflowError, InputChangedError, StoreError
from connflow.params import StepParams
from connflow.progress import current_reporter, reporting_to
from connflow.recording.readers import content_digest
from connflow.store import ArtifactRef, ArtifactWriter, Provenance, Store, derive_key
from connflow.store.manifest import source_digest

Inputs = ParamSpec("Inputs")

PROGRESS_AFTER_S = 2.0
"""A step that takes longer than this shows its progress in the Prefect UI, as often."""

RETRIES = 3


def step(
    word: str, version: int, *, run_name: str = "", package: str = ""
) -> Callable[
    [Callable[Concatenate[Store, ArtifactWriter, Inputs], None]],
    Task[Inputs, ArtifactRef],
]:
    """Turn a function that fills an artifact into a cached task that returns the artifact's ref.

    Parameters
    ----------
    word
        The step word.
    version
        Version of the step's science. A new one means that old artifacts are not used any more.
    run_name
        What the run is called behind the step word; may name inputs: ``{params.bin_size_s:g} s``.
    package
        Module of the science, for the source digest; ``connflow.<word>`` if empty.

    Notes
    -----
    The decorated function takes the store, the artifact to fill, and its inputs, which the task
    takes too: an `ArtifactRef` enters the key by its own key, a `StepParams` whole, a text is the
    place of a recording from outside and enters by the digest of its content.
    """

    def decorate(
        fill: Callable[Concatenate[Store, ArtifactWriter, Inputs], None],
    ) -> Task[Inputs, ArtifactRef]:
        signature = _signature_of_task(fill)
        module = package or f"connflow.{word}"

        def derive(arguments: dict[str, Any]) -> tuple[ArtifactRef, Provenance]:
            return _derive(word, version, module, arguments)

        @functools.wraps(fill)
        def run(*args: Any, **kwargs: Any) -> ArtifactRef:
            arguments = dict(signature.bind(*args, **kwargs).arguments)
            ref, provenance = derive(arguments)
            store, logger = current_store(), _logger()
            if store.exists(ref):
                logger.info("%s was made meanwhile by another run", ref)
                return ref
            began = time.perf_counter()
            with _shown_progress(word), store.create(ref, provenance) as artifact:
                cast(Any, fill)(store, artifact, **arguments)
                if derive(arguments)[0] != ref:
                    raise InputChangedError(
                        f"{word}: an input changed while it was read "
                        f"({', '.join(provenance.sources.values())}); nothing was kept. Run again "
                        "when it is complete."
                    )
            logger.info("made %s in %.1f s", ref, time.perf_counter() - began)
            return ref

        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {
            **{name: item.annotation for name, item in signature.parameters.items()},
            "return": ArtifactRef,
        }
        return cast(
            Task[Inputs, ArtifactRef],
            task(
                run,
                name=word,
                task_run_name=f"{word} {run_name}".strip(),
                cache_policy=CacheKeyFnPolicy(
                    cache_key_fn=lambda context, arguments: (
                        f"{word}/{derive(arguments)[0].key}/result.json"
                    )
                ),
                persist_result=True,
                result_serializer="json",
                cache_result_in_memory=False,
                retries=RETRIES,
                retry_delay_seconds=exponential_backoff(backoff_factor=2),
                retry_jitter_factor=0.5,
                retry_condition_fn=_is_worth_retrying,
                on_failure=[_forget_failure],
            ),
        )

    return decorate


def current_store() -> Store:
    """Return the store of the run we are in; outside of a run, the default one."""
    context = TaskRunContext.get()
    storage = context.result_store.result_storage if context else None
    root = getattr(storage, "basepath", None)
    return Store(root)


def _signature_of_task(fill: Callable[..., None]) -> inspect.Signature:
    signature = inspect.signature(fill)
    inputs = list(signature.parameters.values())[2:]  # without store and artifact
    return signature.replace(parameters=inputs, return_annotation=ArtifactRef)


def _derive(
    word: str, version: int, module: str, arguments: dict[str, Any]
) -> tuple[ArtifactRef, Provenance]:
    params: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name, value in arguments.items():
        if isinstance(value, StepParams):
            params = value.model_dump(mode="json")
        elif isinstance(value, ArtifactRef):
            inputs[name] = str(value)
        elif isinstance(value, str):
            inputs[name], sources[name] = content_digest(value), value
        elif value is not None:
            raise TypeError(f"{word}: input {name} is a {type(value).__name__}; pass a ref")
    provenance = Provenance(
        version=version,
        params=params,
        inputs=inputs,
        sources=sources,
        source_digest=source_digest(module),
    )
    return ArtifactRef(step=word, key=derive_key(word, version, params, inputs)), provenance


def _is_worth_retrying(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure may pass by itself: the network's or the cluster's, not the input's."""
    error = state.data
    if isinstance(error, StoreError):
        error = error.__cause__
    lasting = (ConnflowError, FileNotFoundError, PermissionError, NotADirectoryError)
    return isinstance(error, OSError | TimeoutError) and not isinstance(error, lasting)


def _forget_failure(task: Task[..., Any], run: TaskRun, state: State[Any]) -> None:
    """Remove the record of an exception, which Prefect leaves at the store's root."""
    if isinstance(state.data, ResultRecord | ResultRecordMetadata):
        current_store().discard_record(state.data.metadata.storage_key or "")


def _logger() -> Any:
    return get_run_logger() if TaskRunContext.get() else get_logger("tasks")


@contextmanager
def _shown_progress(word: str) -> Iterator[None]:
    """Show how far the step is as a Prefect progress artifact, once it has taken a while."""
    if TaskRunContext.get() is None:
        yield
        return
    outer = current_reporter()
    last, shown = time.monotonic(), None

    def report(fraction: float) -> None:
        nonlocal last, shown
        if outer is not None:
            outer(fraction)
        if time.monotonic() - last < PROGRESS_AFTER_S:
            return
        last = time.monotonic()
        if shown is None:
            shown = create_progress_artifact(progress=100 * fraction, description=word)
        else:
            update_progress_artifact(shown, progress=100 * fraction)

    with reporting_to(report):
        yield
        if shown is not None:
            update_progress_artifact(shown, progress=100.0)
