"""Deconvolution: from fluorescence back towards spikes.

In: fluorescence (n_frames, n_units). Out: activity of the same shape (a feed signal or a spike
estimate) and, per unit, the decay time constant that was used. The true spikes are never asked for.
"""

from connflow.deconvolution.decay import choose_decay, estimate_decay
from connflow.deconvolution.oasis import deconvolve_oasis
from connflow.deconvolution.params import DECONVOLUTION_VERSION, DeconvolutionParams
from connflow.deconvolution.savgol import feed_signal

__all__ = [
    "DECONVOLUTION_VERSION",
    "DeconvolutionParams",
    "choose_decay",
    "deconvolve_oasis",
    "estimate_decay",
    "feed_signal",
]
