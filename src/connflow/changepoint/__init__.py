"""Changepoints: when the activity of a population goes from one state to the next, in each trial.

In: `Trials`, (trial, time, unit). Out: the posterior of each trial's changepoints, the rates of
states, the evidence of numbers of states, and which units respond. States come in a fixed order;
inference is exact over all ways to cut a trial into them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
