"""Steps on the workers of a Dask cluster, each followed there by a thread of the flow's process.

Prefect's own runner hands tasks to Dask and believes what comes back. Where workers die, that
leaves tasks `Running` for ever, blames tasks that only stood in line, and computes finished ones
again (Prefect 15442, 17384, 21638). Here Dask gets one attempt at a time: a lost worker is the
end of the attempt, and what follows is decided in the flow's process, which knows why.
"""

import asyncio
import concurrent.futures
import random
import threading
import time
from collections.abc import Iterable
from concurrent.futures import CancelledError, wait
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from http.client import NOT_FOUND
from typing import Any, Self, cast
from uuid import UUID, uuid4

from distributed import Client, Future, KilledWorker
from httpx import HTTPStatusError
from prefect import Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import RunInput, State
from prefect.context import FlowRunContext, serialize_context
from prefect.futures import PrefectConcurrentFuture, PrefectFuture, resolve_futures_to_states
from prefect.logging import get_logger, get_run_logger
from prefect.states import AwaitingRetry, Crashed, Failed
from prefect.task_engine import run_task_async, run_task_sync
from prefect.task_runners import ThreadPoolTaskRunner

from connflow.errors import ClusterError, StepTimeLimitError, WorkerLostError
from connflow.store.files import is_disk_full
from flows.running.cluster import start_cluster
from flows.running.profile import Profile, StepNeeds
from flows.running.slots import Slots, Worker
from flows.running.slurm_jobs import Loss

MOST_MOVES = 2
"""How often a step moves to another node because the disk of its own is full."""

WATCH_S = 1.0
"""Seconds between looks at the time limit and the whereabouts of a step under way."""

TOLD_LATE_S = (0.5, 1.0)
"""Pauses in which the server may hear of a task run from its worker."""

BACKOFF_S = 2.0
"""Seconds before a step starts again after its worker died; doubled each time, with jitter."""


class StepRunner(ThreadPoolTaskRunner[Any]):
    """Prefect task runner for the workers of a Dask cluster that come and go.

    Parameters
    ----------
    profile : Profile
        Which cluster, and what steps need of its workers.
    """

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        self._under_way: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self.over = threading.Event()

    def duplicate(self) -> "StepRunner":
        """Return a runner of the same profile."""
        return type(self)(self.profile)

    def __enter__(self) -> Self:
        """Start the cluster, or reach the one that runs."""
        super().__enter__()
        with ExitStack() as stack:
            self.cluster = stack.enter_context(start_cluster(self.profile, _logger(), self._abort))
            client: Any = Client  # untyped
            self.client = stack.enter_context(
                client(self.cluster.address, set_as_default=False, name="connflow")
            )
            workers = partial(self.cluster.workers, self.client)
            self.slots = Slots(workers, self.profile.steps_per_worker)
            stack.callback(self.slots.close)
            self.cluster.slots = self.slots
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        """Give up what is under way, and take the cluster down."""
        try:
            self.abort()
            super().__exit__(*error)
        finally:
            self._stack.close()

    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[RunInput]] | None = None,
    ) -> PrefectConcurrentFuture[Any]:
        """Follow a task on the cluster; it goes there once what it depends on is done."""
        assert self._executor is not None
        task_run_id = uuid4()
        attempt = _Attempts(self, task, task_run_id, parameters, wait_for, dependencies)
        followed = self._executor.submit(copy_context().run, attempt.follow)
        return PrefectConcurrentFuture(task_run_id=task_run_id, wrapped_future=followed)

    def begin(self, key: str, work: dict[str, Any], worker: Worker) -> Future[Any]:
        """Hand one attempt to a worker."""
        with self._lock:
            if self.over.is_set() or self.cluster.failure:
                raise CancelledError
            future: Future[Any] = self.client.submit(
                _run_on_worker, work, key=key, pure=False, workers=[worker.address]
            )
            self._under_way.add(future)
        return future

    def fetch(self, future: Future[Any]) -> concurrent.futures.Future[State[Any]]:
        """Have the state that an attempt ends in brought here.

        Dask brings what several futures hold in one message, so nobody may give up waiting for his:
        a time limit of `Future.result` that ends just then takes the states of the others away.
        """
        state = self.client.gather(future, asynchronous=True)
        return asyncio.run_coroutine_threadsafe(state, self.client.loop.asyncio_loop)

    def restart(self, worker: Worker) -> None:
        """End a worker process, whatever it is doing; its nanny starts another."""
        try:
            self.client.restart_workers([worker.address], timeout=60, raise_for_error=False)
        except (ValueError, KeyError) as error:  # it has no nanny, or is gone
            _logger().warning("worker %s is not started again: %r", worker.name, error)
            self.client.retire_workers([worker.address])

    def end(self, future: Any) -> None:
        """Forget an attempt that is over; Dask would make its result anew with a lost worker."""
        with self._lock:
            self._under_way.discard(future)
        future.release()

    def abort(self) -> None:
        """Give up all steps, so that those who wait for them go on."""
        self.over.set()
        self._abort()

    def _abort(self) -> None:
        self.slots.close()
        with self._lock:
            under_way = list(self._under_way)
        if under_way:
            self.client.cancel(under_way, force=True)


class _Attempts:
    """The attempts at one task run, from its upstream's end to its own final state."""

    def __init__(
        self,
        runner: StepRunner,
        task: Task[..., Any],
        task_run_id: UUID,
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None,
        dependencies: dict[str, set[RunInput]] | None,
    ) -> None:
        self._runner, self._task, self._id = runner, task, task_run_id
        self._parameters, self._wait_for = parameters, wait_for
        self._dependencies = dependencies
        self._needs = runner.profile.steps.get(task.name, StepNeeds())
        self._own_losses = self._outside_losses = self._moves = self._n_attempts = 0

    def follow(self) -> State[Any]:
        """Start attempts until one has an end that is the task's; return its state."""
        work: dict[str, Any] = {
            "task": self._task,
            "task_run_id": self._id,
            "parameters": resolve_futures_to_states(self._parameters),
            "wait_for": resolve_futures_to_states(list(self._wait_for or ())),
            "dependencies": self._dependencies,
            "context": serialize_context(),
        }
        try:
            while (state := self._attempt(work)) is None:
                pass
        except Exception as error:  # of the cluster, since those of the task are in its state
            reason = ClusterError(f"{self._task.name} was lost with the cluster: {error!r}")
            return self._tell(Crashed(message=str(reason), data=reason))
        return state

    def _attempt(self, work: dict[str, Any]) -> State[Any] | None:
        """Make one attempt; None if there is to be another."""
        slots, needs = self._runner.slots, self._needs.resources
        try:
            worker = slots.take(needs)
        except CancelledError:
            return self._after_end()
        self._n_attempts += 1
        key = f"{self._task.name}-{self._id}-{self._n_attempts}"
        future = None
        try:
            future = self._runner.begin(key, work, worker)
            state = self._wait(future, worker)
            return None if state is None or self._moves_on(state, worker) else state
        except KilledWorker:
            return self._after_loss(self._runner.cluster.why_lost(worker.name))
        except CancelledError:
            return self._after_end()
        finally:
            if future is not None:
                self._runner.end(future)
            slots.give_back(worker, needs)

    def _wait(self, future: Future[Any], worker: Worker) -> State[Any] | None:
        """Wait for the state that an attempt ends in, with an eye on its worker and the clock."""
        limit = self._needs.time_limit_s or float("inf")
        began, was_here = time.monotonic(), True
        state = self._runner.fetch(future)
        while not wait([state], timeout=WATCH_S).done:
            is_here = worker.address in self._runner.slots.workers()
            if is_here and time.monotonic() - began > limit:
                self._runner.client.cancel([future], force=True)
                return self._stop(worker, limit)
            if not is_here and not was_here:  # at two looks: else its death is about to be told
                self._runner.client.cancel([future], force=True)
                return self._after_loss(self._runner.cluster.why_left(worker.name))
            was_here = is_here
        return state.result()

    def _stop(self, worker: Worker, limit: float) -> State[Any]:
        """End the worker of a step that has exceeded its time limit."""
        place = self._runner.cluster.node_of(worker.name)
        error = StepTimeLimitError(
            f"{self._task.name} exceeded its time limit of {limit:g} s on {place} and was stopped. "
            f"Raise steps.{self._task.name}.time_limit_s in the profile, or make the step smaller."
        )
        state = self._tell(Failed(name="TimedOut", message=str(error), data=error))
        self._runner.restart(worker)
        return state

    def _moves_on(self, state: State[Any], worker: Worker) -> bool:
        """Whether the step is to go to another node, since the disk of its own is full."""
        if not state.is_failed() or self._moves >= MOST_MOVES:
            return False
        error: Any = state.result(raise_on_failure=False)
        if not is_disk_full(error):
            return False
        self._moves += 1
        node = self._runner.cluster.node_of(worker.name)
        if not self._runner.cluster.shun(node, f"its disk is full, says {self._task.name}"):
            return False
        self._tell(AwaitingRetry(message=f"The disk of {node} is full: {error}"))
        return True

    def _after_end(self) -> State[Any]:
        """Return the state of a step that the run, or the cluster, left no time for."""
        reason = self._runner.cluster.failure or ClusterError("the run ended before this step had")
        state: State[Any] = Crashed(message=str(reason), data=reason)
        return self._tell(state) if self._n_attempts else state  # else the server knows no such run

    def _after_loss(self, loss: Loss) -> State[Any] | None:
        """Count a lost worker; return the state that ends the task if it was one too many."""
        if self._runner.over.is_set():
            return self._after_end()
        if loss.is_from_outside:
            self._outside_losses += 1
            n_losses, most = self._outside_losses, self._runner.profile.lost_worker_retries
        else:
            self._own_losses += 1
            n_losses, most = self._own_losses, self._task.retries
        if n_losses > most:
            error = WorkerLostError(f"{self._task.name} lost its worker {n_losses} times: {loss}")
            return self._tell(Crashed(message=str(error), data=error))
        _logger().warning(
            "%s lost its worker (%d of %d): %s", self._task.name, n_losses, most, loss
        )
        self._tell(AwaitingRetry(message=f"lost its worker, {n_losses} of {most}: {loss}"))
        if not loss.is_from_outside:
            pause_s = BACKOFF_S * 2 ** (n_losses - 1) * random.uniform(1, 1.5)  # noqa: S311
            self._runner.over.wait(min(pause_s, 60.0))
        return None

    def _tell(self, state: State[Any]) -> State[Any]:
        """Tell the server what the worker cannot tell any more."""
        told = state.model_copy(update={"data": None})
        try:
            with get_client(sync_client=True) as client:
                if not _set_state(client, self._id, told):
                    self._introduce(client)
                    _set_state(client, self._id, told)
        except Exception as error:  # the run goes on without it
            _logger().warning("the server was not told that %s: %s", state.message, error)
        return state

    def _introduce(self, client: SyncPrefectClient) -> None:
        """Make the task run known: its worker died before it could."""
        context = FlowRunContext.get()
        flow_run = context.flow_run if context is not None else None
        client.create_task_run(
            self._task,
            flow_run.id if flow_run is not None else None,
            dynamic_key=str(self._id),
            id=self._id,
            name=self._name(),
        )

    def _name(self) -> str | None:
        template = self._task.task_run_name
        try:
            return template.format(**self._parameters) if isinstance(template, str) else None
        except (AttributeError, KeyError, IndexError):  # it names what is not there yet
            return None


def _run_on_worker(work: dict[str, Any]) -> State[Any]:
    """Run a task in the Prefect engine of this worker; return its final state."""
    if work["task"].isasync:
        return cast(State[Any], asyncio.run(_as_coroutine(work)))
    return cast(State[Any], run_task_sync(**work, return_type="state"))


async def _as_coroutine(work: dict[str, Any]) -> Any:
    return await run_task_async(**work, return_type="state")


def _set_state(client: SyncPrefectClient, task_run_id: UUID, state: State[Any]) -> bool:
    """Set the state of a task run; return whether the server has come to know of it."""
    for pause_s in TOLD_LATE_S:
        try:
            client.set_task_run_state(task_run_id, state, force=True)
        except HTTPStatusError as error:
            if error.response.status_code != NOT_FOUND:
                raise
            time.sleep(pause_s)
        else:
            return True
    return False


def _logger() -> Any:
    return get_run_logger() if FlowRunContext.get() else get_logger("cluster")
