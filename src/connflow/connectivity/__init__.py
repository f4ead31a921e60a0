"""Connectivity: signed weights and z-scores of every ordered pair of units, from activity.

In: activity (n_time_bins, n_units): spike counts, or a deconvolved trace. Out: a dataset with
``weight`` and ``z`` over (source, target). All methods read the activity once, block by block, and
keep second moments only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
