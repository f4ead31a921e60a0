"""Calcium: simulated fluorescence from binned spikes."""

import numpy as np

from connflow.blocks import UNIT_BLOCK, split
from connflow.calcium import CALCIUM_VERSION, CalciumParams
from connflow.calcium import simulate_calcium as run_calcium
from connflow.store import ArtifactRef, ArtifactWriter, Store
from tasks._blocks import (
    map_blocks,
    time_stream,
    time_variable,
    trace_stream,
    trace_variable,
)
from tasks._step import step


@step("calcium", CALCIUM_VERSION, run_name="tau {params.tau_s} s, noise {params.noise_sd}")
def simulate_calcium(
    store: Store, artifact: ArtifactWriter, binning: ArtifactRef, params: CalciumParams
) -> None:
    """Simulate the fluorescence of each unit, one frame a bin."""
    binned = store.open_dataset(binning)
    counts, bin_size_s = binned["spike_counts"], binned.attrs["bin_size_s"]
    n_frames, n_units = counts.shape[0] - params.dropped_frames, counts.shape[1]
    t_start = binned.attrs["t_start"] + params.dropped_frames * bin_size_s
    artifact.write_blocks(
        {
            "time": time_variable(n_frames),
            "fluorescence": trace_variable(
                n_frames,
                n_units,
                np.dtype(np.float32),
                "dF/F",
                compressible=params.noise_sd == 0,
            ),
        },
        [
            time_stream(n_frames, t_start, bin_size_s),
            *(
                trace_stream(
                    "fluorescence",
                    units,
                    run_calcium(counts, bin_size_s, params, units),
                )
                for units in split(n_units, UNIT_BLOCK)
            ),
        ],
        coords=binned[["unit"]],
        attrs={"frame_rate_hz": 1 / bin_size_s, "t_start": t_start},
        map_blocks=map_blocks,
    )
