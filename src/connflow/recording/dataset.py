"""Recordings as labelled datasets, the form in which artifacts hold them."""

import numpy as np
import pandas as pd
import xarray as xr

from connflow.recording.model import FluorescenceRecording, Recording, SpikeRecording


def spikes_to_dataset(recording: SpikeRecording) -> xr.Dataset:
    """Return spike times and units over ``spike``, and the true wiring where it is known.

    ``spike_unit`` holds for each spike the position of its unit along ``unit``.
    """
    dataset = xr.Dataset(
        {
            "spike_time": ("spike", recording.spike_times, {"units": "s"}),
            "spike_unit": ("spike", recording.spike_units),
        },
        coords={"unit": recording.unit_ids},
        attrs={
            "signal": "spikes",
            "t_start": recording.t_start,
            "t_stop": recording.t_stop,
        },
    )
    if recording.gapless is not None:
        dataset["interval"] = (("stretch", "edge"), recording.gapless, {"units": "s"})
    return _with_common(dataset, recording)


def fluorescence_coords(recording: FluorescenceRecording) -> xr.Dataset:
    """Return the dataset of a fluorescence recording without the fluorescence itself."""
    dataset = xr.Dataset(
        coords={"unit": recording.unit_ids},
        attrs={
            "signal": "fluorescence",
            "t_start": recording.t_start,
            "frame_rate_hz": recording.frame_rate_hz,
        },
    )
    return _with_common(dataset, recording)


def _with_common(dataset: xr.Dataset, recording: Recording) -> xr.Dataset:
    dataset = dataset.assign_attrs(notes=dict(recording.notes))
    if recording.weights is None:
        return dataset
    truth = xr.DataArray(
        recording.weights,
        dims=("source", "target"),
        coords={"source": recording.unit_ids, "target": recording.unit_ids},
    )
    return dataset.assign(weights=truth)


def recording_from_dataset(dataset: xr.Dataset, units: pd.DataFrame) -> Recording:
    """Return the in-memory recording of a dataset and its unit table."""
    weights = np.asarray(dataset["weights"]) if "weights" in dataset else None
    notes = dict(dataset.attrs["notes"])
    if dataset.attrs["signal"] == "spikes":
        return SpikeRecording(
            spike_times=np.asarray(dataset["spike_time"]),
            spike_units=np.asarray(dataset["spike_unit"]),
            units=units,
            t_start=dataset.attrs["t_start"],
            t_stop=dataset.attrs["t_stop"],
            weights=weights,
            notes=notes,
            gapless=np.asarray(dataset["interval"]) if "interval" in dataset else None,
        )
    return FluorescenceRecording(
        fluorescence=np.asarray(dataset["fluorescence"]),
        frame_rate_hz=dataset.attrs["frame_rate_hz"],
        units=units,
        t_start=dataset.attrs["t_start"],
        weights=weights,
        notes=notes,
    )
