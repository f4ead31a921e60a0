"""Drawing the wiring and the drive of a network, and running it."""

import logging
import math
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

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
Stream = Literal["targets", "weights", "delays", "counts", "picks", "modulation", "observed"]

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
        ``inhibitory``. A shorter run of the same seed is the first part of a longer one. With
        `observed_fraction` below 1 the units are those that are recorded, under the ids that
        they have in the whole network, with the synapses among them.

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
    observed = observed_units(params)
    units = unit_table(observed)
    units["cell_type"] = np.where(observed < n_excitatory(params), "excitatory", "inhibitory")
    row = np.full(params.n_units, -1, np.int32)
    row[observed] = np.arange(len(observed), dtype=np.int32)
    seen = row[spike_units] >= 0
    return SpikeRecording(
        spike_times=spike_steps[seen] / STEPS_PER_SECOND,
        spike_units=row[spike_units[seen]],
        units=units,
        t_start=0.0,
        t_stop=params.duration_s,
        weights=weight_matrix(synapses)[np.ix_(observed, observed)],
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
    if params.fixed_in_degree:
        return _draw_equal_inputs(params, rng)
    targets = []
    for source in range(params.n_units):  # a row at a time: no matrix of random numbers
        connected = rng.random(params.n_units) < params.connection_probability
        connected[source] = False
        targets.append(np.flatnonzero(connected).astype(np.int32))
    return targets


def _draw_equal_inputs(params: NetworkParams, rng: np.random.Generator) -> list[NDArray[np.int32]]:
    """Draw as many excitatory and as many inhibitory sources for every unit; return by source."""
    n_units, n_exc = params.n_units, n_excitatory(params)
    targets_of: list[list[int]] = [[] for _ in range(n_units)]
    for target in range(n_units):
        for population in (range(n_exc), range(n_exc, n_units)):
            others = [source for source in population if source != target]
            n_inputs = min(round(params.connection_probability * len(population)), len(others))
            for source in rng.choice(np.array(others, np.int64), n_inputs, replace=False):
                targets_of[source].append(target)
    return [np.array(targets, np.int32) for targets in targets_of]


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

    With a common drive the rate is multiplied by ``max(0, 1 + common_drive_sd x)``, x being the
    modulation that all units share (`_modulation`).
    """
    counting, picking = (
        _generator(params.seed, "counts"),
        _generator(params.seed, "picks"),
    )
    mean = params.n_units * params.external_rate_hz * TIME_STEP_S
    modulation = _modulation(params)
    for n_steps in _chunks(params):
        if params.common_drive_sd:
            shared = np.maximum(0, 1 + params.common_drive_sd * next(modulation))
            counts = counting.poisson(mean * shared)
        else:
            counts = counting.poisson(mean, n_steps)
        targets = picking.integers(0, params.n_units, counts.sum(), np.int32)
        yield Drive(counts, targets, params.external_weight_mv)


def _modulation(params: NetworkParams) -> Iterator[NDArray[np.float64]]:
    """Yield an Ornstein-Uhlenbeck process of unit variance, a chunk at a time.

    Notes
    -----
    ``x[k] = a x[k-1] + sqrt(1 - a^2) e[k]`` with ``a = exp(-dt / common_drive_tau_s)`` and e
    standard normal; x starts in its stationary distribution.
    """
    rng = _generator(params.seed, "modulation")
    a = math.exp(-TIME_STEP_S / params.common_drive_tau_s)
    x = rng.standard_normal()
    for n_steps in _chunks(params):
        noise = math.sqrt(1 - a**2) * rng.standard_normal(n_steps)
        values, _ = lfilter([1.0], [1.0, -a], noise, zi=[a * x])
        x = float(values[-1])
        yield values


def _chunks(params: NetworkParams) -> Iterator[int]:
    """Yield the number of steps of each chunk of the run, warm-up included."""
    n_steps = steps_of(params.warmup_s) + steps_of(params.duration_s)
    for done in range(0, n_steps, CHUNK_STEPS):
        yield min(CHUNK_STEPS, n_steps - done)


def observed_units(params: NetworkParams) -> NDArray[np.int64]:
    """Return the units that are recorded, ascending; at least two."""
    n_observed = max(2, round(params.observed_fraction * params.n_units))
    drawn = _generator(params.seed, "observed").permutation(params.n_units)
    return np.sort(drawn[:n_observed]).astype(np.int64)


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


def _generator(seed: int, stream: Stream) -> np.random.Generator:
    # a stream each, so that none moves when another is drawn from more or less often
    streams = get_args(Stream)
    spawned = np.random.SeedSequence(seed).spawn(len(streams))[streams.index(stream)]
    return np.random.Generator(np.random.PCG64(spawned))
