"""Where a recording lies: local paths, ``file://`` URLs, and single files that fsspec reaches."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import fsspec

from connflow.errors import RecordingError, RecordingNotFoundError

_CHUNK_BYTES = 1 << 20
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")


@dataclass(frozen=True)
class Source:
    """A recording on the local disk.

    Parameters
    ----------
    name : str
        What messages call it: the path, or the URL it was copied from.
    path : Path
        The file or folder to read.
    """

    name: str
    path: Path


@contextmanager
def open_source(uri: str) -> Iterator[Source]:
    """Give the recording at `uri` as a local file or folder, copied to a temporary one if remote.

    Raises
    ------
    RecordingNotFoundError
        There is nothing at `uri`.
    """
    path = _local_path(uri)
    if path is not None:
        yield Source(str(path), _existing(path))
        return
    with tempfile.TemporaryDirectory(prefix="connflow-") as folder:
        copy = Path(folder, uri.rstrip("/").rpartition("/")[2] or "recording")
        with _open_remote(uri) as remote, copy.open("wb") as file:
            shutil.copyfileobj(remote, file, _CHUNK_BYTES)
        yield Source(uri, copy)


def content_digest(uri: str) -> str:
    """Return the sha256 of a recording's content as 64 hexadecimal digits.

    Parameters
    ----------
    uri : str
        As for `read_recording`. The digest of a file covers its bytes, not its name; that of a
        folder covers the relative name, length and bytes of every file in it, sorted by name.

    Raises
    ------
    RecordingNotFoundError
        There is nothing at `uri`.
    """
    digest = hashlib.sha256()
    path = _local_path(uri)
    if path is None:
        with _open_remote(uri) as remote:
            _feed(digest, remote)
    elif _existing(path).is_dir():
        _feed_folder(digest, path)
    else:
        with path.open("rb") as file:
            _feed(digest, file)
    return digest.hexdigest()


def _feed_folder(digest: Any, folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    for name in sorted(files):
        if files[name].is_file():
            # name and length go in front, so that bytes cannot move between files unseen
            digest.update(f"{name}\0{files[name].stat().st_size}\0".encode())
            with files[name].open("rb") as file:
                _feed(digest, file)


def _feed(digest: Any, file: IO[bytes]) -> None:
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)


def _local_path(uri: str) -> Path | None:
    """Return the local path that `uri` means, None where it is a URL of another kind."""
    if uri.startswith("file://"):
        return Path(url2pathname(urlsplit(uri).path))
    return None if _URL.match(uri) else Path(uri).expanduser()


def _existing(path: Path) -> Path:
    if not path.exists():
        raise RecordingNotFoundError(
            f"{path}: there is no file or folder of this name. Check the path; relative ones "
            f"start from {Path.cwd()}."
        )
    return path


@contextmanager
def _open_remote(uri: str) -> Iterator[IO[bytes]]:
    try:
        opened = fsspec.open(uri, "rb").open()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecordingNotFoundError(
            f"{uri}: there is no file of this name. Check the URL; a folder (Zarr, Suite2p) "
            "has to be copied to a local one first."
        ) from error
    except (ImportError, ValueError) as error:
        raise RecordingError(
            f"{uri}: this kind of URL cannot be read here ({error}). Install what it needs "
            "(pip install 'connflow[s3]' for s3://), or copy the recording to a local path."
        ) from error
    with opened as file:
        yield file
