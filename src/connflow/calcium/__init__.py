"""Calcium: fluorescence as a camera would record it, simulated from spike counts.

In: spike counts (n_time_bins, n_units). Out: fluorescence (n_frames, n_units), one frame a bin,
block by block along time. Blocks of units are independent of one another; along time the state
is carried, and noise comes from streams that can be entered anywhere, so that the result does
not depend on how the work was cut.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
