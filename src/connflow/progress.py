"""Progress of long work, reported by the science and shown by whoever called it.

The library says how far it is through `track`; the floors above install a reporter with
`reporting_to` (a terminal bar, a Prefect progress artifact). Without a reporter nothing happens.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from connflow.contexts import set_inside

Item = TypeVar("Item")
Reporter = Callable[[float], None]

_reporter: ContextVar[Reporter | None] = ContextVar("connflow_progress_reporter", default=None)


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Send the progress of the work inside the block to `reporter`, as fractions from 0 to 1."""
    with set_inside(_reporter, reporter):
        yield


def current_reporter() -> Reporter | None:
    """Return the reporter that is installed here, if there is one."""
    return _reporter.get()


def track(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield the items, reporting after each one which fraction of `total` is done."""
    for done, item in enumerate(items, start=1):
        yield item
        reporter = _reporter.get()
        if reporter is not None:
            reporter(min(1.0, done / max(total, 1)))
