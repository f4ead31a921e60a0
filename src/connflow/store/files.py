"""The few operations on files that the store builds on, the same for folders and object stores."""

import errno
import functools
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from connflow.errors import StoreError, StoreFullError, first_line
from connflow.store.environment import node_name

P = ParamSpec("P")
R = TypeVar("R")

_CONFLICT_PAUSES_S = (0.1, 0.3, 1.0, 3.0)
"""Before a conditional put is sent again that S3 left undecided: the name was being removed."""


def _reaching(method: "Callable[Concatenate[Files, P], R]") -> "Callable[Concatenate[Files, P], R]":
    """Turn what botocore raises where an endpoint is out of reach into the builtin for it."""

    @functools.wraps(method)
    def call(self: "Files", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            is_ours = type(error).__module__.partition(".")[0] not in ("aiohttp", "botocore")
            if is_ours or isinstance(error, OSError):
                raise
            raise ConnectionError(f"{self.url} is out of reach: {first_line(error)}") from error

    return call


class Files:
    """A file system and a root in it.

    Parameters
    ----------
    url : str
        A folder, or any fsspec URL. Credentials and the endpoint come from the environment
        (``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, ...), never from the URL.
    """

    def __init__(self, url: str) -> None:
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise StoreError(
                "a store's URL must not hold credentials; set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY in the environment, and name s3://bucket/prefix"
            )
        is_remote = "://" in url and not url.startswith(("file://", "memory://"))
        options = {"use_listings_cache": False} if is_remote else {}
        try:
            self.fs, path = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            raise StoreError(
                f"{url}: {first_line(error)}; install the extra: pip install 'connflow[s3]'"
            ) from None
        self.root = str(path).rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine's file system."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def url(self) -> str:
        """The root as a path (a folder) or as a URL (anything else)."""
        return self.root if self.is_local else str(self.fs.unstrip_protocol(self.root))

    def join(self, *parts: str) -> str:
        """Return the path of something below the root."""
        return "/".join((self.root, *(part for part in parts if part)))

    @_reaching
    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of this path."""
        return bool(self.fs.exists(path))

    @_reaching
    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        content = self.fs.cat_file(path)
        assert isinstance(content, bytes)
        return content

    def read_if_there(self, path: str) -> bytes:
        """Return the content of a file, nothing if somebody has removed it."""
        try:
            return self.read(path)
        except FileNotFoundError:
            return b""

    @_reaching
    def write(self, path: str, content: bytes) -> None:
        """Write a file in one move: readers see the old content or the new."""
        if not self.is_local:
            self.fs.pipe_file(path, content)
            return
        with _written_aside(path, content) as aside:
            aside.replace(path)

    @_reaching
    def write_new(self, path: str, content: bytes) -> bool:
        """Write a file that must not be there yet; return whether it was ours to write.

        An object store that ignores conditional puts always answers True.
        """
        if not self.is_local:
            return self._put_new(path, content)
        with _written_aside(path, content) as aside:
            try:
                os.link(aside, path)  # fails where there is one, on NFS too, and is whole at once
            except FileExistsError:
                return False
        return True

    def _put_new(self, path: str, content: bytes) -> bool:
        if self.fs.exists(path):
            return False
        for pause_s in (*_CONFLICT_PAUSES_S, None):
            try:
                self.fs.pipe_file(path, content, mode="create")
            except OSError as error:
                if isinstance(error, FileExistsError) or "PreconditionFailed" in str(error):
                    break
                if pause_s is None or "ConditionalRequestConflict" not in str(error):
                    raise
                time.sleep(pause_s)
            else:
                return True
        return self.read_if_there(path) == content  # ours, where the answer to it was lost

    @_reaching
    def upload(self, folder: Path, target: str) -> None:
        """Copy all files of a local folder to a place that no one else writes to."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.fs.put_file(str(file), f"{target}/{file.relative_to(folder).as_posix()}")

    @_reaching
    def remove(self, path: str) -> None:
        """Remove a file or a folder with all that is in it; nothing there is fine."""
        if not self.is_local:
            with suppress(FileNotFoundError):
                self.fs.rm(path, recursive=True)
        elif Path(path).is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink(missing_ok=True)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size of every file below a folder, by its path relative to it."""
        return {name: int(info["size"]) for name, info in self.find(folder)}

    @_reaching
    def find(self, folder: str) -> list[tuple[str, dict[str, Any]]]:
        """Return path, relative to the folder, and details of every file below it."""
        if not self.exists(folder):
            return []
        found = self.fs.find(folder, detail=True).items()
        return [(str(path).removeprefix(f"{folder}/"), info) for path, info in found]

    @_reaching
    def children(self, folder: str) -> list[str]:
        """Return the names of what lies directly in a folder."""
        try:
            entries = self.fs.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in entries)

    def is_below_root(self, path: str) -> bool:
        """Whether a path stays below the root, symbolic links followed."""
        if not self.is_local:
            return ".." not in path.split("/")
        return Path(path).resolve().is_relative_to(Path(self.root).resolve())


@contextmanager
def _written_aside(path: str, content: bytes) -> Iterator[Path]:
    """Yield a whole file beside a path; what is left of it afterwards goes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    aside = Path(f"{path}.{uuid.uuid4().hex}")
    try:
        aside.write_bytes(content)
        yield aside
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def writing_to(place: str) -> Iterator[None]:
    """Turn an error of the file system into one that says which store could not be written.

    Raises
    ------
    StoreFullError
        If there is no space left, or no quota.
    StoreError
        For any other error of the file system.
    """
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise (StoreFullError if is_disk_full(error) else StoreError)(
            f"the artifact store {place} cannot be written on {node_name()}: {error}. Check the "
            "folder and its free space, or name another one with --store or CONNFLOW_STORE."
        ) from error


def is_disk_full(error: object) -> bool:
    """Whether an error says that a disk, or what one may use of it, is full."""
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return is_full or isinstance(error, StoreFullError)
