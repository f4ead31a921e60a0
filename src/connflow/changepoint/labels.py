"""What was found, as numbers in bins, and as a dataset labelled in seconds."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from connflow.changepoint.intervals import (
    mean_boundary,
    quantile,
    shortest_interval,
)
from connflow.changepoint.params import ChangepointParams
from connflow.trials.model import Trials

Floats = NDArray[np.float64]

LEVELS = {
    "rate": ("firing rate in a state", "Hz"),
    "mean": ("mean in a state", "1"),
    "probability": ("share of the spikes in a state", "1"),
}


@dataclass(frozen=True, eq=False)
class Found:
    """Changepoints of some trials, in bins.

    Parameters
    ----------
    boundaries : (n_trials, n_states - 1, n_time_bins + 1)
        Probability of each number of bins before the next state.
    drawn : (n_draws, n_trials, n_states - 1)
        Joint samples of them.
    level, level_low, level_high : (n_groups, n_states, n_units)
        Mean of a bin in each state, and the interval of it.
    level_name : str
        rate, mean or probability.
    groups : list of str
        Names of the groups of trials with rates of their own.
    trial_group : (n_trials,)
        Place of each trial's group, or of its likeliest block.
    evidence : DataFrame
        ``n_states``, ``width_bins``, ``timing_trials``, ``evidence`` (nats), ``probability``.
    traces : dict
        ``elbo`` (n_rounds,) and ``restart_elbo`` (n_restarts,), where there are any.
    chances : (n_groups, n_states - 1, n_time_bins + 1), optional
        Of leaving a state after a bin.
    method : str
        exact, vb or gibbs.
    """

    boundaries: Floats
    drawn: NDArray[np.int64]
    level: Floats
    level_low: Floats
    level_high: Floats
    level_name: str
    groups: list[str]
    trial_group: NDArray[np.int64]
    evidence: pd.DataFrame
    traces: dict[str, Floats]
    chances: Floats | None
    method: str

    @property
    def n_states(self) -> int:
        """Number of states."""
        return int(self.boundaries.shape[1] + 1)

    @property
    def best(self) -> dict[str, Any]:
        """The row of `evidence` that was chosen."""
        return dict(self.evidence.loc[self.evidence["n_states"] == self.n_states].iloc[0])


def state_probability(boundaries: Floats, lengths: NDArray[np.int64]) -> Floats:
    """Return the probability of each state in each bin, NaN behind a trial's end.

    Parameters
    ----------
    boundaries : (n_trials, n_states - 1, n_time_bins + 1)
    lengths : (n_trials,)

    Returns
    -------
    (n_trials, n_time_bins, n_states)
    """
    n_trials, n_edges = len(boundaries), boundaries.shape[2]
    passed = np.cumsum(boundaries, axis=2)[:, :, :-1]
    entered = np.concatenate([np.ones((n_trials, 1, n_edges - 1)), passed], axis=1)
    left = np.concatenate([passed, np.zeros((n_trials, 1, n_edges - 1))], axis=1)
    probability = np.clip(entered - left, 0, 1).transpose(0, 2, 1)
    beyond = np.arange(n_edges - 1) >= lengths[:, None]
    return np.where(beyond[:, :, None], np.nan, probability)


def label(found: Found, trials: Trials, params: ChangepointParams) -> xr.Dataset:
    """Return what was found as a dataset, times in seconds and levels in their units."""

    def seconds(bins: Any) -> Floats:
        return np.asarray(trials.t_start + np.asarray(bins) * trials.bin_size_s)

    per_trial = ("trial", "changepoint")
    low, high = shortest_interval(found.boundaries, params.coverage)
    times = {
        "changepoint_mean": mean_boundary(found.boundaries),
        "changepoint_median": quantile(found.boundaries, 0.5),
        "changepoint_low": low,
        "changepoint_high": high,
    }
    variables: dict[str, Any] = {
        name: (per_trial, seconds(bins), {"units": "s"}) for name, bins in times.items()
    }
    variables["changepoint_draw"] = (
        ("draw", *per_trial),
        seconds(found.drawn).astype(np.float32),
        {"units": "s", "long_name": "joint samples of the changepoints of a trial"},
    )
    variables["changepoint_probability"] = (
        (*per_trial, "time"),
        found.boundaries[:, :, :-1].astype(np.float32),
        {"long_name": "probability that the next state starts with this bin"},
    )
    variables["state_probability"] = (
        ("trial", "time", "state"),
        state_probability(found.boundaries, trials.lengths).astype(np.float32),
    )
    dataset = xr.Dataset(variables | _label_levels(found, trials) | _label_traces(found, seconds))
    return dataset.assign_coords(
        trial=trials.trial_ids,
        unit=trials.unit_ids,
        time=("time", trials.bin_starts_s, {"units": "s"}),
        state=np.arange(found.n_states),
        changepoint=np.arange(found.n_states - 1),
        trial_group=("trial", found.trial_group),
    ).assign_attrs(_describe(found, trials, params))


def _label_levels(found: Found, trials: Trials) -> dict[str, Any]:
    name, unit = LEVELS[found.level_name]
    scale = 1 / trials.bin_size_s if found.level_name == "rate" else 1.0
    return {
        variable: (
            ("group", "state", "unit"),
            scale * getattr(found, variable),
            {"units": unit, "long_name": f"{words}{name}"},
        )
        for variable, words in (
            ("level", ""),
            ("level_low", "lower end of the interval of the "),
            ("level_high", "upper end of the interval of the "),
        )
    }


def _label_traces(found: Found, seconds: Any) -> dict[str, Any]:
    dims = {"elbo": "iteration", "restart_elbo": "restart"}
    labelled: dict[str, Any] = {
        name: (dims[name], values, {"units": "nat"}) for name, values in found.traces.items()
    }
    if found.chances is not None:
        labelled["leaving_probability"] = (
            ("group", "changepoint", "time"),
            found.chances[:, :, 1:],  # after bin t, t = 1, 2, ...
            {"long_name": "chance that a state is left with this bin"},
        )
    return labelled


def _describe(found: Found, trials: Trials, params: ChangepointParams) -> dict[str, Any]:
    best = found.best
    learned = {name: best[name] for name in ("width_bins", "timing_trials") if best[name] > 0}
    return {
        **params.model_dump(mode="json", exclude_none=True),
        "n_states": found.n_states,
        "groups": found.groups,
        "method": found.method,
        "evidence": float(best["evidence"]),
        "n_states_probability": float(best["probability"]),
        "bin_size_s": trials.bin_size_s,
        "t_start": trials.t_start,
        "values_digest": hashlib.sha256(trials.values.tobytes()).hexdigest()[:16],
        "converged": len(found.traces.get("elbo", ())) < params.max_iterations,
        **{name: float(value) for name, value in learned.items()},
    }
