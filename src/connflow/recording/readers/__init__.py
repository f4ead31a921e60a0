"""Read a recording from any of the formats that connflow knows, checked once at this border.

In comes a path or URL and the parameters; out comes a `SpikeRecording` or a
`FluorescenceRecording` in seconds, time first. Each format has one reader, which only finds the
arrays; what they must fulfil is checked in one place for all, in `_spikes` and `_fluorescence`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
