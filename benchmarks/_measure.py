"""What all benchmarks share: measuring CPU time and memory, fresh processes, headers and tables."""

import math
import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

_BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Cost:
    """What some work took.

    Parameters
    ----------
    cpu_s : float
        User and system time of all threads, and of child processes that have ended.
    system_s : float
        The system's share of it: reading, writing, and handing out fresh memory.
    wall_s : float
    base_gb, peak_gb : float
        Largest resident memory of the process before the work and until its end, 1e9 bytes.
    """

    cpu_s: float
    system_s: float
    wall_s: float
    base_gb: float
    peak_gb: float


def measure(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Do some work; return its result and what it took."""
    base_gb, user_s, system_s, wall_s = _peak_gb(), *_cpu_s(), time.perf_counter()
    result = work()
    wall_s = time.perf_counter() - wall_s
    user_s, system_s = (
        now - before for now, before in zip(_cpu_s(), (user_s, system_s), strict=True)
    )
    return result, Cost(user_s + system_s, system_s, wall_s, base_gb, _peak_gb())


def run_alone(
    function: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """Call a function in a fresh process, so that its peak memory is its own.

    Linux starts the count of a process at the size of its parent: keep the caller small.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def available_gb() -> float:
    """Return how much memory is free for use; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return math.inf
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return float(kilobytes) * 1024 / 1e9


def print_header(title: str) -> None:
    """Print what is measured, by which command, and on which machine."""
    load = f"{os.getloadavg()[0]:.1f}"
    machine = f"{os.cpu_count()} cores ({platform.machine()}), load average {load} at the start"
    print(f"{title}\n$ python {' '.join(sys.orig_argv[1:])}")
    print(f"{machine}, Python {platform.python_version()}, numpy {version('numpy')}", flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join((first.lstrip().ljust(widths[0]), *others)).rstrip(), flush=True)


def _cpu_s() -> tuple[float, float]:
    """Return user and system time so far."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime for usage in usages), sum(usage.ru_stime for usage in usages)


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_OF_MAXRSS / 1e9
