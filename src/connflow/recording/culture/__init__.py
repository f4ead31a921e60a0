"""A neuronal culture that fires in network bursts: its fluorescence together with its true wiring.

Parameters come in; a `FluorescenceRecording` (or the `SpikeRecording` beneath it) goes out whose
`weights` are the synapses that made it. Units lie at random in a square, all are excitatory,
connect to near ones, and their synapses depress; light scattered by neighbours blurs the picture.
It is the setting of Stetter et al. (2012) and of the ChaLearn connectomics challenge of 2014.

References
----------
Stetter O, Battaglia D, Soriano J, Geisel T (2012). Model-free reconstruction of excitatory
neuronal connectivity from calcium imaging signals. PLoS Comput Biol 8:e1002653.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
