"""What writers that died left behind: unfinished artifacts, claims, parts of no artifact."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from connflow.errors import ConnflowError, StoreError
from connflow.store.claim import break_claim, claimed, is_dead
from connflow.store.files import Files
from connflow.store.layout import CACHE_RECORD, CLAIMS, DROPPED, MANIFEST, STAGING
from connflow.store.ref import ArtifactRef
from connflow.store.staging import is_abandoned
from connflow.store.summary import keys, scan, steps

if TYPE_CHECKING:
    from connflow.store.store import Store

LIVE = timedelta(minutes=10)
"""A claim is renewed every 10 s; one that was not for this long belongs to nobody."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leftover:
    """A file or folder that is no part of an artifact.

    Parameters
    ----------
    files, path
        Where it lies.
    reason : str
        What it is.
    is_abandoned : bool
        Whether its writer is known to be gone.
    ref : ArtifactRef, optional
        The artifact in whose folder it lies.
    content : bytes, optional
        What stands in it, if it is a claim.
    """

    files: Files
    path: str
    reason: str
    is_abandoned: bool
    ref: ArtifactRef | None = None
    content: bytes | None = None

    @property
    def name(self) -> str:
        """Its path below the root."""
        return self.path.removeprefix(f"{self.files.root}/")

    def weigh(self) -> tuple[int, timedelta]:
        """Return its bytes, and the time since anything in it was written."""
        try:
            found = self.files.fs.find(self.path, detail=True)
            infos = [self.files.fs.info(self.path), *found.values()]
        except FileNotFoundError:
            return 0, timedelta(0)
        sizes = {info["name"]: int(info["size"]) for info in infos if info.get("type") == "file"}
        written = max((_written(info) for info in infos if info), default=time.time())
        return sum(sizes.values()), timedelta(seconds=time.time() - written)


def find_leftovers(store: "Store") -> list[Leftover]:
    """Return all that lies in a store and is no part of an artifact, of live writers too."""
    in_steps = [item for step in steps(store) for item in _in_step(store, step)]
    return [*_in_staging(store), *_in_claims(store), *in_steps]


def remove_leftover(store: "Store", item: Leftover) -> bool:
    """Remove a leftover, unless it has become part of an artifact; return whether it went."""
    if item.content is not None:
        break_claim(item.files, item.path, item.content)
    elif item.ref is None:
        remove(item.files, item.path)
    else:
        with held(store, item.ref):
            if item.path not in (other.path for other in _in_folder(store, item.ref)):
                return False
            remove(item.files, item.path)
    return True


def is_anything_being_made(store: "Store") -> bool:
    """Whether somebody, as far as claims tell, is making an artifact right now."""
    return any(not item.is_abandoned and item.weigh()[1] < LIVE for item in _in_claims(store))


@contextmanager
def held(store: "Store", ref: ArtifactRef) -> Iterator[None]:
    """Keep runs from making an artifact while its folder is cleaned."""

    def say_whom_we_wait_for(owner: str) -> None:
        _log.info("waiting for %s, which is making %s", owner, ref)

    path = store.files.join(CLAIMS, f"{ref.step}-{ref.key}")
    try:
        with claimed(store.files, path, lambda: False, say_whom_we_wait_for):
            yield
    except ConnflowError:
        raise
    except OSError as error:
        raise StoreError(f"the store {store.root} cannot be written: {error}") from error


def remove(files: Files, path: str) -> None:
    """Remove a file or folder below the root; say so where it stays."""
    if not files.is_below_root(path):
        raise StoreError(f"{path} leads out of the store {files.url}; links are not followed")
    files.remove(path)
    if files.exists(path):
        raise StoreError(f"{path} could not be removed; check its permissions")


def _in_staging(store: "Store") -> Iterator[Leftover]:
    """Find unfinished artifacts; those for object stores are filled in a local folder."""
    parent = store.files.join(STAGING)
    for name in store.files.children(parent):
        yield Leftover(store.files, f"{parent}/{name}", "unfinished artifact", is_abandoned(name))
    if not store.is_local:
        here = Files(tempfile.gettempdir())
        for name in filter(is_abandoned, here.children(here.root)):
            yield Leftover(here, here.join(name), "unfinished artifact", True)


def _in_claims(store: "Store") -> Iterator[Leftover]:
    parent = store.files.join(CLAIMS)
    for name in store.files.children(parent):
        path = f"{parent}/{name}"
        try:
            content = store.files.read(path)
        except FileNotFoundError:
            continue
        reason = "claim of a run that ended"
        yield Leftover(store.files, path, reason, is_dead(content), content=content)


def _in_step(store: "Store", step: str) -> Iterator[Leftover]:
    """Find leftovers in the folders of a step's artifacts, with one listing."""
    parent = store.files.join(step)
    names: dict[str, set[str]] = {key: set() for key in keys(store, step)}
    for path, _ in store.files.find(parent) if store.files.is_below_root(parent) else ():
        key, _, rest = path.partition("/")
        if key in names:
            names[key].add(rest.partition("/")[0])
    folders = {item.key: item.folder for item in scan(store, step).summaries}
    for key, present in names.items():
        ref = ArtifactRef(step=step, key=key)
        yield from _not_belonging(store, ref, present, folders.get(key))


def _in_folder(store: "Store", ref: ArtifactRef) -> Iterator[Leftover]:
    """Find leftovers in the folder of one artifact, as it is now."""
    present = set(store.files.children(store.files.join(ref.step, ref.key)))
    folder = store.manifest(ref).folder if MANIFEST in present else None
    yield from _not_belonging(store, ref, present, folder)


def _not_belonging(
    store: "Store", ref: ArtifactRef, present: set[str], folder: str | None
) -> Iterator[Leftover]:
    home = store.files.join(ref.step, ref.key)
    for name in _names_not_belonging(store.is_local, present, folder):
        path = f"{home}/{name}".rstrip("/")
        yield Leftover(store.files, path, "no part of an artifact", is_abandoned(name), ref)


def _names_not_belonging(is_local: bool, present: set[str], folder: str | None) -> list[str]:
    """Return which names in an artifact's folder are not its own; an empty one stands for all."""
    if MANIFEST in present:
        if folder is None:  # an unreadable manifest: nobody knows what belongs to it
            return []
        others = {DROPPED} & present if is_local else present - {MANIFEST, CACHE_RECORD, folder}
        return sorted(others)
    if DROPPED in present:
        return sorted(present - {DROPPED})
    return [""] if is_local else sorted(present)


def _written(info: dict[str, Any]) -> float:
    """Return when a file was written; now, where the file system does not say."""
    for name in ("mtime", "LastModified", "last_modified", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0 if info.get("type") == "directory" else time.time()
