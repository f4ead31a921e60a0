"""The artifact store: create, open, list and check artifacts under one root."""

import functools
import io
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connflow.errors import (
    ArtifactDamagedError,
    ArtifactNotFoundError,
    InvalidInputError,
    StoreError,
    first_line,
)
from connflow.store.catalogue import find
from connflow.store.claim import claimed
from connflow.store.damage import damaged
from connflow.store.environment import checksum_bytes, checksum_file
from connflow.store.files import Files, writing_to
from connflow.store.layout import CACHE_RECORD, CLAIMS, KEY, MANIFEST, PICKLES, STAGING
from connflow.store.manifest import FileRecord, Manifest, Provenance
from connflow.store.ref import ArtifactRef
from connflow.store.staging import staging_name
from connflow.store.writer import ArtifactWriter

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


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
        self.files = Files(default_store_root() if root is None else os.fspath(root))

    @property
    def root(self) -> str:
        """The root as a path (a folder) or as a URL (anything else)."""
        return self.files.url

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine's file system."""
        return self.files.is_local

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    def path(self, ref: ArtifactRef, *parts: str) -> str:
        """Return the path or URL of a finished artifact's files."""
        folder = "" if self.is_local else self.manifest(ref).folder
        return self._place(ref, folder, *parts)

    def exists(self, ref: ArtifactRef) -> bool:
        """Whether the store holds this artifact, finished."""
        return self.files.exists(self._home(ref, MANIFEST))

    def manifest(self, ref: ArtifactRef) -> Manifest:
        """Return the record of how an artifact was made.

        Raises
        ------
        ArtifactNotFoundError
            If there is no such finished artifact.
        ArtifactDamagedError
            If its manifest cannot be read.
        """
        if not isinstance(ref, ArtifactRef):
            raise InvalidInputError(f"expected an ArtifactRef, got {ref!r}")
        path = self._home(ref, MANIFEST)
        self._check_below_root(path)
        try:
            return Manifest.model_validate_json(self.files.read(path))
        except FileNotFoundError:
            raise ArtifactNotFoundError(
                f"the store {self.root} holds no artifact {ref}; run the flow that makes it"
            ) from None
        except ValueError as error:
            raise damaged(ref, f"{MANIFEST} cannot be read ({first_line(error)})") from None

    def open_dataset(self, ref: ArtifactRef, name: str = "data") -> "xr.Dataset":
        """Open a labelled dataset of an artifact; its values are read when they are used.

        Raises
        ------
        ArtifactDamagedError
            If a file is missing, cut short, or its description is not as written. Damage inside a
            chunk is found when it is read.
        """
        import xarray as xr

        from connflow.store.reading import open_checked

        manifest = self.manifest(ref)
        folder = f"{name}.zarr/"
        mine = {file: item for file, item in manifest.files.items() if file.startswith(folder)}
        self._check_sizes(ref, manifest, mine)
        checksums = {file.removeprefix(folder): item.checksum for file, item in mine.items()}
        place = self._place(ref, manifest.folder, f"{name}.zarr")
        checked = open_checked(place, self.is_local, checksums, ref)
        dataset: xr.Dataset = xr.open_zarr(checked, chunks=None, zarr_format=3)
        return dataset

    def read_table(self, ref: ArtifactRef, name: str = "table") -> "pd.DataFrame":
        """Read a table of an artifact."""
        import pandas as pd

        return pd.read_parquet(io.BytesIO(self.read_file(ref, f"{name}.parquet")))

    def read_file(self, ref: ArtifactRef, name: str) -> bytes:
        """Read a file of an artifact, checked against its checksum."""
        if name.lower().endswith(PICKLES):
            raise InvalidInputError(f"{name}: pickles are not read: they run the code they hold")
        return self._read_checked(ref, self.manifest(ref), name)

    def holds(self, ref: ArtifactRef, name: str) -> bool:
        """Whether an artifact has a file or folder of this name."""
        files = self.manifest(ref).files
        return name in files or any(file.startswith(f"{name}/") for file in files)

    def open(self, ref: ArtifactRef) -> "xr.Dataset | pd.DataFrame":
        """Open what an artifact mainly holds: its labelled dataset, else its table."""
        if self.holds(ref, "data.zarr"):
            return self.open_dataset(ref)
        if self.holds(ref, "table.parquet"):
            return self.read_table(ref)
        raise ArtifactNotFoundError(
            f"{ref} holds neither a dataset nor a table; its files lie in {self.path(ref)}"
        )

    def list_refs(self, step: str | None = None) -> list[ArtifactRef]:
        """Return the refs of all finished artifacts, or of those of one step."""
        steps = [step] if step else self._steps()
        refs = (
            ArtifactRef(step=word, key=key)
            for word in steps
            for key in self.files.children(self.files.join(word))
            if KEY.fullmatch(key)
        )
        return [ref for ref in refs if self.exists(ref)]

    def find(
        self,
        step: str | None = None,
        params: Mapping[str, Any] | None = None,
        since: datetime | str | None = None,
    ) -> "pd.DataFrame":
        """Look artifacts up by what made them.

        Parameters
        ----------
        step
            Step word of the artifacts that are looked for; all steps if None.
        params
            Values by step word and name, such as ``{"connectivity.lags": [1]}``. An artifact is
            found if its own parameters are these, or those of an artifact it was made from.
        since
            Earliest time, or its ISO text; in UTC unless it says otherwise.

        Returns
        -------
        pandas.DataFrame
            One row for each artifact, oldest first: what its manifest says, whether it was made by
            other source code than today's (``is_stale_code``), and whether only its provenance is
            left (``is_dropped``).

        Raises
        ------
        InvalidInputError
            If there is no such parameter, or if `since` is no time.
        """
        return find(self, step, params, since)

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
            with writing_to(self.root):
                manifest = _describe(ref, provenance, writer, time.perf_counter() - began)
                self._commit(folder, ref, manifest)

    @contextmanager
    def claim(
        self, ref: ArtifactRef, on_wait: Callable[[str], None] = lambda owner: None
    ) -> Iterator[bool]:
        """Hold the claim to an artifact; yield whether it is to be made, else it is there.

        Waits for another run, here or on another host, that is making it. `on_wait` is told whom
        we wait for.
        """
        path = self.files.join(CLAIMS, f"{ref.step}-{ref.key}")
        with ExitStack() as stack:
            with writing_to(self.root):
                is_made = functools.partial(self.exists, ref)
                is_ours = stack.enter_context(claimed(self.files, path, is_made, on_wait))
            yield is_ours

    def delete(self, ref: ArtifactRef) -> None:
        """Remove an artifact and its cache record; a run that needs it makes it again."""
        home = self._home(ref)
        if not self.files.exists(home):
            self.manifest(ref)
        self._check_below_root(home)
        for name in (CACHE_RECORD, MANIFEST):  # in this order: no record without an artifact
            self.files.remove(self._home(ref, name))
        self.files.remove(home)

    def verify(self, ref: ArtifactRef) -> list[str]:
        """Return what is wrong with an artifact's files; nothing if all are as written.

        Every file is read, and its checksum compared.
        """
        try:
            manifest = self.manifest(ref)
        except ArtifactDamagedError as error:
            return [str(error)]
        return [
            problem for name in manifest.files if (problem := self._problem(ref, manifest, name))
        ]

    def discard_record(self, name: str) -> None:
        """Remove a file that a scheduler left at the root; it is no artifact."""
        path = self.files.join(Path(name).name)
        if name and self.files.fs.isfile(path):
            self.files.remove(path)

    def check_writable(self) -> None:
        """Raise `StoreError` unless artifacts can be written here."""
        with writing_to(self.root):
            probe = self.files.join(STAGING, f"probe-{uuid.uuid4().hex}")
            self.files.write(probe, b"probe")
            self.files.remove(probe)

    def _place(self, ref: ArtifactRef, *parts: str) -> str:
        return "/".join((self.root, ref.step, ref.key, *(part for part in parts if part)))

    def _home(self, ref: ArtifactRef, *parts: str) -> str:
        return self.files.join(ref.step, ref.key, *parts)

    def _steps(self) -> list[str]:
        names = self.files.children(self.files.root)
        return [name for name in names if name.isidentifier() and name.islower()]

    def _check_below_root(self, path: str) -> None:
        if not self.files.is_below_root(path):
            raise StoreError(f"{path} leads out of the store {self.root}; links are not followed")

    def _check_sizes(
        self, ref: ArtifactRef, manifest: Manifest, records: dict[str, FileRecord]
    ) -> None:
        found = self.files.sizes(self._home(ref, manifest.folder))
        for name, record in records.items():
            if found.get(name) != record.bytes:
                raise damaged(ref, _size_problem(name, found.get(name), record.bytes))

    def _read_checked(self, ref: ArtifactRef, manifest: Manifest, name: str) -> bytes:
        if name not in manifest.files:
            raise ArtifactNotFoundError(
                f"{ref} holds no {name}; it holds {', '.join(sorted(manifest.files)[:10])}"
            )
        path = self._home(ref, manifest.folder, name)
        self._check_below_root(path)
        try:
            content = self.files.read(path)
        except FileNotFoundError:
            raise damaged(ref, _size_problem(name, None, manifest.files[name].bytes)) from None
        if checksum_bytes(content) != manifest.files[name].checksum:
            raise damaged(ref, f"{name} does not have its checksum any more")
        return content

    def _problem(self, ref: ArtifactRef, manifest: Manifest, name: str) -> str | None:
        try:
            self._read_checked(ref, manifest, name)
        except (ArtifactDamagedError, StoreError) as error:
            return str(error)
        return None

    @contextmanager
    def _staging_folder(self, ref: ArtifactRef) -> Iterator[Path]:
        """Yield an empty folder: beside the artifacts, where one move can commit it."""
        with writing_to(self.root):
            parent = (
                Path(self.files.root) / STAGING if self.is_local else Path(tempfile.gettempdir())
            )
            folder = parent / staging_name(ref.step, ref.short)
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _commit(self, folder: Path, ref: ArtifactRef, manifest: Manifest) -> None:
        if self.is_local:
            (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))
            _move_into_place(folder, Path(self._home(ref)))
        elif not self.exists(ref):
            self._commit_objects(folder, ref, manifest.model_copy(update={"folder": folder.name}))

    def _commit_objects(self, folder: Path, ref: ArtifactRef, manifest: Manifest) -> None:
        """Upload to a place of our own; the manifest, put last, is what makes it the artifact."""
        place = self._home(ref, manifest.folder)
        is_ours = False
        try:
            self.files.upload(folder, place)
            content = manifest.model_dump_json(indent=2).encode()
            is_ours = self.files.write_new(self._home(ref, MANIFEST), content)
        finally:
            if not is_ours and not self._is_committed(ref, manifest.folder):
                self.files.remove(place)

    def _is_committed(self, ref: ArtifactRef, folder: str) -> bool:
        """Whether this attempt is the artifact: a put whose answer was lost may have been done."""
        try:
            return self.manifest(ref).folder == folder
        except ArtifactNotFoundError:
            return False


def _size_problem(name: str, found: int | None, expected: int) -> str:
    if found is None:
        return f"{name} is missing"
    return f"{name} has {found} bytes instead of {expected}"


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
    return Manifest(
        **provenance.model_dump(),
        step=ref.step,
        key=ref.key,
        wall_time_s=round(wall_time_s, 3),
        seed=provenance.params.get("seed"),
        arrays=writer.arrays,
        files={
            path.relative_to(writer.folder).as_posix(): FileRecord(
                bytes=path.stat().st_size, checksum=checksum_file(path)
            )
            for path in sorted(writer.folder.rglob("*"))
            if path.is_file()
        },
    )
