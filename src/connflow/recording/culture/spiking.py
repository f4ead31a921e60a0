"""The spikes of a culture: leaky integrate-and-fire units with depressing synapses."""

import logging
import math
from collections.abc import Iterator

import numba
import numpy as np
from numpy.typing import NDArray

from connflow.progress import track
from connflow.recording._lif import (
    Drive,
    Membrane,
    State,
    Synapses,
    _integrate,
    initial_state,
    most_spikes,
)
from connflow.recording.culture.params import STEPS_PER_SECOND, TIME_STEP_S, CultureParams
from connflow.recording.culture.wiring import (
    draw_weights,
    generator,
    place_units,
    steps_of,
    to_synapses,
)
from connflow.recording.model import SpikeRecording, unit_table

CHUNK_STEPS = STEPS_PER_SECOND  # the drive of one second is held at a time

logger = logging.getLogger(__name__)


def simulate_culture_spikes(params: CultureParams) -> SpikeRecording:
    """Draw a culture, run it, and return its spikes with the wiring that made them.

    Parameters
    ----------
    params : CultureParams
        See there.

    Returns
    -------
    SpikeRecording
        Spike times on the grid of 0.1 ms from 0 to `duration_s`; `weights` of rested synapses in
        mV, ``[source, target]``; the unit table has the columns `x_mm`, `y_mm` and `cell_type`.

    References
    ----------
    Tsodyks M, Markram H (1997). The neural code between neocortical pyramidal neurons depends on
    neurotransmitter release probability. PNAS 94:719-723.
    """
    weights = draw_weights(params)
    spike_steps, spike_units = _run(params, to_synapses(weights, params))
    rate_hz = len(spike_steps) / params.n_units / params.duration_s
    logger.info("simulated %d units for %g s: %.2f Hz", params.n_units, params.duration_s, rate_hz)
    units = unit_table(np.arange(params.n_units))
    units[["x_mm", "y_mm"]] = place_units(params)
    units["cell_type"] = "excitatory"
    return SpikeRecording(
        spike_times=spike_steps / STEPS_PER_SECOND,
        spike_units=spike_units,
        units=units,
        t_start=0.0,
        t_stop=params.duration_s,
        weights=weights,
    )


def _run(params: CultureParams, synapses: Synapses) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return time step (warm-up taken off) and unit of each spike, ascending by step."""
    membrane = Membrane(
        decay=math.exp(-TIME_STEP_S / params.tau_membrane_s),
        threshold=params.threshold_mv,
        reset=0.0,
        refractory_steps=steps_of(params.refractory_s),
    )
    n_warmup, n_steps = steps_of(params.warmup_s), steps_of(params.duration_s)
    state = initial_state(params.n_units, steps_of(params.delay_max_s))
    resources = np.ones(params.n_units)
    last_step = np.full(params.n_units, -n_warmup, np.int64)
    recovery = TIME_STEP_S / params.tau_recovery_s
    room = most_spikes(params.n_units, CHUNK_STEPS, membrane.refractory_steps)
    steps, units = np.empty(room, np.int64), np.empty(room, np.int32)
    kept = [(np.empty(0, np.int64), np.empty(0, np.int32))]
    step = -n_warmup
    for drive in track(_generate_drive(params), -(-(n_warmup + n_steps) // CHUNK_STEPS)):
        n_spikes = _advance(
            membrane,
            synapses,
            state,
            drive,
            resources,
            last_step,
            params.release_fraction,
            recovery,
            step,
            steps,
            units,
        )
        step += drive.counts.size
        first = np.searchsorted(steps[:n_spikes], 0)
        kept.append((steps[first:n_spikes].copy(), units[first:n_spikes].copy()))
    return np.concatenate([s for s, _ in kept]), np.concatenate([u for _, u in kept])


def _generate_drive(params: CultureParams) -> Iterator[Drive]:
    """Yield the independent Poisson input of every unit, a chunk at a time."""
    counting, picking = generator(params, "counts"), generator(params, "picks")
    mean = params.n_units * params.external_rate_hz * TIME_STEP_S
    n_steps = steps_of(params.warmup_s) + steps_of(params.duration_s)
    for done in range(0, n_steps, CHUNK_STEPS):
        counts = counting.poisson(mean, min(CHUNK_STEPS, n_steps - done))
        targets = picking.integers(0, params.n_units, counts.sum(), np.int32)
        yield Drive(counts, targets, params.external_weight_mv)


@numba.njit(cache=True, nogil=True)
def _advance(
    membrane: Membrane,
    synapses: Synapses,
    state: State,
    drive: Drive,
    resources: NDArray[np.float64],
    last_step: NDArray[np.int64],
    release: float,
    recovery: float,
    first_step: int,
    spike_steps: NDArray[np.int64],
    spike_units: NDArray[np.int32],
) -> int:
    """Simulate the steps that `drive` covers, write the spikes down, and return their number.

    As `connflow.recording._lif.advance`, but a spike sends ``weight * resources`` of its source,
    which then drop by the share `release` and recover by the rate `recovery` a step.
    """
    n_slots = state.pending.shape[0]
    n_spikes, event = 0, 0
    for k in range(drive.counts.size):
        step = first_step + k
        arriving = state.pending[step % n_slots]
        for _ in range(drive.counts[k]):
            arriving[drive.targets[event]] += drive.weight
            event += 1
        if _integrate(membrane, state, arriving) == 0:
            continue
        for i in range(state.potential.size):
            if state.potential[i] >= membrane.threshold:
                state.potential[i] = membrane.reset
                state.waiting[i] = membrane.refractory_steps
                spike_steps[n_spikes] = step
                spike_units[n_spikes] = i
                n_spikes += 1
                rested = 1 - (1 - resources[i]) * math.exp((last_step[i] - step) * recovery)
                resources[i], last_step[i] = rested * (1 - release), step
                for s in range(synapses.starts[i], synapses.starts[i + 1]):
                    slot = (step + synapses.delay_steps[s]) % n_slots
                    state.pending[slot, synapses.targets[s]] += synapses.weights[s] * rested
    return n_spikes
