from .params import CALCIUM_VERSION, CalciumParams
from .simulation import simulate_calcium

__all__ = [
    "CALCIUM_VERSION",
    "CalciumParams",
    "simulate_calcium",
]
