"""Calcium: simulated fluorescence from binned spikes."""

from functools import partial

import numpy as np

from connflow import calcium
from connflow.blocks import UNIT_BLOCK, TimeUnitArray, split
from connflow.calcium import CALCIUM_VERSION, CalciumParams
from connflow.store import ArtifactRef, ArtifactWriter, Store
from connflow.store.writer import DatasetWriter
from tasks._blocks import fill_blocks, time_stream, time_variable, trace_stream, trace_variable
from tasks._step import step


@step("calcium", CALCIUM_VERSION, run_name="tau {params.tau_s} s, noise {params.noise_sd}")
def simulate_calcium(
    store: Store, artifact: ArtifactWriter, binning: ArtifactRef, params: CalciumParams
) -> None:
    """Simulate the fluorescence of each unit, one frame a bin."""
    binned = store.open_dataset(binning)
    counts, bin_size_s = binned["spike_counts"].variable, binned.attrs["bin_size_s"]
    n_frames, n_units = counts.shape[0] - params.dropped_frames, counts.shape[1]
    t_start = binned.attrs["t_start"] + params.dropped_frames * bin_size_s
    fluorescence = trace_variable(
        n_frames, n_units, np.dtype(np.float32), "dF/F", compressible=params.noise_sd == 0
    )
    with artifact.dataset(
        {"time": time_variable(n_frames), "fluorescence": fluorescence},
        coords=binned[["unit"]],
        attrs={"frame_rate_hz": 1 / bin_size_s, "t_start": t_start},
    ) as dataset:
        dataset.write(time_stream(n_frames, t_start, bin_size_s))
        simulate = partial(_simulate_units, dataset, counts, bin_size_s, params)
        fill_blocks(artifact, simulate, split(n_units, UNIT_BLOCK))


def _simulate_units(
    dataset: DatasetWriter,
    counts: TimeUnitArray,
    bin_size_s: float,
    params: CalciumParams,
    units: slice,
) -> None:
    parts = calcium.simulate_calcium(counts, bin_size_s, params, units)
    dataset.write(trace_stream("fluorescence", units, parts))
