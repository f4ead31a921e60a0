"""Trials: activity around events, of shape (trial, time, unit).

In: spikes and the times of events, or counts that were cut into trials elsewhere. Out: `Trials`,
NaN where nothing was observed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
