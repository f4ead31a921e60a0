"""Binning: spike counts of shape (time, unit) from a recording of spikes."""

import xarray as xr

from connflow.binning import (
    BINNING_VERSION,
    BinningParams,
    count_bins,
    count_dtype,
)
from connflow.binning import (
    bin_spikes as count_spikes,
)
from connflow.errors import InvalidInputError
from connflow.recording.model import SpikeRecording
from connflow.store import ArtifactRef, ArtifactWriter, Store
from tasks._blocks import time_stream, time_variable, trace_stream, trace_variable
from tasks._inputs import open_recording
from tasks._step import step


@step("binning", BINNING_VERSION, run_name="{params.bin_size_s} s")
def bin_spikes(
    store: Store,
    artifact: ArtifactWriter,
    recording: ArtifactRef,
    params: BinningParams,
) -> None:
    """Count the spikes of each unit in each time bin."""
    spikes = open_recording(store, recording)
    if not isinstance(spikes, SpikeRecording):
        raise InvalidInputError(
            "binning: this recording holds fluorescence, not spikes; use path=fluorescence"
        )
    n_bins, everyone = count_bins(spikes, params), slice(0, spikes.n_units)
    counts = trace_variable(n_bins, spikes.n_units, count_dtype(spikes, params), "1", sharded=True)
    artifact.write_blocks(
        {"time": time_variable(n_bins), "spike_counts": counts},
        [
            time_stream(n_bins, spikes.t_start, params.bin_size_s),
            trace_stream("spike_counts", everyone, count_spikes(spikes, params)),
        ],
        coords=xr.Dataset(coords={"unit": spikes.unit_ids}),
        attrs={"bin_size_s": params.bin_size_s, "t_start": spikes.t_start},
    )
