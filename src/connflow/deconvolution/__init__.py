"""Deconvolution: from fluorescence back towards spikes.

In: fluorescence (n_frames, n_units). Out: activity of the same shape (a feed signal or a spike
estimate) and, per unit, the decay time constant that was used. The true spikes are never asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
