"""From trials to changepoints: choose the model by evidence, infer, hold out, test, label."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from connflow.changepoint.emissions import Emission, choose_emission
from connflow.changepoint.exact import EXACT_EMISSIONS, fit_exactly, segment_evidence
from connflow.changepoint.gibbs import draw_boundaries, sample
from connflow.changepoint.held_out import hold_out
from connflow.changepoint.intervals import histogram_boundaries, quantile
from connflow.changepoint.labels import Found, label
from connflow.changepoint.model import Model, Part, build_model, divide_trials
from connflow.changepoint.observations import Observations
from connflow.changepoint.params import ChangepointParams
from connflow.changepoint.paths import StepPaths
from connflow.changepoint.responses import test_responses
from connflow.changepoint.surrogates import make_surrogate
from connflow.changepoint.timing import CONCENTRATIONS, LearnedTiming
from connflow.changepoint.vb import Fit, fit_vb, next_sums
from connflow.errors import InvalidInputError
from connflow.trials.model import Trials

Floats = NDArray[np.float64]
Groups = Sequence[NDArray[np.intp]]

_COUNTS = ("poisson", "negative_binomial", "categorical", "bernoulli")
_FEW_RESTARTS = 2
"""Of fits to parts of the data, whose number of states is known."""

EVIDENCE_COLUMNS = ("n_states", "width_bins", "timing_trials", "evidence")


@dataclass(frozen=True, eq=False)
class ChangepointFit:
    """Changepoints of trials.

    Parameters
    ----------
    dataset : Dataset
        See `fit_changepoints`.
    tables : dict
        ``evidence``, and where asked for ``held_out`` and ``responses``.
    """

    dataset: xr.Dataset
    tables: dict[str, pd.DataFrame]


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
    def row(self) -> tuple[int, float, float, float]:
        """As in the table of evidence, NaN for None."""
        width = np.nan if self.width_bins is None else self.width_bins
        trials = np.nan if self.concentration is None else self.concentration
        return self.model.paths.n_states, width, trials, self.fit.elbo


def fit_changepoints(trials: Trials, params: ChangepointParams) -> ChangepointFit:
    """Find the changepoints of each trial, and the states that they part.

    Parameters
    ----------
    trials : Trials
    params : ChangepointParams

    Returns
    -------
    ChangepointFit
        The dataset, over trial, changepoint, state, time, unit, group and draw, has

        - ``changepoint_mean``, ``changepoint_median``, ``changepoint_low``, ``changepoint_high``
          (trial, changepoint), s: low and high are the ends of the shortest interval of
          ``coverage``; ``changepoint_probability`` over time; ``changepoint_draw``, joint samples;
        - ``state_probability`` (trial, time, state), NaN behind a trial's end;
        - ``level``, ``level_low``, ``level_high`` (group, state, unit): rates in Hz of counts,
          means of Gaussian values, shares of the spikes of categorical ones;
        - ``elbo`` and ``restart_elbo`` of variational Bayes, ``leaving_probability`` of learned
          timing;
        - attributes: all parameters, ``n_states``, ``evidence`` (nats), ``method``,
          ``held_out_bits_per_spike``.

        Tables: ``evidence`` for each number of states; ``held_out``; ``responses``.

    Raises
    ------
    InvalidInputError
        If the values do not suit the emission, or trials are too short for the states.
    """
    chosen = prepare(trials, params)
    found = find_changepoints(chosen, params)
    dataset, tables = label(found, chosen, params), {"evidence": found.evidence}
    if params.n_folds > 1:
        tables["held_out"] = foretell_trials(chosen, params, found)
        gain = weighted_gain(tables["held_out"])
        if np.isfinite(gain):
            dataset.attrs["held_out_bits_per_spike"] = gain
    if params.n_shuffles > 0:
        tables["responses"] = find_responses(chosen, params, found)
    return ChangepointFit(dataset, tables)


def prepare(trials: Trials, params: ChangepointParams) -> Trials:
    """Return the trials that are to be fitted: those selected, or a surrogate of them; checked."""
    chosen = trials.select(params.region, params.conditions)
    if params.surrogate is not None:
        chosen = make_surrogate(chosen, params.surrogate, params.seed)
    _check_values(chosen.values, params)
    if params.n_trial_blocks > chosen.n_trials:
        raise InvalidInputError(
            f"changepoint: {params.n_trial_blocks} blocks of trials need as many trials, there are "
            f"{chosen.n_trials}; lower n_trial_blocks"
        )
    numbers_of_states(chosen, params)
    return chosen


def _check_values(values: Floats, params: ChangepointParams) -> None:
    seen = values[np.isfinite(values)]
    if params.emission in _COUNTS and (np.any(seen < 0) or np.any(seen != np.rint(seen))):
        raise InvalidInputError(
            f"changepoint: emission={params.emission} is for counts, but there are values such as "
            f"{seen[(seen < 0) | (seen != np.rint(seen))][0]:g}; take emission=gaussian_mean"
        )
    if params.emission == "bernoulli" and seen.max() > 1:
        raise InvalidInputError(
            f"changepoint: emission=bernoulli is for at most one spike a bin, but a bin holds "
            f"{seen.max():g}; take smaller bins, or emission=poisson"
        )


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


def find_changepoints(trials: Trials, params: ChangepointParams) -> Found:
    """Infer the changepoints of prepared trials; see `fit_changepoints`, which labels them."""
    with threadpool_limits(1, user_api="blas"):  # the last bits depend on how many there are
        return _find_exactly(trials, params) if is_exact(trials, params) else _find(trials, params)


def is_exact(trials: Trials, params: ChangepointParams) -> bool:
    """Whether there is one trial, of which parameters can be integrated out."""
    return (
        trials.n_trials == 1
        and params.emission in EXACT_EMISSIONS
        and params.sequence == "all"
        and params.transition == "step"
    )


def _rng(params: ChangepointParams, purpose: int, number: int = 0) -> np.random.Generator:
    return np.random.default_rng([params.seed, purpose, number])


def group_trials(trials: Trials, params: ChangepointParams) -> tuple[list[str], Groups]:
    """Return names and trials of the groups that have rates of their own."""
    if params.n_trial_blocks > 1:
        everyone = np.arange(trials.n_trials)
        return [f"block {n + 1}" for n in range(params.n_trial_blocks)], [everyone]
    if params.pooling == "shared" or "condition" not in trials.table:
        return ["all"], [np.arange(trials.n_trials)]
    conditions = trials.table["condition"].astype(str).to_numpy()
    names = sorted(set(conditions))
    return names, [np.flatnonzero(conditions == name) for name in names]


def _find(trials: Trials, params: ChangepointParams) -> Found:
    names, groups = group_trials(trials, params)
    emission = choose_emission(params.emission, trials.values)
    parts = divide_trials(trials.values, groups, emission, params.n_trial_blocks)
    tried = [
        choose_model(parts, emission, n_states, params, params.n_restarts)
        for n_states in numbers_of_states(trials, params)
    ]
    best = max(tried, key=lambda one: one.fit.elbo)
    boundaries = _boundaries(best)
    posteriors = best.fit.last.posteriors
    if params.inference == "gibbs":
        draws = sample(best.model, best.fit, params.n_burn_in, params.n_draws, _rng(params, 1))
        drawn = draws.boundaries
        boundaries = histogram_boundaries(drawn, trials.n_time_bins)
        level = draws.levels.mean(axis=0)
        tails = (1 - params.coverage) / 2, (1 + params.coverage) / 2
        low, high = np.quantile(draws.levels, tails, axis=0)
    else:
        drawn = draw_boundaries(best.model, best.fit, params.n_draws, _rng(params, 1))
        level = np.concatenate([emission.level(one) for one in posteriors])
        ends = [emission.interval(one, params.coverage) for one in posteriors]
        low, high = (np.concatenate([one[side] for one in ends]) for side in (0, 1))
    return Found(
        boundaries=boundaries,
        drawn=drawn,
        level=level,
        level_low=low,
        level_high=high,
        level_name=emission.level_name,
        groups=names,
        trial_group=_trial_group(best),
        evidence=tabulate_evidence([one.row for one in tried]),
        traces={"elbo": best.fit.elbos, "restart_elbo": best.fit.restart_elbos},
        chances=_chances(best),
        method=params.inference,
    )


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
        fit = fit_vb(model, n_restarts, _rng(params, 0, n_states), params.max_iterations)
        tried.append(Chosen(model, fit, width, None))
        start = next_sums(model, fit.last)
        for concentration in CONCENTRATIONS if learns else ():
            model = build_model(parts, emission, n_states, params, width, concentration)
            learned = fit_vb(model, 1, _rng(params, 0), params.max_iterations, start)
            learned = replace(learned, restart_elbos=fit.restart_elbos)
            tried.append(Chosen(model, learned, width, concentration))
    return max(tried, key=lambda one: one.fit.elbo)


def _boundaries(chosen: Chosen) -> Floats:
    """Return the probability of the boundaries of all trials."""
    last, parts = chosen.fit.last, chosen.model.parts
    n_edges = parts[0].observations.n_bins + 1
    whole = np.zeros((chosen.model.n_trials, chosen.model.paths.n_states - 1, n_edges))
    for group, (part, one) in enumerate(zip(parts, last.paths, strict=True)):
        share = 1.0 if last.membership is None else last.membership[0, :, group, None, None]
        whole[part.trials] += share * one.boundaries[0]
    return whole


def _trial_group(chosen: Chosen) -> NDArray[np.int64]:
    membership = chosen.fit.last.membership
    if membership is not None:
        return np.asarray(membership[0].argmax(axis=1))
    group = np.zeros(chosen.model.n_trials, np.int64)
    for number, part in enumerate(chosen.model.parts):
        group[part.trials] = number
    return group


def _chances(chosen: Chosen) -> Floats | None:
    """Return the mean chance of leaving a state after a bin, where timing was learned."""
    found = []
    for part, timing, one in zip(
        chosen.model.parts, chosen.model.timings, chosen.fit.last.paths, strict=True
    ):
        if not isinstance(timing, LearnedTiming):
            return None
        found.append(timing.chances(one.boundaries, part.observations.lengths))
    return np.concatenate(found)


def tabulate_evidence(rows: Sequence[tuple[int, float, float, float]]) -> pd.DataFrame:
    """Return evidence and probability of each number of states, all as likely beforehand."""
    table = pd.DataFrame(rows, columns=list(EVIDENCE_COLUMNS))
    return table.assign(probability=softmax(table["evidence"].to_numpy()))


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
            params.n_draws,
            _rng(params, 1, n_states),
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
        drawn=fit.drawn[:, None],
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
    rng, tails = _rng(params, 2), ((1 - params.coverage) / 2, (1 + params.coverage) / 2)
    posterior = emission.posterior(seen.sums(weights))
    low, high = np.quantile(emission.drawn_level(emission.draw(posterior, rng)), tails, axis=0)
    return emission.level(posterior).mean(axis=0)[None], low[None], high[None]


def foretell_trials(trials: Trials, params: ChangepointParams, found: Found) -> pd.DataFrame:
    """Hold out trials and foretell them, with the number of states that was found."""
    _, groups = group_trials(trials, params)

    def fit_model(values: Floats, parts: Groups, is_static: bool) -> tuple[Model, Fit]:
        chosen = _fit_again(values, parts, params, found, 1 if is_static else found.n_states)
        return chosen.model, chosen.fit

    with threadpool_limits(1, user_api="blas"):
        return hold_out(trials.values, groups, fit_model, params.n_folds, params.seed)


def weighted_gain(held_out: pd.DataFrame) -> float:
    """Return the bits a spike over all folds; NaN where nothing was held out."""
    n_spikes = held_out["n_spikes"].to_numpy(np.float64)
    gained = held_out["bits_per_spike"].to_numpy(np.float64) * n_spikes
    return float(gained.sum() / n_spikes.sum()) if n_spikes.sum() > 0 else float("nan")


def find_responses(trials: Trials, params: ChangepointParams, found: Found) -> pd.DataFrame:
    """Test which units respond, by changepoints found without them; see `test_responses`."""
    _, groups = group_trials(trials, params)

    def find_boundaries(values: Floats) -> NDArray[np.int64]:
        chosen = _fit_again(values, groups, params, found, found.n_states)
        return np.rint(quantile(_boundaries(chosen), 0.5)).astype(np.int64)

    with threadpool_limits(1, user_api="blas"):
        table = test_responses(trials.values, find_boundaries, params.n_shuffles, params.seed)
    return table.assign(unit=trials.unit_ids[table["unit"].to_numpy(np.int64)])


def _fit_again(
    values: Floats, groups: Groups, params: ChangepointParams, found: Found, n_states: int
) -> Chosen:
    """Fit a part of the data, with the number of states and the width that all of it has."""
    emission = choose_emission(params.emission, values)
    parts = divide_trials(values, groups, emission, params.n_trial_blocks)
    width = found.best["width_bins"]
    widths = [width] if width > 0 else None
    return choose_model(parts, emission, n_states, params, _FEW_RESTARTS, widths)
