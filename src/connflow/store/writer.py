"""Writing one artifact: datasets, tables and files, into a folder that is not yet an artifact."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec

from connflow.blocks import MapBlocks
from connflow.errors import InvalidInputError, StoreError
from connflow.progress import track
from connflow.store.files import writing_to
from connflow.store.layout import PICKLES
from connflow.store.manifest import ArrayRecord


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

    def write_dataset(self, dataset: xr.Dataset, name: str = "data") -> None:
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

    def write_blocks(
        self,
        variables: Mapping[str, Variable],
        streams: Sequence[Iterable[Block]],
        *,
        map_blocks: MapBlocks = map,
        coords: xr.Dataset | None = None,
        attrs: Mapping[str, Any] | None = None,
        name: str = "data",
    ) -> None:
        """Write a dataset that never is in memory as a whole as ``<name>.zarr``.

        Parameters
        ----------
        variables
            The variables that the blocks fill.
        streams
            Sequences of blocks. Each block covers whole chunks, so that blocks can be written in
            any order, and streams at the same time.
        map_blocks
            Who writes the streams; like `map`.
        coords
            Variables that are in memory as a whole (unit ids, per-unit results).
        attrs
            Attributes of the dataset.

        Raises
        ------
        StoreError
            If a block cuts a chunk in two.
        """
        path = self.folder / f"{name}.zarr"
        base = (coords if coords is not None else xr.Dataset()).assign_attrs(attrs or {})
        self.write_dataset(base, name)
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        arrays = {key: _create_array(group, key, variable) for key, variable in variables.items()}
        for key, variable in variables.items():
            self._record(key, variable.dims, variable.shape, variable.dtype, variable.attrs)

        def write(stream: Iterable[Block]) -> None:
            for block in stream:
                for key, values in block.arrays.items():
                    region = _region(variables[key], block)
                    with writing_to(str(self.folder)):
                        arrays[key][region] = values

        for _ in track(map_blocks(write, streams), len(streams)):
            pass
        _consolidate(path)

    def write_table(self, table: pd.DataFrame, name: str = "table") -> None:
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


def _codecs(dtype: np.dtype[Any]) -> list[BytesBytesCodec]:
    """Return the codecs for a kind of data: counts shrink 80 times, float traces hardly at all."""
    is_trace = dtype.kind == "f" and dtype.itemsize == 4
    name: Literal["lz4", "zstd"] = "lz4" if is_trace else "zstd"
    return [BloscCodec(cname=name, clevel=1, shuffle="shuffle", typesize=dtype.itemsize)]


def _codecs_of(variable: Variable) -> list[BytesBytesCodec]:
    """Return a variable's codecs; chunks in shards, read without their file, get checksums."""
    codecs = _codecs(variable.dtype) if variable.compressible else []
    return [*codecs, Crc32cCodec()] if variable.shards else codecs


def _create_array(group: zarr.Group, name: str, variable: Variable) -> zarr.Array[Any]:
    return group.create_array(
        name,
        shape=variable.shape,
        chunks=tuple(max(1, size) for size in variable.chunks),
        shards=variable.shards,
        dtype=variable.dtype,
        compressors=_codecs_of(variable),
        dimension_names=variable.dims,
        config={"write_empty_chunks": True},  # so that a chunk that is absent is a chunk lost
        attributes=dict(variable.attrs),
    )


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
