"""Recordings: spikes or fluorescence of a population, read from files or simulated.

In: a file, a folder, or the parameters of a network. Out: a `SpikeRecording` or a
`FluorescenceRecording`, checked once and for all.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
