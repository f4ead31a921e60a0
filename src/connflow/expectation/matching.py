"""Networks that stand in for a recording: as many units, as active, of assumed wiring.

Each network has another wiring: the probability of a synapse and the size of synapses are spread
over the ranges that are assumed. What is measured is then matched by short simulations: the mean
rate by the external drive, and what the units' rates share by a drive that they share.
"""

import logging
import math
from collections.abc import Callable

import numpy as np
from scipy.stats import qmc

from connflow.expectation.measures import Measures, measure_shared
from connflow.expectation.params import RANGES, ExpectationParams
from connflow.expectation.standin import StandIn
from connflow.progress import track
from connflow.recording.model import SpikeRecording
from connflow.recording.network import STEPS_PER_SECOND, NetworkParams, simulate_network

logger = logging.getLogger(__name__)

SYNAPSE_MV, SYNAPSE_INPUTS = 0.8, 30.0
"""NetworkParams: synapses of this size suit so many inputs."""

_MOST_INHIBITION = 100.0
DRIVES_HZ = (20.0, 20_000.0)
_PRECISE = 1.03  # highest over lowest drive that is left
_NEAR = (0.3, 1.1)  # of its steady drive, that a network needs when the drive is modulated
RATES_HZ = (0.05, 50.0)
_N_SPIKES = 3000  # that a short simulation should hold
_SHORT_S = (4.0, 40.0)
_LONG_S = 100.0  # where a slow modulation asks for more
_GLANCE = 0.1  # of a short simulation
_N_TAUS = 100.0  # correlation times of a shared drive over which its mean is sure enough
_MOST_SHARED = 1.0
_N_ROUNDS = 2


def choose_stand_ins(measures: Measures, params: ExpectationParams) -> list[StandIn]:
    """Choose networks that stand in for a recording, each at every duration asked for.

    Parameters
    ----------
    measures : Measures
        Of the recording.
    params : ExpectationParams
        Number of networks, and what is assumed of their wiring.

    Returns
    -------
    list of StandIn
        All durations of the first network, then those of the second, and so on; empty where the
        recording shows no activity that could be matched.
    """
    if not measures.rate_hz > 0:
        logger.warning("no unit shows activity: no network can be made like this recording")
        return []
    rate_hz = min(max(measures.rate_hz, RATES_HZ[0]), RATES_HZ[1])
    chosen = []
    for network in track(design_networks(measures, params), params.n_networks):
        matched = match_activity(network, rate_hz, measures.shared_sd, measures.shared_tau_s)
        chosen += [_watched(matched, factor, measures) for factor in params.duration_factors]
    return chosen


def _watched(network: NetworkParams, factor: float, measures: Measures) -> StandIn:
    duration_s = on_grid(factor * network.duration_s)
    return StandIn(
        network=network.model_copy(update={"duration_s": duration_s}),
        duration_factor=factor,
        frame_rate_hz=measures.frame_rate_hz,
        tau_s=measures.tau_s,
        noise_sd=measures.noise_sd,
    )


def design_networks(measures: Measures, params: ExpectationParams) -> list[NetworkParams]:
    """Return networks whose wiring is spread over what is assumed; their drive is not matched yet.

    Notes
    -----
    The wirings are points of a Latin hypercube over the ranges, even in logarithm. A synapse has
    ``scale 0.8 sqrt(30 / K)`` mV, K the mean number of inputs, see `NetworkParams`.
    """
    return [
        _design(measures, params, point, params.seed + number)
        for number, point in enumerate(_spread(params))
    ]


def design_middle(measures: Measures, params: ExpectationParams) -> NetworkParams:
    """Return a network in the middle of the ranges; its drive is not matched."""
    middle = np.exp(np.log([getattr(params, name) for name in RANGES]).mean(axis=1))
    return _design(measures, params, middle.tolist(), params.seed)


def _design(
    measures: Measures, params: ExpectationParams, point: list[float], seed: int
) -> NetworkParams:
    n_seen = max(measures.n_units, params.min_units)
    n_units = min(round(n_seen / params.observed_fraction), params.max_units)
    density, scale, log_sd, inhibition, f = point
    return NetworkParams(
        n_units=n_units,
        observed_fraction=params.observed_fraction,
        duration_s=on_grid(min(measures.duration_s, params.max_duration_s)),
        seed=seed,
        excitatory_fraction=f,
        connection_probability=density,
        weight_mean_mv=SYNAPSE_MV * scale * math.sqrt(SYNAPSE_INPUTS / (density * n_units)),
        weight_log_sd=log_sd,
        inhibition_factor=min(_MOST_INHIBITION, inhibition * f / max(1 - f, 1e-9)),
    )


def _spread(params: ExpectationParams) -> list[list[float]]:
    low, high = np.log([getattr(params, name) for name in RANGES]).T
    generator = np.random.default_rng(params.seed)
    cube = qmc.LatinHypercube(len(RANGES), rng=generator).random(params.n_networks)
    points: list[list[float]] = np.exp(low + cube * (high - low)).tolist()
    return points


def match_activity(
    network: NetworkParams, rate_hz: float, shared_sd: float = 0.0, shared_tau_s: float = 0.1
) -> NetworkParams:
    """Return the network with the drive that gives it this rate, and rates that share so much.

    Notes
    -----
    The rate rises with the external rate, which is found by halving an interval of its logarithm.
    What is shared grows in proportion to the modulation of the drive, beyond what the network has
    by itself; how steeply, is measured.
    """
    network = _at_rate(network, rate_hz, DRIVES_HZ)
    own, _ = measure_shared(simulate_short(network, rate_hz))
    missing = math.sqrt(max(0.0, shared_sd**2 - own**2))
    sd = 0.3 * missing
    for _ in range(_N_ROUNDS if missing else 0):
        modulated = _modulated(network, sd, shared_tau_s, rate_hz)
        now, _ = measure_shared(simulate_short(modulated, rate_hz))
        added = math.sqrt(max(now**2 - own**2, (0.2 * missing) ** 2))
        sd = min(_MOST_SHARED, sd * missing / added)
    return _modulated(network, sd, shared_tau_s, rate_hz) if missing else network


def _modulated(network: NetworkParams, sd: float, tau_s: float, rate_hz: float) -> NetworkParams:
    """Return the network with another modulation of its drive, at the same rate."""
    shared = {"common_drive_sd": sd, "common_drive_tau_s": tau_s}
    low, high = (share * network.external_rate_hz for share in _NEAR)
    return _at_rate(network.model_copy(update=shared), rate_hz, (low, high))


def _at_rate(
    network: NetworkParams, rate_hz: float, drives_hz: tuple[float, float]
) -> NetworkParams:
    return halve_drives(network, drives_hz, lambda driven: _is_too_slow(driven, rate_hz))


def halve_drives(
    network: NetworkParams,
    drives_hz: tuple[float, float],
    is_too_low: Callable[[NetworkParams], bool],
) -> NetworkParams:
    """Halve the logarithm of an interval of drives until it is narrow."""
    low, high = drives_hz
    while high / low > _PRECISE:
        middle = math.sqrt(low * high)
        driven = network.model_copy(update={"external_rate_hz": middle})
        low, high = (middle, high) if is_too_low(driven) else (low, middle)
    return network.model_copy(update={"external_rate_hz": math.sqrt(low * high)})


def _is_too_slow(network: NetworkParams, rate_hz: float) -> bool:
    """Whether a network fires less often than that; for a steady drive a glance may tell."""
    if not network.common_drive_sd:
        glanced_hz = rate_of(simulate_short(network, rate_hz, _GLANCE))
        if not 0.5 < glanced_hz / rate_hz < 2:
            return glanced_hz < rate_hz
    return rate_of(simulate_short(network, rate_hz)) < rate_hz


def rate_of(recording: SpikeRecording) -> float:
    """Return the mean rate of all units: those that are silent for so short a time count too."""
    return len(recording.spike_times) / recording.n_units / recording.duration_s


def simulate_short(network: NetworkParams, rate_hz: float, share: float = 1.0) -> SpikeRecording:
    """Simulate a network just long enough to measure it, if it fires at about this rate."""
    needed_s = min(max(_N_SPIKES / (network.n_units * rate_hz), _SHORT_S[0]), _SHORT_S[1])
    if network.common_drive_sd:
        needed_s = max(needed_s, min(_N_TAUS * network.common_drive_tau_s, _LONG_S))
    short = {"duration_s": on_grid(share * needed_s), "observed_fraction": 1.0}
    return simulate_network(network.model_copy(update=short))


def on_grid(seconds: float) -> float:
    """Return the duration in whole steps of the simulation, at least one."""
    return max(1, round(seconds * STEPS_PER_SECOND)) / STEPS_PER_SECOND
