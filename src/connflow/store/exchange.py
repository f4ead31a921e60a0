"""Bring and take: artifacts copied from one store to another, and checked on the way.

What is copied is itself a store, cache records included, so that flows run on it at once. Both
directions go through one function, and neither trusts where the artifacts come from: a manifest
must be the one that its key was derived from, its files must lie inside of it, bear the checksums
it gives, and be nothing that runs code when it is opened.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Literal

from connflow.errors import (
    ArtifactNotFoundError,
    ConnflowError,
    StoreError,
)
from connflow.progress import track
from connflow.store.admission import admitted, check_plain, refused
from connflow.store.environment import checksum_file
from connflow.store.layout import CACHE_RECORD, DROPPED
from connflow.store.lineage import inputs_of
from connflow.store.manifest import FileRecord, Manifest
from connflow.store.ref import ArtifactRef
from connflow.store.store import Store

logger = logging.getLogger(__name__)

Found = dict[ArtifactRef, Manifest | None]
"""Manifests by ref; None for what others were made from and that is not known any more."""


@dataclass(frozen=True)
class Transfer:
    """What became of one artifact.

    Parameters
    ----------
    ref
        The artifact.
    bytes
        Size of its files; 0 if they are not there.
    state
        `copied`; `present` if the target had it already; `dropped` if the source holds only its
        manifest, and now the target does; `absent` if only what was made from it is there.
    """

    ref: ArtifactRef
    bytes: int
    state: Literal["copied", "present", "dropped", "absent"]


def export_artifacts(store: Store, refs: Iterable[ArtifactRef], target: str) -> list[Transfer]:
    """Copy artifacts, and everything they were made from, to another store.

    Parameters
    ----------
    store : Store
        Where the artifacts are.
    refs : iterable of ArtifactRef
        The artifacts to take.
    target : str
        Root of the other store: a folder or an fsspec URL. It is made if there is none.

    Returns
    -------
    list of Transfer
        All artifacts concerned, each after those it was made from.

    Raises
    ------
    ArtifactNotFoundError
        If the store does not hold one of `refs`.
    ArtifactDamagedError
        If an artifact is not as it was written. It is not copied; what was copied before it is
        whole, and stays.
    StoreError
        If the source cannot be read or the target not written.
    """
    return _copy_all(store, Store(target), refs)


def import_artifacts(
    store: Store, source: str, refs: Iterable[ArtifactRef] | None = None
) -> list[Transfer]:
    """Copy artifacts, and everything they were made from, out of another store into this one.

    Parameters
    ----------
    store : Store
        Where the artifacts go.
    source : str
        Root of the other store: a folder or an fsspec URL. It may be a stranger's.
    refs : iterable of ArtifactRef, optional
        The artifacts to bring; all of them if None.

    Returns
    -------
    list of Transfer
        All artifacts concerned, each after those it was made from.

    Raises
    ------
    ArtifactNotFoundError
        If the source holds no artifacts, or not one of `refs`.
    ArtifactDamagedError
        If an artifact is forged or damaged. Forged manifests are found before anything is copied.
    StoreError
        If the source cannot be read or the store not written.
    """
    origin = Store(source)
    wanted = _all_refs(origin) if refs is None else list(refs)
    return _copy_all(origin, store, wanted)


def _all_refs(store: Store) -> list[ArtifactRef]:
    refs = store.list_refs()
    if not refs:
        raise ArtifactNotFoundError(
            f"{store.root} holds no artifacts; name the root of a store, as export made it"
        )
    return refs


def _copy_all(source: Store, target: Store, refs: Iterable[ArtifactRef]) -> list[Transfer]:
    found = _collect(source, refs)
    target.check_writable()
    return [_copy(source, target, ref, found[ref]) for ref in track(_in_order(found), len(found))]


def _collect(source: Store, refs: Iterable[ArtifactRef]) -> Found:
    """Return the manifests of artifacts and of all that they were made from."""
    found: Found = {ref: _wanted(source, ref) for ref in refs}
    waiting = list(found)
    while waiting:
        for ref in _inputs(found[waiting.pop()]):
            if ref not in found:
                found[ref] = _known(source, ref)
                waiting.append(ref)
    return found


def _wanted(source: Store, ref: ArtifactRef) -> Manifest:
    if not source.exists(ref):  # though its provenance may be there
        raise ArtifactNotFoundError(f"the store {source.root} holds no artifact {ref}")
    return admitted(source, ref)


def _known(source: Store, ref: ArtifactRef) -> Manifest | None:
    try:
        return admitted(source, ref)
    except ArtifactNotFoundError:
        return None


def _inputs(manifest: Manifest | None) -> list[ArtifactRef]:
    return list(inputs_of(manifest).values()) if manifest else []


def _in_order(found: Found) -> list[ArtifactRef]:
    """Sort so that a copy that is cut short lacks nothing of what it holds.

    There are no cycles: a key is a digest over the keys of the inputs.
    """
    graph = {ref: _inputs(manifest) for ref, manifest in found.items()}
    return list(TopologicalSorter(graph).static_order())


def _copy(source: Store, target: Store, ref: ArtifactRef, manifest: Manifest | None) -> Transfer:
    if manifest is None:
        logger.warning("%s is not in %s any more; it is left out", ref, source.root)
        return Transfer(ref, 0, "absent")
    if target.exists(ref):
        _copy_record(source, target, ref)
        return Transfer(ref, manifest.size_bytes, "present")
    if not source.exists(ref):
        _copy_provenance(source, target, ref, manifest)
        return Transfer(ref, 0, "dropped")
    _copy_files(source, target, ref, manifest)
    _copy_record(source, target, ref)
    return Transfer(ref, manifest.size_bytes, "copied")


def _copy_provenance(source: Store, target: Store, ref: ArtifactRef, manifest: Manifest) -> None:
    """Copy what is known of an artifact whose files were dropped."""
    path = target.files.join(ref.step, ref.key, DROPPED)
    with _blaming(source, target, ref):
        target.files.write_new(path, manifest.model_dump_json(indent=2).encode())


def _copy_files(source: Store, target: Store, ref: ArtifactRef, manifest: Manifest) -> None:
    """Fetch the files aside, check them there, and commit them in one move."""
    with _blaming(source, target, ref), target._staging_folder(ref) as folder:
        for name, record in manifest.files.items():
            _fetch(source, ref, f"{manifest.folder}/{name}".lstrip("/"), folder / name)
            if not _is_as_written(folder / name, record):
                raise refused(ref, f"{name} does not have its size or checksum any more")
        target._commit(folder, ref, manifest.model_copy(update={"folder": ""}))


def _fetch(source: Store, ref: ArtifactRef, name: str, file: Path) -> None:
    path = source.files.join(ref.step, ref.key, name)
    check_plain(source, ref, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.files.fs.get_file(path, str(file))
    except FileNotFoundError:
        raise refused(ref, f"{name} is missing") from None


def _is_as_written(file: Path, record: FileRecord) -> bool:
    return file.stat().st_size == record.bytes and checksum_file(file) == record.checksum


def _copy_record(source: Store, target: Store, ref: ArtifactRef) -> None:
    """Give an artifact a cache record if it has one at the source.

    Written anew rather than copied: the source's own names places of the source, and can name a
    pickle or a function that Prefect would run.
    """
    if source.files.exists(source.files.join(ref.step, ref.key, CACHE_RECORD)):
        path = target.files.join(ref.step, ref.key, CACHE_RECORD)
        with _blaming(source, target, ref):
            target.files.write_new(path, _cache_record(ref, path))


def _cache_record(ref: ArtifactRef, path: str) -> bytes:
    """Return what Prefect writes when a task with a JSON result has returned this ref."""
    value = {
        "__class__": f"{ArtifactRef.__module__}.{ArtifactRef.__qualname__}",
        "data": ref.model_dump(),
    }
    metadata = {"storage_key": path, "serializer": {"type": "json"}}
    return json.dumps({"metadata": metadata, "result": json.dumps(value)}).encode()


@contextmanager
def _blaming(source: Store, target: Store, ref: ArtifactRef) -> Iterator[None]:
    try:
        yield
    except ConnflowError:
        raise
    except OSError as error:
        raise StoreError(
            f"{ref} cannot be copied from {source.root} to {target.root}: {error}. "
            "Check both places, and the free space."
        ) from error
