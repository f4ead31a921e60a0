"""Choosing among models by evidence: numbers of states, timing, width of transitions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from connflow.changepoint.emissions import Emission
from connflow.changepoint.model import Model, Part, build_model
from connflow.changepoint.params import ChangepointParams
from connflow.changepoint.timing import CONCENTRATIONS, LearnedTiming
from connflow.changepoint.vb import Fit, fit_vb, next_sums
from connflow.errors import InvalidInputError
from connflow.trials.model import Trials

Floats = NDArray[np.float64]
Groups = Sequence[NDArray[np.intp]]

EVIDENCE_COLUMNS = ("n_states", "width_bins", "timing_trials", "evidence")


@dataclass(frozen=True, eq=False)
class Chosen:
    """The model of highest evidence among those that differ in timing and width.

    Parameters
    ----------
    model, fit
    width_bins, concentration : float, optional
        None for steps, and for timing that is not learned.
    """

    model: Model
    fit: Fit
    width_bins: float | None
    concentration: float | None

    @property
    def boundaries(self) -> Floats:
        """Probability of the boundaries of all trials, (n_trials, n_states - 1, n_bins + 1)."""
        last, parts = self.fit.last, self.model.parts
        n_edges = parts[0].observations.n_bins + 1
        whole = np.zeros((self.model.n_trials, self.model.paths.n_states - 1, n_edges))
        for group, (part, one) in enumerate(zip(parts, last.paths, strict=True)):
            share = 1.0 if last.membership is None else last.membership[0, :, group, None, None]
            whole[part.trials] += share * one.boundaries[0]
        return whole

    @property
    def trial_group(self) -> NDArray[np.int64]:
        """Group of each trial, or its likeliest block."""
        if self.fit.last.membership is not None:
            return np.asarray(self.fit.last.membership[0].argmax(axis=1))
        group = np.zeros(self.model.n_trials, np.int64)
        for number, part in enumerate(self.model.parts):
            group[part.trials] = number
        return group

    @property
    def chances(self) -> Floats | None:
        """Mean chance of leaving a state after a bin, where timing was learned."""
        found = []
        for part, timing, one in zip(
            self.model.parts, self.model.timings, self.fit.last.paths, strict=True
        ):
            if not isinstance(timing, LearnedTiming):
                return None
            found.append(timing.chances(one.boundaries, part.observations.lengths))
        return np.concatenate(found)

    @property
    def row(self) -> tuple[int, float, float, float]:
        """As in the table of evidence, NaN for None."""
        width = np.nan if self.width_bins is None else self.width_bins
        trials = np.nan if self.concentration is None else self.concentration
        return self.model.paths.n_states, width, trials, self.fit.elbo


def numbers_of_states(trials: Trials, params: ChangepointParams) -> list[int]:
    """Return the numbers of states to try.

    Raises
    ------
    InvalidInputError
        If the shortest trial has too few bins for the states asked for.
    """
    shortest = int(trials.lengths.min())
    most = shortest // params.min_dwell_bins
    if params.sequence == "skipping":
        return [params.n_states or params.max_states]
    if params.n_states is None and most > 0:
        return list(range(1, min(params.max_states, most) + 1))
    if most < (params.n_states or 1):
        raise InvalidInputError(
            f"changepoint: {params.n_states or 1} states of at least {params.min_dwell_bins} bins "
            f"do not fit into a trial of {shortest} bins; take fewer states, smaller bins, or "
            "leave short trials out"
        )
    return [params.n_states or 1]


def group_trials(trials: Trials, params: ChangepointParams) -> tuple[list[str], Groups]:
    """Return names and trials of the groups that have rates of their own."""
    if params.n_trial_blocks > 1:
        everyone = np.arange(trials.n_trials)
        return [f"block {n + 1}" for n in range(params.n_trial_blocks)], [everyone]
    if params.pooling == "shared" or not trials.condition_names:
        return ["all"], [np.arange(trials.n_trials)]
    return trials.condition_names, trials.trials_of_conditions


def rng_for(params: ChangepointParams, purpose: int, number: int = 0) -> np.random.Generator:
    """Return random numbers of a seed for a purpose: the same whatever else is drawn."""
    return np.random.default_rng([params.seed, purpose, number])


def choose_model(
    parts: list[Part],
    emission: Emission,
    n_states: int,
    params: ChangepointParams,
    n_restarts: int,
    widths_bins: Sequence[float] | None = None,
) -> Chosen:
    """Fit the models that differ in timing and width, and return that of highest evidence.

    Parameters
    ----------
    parts, emission
    n_states, params, n_restarts
    widths_bins
        Those of the parameters if None.
    """
    is_gradual = params.transition == "gradual" and n_states > 1
    widths = (widths_bins or params.widths_bins) if is_gradual else (None,)
    learns = params.timing == "learned" and params.sequence == "all" and n_states > 1
    tried: list[Chosen] = []
    for width in widths:
        model = build_model(parts, emission, n_states, params, width)
        fit = fit_vb(model, n_restarts, rng_for(params, 0, n_states), params.max_iterations)
        tried.append(Chosen(model, fit, width, None))
        start = next_sums(model, fit.last)
        for concentration in CONCENTRATIONS if learns else ():
            model = build_model(parts, emission, n_states, params, width, concentration)
            learned = fit_vb(model, 1, rng_for(params, 0), params.max_iterations, start)
            learned = replace(learned, restart_elbos=fit.restart_elbos)
            tried.append(Chosen(model, learned, width, concentration))
    return max(tried, key=lambda one: one.fit.elbo)


def tabulate_evidence(rows: Sequence[tuple[int, float, float, float]]) -> pd.DataFrame:
    """Return evidence and probability of each number of states, all as likely beforehand."""
    table = pd.DataFrame(rows, columns=list(EVIDENCE_COLUMNS))
    return table.assign(probability=softmax(table["evidence"].to_numpy()))
