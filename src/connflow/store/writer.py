"""Writing one artifact: datasets, tables and files, into a folder that is not yet an artifact."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr  # here, not where it is used: threads that are the first to import it fail
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from connflow.errors import InvalidInputError, StoreError
from connflow.progress import track
from connflow.store.files import writing_to
from connflow.store.layout import PICKLES
from connflow.store.manifest import ArrayRecord

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from zarr.abc.codec import BytesBytesCodec


@dataclass(frozen=True)
class Variable:
    """A variable of a dataset that is written block by block.

    Parameters
    ----------
    dims, shape, chunks
        Dimension names, total size, and size of a chunk along each of them.
    dtype
        Type of the stored values.
    attrs
        Attributes, ``units`` among them.
    shards
        Size of a file along each dimension, in whole chunks, where a chunk would make a small one.
    compressible
        False for what is noise in all its bits, such as simulated fluorescence: compression gains
        6 % there, and costs as much time as all the rest of writing.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    compressible: bool = True
    shards: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Block:
    """Values of some variables over the region that `slices` names, by dimension."""

    slices: Mapping[str, slice]
    arrays: Mapping[str, NDArray[Any]]


class ArtifactWriter:
    """Fills the folder of an artifact that is being made.

    Parameters
    ----------
    folder : Path
        Local folder, empty at first. `Store.create` makes it, and commits it afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays: dict[str, ArrayRecord] = {}

    def write_dataset(self, dataset: "xr.Dataset", name: str = "data") -> None:
        """Write a labelled dataset that is in memory as ``<name>.zarr``."""
        for variable, array in dataset.variables.items():
            dims = tuple(str(dim) for dim in array.dims)
            self._record(str(variable), dims, array.shape, array.dtype, array.attrs)
        encoding = {
            str(variable): {"compressors": _codecs(array.dtype)}
            for variable, array in dataset.variables.items()
        }
        path = self.folder / f"{name}.zarr"
        with writing_to(str(self.folder)):
            dataset.to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
            _consolidate(path)

    @contextmanager
    def dataset(
        self,
        variables: Mapping[str, Variable],
        *,
        coords: "xr.Dataset | None" = None,
        attrs: Mapping[str, Any] | None = None,
        name: str = "data",
    ) -> Iterator["DatasetWriter"]:
        """Write a dataset that never is in memory as a whole as ``<name>.zarr``.

        Parameters
        ----------
        variables
            The variables that blocks fill.
        coords
            Variables that are in memory as a whole (unit ids, per-unit results).
        attrs
            Attributes of the dataset.

        Yields
        ------
        DatasetWriter
            Writes the blocks: here, in threads, or in any process that sees the folder.

        Raises
        ------
        StoreError
            If a chunk has not been written by the end of the block.
        """
        import xarray as xr

        path = self.folder / f"{name}.zarr"
        base = (coords if coords is not None else xr.Dataset()).assign_attrs(attrs or {})
        self.write_dataset(base, name)
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        for key, variable in variables.items():
            _create_array(group, key, variable)
            self._record(key, variable.dims, variable.shape, variable.dtype, variable.attrs)
        yield DatasetWriter(path, variables)
        for key, variable in variables.items():
            _check_chunks(path / key / "c", variable)
        _consolidate(path)

    def write_blocks(
        self,
        variables: Mapping[str, Variable],
        streams: Sequence[Iterable[Block]],
        *,
        coords: "xr.Dataset | None" = None,
        attrs: Mapping[str, Any] | None = None,
        name: str = "data",
    ) -> None:
        """Write streams of blocks, one after the other, as ``<name>.zarr``; see `dataset`."""
        with self.dataset(variables, coords=coords, attrs=attrs, name=name) as dataset:
            for stream in track(streams, len(streams)):
                dataset.write(stream)

    def write_table(self, table: "pd.DataFrame", name: str = "table") -> None:
        """Write a table as ``<name>.parquet``; units stand in its ``attrs``."""
        with writing_to(str(self.folder)):
            table.to_parquet(self.folder / f"{name}.parquet", compression="zstd")

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file, making the folders that its name asks for."""
        path = self.folder / name
        if name.lower().endswith(PICKLES):
            raise InvalidInputError(f"{name}: no pickles: reading one runs the code it holds")
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise StoreError(f"{name!r} lies outside of the artifact; use a relative name")
        with writing_to(str(self.folder)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _record(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        attrs: Mapping[str, Any],
    ) -> None:
        self.arrays[name] = ArrayRecord(
            dims=dims, shape=shape, dtype=str(dtype), units=str(attrs.get("units", ""))
        )


@dataclass(frozen=True)
class DatasetWriter:
    """Writes blocks into the arrays of a dataset: a description, small enough to be sent around.

    Parameters
    ----------
    path
        The dataset's folder, in which the arrays are laid out.
    variables
        Those that blocks fill.
    """

    path: Path
    variables: Mapping[str, Variable]

    def write(self, stream: Iterable[Block]) -> None:
        """Write blocks, each of which covers whole chunks: others write theirs at the same time.

        Raises
        ------
        StoreError
            If a block cuts a chunk in two, or if the folder cannot be written.
        """
        with writing_to(str(self.path)):
            group = zarr.open_group(self.path, mode="r+", use_consolidated=False)
            arrays = {key: _open_array(group, key) for key in self.variables}
        for block in stream:
            for key, values in block.arrays.items():
                region = _region(self.variables[key], block)
                with writing_to(str(self.path)):
                    arrays[key][region] = values


def _codecs(dtype: np.dtype[Any]) -> "list[BytesBytesCodec]":
    """Return the codecs for a kind of data: counts shrink 80 times, float traces hardly at all."""
    is_trace = dtype.kind == "f" and dtype.itemsize == 4
    name: Literal["lz4", "zstd"] = "lz4" if is_trace else "zstd"
    return [BloscCodec(cname=name, clevel=1, shuffle="shuffle", typesize=dtype.itemsize)]


def _codecs_of(variable: Variable) -> "list[BytesBytesCodec]":
    """Return a variable's codecs; chunks in shards, read without their file, get checksums."""
    codecs = _codecs(variable.dtype) if variable.compressible else []
    return [*codecs, Crc32cCodec()] if variable.shards else codecs


def _create_array(group: zarr.Group, name: str, variable: Variable) -> None:
    group.create_array(
        name,
        shape=variable.shape,
        chunks=tuple(max(1, size) for size in variable.chunks),
        shards=variable.shards,
        dtype=variable.dtype,
        compressors=_codecs_of(variable),
        dimension_names=variable.dims,
        attributes=dict(variable.attrs),
    )


def _open_array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array.with_config({"write_empty_chunks": True})  # absent chunks are lost chunks


def _region(variable: Variable, block: Block) -> tuple[slice, ...]:
    region = tuple(block.slices.get(dim, slice(None)) for dim in variable.dims)
    wholes = variable.shards or variable.chunks
    for part, size, whole in zip(region, variable.shape, wholes, strict=True):
        start, stop, _ = part.indices(size)
        if start % whole or (stop % whole and stop != size):
            raise StoreError(
                f"a block of {start}:{stop} cuts a chunk of {whole} in two; parallel writers "
                "would lose data. Make blocks of whole chunks."
            )
    return region


def _check_chunks(folder: Path, variable: Variable) -> None:
    """Raise where a chunk is missing; remove what a writer left half-written when it died."""
    wholes = variable.shards or variable.chunks
    counts = (-(-size // max(1, whole)) for size, whole in zip(variable.shape, wholes, strict=True))
    places = itertools.product(*(map(str, range(count)) for count in counts))
    wanted = {folder.joinpath(*place) for place in places}
    found = {file for file in folder.rglob("*") if file.is_file()}
    if missing := wanted - found:
        raise StoreError(
            f"{len(missing)} of {len(wanted)} chunks in {folder} have not been written, "
            f"{min(missing).relative_to(folder)} first. Blocks must cover the array, and all who "
            "write them must see this folder."
        )
    for file in found - wanted:
        file.unlink()


def _consolidate(path: Path) -> None:
    """Put the metadata of all arrays into the group's, so that opening reads one file.

    By hand, since zarr's own function warns from a thread of its own, where no filter is safe.
    """
    group_file = path / "zarr.json"
    arrays = {
        file.parent.name: json.loads(file.read_text()) for file in sorted(path.glob("*/zarr.json"))
    }
    group = json.loads(group_file.read_text())
    group["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": arrays,
    }
    group_file.write_text(json.dumps(group, indent=2))
