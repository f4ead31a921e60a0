"""Read Zarr groups (format 2 and 3), written with zarr or with xarray.

Scalars may be arrays or attributes of the group; where xarray wrote a coordinate ``unit``, it
holds the unit ids.
"""

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import (
    Contents,
    reading,
    refuse,
    refuse_pickle,
    take_fields,
)
from connflow.recording.readers._source import Source

_MARKERS = ("zarr.json", ".zgroup", ".zmetadata")
_TRANSPOSED = {("unit", "time"), ("target", "source")}
_PACKED = (
    "scale_factor",
    "add_offset",
    "calendar",
)  # xarray encodings that change the values


def is_zarr(folder: Path) -> bool:
    """Say whether a folder is the root of a Zarr hierarchy."""
    return any((folder / marker).is_file() for marker in _MARKERS)


def read_zarr(source: Source, params: RecordingParams) -> Contents:
    """Find the arrays of a recording in a Zarr group.

    Parameters
    ----------
    source : Source
        The folder; names as in npz. Names in `params.names` may be paths inside the group.
    params : RecordingParams
        Its `names` and `signal`.
    """
    zarr = import_module("zarr")  # takes a third of a second
    with reading(source.name, "Zarr"):
        group, found = _open(zarr, source, params)
        if "unit" in found and "unit_ids" not in {*found, *params.names}:
            params = params.model_copy(update={"names": {**params.names, "unit_ids": "unit"}})

        def load(name: str) -> NDArray[Any]:
            return _load(source.name, group, name)

        return take_fields(source.name, found, params, load)


def _open(zarr: Any, source: Source, params: RecordingParams) -> tuple[Any, set[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr warns of each file in the folder that is not its own
        group = zarr.open_group(str(source.path), mode="r")
        deeper = {name for name in params.names.values() if name in group}
        return group, {*group.array_keys(), *group.attrs, *deeper}


def _load(name: str, group: Any, key: str) -> NDArray[Any]:
    if key not in group:
        return np.asarray(group.attrs[key])
    array = group[key]
    if not hasattr(array, "shape"):
        raise refuse(name, key, "is a group, not an array", "Name the array inside it")
    _check_storage(name, key, array)
    return np.asarray(array[...])


def _check_storage(name: str, key: str, array: Any) -> None:
    """Refuse what zarr would read without complaint but not as the numbers that were meant."""
    codecs = [*array.filters, *array.compressors]
    if any("pickle" in str(getattr(codec, "codec_id", "")) for codec in codecs):
        raise refuse_pickle(name, key)
    if packed := [word for word in _PACKED if word in array.attrs]:
        raise refuse(
            name,
            key,
            f"its values are packed ({', '.join(packed)})",
            "Write them as plain numbers (xarray: without encoding; times as seconds)",
        )
    if _dimensions(array) in _TRANSPOSED:
        raise refuse(
            name,
            key,
            f"its dimensions are {_dimensions(array)}, expected (time, unit) or (source, target)",
            "Transpose it before writing",
        )
    _refuse_missing_chunks(name, key, array)


def _dimensions(array: Any) -> tuple[str, ...]:
    names = getattr(array.metadata, "dimension_names", None)
    return tuple(names or array.attrs.get("_ARRAY_DIMENSIONS", ()))


def _refuse_missing_chunks(name: str, key: str, array: Any) -> None:
    """Refuse absent chunks: they read as the fill value, so a folder copied in part looks whole."""
    n_chunks = array.nchunks
    n_missing = n_chunks - array.nchunks_initialized
    if n_chunks > 1 and n_missing:
        raise refuse(
            name,
            key,
            f"{n_missing} of {n_chunks} chunks are absent and would read as {array.fill_value}",
            "Copy the whole folder again; if these values are meant, write the array with "
            "write_empty_chunks=True",
        )
