"""Reading trials that were cut elsewhere: npz, zarr, and blech_clust's HDF5."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from connflow.errors import RecordingError
from connflow.recording.model import unit_table
from connflow.recording.readers import open_source
from connflow.trials.blech import ENDINGS, read_blech
from connflow.trials.model import Trials, trial_table
from connflow.trials.params import TrialsParams
from connflow.trials.windows import cut_window, merge_bins

Arrays = Mapping[str, NDArray[Any]]

_FIELDS = (
    "spike_counts",
    "bin_size_s",
    "t_start",
    "unit_ids",
    "trial_ids",
    "condition",
    "region",
    "n_bins",
)
_PICKLES = (".pkl", ".pickle", ".joblib")


def read_trials(uri: str, params: TrialsParams) -> Trials:
    """Read trials from a file or folder.

    Parameters
    ----------
    uri : str
        An npz file or zarr group with ``spike_counts`` (trial, time, unit; any numbers, NaN where
        not observed), ``bin_size_s``, and perhaps ``t_start``, ``unit_ids``, ``trial_ids``,
        ``condition`` (trial), ``region`` (unit), ``n_bins`` (trial; what lies behind was not
        observed); or an HDF5 file of blech_clust, or the folder that it lies in.
    params : TrialsParams
        Bins, window, and the names in the file.

    Raises
    ------
    RecordingNotFoundError
        There is nothing at `uri`.
    RecordingError
        It cannot be used as it is; the message names the file, the field and the remedy.
    """
    with open_source(uri) as source:
        if source.path.suffix.lower() in _PICKLES:
            raise RecordingError(
                f"{source.name}: pickles are not opened, since they can run code of a stranger. "
                "Write the counts with numpy.savez, or name the HDF5 file that they come from; a "
                "model database of PyTau is read by connflow.changepoint.read_pytau_database"
            )
        return _reader(source.path)(source.path, source.name, params)


def _reader(path: Path) -> Callable[[Path, str, TrialsParams], Trials]:
    if path.suffix.lower() in ENDINGS or any(path.glob("*.h5")):
        return read_blech
    if path.suffix.lower() == ".npz":
        return _read_npz
    if path.is_dir():
        return _read_zarr
    raise RecordingError(
        f"{path}: trials are read from npz, zarr, and HDF5 of blech_clust, not {path.suffix!r}"
    )


def _read_npz(path: Path, name: str, params: TrialsParams) -> Trials:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:
        raise RecordingError(
            f"{name}: cannot be read as an npz file of plain arrays: {error}. Arrays of Python "
            "objects are not opened; write texts as numpy strings"
        ) from error
    return build_trials(arrays, name, params)


def _read_zarr(path: Path, name: str, params: TrialsParams) -> Trials:
    import zarr

    try:
        group = zarr.open_group(str(path), mode="r")
        arrays = {key: np.asarray(array[...]) for key, array in group.arrays()}
        arrays |= {key: np.asarray(value) for key, value in group.attrs.items()}
    except Exception as error:
        raise RecordingError(f"{name}: cannot be read as a zarr group: {error}") from error
    return build_trials(arrays, name, params)


def build_trials(arrays: Arrays, name: str, params: TrialsParams) -> Trials:
    """Check the arrays of a file, and make trials of them."""
    ours = {
        field: arrays[there]
        for field in _FIELDS
        if (there := params.names.get(field, field)) in arrays
    }
    if "spike_counts" not in ours or "bin_size_s" not in ours:
        raise RecordingError(
            f"{name}: spike_counts (trial, time, unit) and bin_size_s are needed; it has "
            f"{', '.join(sorted(arrays))}. Map names that differ: trials.names="
            "{spike_counts: ..., bin_size_s: ...}"
        )
    counts = np.array(ours["spike_counts"], np.float64)
    if counts.ndim != 3:
        raise RecordingError(
            f"{name}: spike_counts has the shape {counts.shape}, expected (trial, time, unit)"
        )
    n_trials, n_bins, n_units = counts.shape
    if "n_bins" in ours:
        counts[np.arange(n_bins) >= _one_each(ours, "n_bins", n_trials, name)[:, None]] = np.nan
    ids = _one_each(ours, "unit_ids", n_units, name) if "unit_ids" in ours else np.arange(n_units)
    units, table = unit_table(ids), trial_table(n_trials)
    if "trial_ids" in ours:
        table.index = pd.Index(_one_each(ours, "trial_ids", n_trials, name), name="trial")
    if "region" in ours:
        units["region"] = _one_each(ours, "region", n_units, name).astype(str)
    if "condition" in ours:
        table["condition"] = _one_each(ours, "condition", n_trials, name).astype(str)
    bin_size_s = float(ours["bin_size_s"])
    t_start = float(ours.get("t_start", np.array(0.0)))
    whole = Trials(counts, bin_size_s, t_start, units, table)
    return merge_bins(cut_window(whole, params), params)


def _one_each(arrays: Arrays, field: str, n: int, name: str) -> NDArray[Any]:
    values = np.atleast_1d(arrays[field])
    if values.shape != (n,):
        raise RecordingError(f"{name}: {field} has the shape {values.shape}, expected ({n},)")
    return values
