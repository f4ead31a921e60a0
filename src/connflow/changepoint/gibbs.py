"""Draws of whole paths; Gibbs sampling of paths and parameters in turn.

The same recursions as in variational Bayes, with draws in the place of expectations, so that
intervals also hold the uncertainty of the rates.

References
----------
Chib 1998, Estimation and comparison of multiple change-point models, Journal of Econometrics 86.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connflow.changepoint.model import Model
from connflow.changepoint.observations import Coefficients, Statistics
from connflow.changepoint.timing import Hazards
from connflow.changepoint.vb import Fit, next_sums

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Draws:
    """Samples of the posterior.

    Parameters
    ----------
    boundaries : (n_draws, n_trials, n_states - 1)
        Bins before the next state.
    levels : (n_draws, n_groups, n_states, n_units)
        Mean of a bin in each state.
    """

    boundaries: Counts
    levels: Floats


def sample(model: Model, fit: Fit, n_burn_in: int, n_draws: int, rng: np.random.Generator) -> Draws:
    """Sample the posterior, starting where variational Bayes ended.

    Parameters
    ----------
    model : Model
    fit : Fit
    n_burn_in, n_draws : int
        Sweeps that are thrown away, and kept.
    rng
    """
    sums, hazards = next_sums(model, fit.last), list(fit.last.hazards)
    emission, n_states = model.pooling.emission, model.paths.n_states
    boundaries = np.empty((n_draws, model.n_trials, n_states - 1), np.int64)
    levels = np.empty((n_draws, len(model.parts), n_states, model.n_units))
    for sweep in range(-n_burn_in, n_draws):
        states = model.pooling.draw(sums, rng)
        block = _draw_blocks(model, states, hazards, rng)
        ends = [one[0] for one in _draw_ends(model, states, hazards, rng, 1)]
        sums = _sum_up(model, states, ends, block, rng)
        hazards = _draw_timing(model, ends, block, rng)
        if sweep >= 0:
            boundaries[sweep] = _of_all_trials(model, ends, block)
            levels[sweep] = [emission.drawn_level(one)[0] for one in states]
    return Draws(boundaries, levels)


def draw_boundaries(model: Model, fit: Fit, n_draws: int, rng: np.random.Generator) -> Counts:
    """Draw boundaries, (n_draws, n_trials, n_states - 1), from what variational Bayes found."""
    states = [model.pooling.emission.coefficients(one) for one in fit.last.posteriors]
    ends = _draw_ends(model, states, fit.last.hazards, rng, n_draws)
    if fit.last.membership is None:
        return _of_all_trials(model, ends, None)
    chances = np.cumsum(fit.last.membership[0], axis=1)[:, :-1]
    block = (rng.random((n_draws, model.n_trials, 1)) > chances).sum(axis=2)
    return _of_all_trials(model, ends, block)


def _draw_ends(
    model: Model,
    states: Sequence[Coefficients],
    hazards: Sequence[Hazards],
    rng: np.random.Generator,
    n_draws: int,
) -> list[Counts]:
    """Draw boundaries of the trials of each group, (n_draws, n_part_trials, n_states - 1)."""
    drawn = []
    for part, state, hazard in zip(model.parts, states, hazards, strict=True):
        log_likelihood = part.observations.log_likelihood(model.paths.modes(state))
        lengths = part.observations.lengths
        drawn.append(model.paths.draw(log_likelihood, lengths, hazard, rng, n_draws))
    return drawn


def _draw_blocks(
    model: Model,
    states: Sequence[Coefficients],
    hazards: Sequence[Hazards],
    rng: np.random.Generator,
) -> Counts | None:
    """Draw the block of each trial; None where groups are no blocks."""
    if not model.has_blocks:
        return None
    found = [
        model.paths.infer(
            part.observations.log_likelihood(model.paths.modes(state)),
            part.observations.lengths,
            hazard,
        )
        for part, state, hazard in zip(model.parts, states, hazards, strict=True)
    ]
    return model.draw_blocks(found, rng)


def _of_all_trials(model: Model, ends: Sequence[Counts], block: Counts | None) -> Counts:
    """Put the boundaries of groups, (..., n_part_trials, n_states - 1), into their trials."""
    if block is not None:
        return np.asarray(np.take_along_axis(np.stack(ends), block[None, ..., None], axis=0)[0])
    whole = np.empty((*ends[0].shape[:-2], model.n_trials, model.paths.n_states - 1), np.int64)
    for part, one in zip(model.parts, ends, strict=True):
        whole[..., part.trials, :] = one
    return whole


def _sum_up(
    model: Model,
    states: Sequence[Coefficients],
    ends: Sequence[Counts],
    block: Counts | None,
    rng: np.random.Generator,
) -> list[Statistics]:
    sums = []
    for group, (part, state, one) in enumerate(zip(model.parts, states, ends, strict=True)):
        seen = part.observations
        weights = model.paths.weigh(one, seen.lengths, seen.n_bins)
        if block is not None:
            weights = weights * (block == group)[:, None, None, None]
        sums.append(model.paths.states(seen.sums(weights), state, rng))
    return sums


def _draw_timing(
    model: Model, ends: Sequence[Counts], block: Counts | None, rng: np.random.Generator
) -> list[Hazards]:
    if block is not None:
        ends = [_of_all_trials(model, ends, block)] * len(ends)
    drawn = []
    for part, timing, one in zip(model.parts, model.timings, ends, strict=True):
        certain = one[:, :, None] == np.arange(part.observations.n_bins + 1)
        boundaries = certain[None].astype(np.float64)
        drawn.append(timing.draw(boundaries, part.observations.lengths, rng))
    return [drawn[0]] * len(drawn) if block is not None else drawn
