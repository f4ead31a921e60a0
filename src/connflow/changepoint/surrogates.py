"""Surrogate trials: what a population does beyond its parts, destroyed in one way each.

- ``trial_shuffled``: trials are permuted for each unit by itself. Each unit keeps all its trains,
  and so its mean time course; who is active with whom in a trial is lost.
- ``spike_shuffled``: at each time, trials are permuted for the whole population. Population vectors
  at each time, and so the mean time course, are kept; what follows what in a trial is lost.
- ``simulated``: counts are drawn from the mean time course of each unit.
- ``circular_shift``: each unit of each trial is rotated in time by its own lag. Counts and circular
  autocorrelations are kept; what happens when, and together, is lost.

Where trials have conditions, trials are permuted and averaged within them.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from connflow.errors import InvalidInputError
from connflow.trials.model import Trials

Floats = NDArray[np.float64]
Seed = tuple[int, int]
"""That of the surrogates, and the place of the condition."""


def make_surrogate(trials: Trials, kind: str, seed: int) -> Trials:
    """Return surrogate trials of a kind; see the module.

    Parameters
    ----------
    trials : Trials
    kind : str
        trial_shuffled, spike_shuffled, simulated or circular_shift.
    seed : int
        Units draw from streams of their own, by their id, and so do conditions, by their place.

    Raises
    ------
    InvalidInputError
        If counts are to be simulated, and the values are none.
    """
    values = trials.values.copy()
    for number, members in enumerate(trials.trials_of_conditions):
        values[members] = _MAKERS[kind](values[members], trials.unit_ids, (seed, number))
    return replace(trials, values=values)


def _rng(seed: Seed, unit: int) -> np.random.Generator:
    return np.random.default_rng([*seed, int(unit) & 0xFFFFFFFF])


def _shuffle_trials(values: Floats, unit_ids: NDArray[np.int64], seed: Seed) -> Floats:
    shuffled = np.empty_like(values)
    for place, unit in enumerate(unit_ids):
        shuffled[:, :, place] = _rng(seed, unit).permutation(values[:, :, place], axis=0)
    return shuffled


def _shuffle_vectors(values: Floats, unit_ids: NDArray[np.int64], seed: Seed) -> Floats:
    """Permute population vectors among the trials of which anything was observed at that time."""
    rng, shuffled = np.random.default_rng(list(seed)), values.copy()
    for t in range(values.shape[1]):
        seen = np.flatnonzero(np.isfinite(values[:, t]).any(axis=1))
        shuffled[seen, t] = values[rng.permutation(seen), t]
    return shuffled


def _simulate(values: Floats, unit_ids: NDArray[np.int64], seed: Seed) -> Floats:
    seen = values[np.isfinite(values)]
    if np.any(seen < 0) or np.any(seen != np.rint(seen)):
        raise InvalidInputError(
            "changepoint: surrogate=simulated draws spike counts, but the values are none; take "
            "another surrogate"
        )
    is_seen = np.isfinite(values)
    mean = np.nansum(values, axis=0) / np.maximum(is_seen.sum(axis=0), 1)
    drawn, is_binary = np.empty_like(values), seen.max(initial=0) <= 1
    for place, unit in enumerate(unit_ids):
        rng, rates = _rng(seed, unit), np.broadcast_to(mean[:, place], values.shape[:2])
        drawn[:, :, place] = rng.binomial(1, rates) if is_binary else rng.poisson(rates)
    return np.where(is_seen, drawn, np.nan)


def _rotate(values: Floats, unit_ids: NDArray[np.int64], seed: Seed) -> Floats:
    rotated = values.copy()
    for place, unit in enumerate(unit_ids):
        rng = _rng(seed, unit)
        for trial in range(len(values)):
            seen = np.flatnonzero(np.isfinite(values[trial, :, place]))
            if len(seen):
                lag = int(rng.integers(len(seen)))
                rotated[trial, seen, place] = np.roll(values[trial, seen, place], lag)
    return rotated


_MAKERS: dict[str, Callable[[Floats, NDArray[np.int64], Seed], Floats]] = {
    "trial_shuffled": _shuffle_trials,
    "spike_shuffled": _shuffle_vectors,
    "simulated": _simulate,
    "circular_shift": _rotate,
}
