"""One trial alone: exact evidence and paths, with the parameters of states integrated out.

    log p(x in bins s to t) = E[log p(x | θ)] - KL(θ)

under the posterior of θ given those bins, which is what Bayes' rule gives for any conjugate
family. All ways to cut the trial into states are as likely as one another.

References
----------
Fearnhead 2006, Exact and efficient Bayesian inference for multiple changepoint problems,
Statistics and Computing 16: 203-213.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connflow.changepoint import _segments
from connflow.changepoint.emissions import Emission
from connflow.changepoint.observations import Statistics
from connflow.changepoint.timing import log_ways

Floats = NDArray[np.float64]

EXACT_EMISSIONS = ("poisson", "bernoulli", "categorical", "gaussian_mean_variance")
"""Those whose states have no parameter in common."""


@dataclass(frozen=True, eq=False)
class ExactFit:
    """The exact posterior of one trial.

    Parameters
    ----------
    evidence : float
        Log probability of the trial, with paths and parameters integrated out, nats.
    boundaries : (n_states - 1, n_bins + 1)
        Probability of each number of bins before the next state.
    drawn : (n_draws, n_states - 1)
        Joint samples of them.
    """

    evidence: float
    boundaries: Floats
    drawn: NDArray[np.int64]


def segment_evidence(values: Floats, emission: Emission, min_dwell: int) -> Floats:
    """Return the log evidence of bins s to t as one state, (n_bins + 1, n_bins + 1).

    Parameters
    ----------
    values : (n_bins, n_units)
        NaN where nothing was observed.
    emission : Emission
    min_dwell : int
        Shorter segments have minus infinity.
    """
    n_bins = len(values)
    known = np.nan_to_num(values)
    running = [
        np.vstack([np.zeros(values.shape[1]), np.cumsum(one, axis=0)])
        for one in (np.isfinite(values).astype(np.float64), known, known**2)
    ]
    found = np.full((n_bins + 1, n_bins + 1), -np.inf)
    for s in range(n_bins - min_dwell + 1):
        first = s + min_dwell
        n, x, xx = (one[first:, None] - one[s] for one in running)
        sums = Statistics(n, x, xx if emission.with_squares else None)
        posterior = emission.posterior(sums)
        given = emission.coefficients(posterior)
        expected = given.one * n + given.x * x
        if given.xx is not None:
            expected = expected + given.xx * xx
        found[s, first:] = expected.sum(axis=(1, 2)) - emission.divergence(posterior)
    return found


def fit_exactly(
    evidence: Floats,
    n_states: int,
    constant: float,
    min_dwell: int,
    n_draws: int,
    rng: np.random.Generator,
) -> ExactFit:
    """Return the exact posterior for a number of states.

    Parameters
    ----------
    evidence : (n_bins + 1, n_bins + 1)
        From `segment_evidence`.
    n_states : int
    constant : float
        What the evidence of the whole trial has beside, nats.
    min_dwell, n_draws : int
    rng
    """
    n_bins = len(evidence) - 1
    scores = np.ascontiguousarray(np.broadcast_to(evidence, (n_states, *evidence.shape)))
    before, after = np.empty((2, n_states, n_bins + 1))
    total = _segments.sum_paths(scores, before, after)
    boundaries = np.empty((n_states - 1, n_bins + 1))
    _segments.fill_boundaries(before, after, total, boundaries)
    drawn = np.empty((n_draws, n_states - 1), np.int64)
    _segments.draw_boundaries(scores, before, rng.random(drawn.shape), drawn)
    ways = log_ways(np.array([n_bins]), n_states, min_dwell)[0]
    return ExactFit(float(total - ways + constant), boundaries, drawn)
