"""What the report is made of, what it becomes, and the one check of both.

`ReportContent` is what a task hands in; `Wiring` is the checked, plain-array form of its
matrices, with rows as sources and columns as targets, from which the figures are drawn.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from connflow.errors import InvalidInputError
from connflow.recording.model import FluorescenceRecording, Recording


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything the page may speak of; what is None is left out of it.

    Parameters
    ----------
    recording : SpikeRecording or FluorescenceRecording, optional
        What was recorded or simulated.
    fluorescence, activity : (time, unit) DataArray, optional
        The first seconds of the fluorescence and of the activity deconvolved from it, with a
        `time` coordinate in seconds; the attribute ``units`` names the unit of the values.
    connectivity : Dataset
        Variables ``weight`` and ``z`` over (source, target) with unit ids as coordinates; the
        attributes say how they were inferred.
    truth : (source, target) DataArray, optional
        True signed weights, 0 where there is no synapse; matched to the inferred ones by the
        unit ids, by position where there are none.
    scores : DataFrame, optional
        Columns ``score``, ``value``, ``chance`` (NaN: there is none) and ``meaning``.
    curves : DataFrame, optional
        Columns ``curve``, ``x``, ``y`` and, if known, ``chance`` (the y of a guess at this x).
        Curves named ``roc*`` and ``precision_recall*`` are drawn.
    steps : list of dict
        The manifest of each step, in order.
    reason : str
        Why the method was chosen, where it was chosen by the data.
    expectation : DataFrame, optional
        Scores to be expected where the truth is not known: columns ``duration_factor`` (1: of this
        recording), ``score``, ``mean``, ``low``, ``high``, ``chance``, ``n_networks``, ``meaning``.
    assumptions : list of str
        What the expectation rests on, in sentences.
    edges : DataFrame, optional
        ``source``, ``target``, ``weight``, ``z``, the surest first, of units so many that there are
        no matrices of all pairs. `connectivity` then has the variables ``n_pairs`` over z,
        ``out_degree`` and ``in_degree`` instead, and the truth is not shown.
    """

    recording: Recording | None
    fluorescence: xr.DataArray | None
    activity: xr.DataArray | None
    connectivity: xr.Dataset
    truth: xr.DataArray | None
    scores: pd.DataFrame | None
    curves: pd.DataFrame | None
    steps: list[dict[str, Any]]
    reason: str = ""
    expectation: pd.DataFrame | None = None
    assumptions: list[str] = field(default_factory=list)
    edges: pd.DataFrame | None = None


@dataclass(frozen=True)
class Report:
    """The rendered page and, by name, the PNG images that are embedded in it."""

    html: str
    figures: dict[str, bytes]


@dataclass(frozen=True, eq=False)
class Wiring:
    """The matrices as plain arrays, ``[source, target]``.

    Parameters
    ----------
    source_ids : (n_sources,) array
    target_ids : (n_targets,) array
    weight, z : (n_sources, n_targets) float
        Inferred weights and their z-scores; NaN where there is no estimate.
    truth : (n_sources, n_targets) float, optional
        True weights.
    """

    source_ids: NDArray[Any]
    target_ids: NDArray[Any]
    weight: NDArray[np.floating]
    z: NDArray[np.floating]
    truth: NDArray[np.floating] | None

    @property
    def is_pair(self) -> NDArray[np.bool_]:
        """True where source and target are two different units."""
        return np.asarray(self.source_ids[:, None] != self.target_ids[None, :])

    @property
    def density(self) -> float | None:
        """Share of the pairs that truly have a synapse, if that is known."""
        if self.truth is None or not self.is_pair.any():
            return None
        return float(np.mean(self.truth[self.is_pair] != 0))


def read_wiring(content: ReportContent) -> Wiring:
    """Check the matrices of the content and return them as arrays.

    Raises
    ------
    InvalidInputError
        If a variable or a dimension is missing, or if the truth is of other units.
    """
    missing = {"weight", "z"} - set(content.connectivity.data_vars)
    if missing:
        raise InvalidInputError(
            f"connectivity must hold the variables weight and z; {sorted(missing)} missing"
        )
    weight = _oriented(content.connectivity["weight"], "weight")
    truth = None if content.truth is None else _align(_oriented(content.truth, "truth"), weight)
    return Wiring(
        _ids(weight, "source"),
        _ids(weight, "target"),
        np.asarray(weight),
        np.asarray(_oriented(content.connectivity["z"], "z")),
        None if truth is None else np.asarray(truth),
    )


def unit_kinds(wiring: Wiring | None, unit_ids: NDArray[Any]) -> NDArray[np.str_]:
    """Name each unit by the sign of its true outgoing weights.

    Returns
    -------
    (n_units,) str
        ``excitatory``, ``inhibitory``, or ``unknown`` where the truth does not say.
    """
    if wiring is None or wiring.truth is None:
        return np.full(len(unit_ids), "unknown")
    signs = pd.Series(np.sign(np.nansum(wiring.truth, axis=1)), index=wiring.source_ids)
    known = signs.reindex(unit_ids).to_numpy()
    return np.select([known > 0, known < 0], ["excitatory", "inhibitory"], "unknown")


def excerpt_fluorescence(content: ReportContent, duration_s: float) -> xr.DataArray | None:
    """Return the fluorescence that was handed in, else the start of the recording's own."""
    recording = content.recording
    if content.fluorescence is not None or not isinstance(recording, FluorescenceRecording):
        return content.fluorescence
    n_frames = int(np.ceil(duration_s * recording.frame_rate_hz))
    values = recording.fluorescence[:n_frames]
    time = recording.t_start + np.arange(len(values)) / recording.frame_rate_hz
    return xr.DataArray(values, {"time": time, "unit": recording.unit_ids}, ("time", "unit"))


def _oriented(array: xr.DataArray, name: str) -> xr.DataArray:
    if set(array.dims) != {"source", "target"}:
        raise InvalidInputError(f"{name} must have the dims source and target, got {array.dims}")
    return array.transpose("source", "target")


def _ids(array: xr.DataArray, dim: str) -> NDArray[Any]:
    return np.asarray(array[dim]) if dim in array.coords else np.arange(array.sizes[dim])


def _align(truth: xr.DataArray, weight: xr.DataArray) -> xr.DataArray:
    labels = {dim: weight[dim] for dim in ("source", "target") if dim in truth.coords}
    try:
        truth = truth.sel(labels)
    except KeyError as error:
        raise InvalidInputError(
            f"truth must hold every unit of connectivity; it lacks {error}"
        ) from None
    if truth.shape != weight.shape:
        raise InvalidInputError(f"truth must be of shape {weight.shape}, got {truth.shape}")
    return truth
