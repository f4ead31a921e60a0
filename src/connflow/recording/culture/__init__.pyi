from .fluorescence import culture_fluorescence, simulate_culture
from .params import CULTURE_VERSION, CultureParams
from .spiking import simulate_culture_spikes

__all__ = [
    "CULTURE_VERSION",
    "CultureParams",
    "culture_fluorescence",
    "simulate_culture",
    "simulate_culture_spikes",
]
