"""Finding the changepoints of prepared trials, exactly for one, by the chosen model for several."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from connflow.changepoint.choice import (
    Chosen,
    choose_model,
    group_trials,
    numbers_of_states,
    rng_for,
    tabulate_evidence,
)
from connflow.changepoint.conjugate import tails
from connflow.changepoint.emissions import Emission, choose_emission
from connflow.changepoint.exact import EXACT_EMISSIONS, fit_exactly, segment_evidence
from connflow.changepoint.gibbs import draw_boundaries, sample
from connflow.changepoint.intervals import histogram_boundaries
from connflow.changepoint.labels import Found
from connflow.changepoint.model import divide_trials
from connflow.changepoint.observations import Observations
from connflow.changepoint.params import ChangepointParams
from connflow.changepoint.paths import StepPaths
from connflow.trials.model import Trials

Floats = NDArray[np.float64]

_DRAWS_OF_LEVELS = 200
"""Paths that levels are averaged over at least, where one trial is done exactly."""


def find_changepoints(trials: Trials, params: ChangepointParams) -> Found:
    """Infer the changepoints of prepared trials; see `fit_changepoints`, which labels them."""
    return _find_exactly(trials, params) if is_exact(trials, params) else _find(trials, params)


def is_exact(trials: Trials, params: ChangepointParams) -> bool:
    """Whether there is one trial, of which parameters can be integrated out."""
    return (
        trials.n_trials == 1
        and params.emission in EXACT_EMISSIONS
        and params.sequence == "all"
        and params.transition == "step"
    )


def _find(trials: Trials, params: ChangepointParams) -> Found:
    names, groups = group_trials(trials, params)
    emission = choose_emission(params.emission, trials.values)
    parts = divide_trials(trials.values, groups, emission, params.n_trial_blocks)
    tried = [
        choose_model(parts, emission, n_states, params, params.n_restarts)
        for n_states in numbers_of_states(trials, params)
    ]
    best = max(tried, key=lambda one: one.fit.elbo)
    described = _by_gibbs(best, params) if params.inference == "gibbs" else _by_vb(best, params)
    return Found(
        **described,
        level_name=emission.level_name,
        groups=names,
        trial_group=best.trial_group,
        evidence=tabulate_evidence([one.row for one in tried]),
        traces={"elbo": best.fit.elbos, "restart_elbo": best.fit.restart_elbos},
        chances=best.chances,
        method=params.inference,
    )


def _by_vb(best: Chosen, params: ChangepointParams) -> dict[str, Any]:
    """Return paths and levels under the posterior that variational Bayes found."""
    emission, posteriors = best.model.pooling.emission, best.fit.last.posteriors
    ends = [emission.interval(one, params.coverage) for one in posteriors]
    return {
        "boundaries": best.boundaries,
        "drawn": draw_boundaries(best.model, best.fit, params.n_draws, rng_for(params, 1)),
        "level": np.concatenate([emission.level(one) for one in posteriors]),
        "level_low": np.concatenate([low for low, _ in ends]),
        "level_high": np.concatenate([high for _, high in ends]),
    }


def _by_gibbs(best: Chosen, params: ChangepointParams) -> dict[str, Any]:
    """Return paths and levels by Gibbs sampling."""
    draws = sample(best.model, best.fit, params.n_burn_in, params.n_draws, rng_for(params, 1))
    low, high = np.quantile(draws.levels, tails(params.coverage), axis=0)
    return {
        "boundaries": histogram_boundaries(draws.boundaries, best.boundaries.shape[2] - 1),
        "drawn": draws.boundaries,
        "level": draws.levels.mean(axis=0),
        "level_low": low,
        "level_high": high,
    }


def _find_exactly(trials: Trials, params: ChangepointParams) -> Found:
    length = int(trials.lengths[0])
    emission = choose_emission(params.emission, trials.values)
    evidence = segment_evidence(trials.values[0, :length], emission, params.min_dwell_bins)
    tried = {
        n_states: fit_exactly(
            evidence,
            n_states,
            _constant(emission),
            params.min_dwell_bins,
            max(params.n_draws, _DRAWS_OF_LEVELS),
            rng_for(params, 1, n_states),
        )
        for n_states in numbers_of_states(trials, params)
    }
    n_states = max(tried, key=lambda number: tried[number].evidence)
    fit = tried[n_states]
    boundaries = np.zeros((1, n_states - 1, trials.n_time_bins + 1))
    boundaries[0, :, : length + 1] = fit.boundaries
    level, low, high = _exact_levels(trials, emission, fit.drawn, params)
    return Found(
        boundaries=boundaries,
        drawn=fit.drawn[: params.n_draws, None],
        level=level,
        level_low=low,
        level_high=high,
        level_name=emission.level_name,
        groups=["all"],
        trial_group=np.zeros(1, np.int64),
        evidence=tabulate_evidence(
            [(number, np.nan, np.nan, one.evidence) for number, one in tried.items()]
        ),
        traces={},
        chances=None,
        method="exact",
    )


def _constant(emission: Emission) -> float:
    """Return what the evidence has beside the states' own, where that rests on no parameter."""
    nothing = Observations(np.full((1, 1, 1), np.nan), with_squares=emission.with_squares)
    prior = emission.posterior(nothing.sums(np.zeros((1, 1, 1, 1))))
    return float(emission.constant(prior)[0])


def _exact_levels(
    trials: Trials, emission: Emission, drawn: NDArray[np.int64], params: ChangepointParams
) -> tuple[Floats, Floats, Floats]:
    """Return mean and interval of levels over draws of paths, (1, n_states, n_units) each."""
    seen = Observations(trials.values, with_squares=emission.with_squares)
    weigh = StepPaths(drawn.shape[1] + 1).weigh
    weights = np.concatenate([weigh(one[None], seen.lengths, seen.n_bins) for one in drawn], axis=2)
    rng = rng_for(params, 2)
    posterior = emission.posterior(seen.sums(weights))
    low, high = np.quantile(
        emission.drawn_level(emission.draw(posterior, rng)), tails(params.coverage), axis=0
    )
    return emission.level(posterior).mean(axis=0)[None], low[None], high[None]
