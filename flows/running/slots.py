"""Which worker takes which step: each worker so many at once, in the order the steps came.

Dask lets tasks stand in line at a busy worker, and blames them when it dies. Steps are held back
here until a worker has a free slot, so that a lost worker takes only what it was doing.
"""

import logging
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

LOOK_S = 0.25
"""Seconds between looks for workers that have joined, while steps wait."""


@dataclass(frozen=True)
class Worker:
    """A Dask worker that is there; one that retires takes no more steps."""

    address: str
    name: str
    resources: Mapping[str, float] = field(default_factory=dict)
    takes_steps: bool = True


@dataclass
class _Request:
    needs: Mapping[str, float]
    given: threading.Event = field(default_factory=threading.Event)
    worker: Worker | None = None


class Slots:
    """Gives steps to workers.

    Parameters
    ----------
    workers : callable
        Returns the workers that are there now, by address.
    steps_per_worker : int
        Most steps at once on a worker.
    """

    def __init__(self, workers: Callable[[], Mapping[str, Worker]], steps_per_worker: int) -> None:
        self.workers = workers
        self._most = steps_per_worker
        self._waiting: deque[_Request] = deque()
        self._n_steps: Counter[str] = Counter()
        self._used: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._changed = threading.Condition()
        self._closed = False
        self._giver = threading.Thread(target=self._give, name="connflow-slots", daemon=True)
        self._giver.start()

    @property
    def n_steps(self) -> int:
        """How many steps wait or are under way."""
        return len(self._waiting) + self._n_steps.total()

    def take(self, needs: Mapping[str, float]) -> Worker:
        """Wait for a worker with a free slot and what the step needs.

        Raises
        ------
        CancelledError
            If the slots are closed.
        """
        request = _Request(needs)
        with self._changed:
            if self._closed:
                raise CancelledError
            self._waiting.append(request)
            self._changed.notify()
        request.given.wait()
        if request.worker is None:
            raise CancelledError
        return request.worker

    def give_back(self, worker: Worker, needs: Mapping[str, float]) -> None:
        """Free what a step had taken."""
        with self._changed:
            self._n_steps[worker.address] -= 1
            self._used[worker.address].subtract(needs)
            self._changed.notify()

    def close(self) -> None:
        """Send all who wait away, and all who come."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._giver:
            self._giver.join()

    def _give(self) -> None:
        with self._changed:
            while not self._closed:
                if self._waiting:
                    self._serve(self._workers_if_known())
                self._changed.wait(LOOK_S if self._waiting else None)
            for request in self._waiting:
                request.given.set()

    def _workers_if_known(self) -> Mapping[str, Worker]:
        try:
            return self.workers()
        except Exception as error:  # of the scheduler; those who follow steps there hear of it, too
            _log.warning("the Dask scheduler does not say which workers there are: %s", error)
            return {}

    def _serve(self, workers: Mapping[str, Worker]) -> None:
        """Give what is free, to the first in line who can use it; the idlest worker first."""
        for request in list(self._waiting):
            free = [worker for worker in workers.values() if self._suits(worker, request.needs)]
            if free:
                worker = min(free, key=lambda worker: self._n_steps[worker.address])
                self._n_steps[worker.address] += 1
                self._used[worker.address].update(request.needs)
                self._waiting.remove(request)
                request.worker = worker
                request.given.set()

    def _suits(self, worker: Worker, needs: Mapping[str, float]) -> bool:
        used = self._used[worker.address]
        is_free = worker.takes_steps and self._n_steps[worker.address] < self._most
        return is_free and all(
            worker.resources.get(name, 0) - used[name] >= amount for name, amount in needs.items()
        )
