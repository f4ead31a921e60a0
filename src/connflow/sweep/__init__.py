"""Sweep: the points of a search space, and the table, figure and page of what they scored."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
