"""The in-memory model of trials."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from connflow.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Trials:
    """Activity of a population in trials.

    Parameters
    ----------
    values : (n_trials, n_time_bins, n_units) float64
        Spike counts, or any other values of bins; NaN where nothing was observed, such as behind
        the end of a short trial.
    bin_size_s : float
        Width of a bin, s.
    t_start : float
        Start of the first bin, relative to the trial's event, s.
    units : DataFrame, n_units rows
        Index ``unit``: the recording's own ids. Columns such as ``region``.
    table : DataFrame, n_trials rows
        Index ``trial``. Columns such as ``condition`` (stimulus, taste), ``onset_s``, ``laser``.

    Raises
    ------
    InvalidInputError
        If shapes do not go together, or nothing was observed of a trial.
    """

    values: NDArray[np.float64]
    bin_size_s: float
    t_start: float
    units: pd.DataFrame
    table: pd.DataFrame

    def __post_init__(self) -> None:
        expected = (len(self.table), len(self.units))
        if self.values.ndim != 3 or (self.values.shape[0], self.values.shape[2]) != expected:
            raise InvalidInputError(
                f"trials: values have the shape {self.values.shape}, expected (trials, time bins, "
                f"units) with {expected[0]} trials and {expected[1]} units"
            )
        if 0 in self.values.shape:
            raise InvalidInputError(
                f"trials: there is nothing in values of the shape {self.values.shape}; at least "
                "one trial, one bin and one unit are needed"
            )
        empty = ~np.isfinite(self.values).any(axis=(1, 2))
        if empty.any():
            raise InvalidInputError(
                f"trials: nothing was observed in trials {self.trial_ids[empty][:10].tolist()}; "
                "leave them out"
            )
        if np.isinf(self.values).any():
            raise InvalidInputError("trials: values must be finite, or NaN where not observed")

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
    def unit_ids(self) -> NDArray[np.int64]:
        """The recording's own unit ids, (n_units,)."""
        return self.units.index.to_numpy(np.int64)

    @property
    def trial_ids(self) -> NDArray[np.int64]:
        """Ids of the trials, (n_trials,)."""
        return self.table.index.to_numpy(np.int64)

    @property
    def bin_starts_s(self) -> NDArray[np.float64]:
        """Start of each bin relative to the event, (n_time_bins,), s."""
        return np.asarray(self.t_start + np.arange(self.n_time_bins) * self.bin_size_s)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bins of each trial, up to the last one of which anything was observed, (n_trials,)."""
        seen = np.asarray(np.isfinite(self.values).any(axis=2))
        return np.asarray(self.n_time_bins - np.argmax(seen[:, ::-1], axis=1), np.int64)

    @property
    def condition_names(self) -> list[str]:
        """Names of the conditions, sorted; none where the trials name none."""
        return sorted(set(self._condition_of_each))

    @property
    def trials_of_conditions(self) -> list[NDArray[np.intp]]:
        """Places of the trials of each of `condition_names`; of all where there are none."""
        held = self._condition_of_each
        names = self.condition_names
        return [np.flatnonzero(held == one) for one in names] or [np.arange(self.n_trials)]

    @property
    def _condition_of_each(self) -> NDArray[np.object_]:
        held = self.table.get("condition", pd.Series([], dtype=str))
        return np.asarray(held.astype(str), np.object_)

    def select(self, region: str | None = None, conditions: Sequence[str] = ()) -> "Trials":
        """Return the units of a region and the trials of some conditions; all where none is named.

        Raises
        ------
        InvalidInputError
            If there is no such region or condition.
        """
        units = self._places(self.units, "region", [] if region is None else [region])
        trials = self._places(self.table, "condition", conditions)
        return replace(
            self,
            values=self.values[np.ix_(trials, np.arange(self.n_time_bins), units)],
            units=self.units.iloc[units],
            table=self.table.iloc[trials],
        )

    @staticmethod
    def _places(table: pd.DataFrame, column: str, wanted: Sequence[str]) -> NDArray[np.intp]:
        if not wanted:
            return np.arange(len(table))
        held = table[column].astype(str) if column in table else pd.Series([], dtype=str)
        missing = sorted(set(wanted) - set(held))
        if missing:
            known = ", ".join(sorted(set(held))) or "none, since the trials name none"
            raise InvalidInputError(f"trials: no {column} {', '.join(missing)}; known: {known}")
        return np.flatnonzero(held.isin(wanted).to_numpy())


def trial_table(n_trials: int, **columns: object) -> pd.DataFrame:
    """Return a table of trials 0, 1, ... with some columns."""
    # no RangeIndex: of a table without columns, Parquet would keep no rows
    return pd.DataFrame(columns, index=pd.Index(np.arange(n_trials), name="trial"))
