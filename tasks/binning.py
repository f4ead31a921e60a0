"""Binning: spike counts of shape (time, unit) from a recording of spikes."""

from connflow import binning
from connflow import recording as recordings
from connflow.binning import BINNING_VERSION, BinningParams
from connflow.errors import InvalidInputError
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
    import xarray as xr

    spikes = open_recording(store, recording)
    if not isinstance(spikes, recordings.SpikeRecording):
        raise InvalidInputError(
            "binning: this recording holds fluorescence, not spikes; use path=fluorescence"
        )
    n_bins, everyone = binning.count_bins(spikes, params), slice(0, spikes.n_units)
    dtype = binning.count_dtype(spikes, params)
    counts = trace_variable(n_bins, spikes.n_units, dtype, "1", sharded=True)
    artifact.write_blocks(
        {"time": time_variable(n_bins), "spike_counts": counts},
        [
            time_stream(n_bins, spikes.t_start, params.bin_size_s),
            trace_stream("spike_counts", everyone, binning.bin_spikes(spikes, params)),
        ],
        coords=xr.Dataset(coords={"unit": spikes.unit_ids}),
        attrs={"bin_size_s": params.bin_size_s, "t_start": spikes.t_start},
    )
