"""From trials to changepoints: check, find, hold out, test, label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from connflow.changepoint.choice import Chosen, choose_model, group_trials, numbers_of_states
from connflow.changepoint.emissions import choose_emission
from connflow.changepoint.finding import find_changepoints
from connflow.changepoint.held_out import hold_out
from connflow.changepoint.intervals import quantile
from connflow.changepoint.labels import Found, label
from connflow.changepoint.model import Model, divide_trials
from connflow.changepoint.params import ChangepointParams
from connflow.changepoint.responses import test_responses
from connflow.changepoint.surrogates import make_surrogate
from connflow.changepoint.vb import Fit
from connflow.errors import InvalidInputError
from connflow.trials.model import Trials

Floats = NDArray[np.float64]
Groups = Sequence[NDArray[np.intp]]

_COUNTS = ("poisson", "negative_binomial", "categorical", "bernoulli")
_FEW_RESTARTS = 2
"""Of fits to parts of the data, whose number of states is known."""


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
          ``held_out_bits_per_spike``, ``converged`` (before ``max_iterations``), and
          ``values_digest`` of what was fitted.

        Tables: ``evidence`` for each number of states; ``held_out``; ``responses``.

    Raises
    ------
    InvalidInputError
        If the values do not suit the emission, or trials are too short for the states.
    """
    with threadpool_limits(1, user_api="blas"):  # the last bits depend on how many there are
        return _fit(prepare(trials, params), params)


def _fit(chosen: Trials, params: ChangepointParams) -> ChangepointFit:
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
    if params.n_trial_blocks > 1 and params.pooling != "shared" and len(chosen.condition_names) > 1:
        raise InvalidInputError(
            f"changepoint: blocks of trials have rates of their own, and so have the conditions "
            f"{', '.join(chosen.condition_names[:5])}; take pooling=shared, or fit one condition"
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


def foretell_trials(trials: Trials, params: ChangepointParams, found: Found) -> pd.DataFrame:
    """Hold out trials and foretell them, with the number of states that was found."""
    _, groups = group_trials(trials, params)

    def fit_model(values: Floats, parts: Groups, is_static: bool) -> tuple[Model, Fit]:
        chosen = _fit_again(values, parts, params, found, 1 if is_static else found.n_states)
        return chosen.model, chosen.fit

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
        return np.rint(quantile(chosen.boundaries, 0.5)).astype(np.int64)

    conditions = trials.trials_of_conditions
    table = test_responses(
        trials.values, conditions, find_boundaries, params.n_shuffles, params.seed
    )
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
