"""A balanced network of leaky integrate-and-fire units: spikes together with their true wiring.

Parameters come in; a `SpikeRecording` goes out whose `weights` are the synapses that made the
spikes. The network is the sparse random one of Brunel (2000) with log-normal weights and a spread
of delays, driven by independent Poisson input to each unit.

References
----------
Brunel N (2000). Dynamics of sparsely connected networks of excitatory and inhibitory spiking
neurons. Journal of Computational Neuroscience 8:183-208.
"""

import logging
import math
from collections.abc import Iterator
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from connflow.params import StepParams
from connflow.progress import track
from connflow.recording._lif import (
    STEPS_PER_SECOND,
    TIME_STEP_S,
    Drive,
    Membrane,
    Synapses,
    advance,
    initial_state,
    most_spikes,
)
from connflow.recording.model import SpikeRecording, unit_table

NETWORK_VERSION = 1
CHUNK_STEPS = STEPS_PER_SECOND  # the drive of one second is held at a time

logger = logging.getLogger(__name__)


class NetworkParams(StepParams):
    """A balanced random network and how long to watch it.

    Notes
    -----
    A unit has on average ``K = connection_probability n_units`` inputs. At a mean rate r they
    give it a mean input of ``tau r weight_mean_mv K (f - (1 - f) g)`` mV, with f the
    `excitatory_fraction` and g the `inhibition_factor`, and a variance of
    ``tau / 2 r weight_mean_mv^2 exp(weight_log_sd^2) K (f + (1 - f) g^2)`` mV². The external drive
    sets the mean potential, ``tau external_rate_hz external_weight_mv`` mV, below threshold, so
    that fluctuations make the spikes. Keep ``g > f / (1 - f)``, or the network saturates.

    The defaults fire irregularly at 5 to 7 Hz from 100 to 1000 units. Their synapses suit K of
    about 30; `weight_mean_mv` does not follow `n_units` by itself. With larger K units
    synchronise, the mean pairwise correlation (5 ms) growing from 0.004 at 300 units to 0.02 at
    1000; ``weight_mean_mv = 0.8 sqrt(30 / K)``, 0.44 mV at 1000 units, keeps it below 0.005.
    """

    source: Literal["network"] = Field(
        "network", description="Kind of recording: simulated network."
    )
    n_units: int = Field(300, ge=2, le=20_000, description="Number of units, 2 to 20000.")
    duration_s: float = Field(
        600.0,
        ge=TIME_STEP_S,
        le=1e6,
        description="Length of the recording, s, 0.0001 to 1000000, by 0.1 ms.",
    )
    seed: int = Field(0, ge=0, description="Seed of wiring and drive, an integer from 0 on.")
    excitatory_fraction: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of excitatory units, 0 to 1; they come first.",
    )
    connection_probability: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Probability of a synapse for each ordered pair, 0 to 1.",
    )
    weight_mean_mv: float = Field(
        0.8,
        gt=0,
        le=100,
        description="Mean size of an excitatory synapse, mV, above 0 to 100.",
    )
    weight_log_sd: float = Field(
        0.4,
        ge=0,
        le=3,
        description="Standard deviation of the weights' logarithm, 0 to 3.",
    )
    inhibition_factor: float = Field(
        7.0,
        ge=0,
        le=100,
        description="Mean inhibitory over excitatory weight (g), 0 to 100.",
    )
    delay_min_s: float = Field(
        0.001,
        ge=TIME_STEP_S,
        le=1,
        description="Shortest delay, s, 0.0001 to 1, by 0.1 ms.",
    )
    delay_max_s: float = Field(
        0.003,
        ge=TIME_STEP_S,
        le=1,
        description="Longest delay, s, delay_min_s to 1, by 0.1 ms.",
    )
    tau_membrane_s: float = Field(
        0.02, gt=0, le=10, description="Membrane time constant, s, above 0 to 10."
    )
    refractory_s: float = Field(
        0.002,
        ge=TIME_STEP_S,
        le=1,
        description="Dead time after a spike, s, 0.0001 to 1.",
    )
    threshold_mv: float = Field(
        20.0, gt=0, description="Threshold, mV above rest, above 0 and reset_mv."
    )
    reset_mv: float = Field(
        10.0, description="Potential after a spike, mV above rest, below threshold_mv."
    )
    external_rate_hz: float = Field(
        500.0,
        ge=0,
        le=2e4,
        description="Rate of the Poisson input to each unit, Hz, 0 to 20000.",
    )
    external_weight_mv: float = Field(
        1.4, ge=-100, le=100, description="Size of one external event, mV, -100 to 100."
    )
    warmup_s: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Start of the run that is thrown away, s, 0 to 1000.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.reset_mv >= self.threshold_mv:
            raise ValueError("reset_mv must be below threshold_mv, or a unit never stops firing")
        if self.delay_max_s < self.delay_min_s:
            raise ValueError("delay_max_s must be at least delay_min_s")
        return self

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        for name in (
            "duration_s",
            "delay_min_s",
            "delay_max_s",
            "refractory_s",
            "warmup_s",
        ):
            steps = getattr(self, name) * STEPS_PER_SECOND
            if abs(steps - round(steps)) > 1e-3:
                raise ValueError(f"{name} must be a multiple of the time step of 0.0001 s")
        return self


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
