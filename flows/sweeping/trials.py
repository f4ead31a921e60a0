"""The trials of a sweep: asked for, run in threads, and told of."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture, as_completed
from prefect.task_runners import ThreadPoolTaskRunner

from connflow.contexts import set_inside
from connflow.errors import ConnflowError, first_line
from connflow.sweep import Point, SweepParams, TrialRecord
from flows.sweeping.trial import NoScoreError, Setup, find_trial, run_trial

Asked = tuple[int, Point]
"""Number and point of a trial."""

TrialWatcher = Callable[[int, Point, TrialRecord | None], None]
"""Is told of a trial that starts, and of what came out of it."""

_watcher: ContextVar[TrialWatcher | None] = ContextVar("connflow_trial_watcher", default=None)


class SweepError(ConnflowError, RuntimeError):
    """A sweep of which nothing can come."""


class Trials(Protocol):
    """Says which trial is next, and may learn from those that are through."""

    def ask(self) -> Asked | None:
        """Return the next trial; None if there are no more."""

    def tell(self, record: TrialRecord) -> None:
        """Take note of what came out of a trial."""


class KnownTrials:
    """Trials at points that are known beforehand."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._waiting = iter(enumerate(points))

    def ask(self) -> Asked | None:
        """Return the next trial; None if there are no more."""
        return next(self._waiting, None)

    def tell(self, record: TrialRecord) -> None:
        """Do nothing: the points do not depend on it."""


@contextmanager
def watching_trials(watcher: TrialWatcher) -> Iterator[None]:
    """Tell `watcher` of the trials of the sweeps that are called inside the block."""
    with set_inside(_watcher, watcher):
        yield


class TrialRunner:
    """Runs trials until there are no more, at most `max_parallel` of them at the same time.

    Parameters
    ----------
    trials : Trials
        Says which trial is next.
    setup : Setup
        What all trials share.
    params : SweepParams
        How many at a time, and what a failure means.
    """

    def __init__(self, trials: Trials, setup: Setup, params: SweepParams) -> None:
        self._trials, self._setup, self._params = trials, setup, params
        self._running: dict[PrefectFuture[TrialRecord], tuple[Asked, float]] = {}
        self._records: list[TrialRecord] = []

    def run(self) -> list[TrialRecord]:
        """Run the trials; return what came out, in their order.

        Raises
        ------
        SweepError
            If all fail, if one does where that is to end the sweep, or if a trial lacks the score
            before any has one.
        """
        with _threads(self._params.max_parallel):
            self._start()
            while self._running:
                self._finish_one()
                self._start()
        records = sorted(self._records, key=lambda record: record.trial)
        if all(record.state == "Failed" for record in records):
            raise SweepError(f"all {len(records)} trials failed; the first: {records[0].reason}")
        return records

    def _start(self) -> None:
        """Start as many trials as may run; one that is found made needs no run."""
        while len(self._running) < self._params.max_parallel:
            asked = self._trials.ask()
            if asked is None:
                return
            _announce(asked, None)
            found = find_trial(*asked, self._setup)
            if found is not None:
                self._note(found)
            else:
                future = run_trial.submit(*asked, self._setup)
                self._running[future] = asked, time.perf_counter()

    def _finish_one(self) -> None:
        future = next(as_completed(list(self._running)))
        (number, point), began = self._running.pop(future)
        outcome: Any = future.result(raise_on_failure=False)
        if isinstance(outcome, TrialRecord):
            self._note(outcome)
            return
        self._note(
            TrialRecord(
                trial=number,
                point=dict(point),
                state="Failed",
                reason=f"{type(outcome).__name__}: {first_line(outcome)}",
                wall_time_s=round(time.perf_counter() - began, 3),
            )
        )
        self._check_worth_going_on(number, outcome)

    def _note(self, record: TrialRecord) -> None:
        self._trials.tell(record)
        self._records.append(record)
        _announce((record.trial, record.point), record)

    def _check_worth_going_on(self, number: int, error: Exception) -> None:
        if self._params.on_failure == "stop":
            raise SweepError(f"trial {number} failed: {error}") from error
        has_score = any(record.score is not None for record in self._records)
        if isinstance(error, NoScoreError) and not has_score:
            raise SweepError(f"trial {number} has nothing to compare: {error}") from error


@contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    """Run the tasks of the block in threads of their own, beside those that run the steps."""
    context = FlowRunContext.get()
    assert context is not None
    pool: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=n_threads)
    with pool, context.model_copy(update={"task_runner": pool}):
        try:
            yield
        except (KeyboardInterrupt, TerminationSignal):  # the trials wait for steps
            abort = getattr(context.task_runner, "abort", None)  # threads end with their steps
            if abort is not None:
                abort()
            raise


def _announce(asked: Asked, record: TrialRecord | None) -> None:
    watcher = _watcher.get()
    if watcher is not None:
        watcher(*asked, record)
