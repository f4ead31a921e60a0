from .counting import EDGE_TOLERANCE, bin_spikes, count_bins, count_dtype
from .params import BINNING_VERSION, BinningParams

__all__ = [
    "BINNING_VERSION",
    "EDGE_TOLERANCE",
    "BinningParams",
    "bin_spikes",
    "count_bins",
    "count_dtype",
]
