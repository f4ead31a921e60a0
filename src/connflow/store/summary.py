"""Summaries of all artifacts of a store: what the catalogue, lineage and clean-up work on.

Manifests never change, so that each is read once and its summary kept in a cache of the user's.
What is there now is looked up every time, by listing folders, without opening a manifest again.
"""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connflow.errors import InvalidInputError
from connflow.store.files import Files
from connflow.store.layout import DROPPED, KEY, MANIFEST
from connflow.store.ref import ArtifactRef
from connflow.store.summary_cache import load_summaries, save_summaries

if TYPE_CHECKING:
    from connflow.store.store import Store

"""The manifest of an artifact whose files were dropped: its provenance outlives its bytes."""

_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """What is looked for in a manifest; all of it JSON, for the cache.

    Parameters
    ----------
    folder
        Folder below the artifact's that holds its files.
    is_dropped
        Whether only the provenance is left.
    token
        Changes whenever the manifest's file is another; a dropped one may have the same content.
    """

    step: str
    key: str
    version: int
    created: str
    wall_time_s: float
    size_bytes: int
    host: str
    seed: int | None
    git_commit: str | None
    git_dirty: bool | None
    source_digest: str
    inputs: dict[str, str]
    params: dict[str, Any]
    folder: str
    is_dropped: bool
    token: str

    @property
    def ref(self) -> str:
        """The artifact's ref, as text."""
        return f"{self.step}/{self.key}"

    @property
    def made_from(self) -> list[str]:
        """The refs among the inputs."""
        return [text for text in self.inputs.values() if is_ref(text)]


@dataclass(frozen=True)
class Scan:
    """What a look at a store found: artifacts, oldest first, and refs of unreadable manifests."""

    summaries: Sequence[Summary]
    damaged: Sequence[str]


def is_ref(text: str) -> bool:
    """Whether an input is an artifact of the store; else it is the digest of an outside file."""
    step, _, key = text.partition("/")
    return bool(_WORD.fullmatch(step) and KEY.fullmatch(key))


def scan(store: "Store", step: str | None = None) -> Scan:
    """Summarise all artifacts of a store, or of one step, dropped ones included.

    Damaged manifests are logged and left out.
    """
    if step is not None and not _WORD.fullmatch(step):
        raise InvalidInputError(f"a step word reads like binning, not {step!r}")
    found: list[Summary] = []
    damaged: list[str] = []
    for word in [step] if step else steps(store):
        summaries, unreadable = _scan_step(store, word)
        found += summaries
        damaged += unreadable
    return Scan(sorted(found, key=lambda summary: summary.created), damaged)


def steps(store: "Store") -> list[str]:
    """Return the step words of which the store has folders."""
    return [name for name in store.files.children(store.files.root) if _WORD.fullmatch(name)]


def keys(store: "Store", step: str) -> list[str]:
    """Return the keys of which the store has folders, finished artifacts or not."""
    return [key for key in store.files.children(store.files.join(step)) if KEY.fullmatch(key)]


def read_record(store: "Store", ref: ArtifactRef) -> bytes | None:
    """Return the manifest of an artifact as it is on disk, dropped or not; None without one."""
    for name in (MANIFEST, DROPPED):
        path = store.files.join(ref.step, ref.key, name)
        if store.files.is_below_root(path) and store.files.exists(path):
            return store.files.read(path)
    return None


def _scan_step(store: "Store", step: str) -> tuple[list[Summary], list[str]]:
    present = dict(_present(store.files, step))
    known = {
        item["key"]: item
        for item in load_summaries(store.root, step)
        if item["key"] in present and present[item["key"]][1] == item["token"]
    }
    damaged = []
    unread = [(key, *place) for key, place in present.items() if key not in known]
    n_known = len(known)
    for key, name, token, content in _contents(store.files, step, unread):
        try:
            known[key] = _summarise(content, step, key, token, name == DROPPED)
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.warning("%s/%s: %s cannot be read; see connflow store verify", step, key, name)
            damaged.append(f"{step}/{key}")
    if len(known) > n_known:
        save_summaries(store.root, step, list(known.values()))
    return [Summary(**item) for item in known.values()], damaged


def _summarise(content: bytes, step: str, key: str, token: str, is_dropped: bool) -> dict[str, Any]:
    record = json.loads(content)
    git = record.get("git") or {}
    created = datetime.fromisoformat(record["created"]).astimezone(UTC)
    return {
        "step": step,
        "key": key,
        "version": int(record["version"]),
        "created": created.isoformat(timespec="microseconds"),
        "wall_time_s": float(record["wall_time_s"]),
        "size_bytes": sum(int(file["bytes"]) for file in record["files"].values()),
        "host": str(record["host"]),
        "seed": record.get("seed"),
        "git_commit": git.get("commit"),
        "git_dirty": git.get("dirty"),
        "source_digest": str(record.get("source_digest", "")),
        "inputs": dict(record["inputs"]),
        "params": dict(record["params"]),
        "folder": str(record.get("folder", "")),
        "is_dropped": is_dropped,
        "token": token,
    }


def _present(files: Files, step: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield key, name of the record, and its token for each artifact of a step."""
    return _present_on_disk(files.join(step)) if files.is_local else _present_objects(files, step)


def _present_on_disk(folder: str) -> Iterator[tuple[str, tuple[str, str]]]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if not KEY.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
            continue
        for name in (MANIFEST, DROPPED):
            try:
                status = Path(f"{entry.path}/{name}").stat()
            except FileNotFoundError:
                continue
            token = f"{name}-{status.st_mtime_ns}-{status.st_size}-{status.st_ino}"
            yield entry.name, (name, token)
            break


def _present_objects(files: Files, step: str) -> Iterator[tuple[str, tuple[str, str]]]:
    found: dict[str, tuple[str, str]] = {}
    for path, info in files.find(files.join(step)):
        key, _, name = path.partition("/")
        if KEY.fullmatch(key) and (name == MANIFEST or (name == DROPPED and key not in found)):
            version = [info.get(part) for part in ("ETag", "LastModified", "mtime", "created")]
            found[key] = (name, f"{name}-{version}-{info['size']}")
    yield from found.items()


def _contents(
    files: Files, step: str, unread: Iterable[tuple[str, str, str]]
) -> Iterator[tuple[str, str, str, bytes]]:
    """Read manifests, from object stores many at a time; one that went in the meantime is none."""
    places = {files.join(step, key, name): (key, name, token) for key, name, token in unread}
    for path, content in _read_all(files, list(places)):
        if isinstance(content, bytes):
            yield *places[path], content


def _read_all(files: Files, paths: list[str]) -> Iterator[tuple[str, bytes | Exception]]:
    if not files.is_local:
        if paths:
            yield from files.fs.cat(paths, on_error="return").items()
        return
    for path in paths:
        try:
            yield path, files.read(path)
        except FileNotFoundError as error:
            yield path, error
