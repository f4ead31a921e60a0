from .methods import infer_connectivity
from .moments import Moments, accumulate_moments
from .params import CONNECTIVITY_VERSION, ConnectivityParams

__all__ = [
    "CONNECTIVITY_VERSION",
    "ConnectivityParams",
    "Moments",
    "accumulate_moments",
    "infer_connectivity",
]
