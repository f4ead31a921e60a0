from .activity import Activity, SpikeTrains, Traces, spike_trains, traces
from .ccg import correlogram
from .edges import list_edges
from .inference import infer_connectivity
from .methods import METHODS
from .moments import Moments, accumulate_moments
from .params import CONNECTIVITY_VERSION, ConnectivityParams
from .regime import Regime, measure_regime
from .sparse import EdgePlan, find_edges, infer_edges, is_for_tiles, plan_edges, scatter_edges
from .surrogates import jittered, shifted
from .tiles import SparseEdges, infer_tile

__all__ = [
    "CONNECTIVITY_VERSION",
    "METHODS",
    "Activity",
    "ConnectivityParams",
    "EdgePlan",
    "Moments",
    "Regime",
    "SparseEdges",
    "SpikeTrains",
    "Traces",
    "accumulate_moments",
    "correlogram",
    "find_edges",
    "infer_connectivity",
    "infer_edges",
    "infer_tile",
    "is_for_tiles",
    "jittered",
    "list_edges",
    "measure_regime",
    "plan_edges",
    "scatter_edges",
    "shifted",
    "spike_trains",
    "traces",
]
