from .decay import choose_decay, estimate_decay
from .oasis import deconvolve_oasis
from .params import DECONVOLUTION_VERSION, DeconvolutionParams
from .savgol import feed_signal

__all__ = [
    "DECONVOLUTION_VERSION",
    "DeconvolutionParams",
    "choose_decay",
    "deconvolve_oasis",
    "estimate_decay",
    "feed_signal",
]
