"""The list of methods: what each reads, and the function that does it."""

from dataclasses import dataclass

from connflow.connectivity.activity import Activity, SpikeTrains, Traces
from connflow.connectivity.ccg import infer_by_ccg
from connflow.connectivity.correlation import infer_by_correlation
from connflow.connectivity.estimate import Estimator
from connflow.connectivity.glm import infer_by_glm
from connflow.connectivity.gte import infer_by_generalised_transfer_entropy
from connflow.connectivity.innovation import infer_by_innovations
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.partial_correlation import infer_by_partial_correlation
from connflow.connectivity.regression import infer_by_kernel, infer_by_lags
from connflow.connectivity.sutera import infer_by_sutera
from connflow.connectivity.transfer_entropy import infer_by_transfer_entropy
from connflow.connectivity.tspe import infer_by_tspe
from connflow.errors import InvalidInputError


@dataclass(frozen=True)
class Method:
    """A method of the list.

    Parameters
    ----------
    estimate
        Returns the `Estimate`.
    reads
        Kinds of activity that it takes.
    is_fine : bool
        Whether spike times are compared on the recording's own grid, rather than in bins of 1 ms.
    has_intervals : bool
        Whether `n_bootstrap` gives intervals of its weights.
    """

    estimate: Estimator
    reads: tuple[type[Activity], ...] = (SpikeTrains, Traces)
    is_fine: bool = False
    has_intervals: bool = False


METHODS: dict[str, Method] = {
    "kernel_regression": Method(infer_by_kernel, is_fine=True, has_intervals=True),
    "lagged_regression": Method(infer_by_lags, has_intervals=True),
    "ccg": Method(infer_by_ccg),
    "transfer_entropy": Method(infer_by_transfer_entropy),
    "tspe": Method(infer_by_tspe),
    "glm": Method(infer_by_glm),
    "correlation": Method(infer_by_correlation),
    "partial_correlation": Method(infer_by_partial_correlation),
    "sutera": Method(infer_by_sutera, reads=(Traces,)),
    "innovation_regression": Method(infer_by_innovations, reads=(Traces,)),
    "gte": Method(infer_by_generalised_transfer_entropy, reads=(Traces,)),
}

COARSE_RESOLUTION_S = 0.001


def resolve_method(activity: Activity, params: ConnectivityParams) -> str:
    """Return the method's name: the one asked for, or what suits the activity (``auto``)."""
    name = "kernel_regression" if params.method == "auto" else params.method
    if not isinstance(activity, METHODS[name].reads):
        what = "spike times" if SpikeTrains in METHODS[name].reads else "traces"
        raise InvalidInputError(
            f"connectivity.method {name} reads {what}, and this is not; choose another method"
        )
    return name


def on_grid(activity: Activity, name: str, params: ConnectivityParams) -> Activity:
    """Return spike trains on the grid that the method compares times on; traces as they are."""
    if isinstance(activity, Traces):
        return activity
    default_s = 0.0 if METHODS[name].is_fine else COARSE_RESOLUTION_S
    return activity.coarsened(params.resolution_s or default_s)
