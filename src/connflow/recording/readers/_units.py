"""Checks that spikes and fluorescence share: numbers, unit ids, excluded units, true weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from connflow.recording.model import unit_table
from connflow.recording.readers._contents import Contents, refuse

_N_LISTED = 10


def as_numbers(name: str, field: str, values: Any, ndim: int) -> NDArray[Any]:
    """Return `values` as an array of plain numbers with `ndim` axes, or refuse it."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise refuse(
            name,
            field,
            f"expected numbers, found dtype {array.dtype}",
            "Write it as an array of floats or integers",
        )
    if array.ndim != ndim:
        raise refuse(
            name,
            field,
            f"expected {ndim} axes, found shape {array.shape}",
            "Write it in the documented shape, or correct recording.names",
        )
    return array


def as_scalar(contents: Contents, field: str) -> float | None:
    """Return one finite number of the file, None where it does not have it."""
    if field not in contents.arrays:
        return None
    values = np.asarray(contents.arrays[field])
    if values.size != 1 or not np.isfinite(as_numbers(contents.name, field, values.ravel(), 1)[0]):
        raise refuse(
            contents.name,
            field,
            f"expected one finite number, found {values.tolist() if values.size < 5 else 'many'}",
            "Correct it in the file",
        )
    return float(values.ravel()[0])


def as_unit_ids(name: str, field: str, values: Any) -> NDArray[np.int64]:
    """Return unit ids as int64; floats pass where they are whole numbers."""
    ids = as_numbers(name, field, values, 1)
    fine = np.abs(ids) < 2.0**53 if ids.dtype.kind == "f" else ids <= np.iinfo(np.int64).max
    if ids.dtype.kind == "f":
        fine &= ids == np.floor(ids)
    if not fine.all():
        first = int(np.argmin(fine))
        raise refuse(
            name,
            field,
            f"unit ids are whole numbers, found {ids[first]} at index {first}",
            "Number the units with integers",
        )
    return ids.astype(np.int64)


def given_unit_ids(contents: Contents) -> NDArray[np.int64] | None:
    """Return the file's list of unit ids, None where it has none."""
    if "unit_ids" not in contents.arrays:
        return None
    ids = as_unit_ids(contents.name, "unit_ids", contents.arrays["unit_ids"])
    if ids.size == 0:
        raise refuse(contents.name, "unit_ids", "it is empty", "List the ids of all units")
    distinct, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise refuse(
            contents.name,
            "unit_ids",
            f"unit ids {some(distinct[counts > 1])} stand there more than once",
            "Give each unit its own id",
        )
    return ids


def keep_units(name: str, unit_ids: NDArray[np.int64], exclude: Sequence[int]) -> NDArray[np.bool_]:
    """Return a mask over `unit_ids` that is False at the units to leave out."""
    if unknown := sorted(set(exclude) - set(unit_ids.tolist())):
        raise refuse(
            name,
            "unit_ids",
            f"recording.exclude_units names {some(unknown)}, which the recording does not have; "
            f"it has {some(unit_ids)}",
            "Correct recording.exclude_units",
        )
    keep = ~np.isin(unit_ids, np.asarray(exclude, np.int64))
    if not keep.any():
        raise refuse(name, "unit_ids", "no unit is left", "Shorten recording.exclude_units")
    return keep


def make_unit_table(
    contents: Contents, unit_ids: NDArray[np.int64], keep: NDArray[np.bool_]
) -> pd.DataFrame:
    """Return the unit table of the units kept, with the file's further columns."""
    columns = {name: values[keep] for name, values in contents.columns.items()}
    return unit_table(unit_ids[keep]).assign(**columns)


def true_weights(contents: Contents, keep: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """Return the true weights among the units kept, ``[source, target]``; NaN diagonal to 0."""
    if "weights" not in contents.arrays:
        return None
    weights = as_numbers(contents.name, "weights", contents.arrays["weights"], 2)
    n_units = len(keep)
    if weights.shape != (n_units, n_units):
        raise refuse(
            contents.name,
            "weights",
            f"expected shape {(n_units, n_units)}, (source, target), found {weights.shape}",
            "Write one row and column for each unit (not a list of edges), with unit_ids beside it",
        )
    return _finite_weights(contents.name, weights)[np.ix_(keep, keep)]


def _finite_weights(name: str, weights: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        weights = weights.astype(np.float32)
    diagonal = np.diagonal(weights)
    np.fill_diagonal(weights, np.where(np.isnan(diagonal), 0, diagonal))
    if not np.isfinite(weights).all():
        source, target = np.argwhere(~np.isfinite(weights))[0]
        raise refuse(
            name,
            "weights",
            f"weight from row {source} to column {target} is {weights[source, target]}",
            "Write 0 where there is no synapse; only the diagonal may be NaN",
        )
    return weights


def some(values: Any) -> str:
    """List values for a message, the first ten of many."""
    listed = [str(value) for value in values]
    more = f" and {len(listed) - _N_LISTED} more" if len(listed) > _N_LISTED else ""
    return ", ".join(listed[:_N_LISTED]) + more
