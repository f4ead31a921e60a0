"""Many fits at once: a grid of settings, each fit a row of a table.

In: trials of several sessions and settings. Out: a table of fits with evidence and held-out gain,
and long tables of their changepoints and levels. A fit that fails is a row that says why.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from connflow.blocks import MapBlocks
from connflow.changepoint.batch_params import BatchParams
from connflow.changepoint.finding import find_changepoints
from connflow.changepoint.fit import foretell_trials, prepare, weighted_gain
from connflow.changepoint.intervals import (
    mean_boundary,
    quantile,
    shortest_interval,
)
from connflow.changepoint.labels import LEVELS, Found
from connflow.changepoint.params import ChangepointParams
from connflow.errors import first_line
from connflow.progress import track
from connflow.trials.model import Trials


@dataclass(frozen=True, eq=False)
class Batch:
    """What came out of a batch.

    Parameters
    ----------
    fits, changepoints, levels : DataFrame
        See `fit_batch`.
    """

    fits: pd.DataFrame
    changepoints: pd.DataFrame
    levels: pd.DataFrame


def fit_batch(
    open_trials: Callable[[int], Trials], params: BatchParams, map_blocks: MapBlocks = map
) -> Batch:
    """Make many fits.

    Parameters
    ----------
    open_trials
        Returns the trials of an input, by its place.
    params : BatchParams
    map_blocks
        Who makes the fits.

    Returns
    -------
    Batch
        ``fits``, a row a fit: ``source``, ``region``, ``emission``, ``n_states``, ``surrogate``,
        ``bin_size_s``, ``n_trials``, ``n_units``, ``evidence`` (nats), ``probability`` (of the
        number of states, where it was chosen), ``held_out_bits_per_spike``, ``state`` (Completed
        or Failed), ``reason``. ``changepoints``: ``fit``, ``trial``, ``changepoint``, ``mean_s``,
        ``median_s``, ``low_s``, ``high_s``. ``levels``: ``fit``, ``group``, ``state``, ``unit``,
        ``level``, ``low``, ``high``.
    """
    trials = {place: open_trials(place) for place in sorted(set(params.places))}

    def fit_one(number: int) -> tuple[dict[str, object], pd.DataFrame, pd.DataFrame]:
        return _fit_row(number, trials[params.places[number]], params)

    n_fits = len(params.fits)
    with threadpool_limits(1, user_api="blas"):  # as in `fit_changepoints`
        done = list(track(map_blocks(fit_one, range(n_fits)), n_fits))
    rows, changepoints, levels = zip(*done, strict=True)
    return Batch(
        pd.DataFrame(list(rows)),
        pd.concat(changepoints, ignore_index=True),
        pd.concat(levels, ignore_index=True),
    )


def _fit_row(
    number: int, trials: Trials, params: BatchParams
) -> tuple[dict[str, object], pd.DataFrame, pd.DataFrame]:
    settings = params.fits[number]
    row: dict[str, object] = {
        "fit": number,
        "source": params.sources[params.places[number]],
        **settings.model_dump(include={"region", "emission", "n_states", "surrogate"}),
        "bin_size_s": trials.bin_size_s,
        **dict.fromkeys(("n_trials", "n_units"), 0),
        **dict.fromkeys(("evidence", "probability", "held_out_bits_per_spike"), np.nan),
    }
    try:
        chosen = prepare(trials, settings)
        found = find_changepoints(chosen, settings)
        gain = np.nan
        if settings.n_folds > 1:
            gain = weighted_gain(foretell_trials(chosen, settings, found))
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        failed = row | {"state": "Failed", "reason": first_line(error)}
        return failed, _no_changepoints(), _no_levels()
    row |= {
        "n_states": found.n_states,
        "n_trials": chosen.n_trials,
        "n_units": chosen.n_units,
        "evidence": float(found.best["evidence"]),
        "probability": float(found.best["probability"]),
        "held_out_bits_per_spike": gain,
        "state": "Completed",
        "reason": "",
    }
    return row, _changepoints(number, found, chosen, settings), _levels(number, found, chosen)


def _no_changepoints() -> pd.DataFrame:
    return pd.DataFrame(
        columns=["fit", "trial", "changepoint", "mean_s", "median_s", "low_s", "high_s"]
    )


def _no_levels() -> pd.DataFrame:
    return pd.DataFrame(columns=["fit", "group", "state", "unit", "level", "low", "high"])


def _changepoints(
    number: int, found: Found, trials: Trials, params: ChangepointParams
) -> pd.DataFrame:
    n_trials, n_changepoints = found.boundaries.shape[:2]
    if n_changepoints == 0:
        return _no_changepoints()
    low, high = shortest_interval(found.boundaries, params.coverage)
    bins = {
        "mean_s": mean_boundary(found.boundaries),
        "median_s": quantile(found.boundaries, 0.5),
        "low_s": low,
        "high_s": high,
    }
    return pd.DataFrame(
        {
            "fit": number,
            "trial": np.repeat(trials.trial_ids, n_changepoints),
            "changepoint": np.tile(np.arange(n_changepoints), n_trials),
            **{
                name: trials.t_start + one.ravel() * trials.bin_size_s for name, one in bins.items()
            },
        }
    )


def _levels(number: int, found: Found, trials: Trials) -> pd.DataFrame:
    n_groups, n_states, n_units = found.level.shape
    scale = 1 / trials.bin_size_s if LEVELS[found.level_name][1] == "Hz" else 1.0
    return pd.DataFrame(
        {
            "fit": number,
            "group": np.repeat(found.groups, n_states * n_units),
            "state": np.tile(np.repeat(np.arange(n_states), n_units), n_groups),
            "unit": np.tile(trials.unit_ids, n_groups * n_states),
            "level": scale * found.level.ravel(),
            "low": scale * found.level_low.ravel(),
            "high": scale * found.level_high.ravel(),
        }
    )
