"""A balanced network of leaky integrate-and-fire units: spikes together with their true wiring.

Parameters come in; a `SpikeRecording` goes out whose `weights` are the synapses that made the
spikes. The network is the sparse random one of Brunel (2000) with log-normal weights and a spread
of delays, driven by independent Poisson input to each unit.

References
----------
Brunel N (2000). Dynamics of sparsely connected networks of excitatory and inhibitory spiking
neurons. Journal of Computational Neuroscience 8:183-208.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
