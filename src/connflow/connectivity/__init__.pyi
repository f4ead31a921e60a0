from .activity import Activity, SpikeTrains, Traces, spike_trains, traces
from .ccg import correlogram
from .edges import list_edges
from .inference import infer_connectivity
from .methods import METHODS
from .moments import Moments, accumulate_moments
from .params import CONNECTIVITY_VERSION, ConnectivityParams
from .regime import Regime, measure_regime
from .surrogates import jittered, shifted
from .tiles import infer_edges

__all__ = [
    "CONNECTIVITY_VERSION",
    "METHODS",
    "Activity",
    "ConnectivityParams",
    "Moments",
    "Regime",
    "SpikeTrains",
    "Traces",
    "accumulate_moments",
    "correlogram",
    "infer_connectivity",
    "infer_edges",
    "jittered",
    "list_edges",
    "measure_regime",
    "shifted",
    "spike_trains",
    "traces",
]
