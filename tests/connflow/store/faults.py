"""Work that other processes do in the fault tests: it must be importable by a fresh process."""

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import xarray as xr

from connflow.store import ArtifactRef, Provenance, Store

REF = ArtifactRef(step="binning", key="1" * 64)
PROVENANCE = Provenance(version=1, params={"seed": 3}, inputs={})
_WATCHED = ("open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir")

_fault: "Fault | None" = None


class Fault:
    """Something that happens just before the n-th operation on files below a folder."""

    def __init__(self, folder: str, at: int, kind: str) -> None:
        self.folder, self.at, self.kind = folder, at, kind
        self.count = 0

    def see(self, path: object) -> None:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(self.folder):
            return
        self.count += 1
        if self.count < self.at:
            return
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == self.at or self.kind == "full":  # a full disk stays full for a while
            number = {"full": errno.ENOSPC, "denied": errno.EACCES, "gone": errno.EIO}[self.kind]
            raise OSError(number, os.strerror(number), path)


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _fault is not None and event in _WATCHED and not _is_reading(event, arguments):
        _fault.see(arguments[0])


def _is_reading(event: str, arguments: tuple[object, ...]) -> bool:
    return event == "open" and len(arguments) > 1 and arguments[1] in ("r", "rb", None)


sys.addaudithook(_watch)


@contextmanager
def fault(folder: str, at: int, kind: str) -> Iterator[Fault]:
    """Let a fault happen at the n-th operation that changes files below the folder."""
    global _fault
    _fault = Fault(folder, at, kind)
    try:
        yield _fault
    finally:
        _fault = None


def dataset() -> xr.Dataset:
    """Return a small dataset of several chunks."""
    return xr.Dataset({"x": ("time", np.arange(12.0))}, coords={"unit": [5, 9]})


def make(root: str, log: str | None = None, work_s: float = 0.0) -> None:
    """Make the artifact as a step does: under a claim; log every time it is really made."""
    store = Store(root)
    with store.claim(REF) as is_to_be_made:
        if not is_to_be_made:
            return
        with store.create(REF, PROVENANCE) as artifact:
            if log is not None:
                with Path(log).open("a") as file:
                    file.write(f"{os.getpid()}\n")
            artifact.write_dataset(dataset())
            time.sleep(work_s)
            artifact.write_file("page/a.txt", b"text")


def make_and_die(root: str, at: int) -> None:
    """Make the artifact in a process that is killed at the n-th operation."""
    with fault(root, at, "kill"):
        make(root)


def hold_claim(root: str, seconds: float) -> None:
    """Hold the claim without making anything, then die without a word."""
    with Store(root).claim(REF):
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)
