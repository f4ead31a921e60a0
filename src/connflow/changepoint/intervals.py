"""From the probabilities of boundaries to times: mean, median, shortest interval.

A bin that holds parts of two states is given to one of them, so that a changepoint may lie up to a
bin away from its boundary: between boundaries, its density is interpolated linearly. Intervals of
that density hold the share of changepoints in continuous time that they should
(`benchmarks/bench_changepoint.py`).
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_CELLS = 4
"""Parts of a bin in which the density is taken as flat."""


def histogram_boundaries(drawn: NDArray[np.int64], n_bins: int) -> Floats:
    """Return the share of draws of each boundary.

    Parameters
    ----------
    drawn : (n_draws, n_trials, n_boundaries)
    n_bins : int

    Returns
    -------
    (n_trials, n_boundaries, n_bins + 1)
    """
    shares = np.zeros((*drawn.shape[1:], n_bins + 1))
    rows = np.indices(drawn.shape)
    np.add.at(shares, (rows[1], rows[2], drawn), 1 / max(len(drawn), 1))
    return shares


def mean_boundary(probability: Floats) -> Floats:
    """Return the mean of each distribution over boundaries 0, 1, ..., bins."""
    return np.asarray(probability @ np.arange(probability.shape[-1]))


def quantile(probability: Floats, share: float) -> Floats:
    """Return the place, in bins, below which lies `share` of each distribution."""
    return _in_bins(_quantiles(_cells(probability), share), probability)


def shortest_interval(probability: Floats, coverage: float) -> tuple[Floats, Floats]:
    """Return the ends, in bins, of the shortest interval that holds `coverage`.

    Examples
    --------
    >>> low, high = shortest_interval(np.array([0.0, 0.0, 1.0, 0.0]), 0.9)
    >>> bool(1 < low < 1.5), bool(2.5 < high < 3)
    (True, True)
    """
    low, high = _shortest(_cells(probability), coverage)
    return _in_bins(low, probability), _in_bins(high, probability)


def _cells(probability: Floats) -> Floats:
    """Return the share of each of `_CELLS` parts of a bin, from a bin before the first boundary."""
    n_edges = probability.shape[-1]
    behind = (np.arange(_CELLS) + 0.5) / _CELLS  # share of the way to the next boundary
    bounded = np.zeros((probability.size // n_edges, n_edges + 2))
    bounded[:, 1:-1] = probability.reshape(len(bounded), n_edges)
    before, after = bounded[:, :-1, None], bounded[:, 1:, None]
    cells = (before * (1 - behind) + after * behind) / _CELLS
    return np.ascontiguousarray(cells.reshape(len(bounded), (n_edges + 1) * _CELLS))


def _in_bins(place: Floats, probability: Floats) -> Floats:
    """Return places counted in cells in bins, inside the trial."""
    bins = (place + 0.5) / _CELLS - 1
    return np.clip(bins, 0, probability.shape[-1] - 1).reshape(probability.shape[:-1])


@numba.njit(cache=True, nogil=True)
def _place(cumulative: Floats, share: float) -> float:
    """Return where a distribution function, piecewise linear between bins' edges, has a value."""
    k = int(np.searchsorted(cumulative, share))
    k = min(k, len(cumulative) - 1)
    below = cumulative[k - 1] if k > 0 else 0.0
    step = cumulative[k] - below
    return k - 0.5 + ((share - below) / step if step > 0 else 0.5)


@numba.njit(cache=True, nogil=True)
def _quantiles(rows: Floats, share: float) -> Floats:
    found = np.empty(len(rows))
    for row in range(len(rows)):
        cumulative = np.cumsum(rows[row])
        found[row] = _place(cumulative, share * cumulative[-1])
    return found


@numba.njit(cache=True, nogil=True)
def _shortest(rows: Floats, coverage: float) -> tuple[Floats, Floats]:
    low, high = np.empty(len(rows)), np.empty(len(rows))
    for row in range(len(rows)):
        cumulative = np.cumsum(rows[row])
        total = cumulative[-1]
        middle = total * (1 - coverage) / 2
        best_low = _place(cumulative, middle)
        best_high = _place(cumulative, total - middle)
        # the shortest one starts or ends at an edge of the histogram
        for k in range(len(cumulative) + 1):
            edge = cumulative[k - 1] if k > 0 else 0.0
            for start in (edge, edge - coverage * total):
                if -1e-12 * total <= start <= total * (1 - coverage + 1e-12):
                    here = _place(cumulative, start + 1e-12 * total)
                    there = _place(cumulative, start + coverage * total)
                    if there - here < best_high - best_low - 1e-9:
                        best_low, best_high = here, there
        low[row], high[row] = best_low, best_high
    return low, high
