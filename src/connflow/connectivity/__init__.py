"""Connectivity: signed weights and z-scores of every ordered pair of units, from activity.

In: activity (n_time_bins, n_units): spike counts, or a deconvolved trace. Out: a dataset with
``weight`` and ``z`` over (source, target). All methods read the activity once, block by block, and
keep second moments only.
"""

from connflow.connectivity.methods import infer_connectivity
from connflow.connectivity.moments import Moments, accumulate_moments
from connflow.connectivity.params import CONNECTIVITY_VERSION, ConnectivityParams

__all__ = [
    "CONNECTIVITY_VERSION",
    "ConnectivityParams",
    "Moments",
    "accumulate_moments",
    "infer_connectivity",
]
