"""What was observed, as the matrices that likelihoods and sufficient statistics are products of.

In: values of trials, NaN where nothing was observed. Out: for weights of (trial, bin, set, state)
the sums of 1, x and x² over bins, and for coefficients of 1, x and x² the log likelihood of each
bin; one matrix product each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over bins, weighted: of 1, x and x².

    Parameters
    ----------
    n, x, xx : (n_sets, n_states, n_units)
        ``xx`` is None where squares are not asked for.
    """

    n: Floats
    x: Floats
    xx: Floats | None = None


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of 1, x and x² in the log likelihood of a bin of one unit.

    Parameters
    ----------
    one, x, xx : (n_sets, n_states, n_units)
    """

    one: Floats
    x: Floats
    xx: Floats | None = None


class Observations:
    """Trials as matrices.

    Parameters
    ----------
    values : (n_trials, n_time_bins, n_units)
        NaN where nothing was observed.
    with_squares : bool
        Whether sums of squares are wanted.
    """

    def __init__(self, values: Floats, *, with_squares: bool = False) -> None:
        self.n_trials, self.n_bins, self.n_units = values.shape
        n_bins, n_units = values.shape[1:]
        observed = np.asarray(np.isfinite(values))
        seen = np.asarray(observed.any(axis=2))
        self.lengths = np.where(
            seen.any(axis=1), n_bins - np.argmax(seen[:, ::-1], axis=1), 0
        ).astype(np.int64)
        rows = values.reshape(-1, n_units)
        self._x = rows if observed.all() else np.where(observed.reshape(rows.shape), rows, 0.0)
        self._xx = self._x**2 if with_squares else None
        is_whole = bool((observed == seen[:, :, None]).all())  # units are seen together
        ones = seen.reshape(-1, 1) if is_whole else observed.reshape(rows.shape)
        self._ones = ones.astype(np.float64)

    def take(self, trials: NDArray[np.intp]) -> "Observations":
        """Return the observations of some trials."""
        part = object.__new__(Observations)
        part.n_trials, part.n_bins, part.n_units = len(trials), self.n_bins, self.n_units
        part.lengths = self.lengths[trials]
        for name in ("_x", "_xx", "_ones"):
            rows = getattr(self, name)
            taken = None if rows is None else self._by_trial(rows)[trials]
            setattr(part, name, None if taken is None else taken.reshape(-1, rows.shape[1]))
        return part

    def _by_trial(self, rows: Floats) -> Floats:
        return rows.reshape(self.n_trials, self.n_bins, -1)

    def log_likelihood(self, coefficients: Coefficients) -> Floats:
        """Return the log likelihood of each bin, (n_trials, n_bins, n_sets, n_states)."""
        n_sets, n_states, n_units = coefficients.x.shape
        columns = n_sets * n_states
        one = coefficients.one.reshape(columns, n_units)
        if self._ones.shape[1] == 1:
            one = one.sum(axis=1, keepdims=True)
        total = self._x @ coefficients.x.reshape(columns, n_units).T + self._ones @ one.T
        if self._xx is not None:
            assert coefficients.xx is not None
            total += self._xx @ coefficients.xx.reshape(columns, n_units).T
        return total.reshape(self.n_trials, self.n_bins, n_sets, n_states)

    def sums(self, weights: Floats) -> Statistics:
        """Return the sums for weights of shape (n_trials, n_bins, n_sets, n_states)."""
        n_sets, n_states = weights.shape[2:]
        columns = weights.reshape(-1, n_sets * n_states).T

        def add_up(rows: Floats) -> Floats:
            shape = (n_sets, n_states, rows.shape[1])
            return np.asarray(columns @ rows).reshape(shape)

        n = np.broadcast_to(add_up(self._ones), (n_sets, n_states, self.n_units))
        xx = None if self._xx is None else add_up(self._xx)
        return Statistics(n, add_up(self._x), xx)
