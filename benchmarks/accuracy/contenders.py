"""Who competes: our methods through the public function, and the rivals.

A contender's `role` says what it is in the verdicts: ``ours``, ``rival`` (a published formula that
we set out to beat, whoever wrote the code), or ``baseline``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.answer import Answer
from benchmarks.accuracy.rivals import elephant_tspe, glmcc, sccg
from connflow.connectivity import (
    Activity,
    ConnectivityParams,
    infer_connectivity,
    spike_trains,
    traces,
)
from connflow.connectivity.methods import METHODS
from connflow.deconvolution import (
    DeconvolutionParams,
    choose_decay,
    deconvolve_oasis,
    estimate_decay,
    feed_signal,
)
from connflow.recording.model import FluorescenceRecording, Recording, SpikeRecording

Role = Literal["ours", "rival", "baseline"]

_DECONVOLUTION = tuple(f"connflow.deconvolution.{name}" for name in ("decay", "oasis", "savgol"))


@dataclass(frozen=True)
class Contender:
    """One row of the tables.

    Parameters
    ----------
    label : str
        As the page names it.
    role
        See the module.
    infer
        From a recording to an answer.
    modules
        Names of the modules whose change makes kept results stale; what these import from
        connectivity, deconvolution and rivals is followed.
    is_ready
        Whether it can run here, and on this recording.
    """

    label: str
    role: Role
    infer: Callable[[Recording], Answer]
    modules: tuple[str, ...]
    is_ready: Callable[[Recording], bool] = lambda recording: True


def describe_ours(method: str, label: str, role: Role = "ours", **params: object) -> Contender:
    """Describe a method of `METHODS` on the recording as it is."""
    given = ConnectivityParams.parse({"method": method, **params})
    return Contender(
        label,
        role,
        partial(infer_from_recording, params=given),
        (_module_of(method),),
        partial(_is_known, method),
    )


def _deconvolved(
    method: str, label: str, deconvolution: dict[str, object], role: Role = "ours", **params: object
) -> Contender:
    """Describe a method of `METHODS` on deconvolved fluorescence."""
    given = ConnectivityParams.parse({"method": method, **params})
    before = DeconvolutionParams.parse(deconvolution)
    return Contender(
        label,
        role,
        partial(infer_from_recording, params=given, deconvolution=before),
        (_module_of(method), *_DECONVOLUTION),
        partial(_is_known, method),
    )


def infer_published_tspe(recording: Recording) -> Answer:
    """Rank by TSPE itself at elephant's delays, 0 to 24 ms; our code gives elephant's numbers."""
    params = ConnectivityParams(method="tspe", delay_min_s=0.0, delay_max_s=0.024)
    found = infer_from_recording(recording, params)
    return Answer(z=found.weight, weight=found.weight, mask=None)


def infer_as_it_comes(recording: Recording) -> Answer:
    """Infer with all defaults, as the flow does: by the regime where there is fluorescence."""
    if isinstance(recording, SpikeRecording):
        return infer_from_recording(recording, ConnectivityParams())
    from connflow.connectivity import measure_regime
    from flows.regimes import CONNECTIVITY, DECONVOLUTION

    values, rate_hz = recording.fluorescence, recording.frame_rate_hz
    regime = measure_regime(traces(values, 1 / rate_hz))
    params = ConnectivityParams.parse(CONNECTIVITY[regime.name])
    before = DeconvolutionParams.parse(DECONVOLUTION[regime.name])
    answer = infer_from_recording(recording, params, None if params.reads_fluorescence else before)
    return replace(answer, notes={**answer.notes, "regime": regime.name, "reason": regime.reason})


def _regimes_are_told(recording: Recording) -> bool:
    import connflow.connectivity

    return isinstance(recording, SpikeRecording) or hasattr(connflow.connectivity, "measure_regime")


def infer_from_recording(
    recording: Recording,
    params: ConnectivityParams,
    deconvolution: DeconvolutionParams | None = None,
) -> Answer:
    """Infer through the public function, deconvolving first if asked to."""
    if isinstance(recording, SpikeRecording):
        activity: Activity = spike_trains(recording)
    else:
        values = recording.fluorescence
        if deconvolution is not None:
            values = deconvolve(recording, deconvolution)
        activity = traces(values, 1 / recording.frame_rate_hz)
    found = infer_connectivity(activity, recording.unit_ids, params)
    kept = ("method", "kernels", "interval_s")
    notes = {name: value for name, value in found.attrs.items() if name in kept}
    z, weight, mask = (found[name].to_numpy() for name in ("z", "weight", "mask"))
    return Answer(z=z, weight=weight, mask=mask, notes=notes)


def deconvolve(
    recording: FluorescenceRecording, params: DeconvolutionParams
) -> NDArray[np.float32]:
    """Return the feed signal, or OASIS's spikes, with the decay estimated from the data."""
    values, rate_hz = recording.fluorescence, recording.frame_rate_hz
    estimates = estimate_decay(values, rate_hz) if params.tau_s is None else None
    if estimates is None:
        tau_s = np.full(recording.n_units, params.tau_s)
    else:
        tau_s = choose_decay(estimates, params)
    result = np.empty(values.shape, np.float32)
    if params.method == "oasis":
        for unit, spikes in deconvolve_oasis(values, rate_hz, tau_s):
            result[:, unit] = spikes
    else:
        for start, block in feed_signal(values, rate_hz, tau_s, params):
            result[start : start + len(block)] = block
    return result


def _module_of(method: str) -> str:
    known = METHODS.get(method)
    return known.estimate.__module__ if known else "connflow.connectivity.methods"


def _is_known(method: str, recording: Recording) -> bool:
    return method == "auto" or method in METHODS


def _rival(
    label: str,
    module: object,
    is_ready: Callable[[SpikeRecording], bool] = lambda recording: True,
) -> Contender:
    infer = module.infer  # type: ignore[attr-defined]
    return Contender(label, "rival", infer, (module.__name__,), is_ready)  # type: ignore[attr-defined,arg-type]


_AUTO_OF_FLUORESCENCE = (
    *sorted({known.estimate.__module__ for known in METHODS.values()}),
    *_DECONVOLUTION,
    "flows.regimes",
)
_FEED_LONG = {"method": "savgol", "window_frames": 31}
_FEED_SHORT = {"method": "savgol", "window_frames": 5}


SPIKES: dict[str, Contender] = {
    "auto": describe_ours("auto", "connflow, as it comes"),
    "both": describe_ours("auto", "connflow, null_law=both", null_law="both"),
    "kernel_regression": describe_ours("kernel_regression", "kernel regression"),
    "kernel_regression_dale": describe_ours(
        "kernel_regression", "kernel regression, Dale", dale=True
    ),
    "lags_1_6": describe_ours(
        "lagged_regression", "lagged regression, 1-6 ms", lags=list(range(1, 7))
    ),
    "glm": describe_ours("glm", "Poisson GLM"),
    "ccg": describe_ours("ccg", "CCG, local baseline", "baseline"),
    "transfer_entropy": describe_ours("transfer_entropy", "transfer entropy", "baseline"),
    "correlation_1_6": describe_ours(
        "correlation", "largest correlation, 1-6 ms", "baseline", lags=list(range(1, 7))
    ),
    "partial_correlation": describe_ours("partial_correlation", "partial correlation", "baseline"),
    "calcinet": describe_ours(
        "lagged_regression", "calcinet: VAR, lag 1 ms", "rival", lags=[1], ridge=0.0
    ),
    "calcinet_2": describe_ours(
        "lagged_regression", "calcinet: VAR, lag 2 ms", "rival", lags=[2], ridge=0.0
    ),
    "calcinet_5ms": describe_ours(
        "lagged_regression",
        "calcinet: VAR, lag 1, bins of 5 ms",
        "rival",
        lags=[1],
        ridge=0.0,
        resolution_s=0.005,
    ),
    "calnet": describe_ours(
        "lagged_regression", "calnet: OLS, lag 10 ms", "rival", lags=[10], ridge=0.0
    ),
    "tspe_z": describe_ours("tspe", "TSPE, our z", "baseline"),
    "tspe": Contender(
        "TSPE",
        "rival",
        infer_published_tspe,
        (_module_of("tspe"),),
        partial(_is_known, "tspe"),
    ),
    "elephant_tspe": _rival("TSPE, elephant", elephant_tspe, elephant_tspe.is_feasible),
    "glmcc": _rival("GLMCC", glmcc),
    "sccg": _rival("smoothed CCG (spycon)", sccg),
}

FLUORESCENCE: dict[str, Contender] = {
    "auto": Contender(
        "connflow, as it comes",
        "ours",
        infer_as_it_comes,
        _AUTO_OF_FLUORESCENCE,
        _regimes_are_told,
    ),
    "innovation_regression": describe_ours("innovation_regression", "innovation regression"),
    "feed31_kernel": _deconvolved(
        "kernel_regression", "feed signal (31), kernel regression", _FEED_LONG
    ),
    "feed5_kernel": _deconvolved(
        "kernel_regression", "feed signal (5), kernel regression", _FEED_SHORT
    ),
    "oasis_kernel": _deconvolved(
        "kernel_regression", "OASIS, kernel regression", {"method": "oasis"}
    ),
    "partial_correlation": describe_ours("partial_correlation", "partial correlation", "baseline"),
    "correlation": describe_ours("correlation", "correlation, lag 0", "baseline", lags=[0]),
    "sutera": describe_ours("sutera", "Sutera et al., full recipe", "rival"),
    "gte": describe_ours("gte", "generalised transfer entropy", "rival"),
    "calnet": _deconvolved(
        "lagged_regression",
        "calnet: feed (31), OLS lag 10",
        _FEED_LONG,
        "rival",
        lags=[10],
        ridge=0.0,
    ),
    "calcinet": _deconvolved(
        "lagged_regression",
        "calcinet: feed (5), VAR lag 1",
        _FEED_SHORT,
        "rival",
        lags=[1],
        ridge=0.0,
    ),
}


def contenders_of(recording_kind: Literal["spikes", "fluorescence"]) -> dict[str, Contender]:
    """Return who competes on this kind of recording, by name."""
    return SPIKES if recording_kind == "spikes" else FLUORESCENCE
