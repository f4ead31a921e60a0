"""The blocks of a step on the workers of the Dask cluster that the step itself runs on.

One Prefect task, many Dask tasks. The step leaves its thread to the blocks while it waits for
them (`distributed.worker_client`), so that one thread is enough for all.
"""

# mypy: allow-untyped-calls
# since distributed is typed in parts

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

from dask.utils import funcname
from distributed import Client, Future, KilledWorker, get_worker, wait, worker_client
from prefect.logging import get_logger

from connflow.errors import WorkerLostError

MOST_LOSSES = 5
"""How often a block is begun again after it was lost with its worker."""

BLOCKS_A_THREAD = 2
"""Blocks under way for each thread of the workers: one is computed, one waits."""

LOOK_EVERY_S = 1.0
"""How often to look which workers there are."""

_logger = get_logger("tasks")

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_on_workers(
    function: Callable[[Item], Result], blocks: Iterable[Item], folder: Path | None = None
) -> Iterator[Result]:
    """Apply a function to blocks on the workers of our cluster; see `tasks._blocks.map_blocks`."""
    with worker_client() as client, _Crew(client, function, folder) as crew:
        waiting, under_way = iter(blocks), deque[_Sent]()
        try:
            while True:
                crew.replace_lost(under_way)
                for block in islice(waiting, max(0, crew.capacity() - len(under_way))):
                    under_way.append(_Sent(block, crew.submit(block)))
                if not under_way:
                    return
                if not under_way[0].future.done():
                    crew.wait_for_news()
                    continue
                try:
                    result = under_way[0].future.result()
                except _LOSSES:  # between its end and here
                    continue
                under_way.popleft()
                yield result
        finally:
            _let_end(under_way)


class _Sent:
    """A block on its way: the future of its result, and how often it was lost."""

    def __init__(self, block: Any, future: Future[Any]) -> None:
        self.block, self.future, self.n_losses = block, future, 0


class _NotEnlistedError(Exception):
    """A worker was asked for blocks of which it has not got the function."""


_LOSSES = (KilledWorker, CancelledError, _NotEnlistedError)


class _Crew:
    """The workers that take blocks, each of which gets the function once; they come and go."""

    def __init__(self, client: Client, function: Callable[[Any], Any], folder: Path | None) -> None:
        self._client, self._function, self._folder = client, function, folder
        self._name = funcname(function).strip("_")
        self._token = uuid4().hex
        self._news = threading.Event()
        self._answers: dict[str, bool] = {}
        self._n_threads: dict[str, int] = {}
        self._start_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.run(_dismiss, self._token, on_error="ignore")

    def capacity(self) -> int:
        """Return how many blocks may be under way."""
        self._look()
        return BLOCKS_A_THREAD * max(1, sum(self._n_threads.values()))

    def submit(self, block: Any) -> Future[Any]:
        """Send a block to whoever of the crew is free first."""
        self._look()
        future = self._client.submit(
            _call,
            self._token,
            block,
            key=f"{self._name}-{uuid4().hex}",
            workers=list(self._n_threads),
            pure=False,
        )
        future.add_done_callback(lambda _: self._news.set())
        return future

    def wait_for_news(self) -> None:
        """Wait until a block has come to an end, but not for long: workers may have come."""
        self._news.wait(LOOK_EVERY_S)
        self._news.clear()

    def replace_lost(self, under_way: Iterable[_Sent]) -> None:
        """Send those blocks again that were lost with their workers."""
        lost = [(sent, loss) for sent in under_way if (loss := _loss(sent.future)) is not None]
        if lost:
            self._start_over()
        for sent, loss in lost:
            sent.n_losses += 1
            self._report(sent, loss)
            sent.future = self.submit(sent.block)

    def _report(self, sent: _Sent, loss: str) -> None:
        lost = f"{self._name} of {sent.block} was lost with {loss}"
        if sent.n_losses <= MOST_LOSSES:
            _logger.warning("%s; it is begun again", lost)
            return
        raise WorkerLostError(
            f"{lost}, after {MOST_LOSSES} others. The worker's log may say why; often it is "
            "memory: give workers more of it, or fewer threads."
        ) from sent.future.exception()

    def _start_over(self) -> None:
        """Ask everybody anew at the next look: another worker may have an old one's address."""
        self._answers.clear()
        self._looked_at = -LOOK_EVERY_S

    def _look(self) -> None:
        """Look who is there, and enlist who is new."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        n_threads = self._client.nthreads()
        newcomers = n_threads.keys() - self._answers.keys()
        if newcomers:
            self._answers |= self._enlist(newcomers)
        self._n_threads = {who: n for who, n in n_threads.items() if self._answers[who]}
        self._looked_at = time.monotonic()

    def _enlist(self, newcomers: Iterable[str]) -> dict[str, bool]:
        """Give workers the function; return who takes part."""
        ourselves = get_worker().address
        _functions[self._token] = self._function
        others = [who for who in newcomers if who != ourselves]
        answers = self._client.run(
            _enlist, self._token, self._function, self._folder, workers=others, on_error="return"
        )
        for who, answer in answers.items():
            if isinstance(answer, Exception):
                _logger.warning("%s takes no blocks of %s: %s", who, self._name, answer)
        return {who: answers.get(who) is True for who in others} | {ourselves: True}


def _loss(future: Future[Any]) -> str | None:
    """Return whom a block was lost with; None if it was not lost."""
    if future.status == "cancelled":
        return "a worker that left"
    error = future.exception() if future.status == "error" else None
    if isinstance(error, KilledWorker):
        return str(error.last_worker.address)
    return "a worker that left" if isinstance(error, _LOSSES) else None


def _let_end(under_way: Iterable[_Sent]) -> None:
    """Wait for blocks that may be running, so that nobody writes where nobody expects it."""
    with suppress(CancelledError):
        wait([sent.future for sent in under_way])


# On the workers

_functions: dict[str, Callable[[Any], Any]] = {}
"""What the crews that this worker is in compute, by their tokens."""


def _enlist(token: str, function: Callable[[Any], Any], folder: Path | None) -> bool:
    """Take part, unless blocks write to a folder that only other nodes, or other jobs, see."""
    _functions[token] = function
    return folder is None or folder.is_dir()


def _dismiss(token: str) -> None:
    _functions.pop(token, None)


def _call(token: str, block: Any) -> Any:
    if token not in _functions:
        raise _NotEnlistedError
    return _functions[token](block)
