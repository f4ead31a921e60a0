"""Deconvolution: activity from recorded or simulated fluorescence."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from connflow import deconvolution
from connflow.blocks import TIME_BLOCK, UNIT_BLOCK, TimeUnitArray, split
from connflow.deconvolution import DECONVOLUTION_VERSION, DeconvolutionParams
from connflow.errors import InvalidInputError
from connflow.store import ArtifactRef, ArtifactWriter, Store
from connflow.store.writer import DatasetWriter
from tasks._blocks import (
    fill_blocks,
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
    traces, frame_rate_hz = dataset["fluorescence"].variable, dataset.attrs["frame_rate_hz"]
    n_frames, n_units = traces.shape
    width = UNIT_BLOCK if params.method == "savgol" else _whole_traces(n_frames)
    tau_s = _decay(traces, frame_rate_hz, params)
    unit = {"savgol": "dF/F/s", "oasis": "dF/F"}[params.method]
    activity = trace_variable(
        n_frames,
        n_units,
        np.dtype(np.float32),
        unit,
        width=width,
        compressible=params.method == "oasis",
    )
    with artifact.dataset(
        {"time": time_variable(n_frames), "activity": activity},
        coords=dataset[["unit"]].assign(tau=("unit", tau_s, {"units": "s"})).drop_attrs(deep=False),
        attrs={"frame_rate_hz": frame_rate_hz, "t_start": dataset.attrs["t_start"]},
    ) as deconvolved:
        deconvolved.write(time_stream(n_frames, dataset.attrs["t_start"], 1 / frame_rate_hz))
        recover = {"savgol": _feed_signal_of_units, "oasis": _spikes_of_units}[params.method]
        fill = partial(recover, deconvolved, traces, frame_rate_hz, tau_s, params)
        fill_blocks(artifact, fill, split(n_units, width))


def _decay(
    traces: TimeUnitArray, frame_rate_hz: float, params: DeconvolutionParams
) -> NDArray[np.float64]:
    n_units = traces.shape[1]
    if params.tau_s is not None:
        return np.full(n_units, params.tau_s)
    estimate = partial(deconvolution.estimate_decay, traces, frame_rate_hz)
    parts = map_blocks(estimate, split(n_units, UNIT_BLOCK))
    return deconvolution.choose_decay(np.concatenate(list(parts)), params)


def _feed_signal_of_units(
    deconvolved: DatasetWriter,
    traces: TimeUnitArray,
    frame_rate_hz: float,
    tau_s: NDArray[np.float64],
    params: DeconvolutionParams,
    units: slice,
) -> None:
    parts = deconvolution.feed_signal(traces, frame_rate_hz, tau_s[units], params, units)
    deconvolved.write(trace_stream("activity", units, parts))


def _spikes_of_units(
    deconvolved: DatasetWriter,
    traces: TimeUnitArray,
    frame_rate_hz: float,
    tau_s: NDArray[np.float64],
    params: DeconvolutionParams,
    units: slice,
) -> None:
    spikes = np.empty((traces.shape[0], units.stop - units.start), np.float32)
    estimates = deconvolution.deconvolve_oasis(traces, frame_rate_hz, tau_s[units], units)
    for place, trace in estimates:
        spikes[:, place] = trace
    parts = ((part.start, spikes[part]) for part in split(len(spikes), TIME_BLOCK))
    deconvolved.write(trace_stream("activity", units, parts))


def _whole_traces(n_frames: int) -> int:
    return max(1, min(UNIT_BLOCK, _WHOLE_TRACES_BYTES // (4 * n_frames)))
