"""Write small recordings in each format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr

Write = Callable[..., str]


def _write_npz(folder: Path, arrays: dict[str, Any]) -> Path:
    path = folder / "recording.npz"
    np.savez(path, **arrays)
    return path


def _write_parquet(folder: Path, arrays: dict[str, Any]) -> Path:
    path = folder / "recording.parquet"
    columns = {"spike_times", "spike_units", "frame_times"} & set(arrays)
    table = {name: np.asarray(arrays[name]) for name in columns}
    rest = {name: np.asarray(arrays[name]) for name in set(arrays) - columns}
    traces = rest.pop("fluorescence", None)
    if traces is not None:
        unit_ids = rest.pop("unit_ids", np.arange(traces.shape[1]))
        table |= {str(unit): trace for unit, trace in zip(unit_ids, traces.T, strict=True)}
    metadata = {name: json.dumps(values.tolist()) for name, values in rest.items()}
    pq.write_table(pa.table(table).replace_schema_metadata(metadata), path)
    return path


def _write_zarr(folder: Path, arrays: dict[str, Any], zarr_format: int) -> Path:
    path = folder / "recording.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for name, values in arrays.items():
        group.create_array(name, data=np.asarray(values))
    return path


def _write_xarray(folder: Path, arrays: dict[str, Any]) -> Path:
    path = folder / "recording.zarr"
    dims = {
        "spike_times": ("spike",),
        "spike_units": ("spike",),
        "unit_ids": ("unit",),
        "frame_times": ("time",),
        "fluorescence": ("time", "unit"),
        "weights": ("source", "target"),
    }
    scalars = {name: values for name, values in arrays.items() if name not in dims}
    variables = {name: (dims[name], arrays[name]) for name in dims if name in arrays}
    if "unit_ids" in variables:  # as a coordinate, the way of xarray
        variables["unit"] = variables.pop("unit_ids")
    xr.Dataset(variables, attrs=scalars).to_zarr(path, consolidated=False)
    return path


_WRITERS: dict[str, Callable[[Path, dict[str, Any]], Path]] = {
    "npz": _write_npz,
    "parquet": _write_parquet,
    "zarr-2": lambda folder, arrays: _write_zarr(folder, arrays, 2),
    "zarr-3": lambda folder, arrays: _write_zarr(folder, arrays, 3),
    "xarray": _write_xarray,
}


@pytest.fixture(scope="session", params=sorted(_WRITERS))
def array_format(request: pytest.FixtureRequest) -> str:
    """Each format of plain arrays."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Function that writes named arrays in one format and returns the path."""

    def write_one(format_name: str = "npz", /, **arrays: Any) -> str:
        folder = tmp_path_factory.mktemp(format_name, numbered=True)
        return str(_WRITERS[format_name](folder, arrays))

    return write_one
