"""Opening the artifacts of earlier steps."""

from typing import TYPE_CHECKING

import numpy as np

from connflow import recording as recordings
from connflow.store import ArtifactRef, Store

if TYPE_CHECKING:
    import xarray as xr


def open_recording(store: Store, ref: ArtifactRef) -> "recordings.Recording":
    """Read a recording artifact into memory."""
    return recordings.recording_from_dataset(
        store.open_dataset(ref), store.read_table(ref, "units")
    )


def open_activity(store: Store, ref: ArtifactRef) -> "tuple[xr.DataArray, float]":
    """Open spike counts or a deconvolved trace; return it and the seconds between its samples."""
    dataset = store.open_dataset(ref)
    if "spike_counts" in dataset:
        return dataset["spike_counts"], dataset.attrs["bin_size_s"]
    return dataset["activity"], 1 / dataset.attrs["frame_rate_hz"]


def open_excerpt(
    store: Store, ref: ArtifactRef | None, variable: str, duration_s: float
) -> "xr.DataArray | None":
    """Read the first seconds of a trace; None where there is no such artifact."""
    if ref is None:
        return None
    dataset = store.open_dataset(ref)
    n_frames = int(np.ceil(duration_s * dataset.attrs["frame_rate_hz"]))
    return dataset[variable][:n_frames].load()
