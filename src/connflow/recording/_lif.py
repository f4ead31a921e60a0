"""The inner loop of the network simulator: leaky integrate-and-fire units with delta synapses.

In come the outgoing synapses of each unit, the units' state and a stretch of external input
events; out go the spikes of that stretch, and the state moves on. Every number is on the grid of
`TIME_STEP_S`. The model is the `iaf_psc_delta` of NEST with its exact integration (Rotter and
Diesmann 1999); its potentials count from rest.

References
----------
Rotter S, Diesmann M (1999). Exact digital simulation of time-invariant linear systems with
applications to neuronal modeling. Biological Cybernetics 81:381-402.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])


def _compiled(function: Function) -> Function:
    # njit has no types of its own; this keeps the function's
    return cast(Function, njit(cache=True, nogil=True)(function))


class Membrane(NamedTuple):
    """What all units have in common.

    Parameters
    ----------
    decay : float
        Share of the potential left after one step, ``exp(-dt / tau)``.
    threshold, reset : float
        mV above rest.
    refractory_steps : int
        Steps after a spike during which the potential stays at `reset` and input is lost.
    """

    decay: float
    threshold: float
    reset: float
    refractory_steps: int


class Synapses(NamedTuple):
    """Outgoing synapses of every unit, one source after the other.

    Parameters
    ----------
    starts : (n_units + 1,) int64
        The synapses of source i are ``starts[i]:starts[i + 1]``.
    targets : (n_synapses,) int32
        Ascending within a source.
    weights : (n_synapses,) float64
        mV, signed.
    delay_steps : (n_synapses,) int32
        At least 1.
    """

    starts: NDArray[np.int64]
    targets: NDArray[np.int32]
    weights: NDArray[np.float64]
    delay_steps: NDArray[np.int32]


class Drive(NamedTuple):
    """External input events of a stretch of time.

    Parameters
    ----------
    counts : (n_steps,) int64
        Events in each step, over all units.
    targets : (counts.sum(),) int32
        The unit that each event meets, step after step.
    weight : float
        mV of one event.
    """

    counts: NDArray[np.int64]
    targets: NDArray[np.int32]
    weight: float


class State(NamedTuple):
    """Where the network stands; `advance` changes it in place.

    Parameters
    ----------
    potential : (n_units,) float64
        mV above rest.
    waiting : (n_units,) int64
        Refractory steps still to go.
    pending : (n_slots, n_units) float64
        Input under way, mV: row ``step % n_slots`` arrives in `step`. One row more than the
        longest delay.
    """

    potential: NDArray[np.float64]
    waiting: NDArray[np.int64]
    pending: NDArray[np.float64]


def initial_state(n_units: int, longest_delay_steps: int) -> State:
    """Return a network at rest with no input under way."""
    return State(
        potential=np.zeros(n_units),
        waiting=np.zeros(n_units, np.int64),
        pending=np.zeros((longest_delay_steps + 1, n_units)),
    )


@_compiled
def _integrate(
    membrane: Membrane, state: State, arriving: NDArray[np.float64]
) -> int:  # one branch-free pass, so that LLVM makes vector code of it
    potential, waiting = state.potential, state.waiting
    n_above = 0
    for i in range(potential.size):
        v = membrane.decay * potential[i] + arriving[i]
        v = membrane.reset if waiting[i] > 0 else v
        waiting[i] = max(waiting[i] - 1, 0)
        arriving[i] = 0.0
        potential[i] = v
        n_above += v >= membrane.threshold
    return n_above


@_compiled
def _send(synapses: Synapses, pending: NDArray[np.float64], source: int, step: int) -> None:
    n_slots = pending.shape[0]
    now = step % n_slots
    for s in range(synapses.starts[source], synapses.starts[source + 1]):
        slot = now + synapses.delay_steps[s]
        slot -= n_slots if slot >= n_slots else 0
        pending[slot, synapses.targets[s]] += synapses.weights[s]


@_compiled
def advance(
    membrane: Membrane,
    synapses: Synapses,
    state: State,
    drive: Drive,
    first_step: int,
    spike_steps: NDArray[np.int64],
    spike_units: NDArray[np.int32],
) -> int:
    """Simulate the steps that `drive` covers and write the spikes down.

    Parameters
    ----------
    membrane, synapses, drive
        See there.
    state
        Changed in place.
    first_step : int
        Number of the first step; its input is the first of `drive`.
    spike_steps, spike_units : (capacity,) int64, int32
        Filled with the step and the unit of each spike, ascending by step, then by unit. The
        caller gives room for the most spikes there can be, `most_spikes`.

    Returns
    -------
    int
        Number of spikes written.

    Notes
    -----
    In each step ``potential = decay * potential + arriving``, where `arriving` sums the weights of
    all spikes whose step plus delay is this step, and the external events of this step. A unit
    with ``potential >= threshold`` spikes in this step, stays at `reset` for `refractory_steps`
    further ones and loses what arrives in them.
    """
    n_slots = state.pending.shape[0]
    n_spikes = 0
    event = 0
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
                _send(synapses, state.pending, i, step)
    return n_spikes


def most_spikes(n_units: int, n_steps: int, refractory_steps: int) -> int:
    """Return the largest number of spikes that so many units can fire in so many steps."""
    return n_units * -(-n_steps // (refractory_steps + 1))
