"""Binning: spike counts per unit and time bin, from sorted spike times.

In: a `SpikeRecording`. Out: counts of shape (n_time_bins, n_units), block by block along time.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
