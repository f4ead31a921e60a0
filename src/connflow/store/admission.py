"""Whether what lies in a store, perhaps a stranger's, may be copied as an artifact.

A manifest must be the one that its key was derived from; its files must lie inside of the
artifact, be no links, and be nothing that runs code when it is opened.
"""

import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from connflow.errors import ArtifactDamagedError
from connflow.store.layout import CACHE_RECORD, DROPPED, MANIFEST, PICKLES
from connflow.store.lineage import recorded
from connflow.store.manifest import SCHEMA_VERSION, Manifest
from connflow.store.ref import ArtifactRef, derive_key
from connflow.store.store import Store

_RUNS_CODE = (*PICKLES, ".zarray", ".zmetadata")
"""Pickles, and descriptions of zarr version 2 arrays, whose objects may be pickles."""

_FOLDER = re.compile(r"([\w-][\w.-]*)?", re.ASCII)
"""Folders of files on an object store: they bear the name of a host. None in a local folder."""


def admitted(source: Store, ref: ArtifactRef) -> Manifest:
    """Return the manifest of an artifact, if it may be one and names nothing but its own files.

    Of an artifact whose files were dropped, the manifest is what is left.
    """
    for name in (MANIFEST, DROPPED):
        check_plain(source, ref, source.files.join(ref.step, ref.key, name))
    manifest = recorded(source, ref)
    if manifest.schema_version > SCHEMA_VERSION:
        raise refused(ref, "its manifest was written by a newer connflow; update this one")
    if not _has_its_key(manifest, ref):
        raise refused(ref, "its manifest is not the one that its key was derived from")
    if not _FOLDER.fullmatch(manifest.folder):
        raise refused(ref, f"its files are in {manifest.folder!r}, outside of it")
    for name in manifest.files:
        _check_name(ref, name)
    return manifest


def _has_its_key(manifest: Manifest, ref: ArtifactRef) -> bool:
    try:
        key = derive_key(manifest.step, manifest.version, manifest.params, manifest.inputs)
    except ValueError:  # NaN: no key has ever been derived from it
        return False
    return (manifest.step, manifest.key, key) == (ref.step, ref.key, ref.key)


def _check_name(ref: ArtifactRef, name: str) -> None:
    path = PurePosixPath(name)
    is_inside = (
        path.as_posix() == name != "."
        and not path.is_absolute()
        and ".." not in path.parts
        and not PureWindowsPath(name).anchor
        and "\\" not in name
        and name.isprintable()
    )
    if not is_inside:
        raise refused(ref, f"{name!r} lies outside of it")
    if name.lower().endswith(_RUNS_CODE):
        raise refused(ref, f"{name} may hold a pickle, which runs the code it holds")
    if path.parts[0].lower() in (MANIFEST, CACHE_RECORD):
        raise refused(ref, f"{name} is listed among its files")


def check_plain(source: Store, ref: ArtifactRef, path: str) -> None:
    """Refuse links, pipes and devices, which exist in folders only."""
    if not source.is_local or not os.path.lexists(path):
        return
    below = Path(path).relative_to(source.files.root)
    if Path(path).resolve() != Path(source.files.root).resolve() / below:
        raise refused(ref, f"{below.as_posix()} is, or lies behind, a symbolic link")
    if not Path(path).is_file():
        raise refused(ref, f"{below.as_posix()} is not a file")


def refused(ref: ArtifactRef, problem: str) -> ArtifactDamagedError:
    """Return the error that says why an artifact is not copied."""
    return ArtifactDamagedError(f"{ref} is forged or damaged: {problem}. It was not copied.")
