"""Foretelling trials that the fit has not seen.

A held-out trial's own changepoints are summed over; rates and timing come from the other trials,
drawn from their posterior. What it is foretold better than by rates that never change is the gain,
in bits a spike.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from connflow.changepoint.model import Model
from connflow.changepoint.observations import Coefficients, Observations
from connflow.changepoint.timing import Hazards
from connflow.changepoint.vb import Fit

Floats = NDArray[np.float64]
Groups = Sequence[NDArray[np.intp]]

_N_DRAWS = 20
"""Draws of parameters that a prediction is averaged over."""

COLUMNS = ("fold", "bits_per_spike", "n_spikes")

FitModel = Callable[[Floats, Groups, bool], tuple[Model, Fit]]
"""Fits values and groups of trials; one state only if asked for."""


def hold_out(
    values: Floats, groups: Groups, fit_model: FitModel, n_folds: int, seed: int
) -> pd.DataFrame:
    """Hold every trial out once, and foretell it.

    Parameters
    ----------
    values : (n_trials, n_time_bins, n_units)
    groups
        Trials of each group.
    fit_model
    n_folds : int
    seed : int

    Returns
    -------
    DataFrame
        ``fold``, ``bits_per_spike``, ``n_spikes``. Where the emission is none of counts, bits are
        of a value and `n_spikes` is their number. Empty where a group has fewer than two trials.
    """
    n_folds = min(n_folds, *(len(group) for group in groups))
    rows = []
    for fold in range(n_folds if n_folds > 1 else 0):
        tests = [group[fold::n_folds] for group in groups]
        trains = [np.setdiff1d(group, test) for group, test in zip(groups, tests, strict=True)]
        kept = np.sort(np.concatenate(trains))
        places = [np.searchsorted(kept, train) for train in trains]
        rng = np.random.default_rng([seed, fold])
        gain = 0.0
        for is_static in (False, True):
            model, fit = fit_model(values[kept], places, is_static)
            foretold = _foretell(model, fit, values, kept, tests, rng)
            gain += -foretold if is_static else foretold
        is_counts = model.pooling.emission.level_name != "mean"
        n_spikes = _count(values[np.concatenate(tests)], is_counts)
        rows.append((fold, gain / np.log(2) / max(n_spikes, 1), n_spikes))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _count(values: Floats, is_counts: bool) -> int:
    seen = values[np.isfinite(values)]
    return int(seen.sum()) if is_counts else len(seen)


def _foretell(
    model: Model,
    fit: Fit,
    values: Floats,
    kept: NDArray[np.intp],
    tests: Groups,
    rng: np.random.Generator,
) -> float:
    """Return the log probability of the held-out trials."""
    total = 0.0
    for group, test in enumerate(tests):
        if model.has_blocks:
            log_p = _log_p_of_blocks(model, fit, values, kept, test, rng)
        else:
            log_p = _log_p(model, fit, group, values[test], rng)
        total += float(np.sum(logsumexp(log_p, axis=0) - np.log(_N_DRAWS)))
        constant = model.pooling.emission.like(values[test]).constant(fit.last.posteriors[group])
        total += float(constant[0])
    return total


def _log_p(model: Model, fit: Fit, group: int, values: Floats, rng: np.random.Generator) -> Floats:
    """Return the log probability of trials under each draw of a group, (n_draws, n_trials)."""
    emission = model.pooling.emission
    seen = Observations(values, with_squares=emission.with_squares)
    posterior = fit.last.posteriors[group]
    drawn = _stack([emission.draw(posterior, rng) for _ in range(_N_DRAWS)])
    hazards = _repeat(fit.last.hazards[group], _N_DRAWS)
    log_likelihood = seen.log_likelihood(model.paths.modes(drawn))
    log_p = model.paths.infer(log_likelihood, seen.lengths, hazards).log_evidence
    return log_p - model.timings[group].log_normaliser(seen.lengths)


def _log_p_of_blocks(
    model: Model,
    fit: Fit,
    values: Floats,
    kept: NDArray[np.intp],
    test: NDArray[np.intp],
    rng: np.random.Generator,
) -> Floats:
    """Return the same, over the blocks that the neighbours of a trial are in."""
    assert fit.last.membership is not None
    terms = []
    for group in range(len(model.parts)):
        share = np.interp(test, kept, fit.last.membership[0, :, group])
        with np.errstate(divide="ignore"):
            terms.append(_log_p(model, fit, group, values[test], rng) + np.log(share))
    return np.asarray(logsumexp(terms, axis=0))


def _stack(drawn: Sequence[Coefficients]) -> Coefficients:
    xx = None if drawn[0].xx is None else np.concatenate([one.xx for one in drawn])
    return Coefficients(
        np.concatenate([one.one for one in drawn]), np.concatenate([one.x for one in drawn]), xx
    )


def _repeat(hazards: Hazards, times: int) -> Hazards:
    return Hazards(*(np.repeat(one, times, axis=0) for one in vars(hazards).values()))
