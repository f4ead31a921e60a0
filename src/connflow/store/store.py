"""The artifact store: create, open and list artifacts under one root."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import xarray as xr
from fsspec.implementations.local import LocalFileSystem

from connflow.errors import ArtifactNotFoundError, InvalidInputError, StoreError
from connflow.store.environment import checksum
from connflow.store.manifest import FileRecord, Manifest, Provenance
from connflow.store.ref import ArtifactRef
from connflow.store.writer import ArtifactWriter

MANIFEST = "manifest.json"
STAGING = ".staging"


def default_store_root() -> str:
    """Return where artifacts go unless told otherwise: ``$CONNFLOW_STORE``, or ``./store``."""
    return os.environ.get("CONNFLOW_STORE") or str(Path("store").absolute())


class Store:
    """Immutable artifacts under one root.

    Parameters
    ----------
    root : str or Path, optional
        A folder or an fsspec URL such as ``s3://bucket/prefix``; `default_store_root` if None.

    Examples
    --------
    >>> store = Store("/tmp/none-such")
    >>> store.list_refs()
    []
    """

    def __init__(self, root: str | Path | None = None) -> None:
        url = default_store_root() if root is None else os.fspath(root)
        self._fs, path = fsspec.core.url_to_fs(url)
        self._root = str(path).rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine's file system."""
        return isinstance(self._fs, LocalFileSystem)

    @property
    def root(self) -> str:
        """The root as a path (a folder) or as a URL (anything else)."""
        return self._root if self.is_local else str(self._fs.unstrip_protocol(self._root))

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def path(self, ref: ArtifactRef, *parts: str) -> str:
        """Return the path or URL of an artifact, or of a file in it."""
        return "/".join((self.root, ref.step, ref.key, *parts))

    def exists(self, ref: ArtifactRef) -> bool:
        """Whether the store holds this artifact, finished."""
        return bool(self._fs.exists(self.path(ref, MANIFEST)))

    def manifest(self, ref: ArtifactRef) -> Manifest:
        """Return the record of how an artifact was made.

        Raises
        ------
        ArtifactNotFoundError
            If there is no such finished artifact.
        """
        try:
            return Manifest.model_validate_json(self._fs.cat_file(self.path(ref, MANIFEST)))
        except FileNotFoundError:
            raise ArtifactNotFoundError(
                f"the store {self.root} holds no artifact {ref}; run the flow that makes it"
            ) from None

    def open_dataset(self, ref: ArtifactRef, name: str = "data") -> xr.Dataset:
        """Open a labelled dataset of an artifact; its values are read when they are used."""
        self._require(ref)
        dataset: xr.Dataset = xr.open_zarr(self.path(ref, f"{name}.zarr"), chunks=None)
        return dataset

    def read_table(self, ref: ArtifactRef, name: str = "table") -> pd.DataFrame:
        """Read a table of an artifact."""
        self._require(ref)
        return pd.read_parquet(self.path(ref, f"{name}.parquet"))

    def read_file(self, ref: ArtifactRef, name: str) -> bytes:
        """Read a file of an artifact."""
        self._require(ref)
        content = self._fs.cat_file(self.path(ref, name))
        assert isinstance(content, bytes)
        return content

    def has_file(self, ref: ArtifactRef, name: str) -> bool:
        """Whether an artifact holds this file or folder."""
        return bool(self._fs.exists(self.path(ref, name)))

    def open(self, ref: ArtifactRef) -> xr.Dataset | pd.DataFrame:
        """Open what an artifact mainly holds: its labelled dataset, else its table."""
        self._require(ref)
        if self.has_file(ref, "data.zarr"):
            return self.open_dataset(ref)
        if self.has_file(ref, "table.parquet"):
            return self.read_table(ref)
        raise ArtifactNotFoundError(
            f"{ref} holds neither a dataset nor a table; its files lie in {self.path(ref)}"
        )

    def list_refs(self, step: str | None = None) -> list[ArtifactRef]:
        """Return the refs of all finished artifacts, or of those of one step."""
        pattern = f"{self._root}/{step or '*'}/*/{MANIFEST}"
        found = (str(path).split("/")[-3:-1] for path in sorted(self._fs.glob(pattern)))
        return [ArtifactRef(step=word, key=key) for word, key in found if word != STAGING]

    @contextmanager
    def create(self, ref: ArtifactRef, provenance: Provenance) -> Iterator[ArtifactWriter]:
        """Make an artifact: fill the writer inside the block; the end of the block commits it.

        It becomes visible in one move. An error inside the block leaves nothing behind. Where
        somebody else committed the same artifact in the meantime, theirs stays and ours goes.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        with self._staging_folder(ref) as folder:
            began = time.perf_counter()
            writer = ArtifactWriter(folder)
            yield writer
            manifest = _describe(ref, provenance, writer, time.perf_counter() - began)
            (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))
            with self._writing():
                self._commit(folder, ref)

    def delete(self, ref: ArtifactRef) -> None:
        """Remove an artifact and its cache record; a run that needs it makes it again."""
        self._require(ref)
        self._fs.rm(self.path(ref), recursive=True)

    def discard_record(self, name: str) -> None:
        """Remove a file that a scheduler left at the root; it is no artifact."""
        path = f"{self._root}/{Path(name).name}"
        if name and self._fs.isfile(path):
            self._fs.rm_file(path)

    def check_writable(self) -> None:
        """Raise `StoreError` unless artifacts can be written here."""
        with self._writing():
            self._fs.makedirs(self._root, exist_ok=True)
            probe = f"{self._root}/{STAGING}/{uuid.uuid4().hex}"
            self._fs.makedirs(f"{self._root}/{STAGING}", exist_ok=True)
            self._fs.pipe_file(probe, b"")
            self._fs.rm_file(probe)

    @contextmanager
    def _staging_folder(self, ref: ArtifactRef) -> Iterator[Path]:
        """Yield an empty folder: beside the artifacts, where one move can commit it."""
        with self._writing():
            parent = Path(self._root) / STAGING if self.is_local else Path(tempfile.gettempdir())
            folder = parent / f"{ref.step}-{ref.short}-{uuid.uuid4().hex}"
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the artifact store {self.root} cannot be written: {error}. Check the folder and "
                "its free space, or name another one with --store or CONNFLOW_STORE."
            ) from error

    def _commit(self, folder: Path, ref: ArtifactRef) -> None:
        if self.is_local:
            _move_into_place(folder, Path(self.path(ref)))
        elif not self.exists(ref):
            files = [path for path in folder.rglob("*") if path.is_file()]
            for file in sorted(files, key=lambda path: path == folder / MANIFEST):
                self._fs.put_file(str(file), self.path(ref, file.relative_to(folder).as_posix()))

    def _require(self, ref: ArtifactRef) -> None:
        if not isinstance(ref, ArtifactRef):
            raise InvalidInputError(f"expected an ArtifactRef, got {ref!r}")
        if not self.exists(ref):
            self.manifest(ref)


def _move_into_place(folder: Path, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(final)
    except OSError:
        if (final / MANIFEST).exists():
            return
        if not final.exists():
            raise
        remnant = folder.with_name(f"{folder.name}-remnant")  # left by hand, without a manifest
        final.rename(remnant)
        folder.rename(final)
        shutil.rmtree(remnant, ignore_errors=True)


def _describe(
    ref: ArtifactRef, provenance: Provenance, writer: ArtifactWriter, wall_time_s: float
) -> Manifest:
    seed: Any = provenance.params.get("seed")
    return Manifest(
        **provenance.model_dump(),
        step=ref.step,
        key=ref.key,
        wall_time_s=round(wall_time_s, 3),
        seed=seed,
        arrays=writer.arrays,
        files={
            path.relative_to(writer.folder).as_posix(): FileRecord(
                bytes=path.stat().st_size, checksum=checksum(path)
            )
            for path in sorted(writer.folder.rglob("*"))
            if path.is_file()
        },
    )
