"""Reading the HDF5 files of blech_clust (Katz lab): spikes in ms around taste deliveries.

Layout: ``/spike_trains/dig_in_<n>/spike_array`` (trial, unit, ms) for each taste, with
``laser_durations`` (trial, ms) beside it where there was a laser; ``/unit_descriptor`` with each
unit's ``electrode_number``; and a JSON file ``*.info`` in the same folder, whose
``electrode_layout`` names the electrodes of each region.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from connflow.errors import RecordingError
from connflow.recording.model import unit_table
from connflow.trials.model import Trials, trial_table
from connflow.trials.params import TrialsParams
from connflow.trials.windows import cut_window, merge_bins

ENDINGS = (".h5", ".hdf5")
BIN_SIZE_S = 0.025
_MS = 0.001


def read_blech(path: Path, name: str, params: TrialsParams) -> Trials:
    """Read the spikes of all tastes as trials.

    Parameters
    ----------
    path : Path
        The HDF5 file, or the folder in which it is the only one.
    name : str
        What messages call it.
    params : TrialsParams
        The window lies by default from the stimulus to the end.

    Returns
    -------
    Trials
        ``condition`` is the taste's name in the ``*.info`` file, else its node; ``laser`` is on or
        off, and ``laser_ms`` its duration, where there is one; ``region`` of units where the
        ``*.info`` file says so.
    """
    import h5py

    file = _find_file(path, name)
    about = _read_info(file)
    try:
        with h5py.File(file, "r") as opened:
            tastes = _tastes(opened, name)
            electrodes = _electrodes(opened)
    except OSError as error:
        raise RecordingError(f"{name}: cannot be read as HDF5: {error}") from error
    parts = [_read_taste(node, about, tastes[node]) for node in sorted(tastes, key=_number)]
    n_units = {values.shape[2] for values, _ in parts}
    if len(n_units) > 1:
        raise RecordingError(f"{name}: tastes have different numbers of units: {sorted(n_units)}")
    table = pd.concat([one for _, one in parts])
    table.index = trial_table(len(table)).index
    units = _name_regions(unit_table(np.arange(*n_units)), electrodes, about)
    values = np.concatenate([values for values, _ in parts])
    whole = Trials(values, _MS, -params.stimulus_s, units, table)
    given = {"t_start": params.t_start or 0.0, "bin_size_s": params.bin_size_s or BIN_SIZE_S}
    chosen = params.model_copy(update=given)
    return merge_bins(cut_window(whole, chosen), chosen)


def _find_file(path: Path, name: str) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.h5"))
    if len(files) != 1:
        raise RecordingError(
            f"{name}: holds {len(files)} HDF5 files ({', '.join(one.name for one in files)}); name "
            "the one to read"
        )
    return files[0]


def find_description(uri: str) -> str | None:
    """Return the path of the ``*.info`` file beside an HDF5 file of blech_clust, if it has one."""
    path = Path(uri)
    if path.suffix.lower() not in ENDINGS or not path.exists():
        return None  # a folder's own content holds it
    return next((str(found) for found in sorted(path.parent.glob("*.info"))), None)


def _read_info(file: Path) -> dict[str, Any]:
    found = find_description(str(file))
    if found is None:
        return {}
    try:
        return dict(json.loads(Path(found).read_text()))
    except ValueError as error:
        raise RecordingError(f"{found}: cannot be read as JSON: {error}") from error


def _number(node: str) -> int:
    digits = re.findall(r"\d+", node)
    return int(digits[-1]) if digits else -1


def _tastes(opened: Any, name: str) -> dict[str, dict[str, NDArray[Any]]]:
    nodes = opened.get("spike_trains", {})
    found = {
        node: {key: group[key][...] for key in ("spike_array", "laser_durations") if key in group}
        for node, group in nodes.items()
        if node.startswith("dig_in") and "spike_array" in group
    }
    if not found:
        raise RecordingError(
            f"{name}: there is no /spike_trains/dig_in_<n>/spike_array; run blech_make_arrays on "
            "this session first"
        )
    return found


def _electrodes(opened: Any) -> NDArray[np.int64] | None:
    if "unit_descriptor" not in opened:
        return None
    return np.asarray(opened["unit_descriptor"]["electrode_number"], np.int64)


def _read_taste(
    node: str, about: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], pd.DataFrame]:
    spikes = arrays["spike_array"].astype(np.float64).transpose(0, 2, 1)
    table = trial_table(len(spikes), condition=_taste_name(node, about))
    if "laser_durations" in arrays:
        table["laser_ms"] = np.asarray(arrays["laser_durations"], np.float64).reshape(len(spikes))
        table["laser"] = np.where(table["laser_ms"] > 0, "on", "off")
    return spikes, table


def _taste_name(node: str, about: dict[str, Any]) -> str:
    described = about.get("taste_params", {})
    nodes, tastes = described.get("dig_ins", []), described.get("tastes", [])
    numbers = [_number(str(one)) for one in nodes]
    if len(numbers) == len(tastes) and _number(node) in numbers:
        return str(tastes[numbers.index(_number(node))])
    return node


def _name_regions(
    units: pd.DataFrame, electrodes: NDArray[np.int64] | None, about: dict[str, Any]
) -> pd.DataFrame:
    layout = {key: one for key, one in about.get("electrode_layout", {}).items() if key != "emg"}
    if electrodes is None or not layout or len(electrodes) != len(units):
        return units
    home = {
        int(electrode): region
        for region, groups in layout.items()
        for electrode in np.hstack([np.ravel(group) for group in groups]).tolist()
    }
    regions = [home.get(int(one), "unknown") for one in electrodes]
    return units.assign(electrode=electrodes, region=regions)
