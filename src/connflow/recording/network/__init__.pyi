from .params import NETWORK_VERSION, STEPS_PER_SECOND, TIME_STEP_S, NetworkParams
from .simulation import (
    draw_synapses,
    generate_drive,
    membrane_of,
    n_excitatory,
    run_network,
    simulate_network,
    steps_of,
    weight_matrix,
)

__all__ = [
    "NETWORK_VERSION",
    "STEPS_PER_SECOND",
    "TIME_STEP_S",
    "NetworkParams",
    "draw_synapses",
    "generate_drive",
    "membrane_of",
    "n_excitatory",
    "run_network",
    "simulate_network",
    "steps_of",
    "weight_matrix",
]
