"""What `auto` means for fluorescence: deconvolution and connectivity by the recording's regime."""

from collections.abc import Mapping
from typing import Any, TypeVar

from connflow.params import StepParams
from connflow.store import ArtifactRef
from flows.running.plan import PlannedRun
from flows.running.run import Run
from flows.wiring import ConnectivityFlowParams, Made
from tasks.regime import measure_regime

Params = TypeVar("Params", bound=StepParams)

DECONVOLUTION: Mapping[str, Mapping[str, Any]] = {
    "clear": {"method": "oasis"},
    "noisy": {"method": "savgol", "window_frames": 31},
    "slow": {"method": "oasis"},
    "bursting": {"method": "oasis"},
}
CONNECTIVITY: Mapping[str, Mapping[str, Any]] = {
    "clear": {"method": "kernel_regression"},
    "noisy": {
        "method": "lagged_regression",
        "lags": [1, 8, 15, 22],  # over the window that the filter smears
        "ridge": 0.05,
        "dale": True,
    },
    "slow": {"method": "innovation_regression"},
    "bursting": {"method": "sutera"},
}


def settle(
    run: Run | PlannedRun, fluorescence: Made, params: ConnectivityFlowParams
) -> tuple[ConnectivityFlowParams, ArtifactRef | None]:
    """Put the methods that suit the regime of the fluorescence in the place of `auto`.

    Returns
    -------
    params
        As given, without `auto`. What was set beside it stays as it was set.
    regime : ArtifactRef, optional
        What the choice rests on; None where there was nothing to choose.
    """
    deconvolution, connectivity = params.deconvolution, params.connectivity
    deconvolves = not connectivity.reads_fluorescence
    if connectivity.method != "auto" and not (deconvolves and deconvolution.method == "auto"):
        return params, None
    regime = run.wait("regime", measure_regime.submit(fluorescence))
    name = run.look_into(regime).attrs["regime"]
    settled = {
        "deconvolution": _settled(deconvolution, DECONVOLUTION[name]),
        "connectivity": _settled(connectivity, CONNECTIVITY[name]),
    }
    return params.model_copy(update=settled), regime


def _settled(params: Params, choice: Mapping[str, Any]) -> Params:
    content = params.model_dump(exclude_unset=True)
    if content.pop("method", "auto") != "auto":
        return params
    return type(params).parse({**choice, **content})
