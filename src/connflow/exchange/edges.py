"""Inferred connectivity as a list of edges: a table, and CSV.

In: a dataset with ``weight`` and ``z`` over (source, target). Out: one edge per ordered pair of
units that has a weight, from source to target, under the recording's own unit ids.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from connflow.errors import InvalidInputError

_AXES = ("source", "target")


def to_edges(dataset: xr.Dataset, threshold_z: float | None = None) -> pd.DataFrame:
    """List the pairs of units that are connected.

    Parameters
    ----------
    dataset : Dataset
        ``weight`` and ``z`` over (source, target), labelled with unit ids.
    threshold_z : float, optional
        Keep pairs with ``|z| >= threshold_z`` only; all that are not zero if None.

    Returns
    -------
    DataFrame
        ``source`` and ``target`` (unit ids), ``weight`` and ``z`` (float32), sorted as the
        dataset is.

    Raises
    ------
    InvalidInputError
        If the dataset is none of connectivity, holds NaN, or the threshold is negative.

    Examples
    --------
    >>> values = ("source", "target"), np.array([[0, 0.5], [0, 0]])
    >>> units = {"source": [7, 3], "target": [7, 3]}
    >>> to_edges(xr.Dataset({"weight": values, "z": values}, units))
       source  target  weight    z
    0       7       3     0.5  0.5
    """
    if threshold_z is not None and not threshold_z >= 0:
        raise InvalidInputError(f"the threshold on |z| must be 0 or more, not {threshold_z}")
    weight, z = read_matrix(dataset, "weight"), read_matrix(dataset, "z")
    keep = ((weight != 0) | (z != 0)) & (np.abs(z) >= (threshold_z or 0))
    rows, columns = np.nonzero(keep.to_numpy())
    return pd.DataFrame(
        {
            "source": weight["source"].to_numpy()[rows],
            "target": weight["target"].to_numpy()[columns],
            "weight": weight.to_numpy()[rows, columns],
            "z": z.to_numpy()[rows, columns],
        }
    )


def write_csv(dataset: xr.Dataset, path: str | Path, threshold_z: float | None = None) -> None:
    """Write the edges as CSV: ``source,target,weight,z``; see `to_edges`."""
    edges = to_edges(dataset, threshold_z)
    with written_whole(path) as aside:
        edges.to_csv(aside, index=False)


def unit_ids(dataset: xr.Dataset) -> list[int]:
    """Return the ids of all units, sources first, each once."""
    both = [read_matrix(dataset, "weight")[axis].to_numpy().tolist() for axis in _AXES]
    return list(dict.fromkeys(both[0] + both[1]))


def describe(dataset: xr.Dataset, threshold_z: float | None) -> dict[str, str | float]:
    """Return method, parameters and threshold as values that any file can hold."""
    held = dict(dataset.attrs)
    if threshold_z is not None:
        held["threshold_z"] = float(threshold_z)
    return {name: _as_scalar(value) for name, value in held.items() if value is not None}


def read_matrix(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable in memory, its axes in the order (source, target).

    Raises
    ------
    InvalidInputError
        If there is no such variable, it has other axes or no unit ids, or holds NaN.
    """
    if name not in dataset or set(dataset[name].dims) != set(_AXES):
        raise InvalidInputError(
            f"expected connectivity, with weight and z over (source, target), got {_names(dataset)}"
        )
    if not all(axis in dataset[name].coords for axis in _AXES):
        raise InvalidInputError(f"{name} has no unit ids along source and target; label it")
    matrix = dataset[name].transpose(*_AXES).load()
    n_nan = int(np.isnan(matrix).sum())
    if n_nan:
        raise InvalidInputError(f"{n_nan} of {matrix.size} values of {name} are NaN; infer again")
    return matrix


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a path aside that becomes the file at the end of the block; after an error, nothing."""
    final = Path(path)
    if not final.parent.is_dir():
        raise InvalidInputError(f"there is no folder {final.parent} to write {final.name} into")
    aside = final.with_name(f".{uuid.uuid4().hex}{final.suffix}")
    try:
        yield aside
        aside.replace(final)
    except OSError as error:
        raise InvalidInputError(f"{final} cannot be written: {error}") from error
    finally:
        aside.unlink(missing_ok=True)


def _names(dataset: xr.Dataset) -> str:
    held = (f"{name}{tuple(array.dims)}" for name, array in dataset.data_vars.items())
    return ", ".join(held) or "an empty dataset"


def _as_scalar(value: Any) -> str | float:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    is_scalar = isinstance(value, str | int | float) and not isinstance(value, bool)
    return value if is_scalar else json.dumps(value)
