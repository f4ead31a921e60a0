"""A fit beside the trials it was made from: what the figures and the words of its page look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from connflow.changepoint.aligned import average
from connflow.errors import InvalidInputError
from connflow.trials import Trials

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FitView:
    """A fit, and the activity that it explains.

    Parameters
    ----------
    values : (n_trials, n_time_bins, n_units)
        Activity of the trials and units of the fit, in the fit's order; NaN: not observed.
    table : DataFrame
        One row a trial, in the fit's order.
    fit : Dataset
        As `fit_changepoints` makes it.
    tables : mapping of DataFrame
        Those that came with it.
    """

    values: Floats
    table: pd.DataFrame
    fit: xr.Dataset
    tables: Mapping[str, pd.DataFrame]

    @property
    def n_states(self) -> int:
        """Number of states."""
        return int(self.fit.sizes["state"])

    @property
    def n_changepoints(self) -> int:
        """Number of changepoints of a trial."""
        return self.n_states - 1

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.values)

    @property
    def n_time_bins(self) -> int:
        """Number of bins of the longest trial."""
        return int(self.values.shape[1])

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.values.shape[2])

    @property
    def bin_size_s(self) -> float:
        """Width of a bin."""
        return float(self.fit.attrs["bin_size_s"])

    @property
    def edges_s(self) -> Floats:
        """Edges of the bins, (n_time_bins + 1,)."""
        return np.asarray(
            self.t_start + self.bin_size_s * np.arange(self.n_time_bins + 1), np.float64
        )

    @property
    def t_start(self) -> float:
        """Start of the first bin."""
        return float(self.fit.attrs["t_start"])

    @property
    def may_skip(self) -> bool:
        """Whether a trial may leave states out."""
        return self.fit.attrs.get("sequence") == "skipping"

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bins of each trial, (n_trials,)."""
        return np.asarray(np.isfinite(self.state_probability).all(axis=2).sum(axis=1), np.int64)

    @property
    def is_counts(self) -> bool:
        """Whether values are counts of spikes."""
        return not str(self.fit.attrs.get("emission", "poisson")).startswith("gaussian")

    @cached_property
    def activity(self) -> Floats:
        """Values as rates in Hz where they are counts, else as they are."""
        return self.values / self.bin_size_s if self.is_counts else self.values

    @property
    def activity_name(self) -> str:
        """What `activity` is, with its unit."""
        return "rate (Hz)" if self.is_counts else "signal"

    @property
    def conditions(self) -> list[str]:
        """Condition of each trial; empty texts where there are none."""
        if "condition" not in self.table:
            return [""] * self.n_trials
        return self.table["condition"].astype(str).tolist()

    @property
    def groups(self) -> list[str]:
        """Names of the groups of trials that have levels of their own."""
        return list(self.fit.attrs["groups"])

    @cached_property
    def state_probability(self) -> Floats:
        """Probability of each state, (n_trials, n_time_bins, n_states); NaN after a trial's end."""
        return self.read("state_probability", "trial", "time", "state")

    @cached_property
    def level(self) -> Floats:
        """Level of each unit, (n_groups, n_states, n_units)."""
        return self.read("level", "group", "state", "unit")

    @property
    def level_name(self) -> str:
        """What a level is, with its unit."""
        attrs = self.fit["level"].attrs
        name, unit = attrs.get("long_name", "level"), attrs.get("units", "")
        return f"{name} ({unit})" if unit and unit != "1" else str(name)

    def changepoint(self, which: str) -> Floats:
        """Return the median, mean, low or high of all changepoints, (n_trials, n_changepoints)."""
        return self.read(f"changepoint_{which}", "trial", "changepoint")

    def read(self, name: str, *dims: str) -> Floats:
        """Return a variable with its axes in this order; empty for changepoints of one state."""
        if name not in self.fit and "changepoint" in dims and self.n_changepoints == 0:
            return np.empty([self.fit.sizes.get(dim, 0) for dim in dims])
        return self.fit[name].transpose(*dims).to_numpy().astype(np.float64)

    def start_bins(self, changepoint: int) -> Floats:
        """Return the bin at the median of a changepoint, (n_trials,).

        NaN where there is none: outside the trial and, where a trial may skip states, into a state
        that it skips or with which it begins.
        """
        bins = np.round((self.changepoint("median") - self.t_start) / self.bin_size_s)
        start = bins[:, changepoint]
        is_there = (start >= 0) & (start < self.n_time_bins)
        if self.may_skip:
            is_there &= start > 0
        if self.may_skip and changepoint + 1 < self.n_changepoints:
            is_there &= start < bins[:, changepoint + 1]
        return np.where(is_there, start, np.nan)

    @cached_property
    def unit_order(self) -> NDArray[np.intp]:
        """Units by the state in which each is most active, surest preference first."""
        level = average(self.level, axis=0)
        contrast = level.max(axis=0) - average(level, axis=0)
        scale = np.abs(level).mean(axis=0)
        relative = np.divide(contrast, scale, out=np.zeros_like(scale), where=scale > 0)
        return np.lexsort((-relative, level.argmax(axis=0)))

    @cached_property
    def trial_order(self) -> NDArray[np.intp]:
        """Trials by condition, then by when the first changepoint comes."""
        median = self.changepoint("median")
        first = median[:, 0] if median.shape[1] else np.zeros(self.n_trials)
        _, codes = np.unique(self.conditions, return_inverse=True)
        return np.lexsort((first, codes))


def view_fit(
    trials: Trials, fit: xr.Dataset, tables: Mapping[str, pd.DataFrame] | None = None
) -> FitView:
    """Put a fit beside its trials.

    Parameters
    ----------
    trials : Trials
        Those that were fitted, or more: a fit may be of one region or of some conditions.
    fit : Dataset
        As `fit_changepoints` makes it.
    tables : mapping of DataFrame, optional

    Raises
    ------
    InvalidInputError
        If the fit is of trials, units or bins that are not there.
    """
    rows = _find(fit["trial"].to_numpy(), trials.trial_ids, "trials")
    columns = _find(fit["unit"].to_numpy(), trials.unit_ids, "units")
    if fit.sizes["time"] != trials.n_time_bins:
        raise InvalidInputError(
            f"the fit has {fit.sizes['time']} bins a trial and the trials have "
            f"{trials.n_time_bins}: hand over the trials that were fitted"
        )
    values = np.asarray(trials.values, np.float64)[np.ix_(rows, np.arange(len(fit.time)), columns)]
    return FitView(values, trials.table.iloc[rows], fit, tables or {})


def _find(wanted: NDArray[Any], ids: NDArray[Any], what: str) -> NDArray[np.intp]:
    places = pd.Index(ids).get_indexer(pd.Index(wanted))
    missing = np.asarray(wanted)[places < 0]
    if len(missing):
        raise InvalidInputError(
            f"the fit is of {what} {missing[:5].tolist()} ({len(missing)} in all), which the "
            f"trials at hand lack: hand over the trials that were fitted"
        )
    return np.asarray(places, np.intp)
