"""Drawing the wiring and the drive of a network, and running it."""

import logging
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from connflow.progress import track
from connflow.recording._lif import (
    Drive,
    Membrane,
    Synapses,
    advance,
    initial_state,
    most_spikes,
)
from connflow.recording.model import SpikeRecording, unit_table
from connflow.recording.network.params import STEPS_PER_SECOND, TIME_STEP_S, NetworkParams

CHUNK_STEPS = STEPS_PER_SECOND  # the drive of one second is held at a time

logger = logging.getLogger(__name__)


def simulate_network(params: NetworkParams) -> SpikeRecording:
    """Draw a network, run it, and return its spikes with the wiring that made them.

    Parameters
    ----------
    params : NetworkParams
        See there.

    Returns
    -------
    SpikeRecording
        Spike times on the grid of 0.1 ms from 0 to `duration_s`; `weights` in mV, signed,
        ``[source, target]``; the unit table has the column `cell_type`, ``excitatory`` or
        ``inhibitory``. A shorter run of the same seed is the first part of a longer one.

    Examples
    --------
    >>> recording = simulate_network(NetworkParams(n_units=50, duration_s=2.0))
    >>> recording.n_units, recording.duration_s
    (50, 2.0)
    """
    synapses = draw_synapses(params)
    spike_steps, spike_units = run_network(params, synapses)
    rate_hz = len(spike_steps) / params.n_units / params.duration_s
    logger.info(
        "simulated %d units for %g s: %.2f Hz",
        params.n_units,
        params.duration_s,
        rate_hz,
    )
    units = unit_table(np.arange(params.n_units))
    units["cell_type"] = np.where(units.index < n_excitatory(params), "excitatory", "inhibitory")
    return SpikeRecording(
        spike_times=spike_steps / STEPS_PER_SECOND,
        spike_units=spike_units,
        units=units,
        t_start=0.0,
        t_stop=params.duration_s,
        weights=weight_matrix(synapses),
    )


def run_network(
    params: NetworkParams, synapses: Synapses
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return time step (warm-up taken off) and unit of each spike, ascending by step."""
    membrane, n_units = membrane_of(params), params.n_units
    n_warmup, n_steps = steps_of(params.warmup_s), steps_of(params.duration_s)
    state = initial_state(n_units, steps_of(params.delay_max_s))
    room = most_spikes(n_units, CHUNK_STEPS, membrane.refractory_steps)
    steps, units = np.empty(room, np.int64), np.empty(room, np.int32)
    kept: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
    step = -n_warmup
    for drive in track(generate_drive(params), -(-(n_warmup + n_steps) // CHUNK_STEPS)):
        n_spikes = advance(membrane, synapses, state, drive, step, steps, units)
        step += drive.counts.size
        first = np.searchsorted(steps[:n_spikes], 0)
        kept.append((steps[first:n_spikes].copy(), units[first:n_spikes].copy()))
    return np.concatenate([s for s, _ in kept]), np.concatenate([u for _, u in kept])


def draw_synapses(params: NetworkParams) -> Synapses:
    """Draw the wiring: who is connected, how strongly, after which delay.

    Parameters
    ----------
    params : NetworkParams
        See there.

    Returns
    -------
    Synapses
        Without synapses of a unit on itself. Weights are exactly those of `weight_matrix`.

    Notes
    -----
    ``weight = weight_mean_mv exp(weight_log_sd z - weight_log_sd^2 / 2)`` with z standard normal,
    times ``-inhibition_factor`` where the source is inhibitory. Delays are uniform on the grid
    from `delay_min_s` to `delay_max_s`.
    """
    targets = _draw_targets(params)
    n_outputs = [len(row) for row in targets]
    starts = np.concatenate(([0], np.cumsum(n_outputs)))
    shortest, longest = steps_of(params.delay_min_s), steps_of(params.delay_max_s)
    delays = _generator(params.seed, "delays")
    return Synapses(
        starts=starts.astype(np.int64),
        targets=np.concatenate(targets),
        weights=_draw_weights(params, n_outputs),
        delay_steps=delays.integers(shortest, longest + 1, starts[-1], np.int32),
    )


def _draw_targets(params: NetworkParams) -> list[NDArray[np.int32]]:
    rng = _generator(params.seed, "targets")
    targets = []
    for source in range(params.n_units):  # a row at a time: no matrix of random numbers
        connected = rng.random(params.n_units) < params.connection_probability
        connected[source] = False
        targets.append(np.flatnonzero(connected).astype(np.int32))
    return targets


def _draw_weights(params: NetworkParams, n_outputs: list[int]) -> NDArray[np.float64]:
    sd = params.weight_log_sd
    scale = np.full(params.n_units, params.weight_mean_mv)
    scale[n_excitatory(params) :] *= -params.inhibition_factor
    z = _generator(params.seed, "weights").standard_normal(sum(n_outputs))
    weights = np.repeat(scale, n_outputs) * np.exp(sd * z - sd**2 / 2)
    # what is simulated is what `weights` of the recording can hold
    return weights.astype(np.float32).astype(np.float64)


def weight_matrix(synapses: Synapses) -> NDArray[np.float32]:
    """Return the signed weights as a matrix ``[source, target]``, mV, (n_units, n_units)."""
    n_units = len(synapses.starts) - 1
    sources = np.repeat(np.arange(n_units), np.diff(synapses.starts))
    weights = np.zeros((n_units, n_units), np.float32)
    weights[sources, synapses.targets] = synapses.weights
    return weights


def generate_drive(params: NetworkParams) -> Iterator[Drive]:
    """Yield the external Poisson input of the whole run, warm-up included, a chunk at a time.

    Notes
    -----
    The events of all units together are Poisson of rate ``n_units * external_rate_hz`` and each
    meets a random unit; so each unit's events are Poisson of `external_rate_hz`, independently.
    """
    counting, picking = (
        _generator(params.seed, "counts"),
        _generator(params.seed, "picks"),
    )
    mean = params.n_units * params.external_rate_hz * TIME_STEP_S
    n_steps = steps_of(params.warmup_s) + steps_of(params.duration_s)
    for done in range(0, n_steps, CHUNK_STEPS):
        counts = counting.poisson(mean, min(CHUNK_STEPS, n_steps - done))
        targets = picking.integers(0, params.n_units, counts.sum(), np.int32)
        yield Drive(counts, targets, params.external_weight_mv)


def membrane_of(params: NetworkParams) -> Membrane:
    """Return what the kernel needs to know of a unit."""
    return Membrane(
        decay=math.exp(-TIME_STEP_S / params.tau_membrane_s),
        threshold=params.threshold_mv,
        reset=params.reset_mv,
        refractory_steps=steps_of(params.refractory_s),
    )


def n_excitatory(params: NetworkParams) -> int:
    """Return the number of excitatory units; they come first."""
    return round(params.excitatory_fraction * params.n_units)


def steps_of(seconds: float) -> int:
    """Return the number of time steps in so many seconds."""
    return round(seconds * STEPS_PER_SECOND)


def _generator(
    seed: int, stream: Literal["targets", "weights", "delays", "counts", "picks"]
) -> np.random.Generator:
    # a stream each, so that none moves when another is drawn from more or less often
    index = ("targets", "weights", "delays", "counts", "picks").index(stream)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed).spawn(5)[index]))
