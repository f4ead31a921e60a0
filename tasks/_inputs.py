"""Opening the artifacts of earlier steps."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from connflow import connectivity, trials
from connflow import recording as recordings
from connflow.store import ArtifactRef, Store

if TYPE_CHECKING:
    import xarray as xr


def open_recording(store: Store, ref: ArtifactRef) -> "recordings.Recording":
    """Read a recording artifact into memory."""
    return recordings.recording_from_dataset(
        store.open_dataset(ref), store.read_table(ref, "units")
    )


def open_trials(store: Store, ref: ArtifactRef) -> "trials.Trials":
    """Read a trials artifact into memory."""
    return trials.trials_from_dataset(
        store.open_dataset(ref), store.read_table(ref, "units"), store.read_table(ref, "trials")
    )


def open_activity(
    store: Store, ref: ArtifactRef, resolution_s: float | None = None
) -> "tuple[NDArray[np.int64], connectivity.Activity]":
    """Open spikes (on the grid of a resolution), counts, fluorescence or a deconvolved trace.

    Returns the ids of the units, and what connectivity can be inferred from.
    """
    dataset = store.open_dataset(ref)
    unit_ids = dataset["unit"].to_numpy()
    if "spike_time" in dataset:
        spikes = open_recording(store, ref)
        assert isinstance(spikes, recordings.SpikeRecording)
        return unit_ids, connectivity.spike_trains(spikes, resolution_s)
    name = next(name for name in ("spike_counts", "activity", "fluorescence") if name in dataset)
    rate_hz = dataset.attrs.get("frame_rate_hz")
    interval_s = 1 / rate_hz if rate_hz else dataset.attrs["bin_size_s"]
    return unit_ids, connectivity.traces(dataset[name].variable, interval_s)


def open_excerpt(
    store: Store, ref: ArtifactRef | None, variable: str, duration_s: float
) -> "xr.DataArray | None":
    """Read the first seconds of a trace; None where there is no such artifact."""
    if ref is None:
        return None
    dataset = store.open_dataset(ref)
    n_frames = int(np.ceil(duration_s * dataset.attrs["frame_rate_hz"]))
    return dataset[variable][:n_frames].load()
