"""Deconvolution: activity from recorded or simulated fluorescence."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from connflow.blocks import TIME_BLOCK, UNIT_BLOCK, split
from connflow.deconvolution import (
    DECONVOLUTION_VERSION,
    DeconvolutionParams,
    choose_decay,
    deconvolve_oasis,
    estimate_decay,
    feed_signal,
)
from connflow.errors import InvalidInputError
from connflow.store import ArtifactRef, ArtifactWriter, Block, Store
from tasks._blocks import (
    map_blocks,
    time_stream,
    time_variable,
    trace_stream,
    trace_variable,
)
from tasks._step import step

_WHOLE_TRACES_BYTES = 256 << 20  # most that OASIS, which needs whole traces, may hold at once


@step("deconvolution", DECONVOLUTION_VERSION, run_name="{params.method}")
def deconvolve(
    store: Store,
    artifact: ArtifactWriter,
    fluorescence: ArtifactRef,
    params: DeconvolutionParams,
) -> None:
    """Estimate the decay of calcium, and from it the activity behind the fluorescence."""
    dataset = store.open_dataset(fluorescence)
    if "fluorescence" not in dataset:
        raise InvalidInputError(
            "deconvolution: this recording holds spikes, not fluorescence; use path=spikes, or "
            "path=calcium to simulate its fluorescence"
        )
    traces, frame_rate_hz = dataset["fluorescence"], dataset.attrs["frame_rate_hz"]
    n_frames, n_units = traces.shape
    width = UNIT_BLOCK if params.method == "savgol" else _whole_traces(n_frames)
    blocks = split(n_units, width)
    tau_s = _decay(traces, frame_rate_hz, params)
    streams = {"savgol": _feed_stream, "oasis": _oasis_stream}[params.method]
    unit = {"savgol": "dF/F/s", "oasis": "dF/F"}[params.method]
    artifact.write_blocks(
        {
            "time": time_variable(n_frames),
            "activity": trace_variable(
                n_frames,
                n_units,
                np.dtype(np.float32),
                unit,
                width=width,
                compressible=params.method == "oasis",
            ),
        },
        [
            time_stream(n_frames, dataset.attrs["t_start"], 1 / frame_rate_hz),
            *(streams(traces, frame_rate_hz, tau_s, params, units) for units in blocks),
        ],
        coords=dataset[["unit"]].assign(tau=("unit", tau_s, {"units": "s"})).drop_attrs(deep=False),
        attrs={"frame_rate_hz": frame_rate_hz, "t_start": dataset.attrs["t_start"]},
        map_blocks=map_blocks,
    )


def _decay(
    traces: xr.DataArray, frame_rate_hz: float, params: DeconvolutionParams
) -> NDArray[np.float64]:
    n_units = traces.shape[1]
    if params.tau_s is not None:
        return np.full(n_units, params.tau_s)
    parts = map_blocks(
        lambda units: estimate_decay(traces, frame_rate_hz, units),
        split(n_units, UNIT_BLOCK),
    )
    return choose_decay(np.concatenate(list(parts)), params)


def _feed_stream(
    traces: xr.DataArray,
    frame_rate_hz: float,
    tau_s: NDArray[np.float64],
    params: DeconvolutionParams,
    units: slice,
) -> Iterator[Block]:
    parts = feed_signal(traces, frame_rate_hz, tau_s[units], params, units)
    return trace_stream("activity", units, parts)


def _oasis_stream(
    traces: xr.DataArray,
    frame_rate_hz: float,
    tau_s: NDArray[np.float64],
    params: DeconvolutionParams,
    units: slice,
) -> Iterator[Block]:
    spikes = np.empty((traces.shape[0], units.stop - units.start), np.float32)
    for place, trace in deconvolve_oasis(traces, frame_rate_hz, tau_s[units], units):
        spikes[:, place] = trace
    parts = ((part.start, spikes[part]) for part in split(len(spikes), TIME_BLOCK))
    yield from trace_stream("activity", units, parts)


def _whole_traces(n_frames: int) -> int:
    return max(1, min(UNIT_BLOCK, _WHOLE_TRACES_BYTES // (4 * n_frames)))
