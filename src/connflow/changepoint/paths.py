"""How a trial goes through the states: by steps, leaving states out, or gradually.

Each kind of path says which modes a bin can be in, given the states; infers the probabilities of
modes and boundaries; and draws paths. For steps, modes are the states themselves.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, expit, gammaln

from connflow.changepoint import _paths, _segments
from connflow.changepoint.observations import Coefficients, Statistics
from connflow.changepoint.timing import Hazards

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PathPosterior:
    """What is known of the paths of some trials under several sets of parameters.

    Parameters
    ----------
    log_evidence : (n_sets, n_trials)
        Log of the sum over paths.
    weights : (n_trials, n_bins, n_sets, n_modes)
        Probability of each mode in each bin.
    boundaries : (n_sets, n_trials, n_states - 1, n_bins + 1)
        Probability of each number of bins before the next state.
    """

    log_evidence: Floats
    weights: Floats
    boundaries: Floats


class Paths(Protocol):
    """A kind of path through some states."""

    @property
    def n_states(self) -> int:
        """Number of states."""
        ...

    def modes(self, states: Coefficients) -> Coefficients:
        """Return the log likelihood of modes from that of states."""
        ...

    def states(
        self, modes: Statistics, states: Coefficients, rng: np.random.Generator | None = None
    ) -> Statistics:
        """Return the sums of states from those of modes: expected, or drawn with `rng`."""
        ...

    def infer(self, log_likelihood: Floats, lengths: Counts, hazards: Hazards) -> PathPosterior:
        """Infer paths from the log likelihood of modes, (n_trials, n_bins, n_sets, n_modes)."""
        ...

    def draw(
        self,
        log_likelihood: Floats,
        lengths: Counts,
        hazards: Hazards,
        rng: np.random.Generator,
        n_draws: int,
    ) -> Counts:
        """Draw boundaries, (n_draws, n_trials, n_states - 1), for one set of parameters."""
        ...

    def weigh(self, boundaries: Counts, lengths: Counts, n_bins: int) -> Floats:
        """Return 1 for the mode of each bin, else 0: (n_trials, n_bins, 1, n_modes)."""
        ...


class _StatesAsModes:
    def modes(self, states: Coefficients) -> Coefficients:
        """Return the same."""
        return states

    def states(
        self, modes: Statistics, states: Coefficients, rng: np.random.Generator | None = None
    ) -> Statistics:
        """Return the same."""
        return modes

    def weigh(self, boundaries: Counts, lengths: Counts, n_bins: int) -> Floats:
        """See `Paths.weigh`."""
        state = states_of(boundaries, n_bins)
        weights = state[:, :, None] == np.arange(boundaries.shape[1] + 1)
        weights &= (np.arange(n_bins) < lengths[:, None])[:, :, None]
        return np.asarray(weights[:, :, None], np.float64)


def states_of(boundaries: Counts, n_bins: int) -> Counts:
    """Return the state of each bin, (n_trials, n_bins), from boundaries (n_trials, n_states-1)."""
    return np.asarray((boundaries[:, None, :] <= np.arange(n_bins)[:, None]).sum(axis=2), np.int64)


@dataclass(frozen=True)
class StepPaths(_StatesAsModes):
    """All states in their order, each for `min_dwell` bins at least, one bin in one state."""

    n_states: int
    min_dwell: int = 1

    def infer(self, log_likelihood: Floats, lengths: Counts, hazards: Hazards) -> PathPosterior:
        """See `Paths.infer`."""
        n_trials, n_bins, n_sets, n_states = log_likelihood.shape
        posterior = PathPosterior(
            np.empty((n_sets, n_trials)),
            np.empty_like(log_likelihood),
            np.empty((n_sets, n_trials, n_states - 1, n_bins + 1)),
        )
        filled = posterior.log_evidence, posterior.weights, posterior.boundaries
        given = self.min_dwell, hazards.survive, hazards.leave
        _paths.infer_paths(log_likelihood, lengths, *given, *filled)
        return posterior

    def draw(
        self,
        log_likelihood: Floats,
        lengths: Counts,
        hazards: Hazards,
        rng: np.random.Generator,
        n_draws: int,
    ) -> Counts:
        """See `Paths.draw`."""
        drawn = np.empty((n_draws, len(lengths), self.n_states - 1), np.int64)
        given = self.min_dwell, hazards.survive[0], hazards.leave[0], rng.random(drawn.shape)
        _paths.draw_paths(log_likelihood[:, :, 0], lengths, *given, drawn)
        return drawn


class _SegmentPaths:
    """Paths whose states' weights depend on both ends; a subclass says how."""

    n_states: int

    def _scores(
        self, log_likelihood: Floats, hazards: Hazards, number: int, scores: Floats
    ) -> None:
        raise NotImplementedError

    def _weights(
        self, scores: Floats, sums: tuple[Floats, Floats, float], boundaries: Floats, out: Floats
    ) -> None:
        raise NotImplementedError

    def _arrays(self, n: int) -> tuple[Floats, Floats, Floats]:
        shape = self.n_states, n + 1
        return np.empty((*shape, n + 1)), np.empty(shape), np.empty(shape)

    def infer(self, log_likelihood: Floats, lengths: Counts, hazards: Hazards) -> PathPosterior:
        """See `Paths.infer`."""
        n_trials, n_bins, n_sets, _ = log_likelihood.shape
        log_evidence, weights = np.empty((n_sets, n_trials)), np.empty_like(log_likelihood)
        boundaries = np.empty((n_sets, n_trials, self.n_states - 1, n_bins + 1))
        for i, n in enumerate(lengths):
            scores, before, after = self._arrays(n)
            for r in range(n_sets):
                self._scores(log_likelihood[i, :n, r], hazards, r, scores)
                total = _segments.sum_paths(scores, before, after)
                _segments.fill_boundaries(before, after, total, boundaries[r, i])
                self._weights(scores, (before, after, total), boundaries[r, i], weights[i, :, r])
                log_evidence[r, i] = total
        return PathPosterior(log_evidence, weights, boundaries)

    def draw(
        self,
        log_likelihood: Floats,
        lengths: Counts,
        hazards: Hazards,
        rng: np.random.Generator,
        n_draws: int,
    ) -> Counts:
        """See `Paths.draw`."""
        drawn = np.empty((n_draws, len(lengths), self.n_states - 1), np.int64)
        uniforms = rng.random(drawn.shape)
        for i, n in enumerate(lengths):
            scores, before, after = self._arrays(n)
            self._scores(log_likelihood[i, :n, 0], hazards, 0, scores)
            _segments.sum_paths(scores, before, after)
            _segments.draw_boundaries(scores, before, uniforms[:, i], drawn[:, i])
        return drawn


class SkippingPaths(_StatesAsModes, _SegmentPaths):
    """States in their order, any of which a trial may leave out: a Dirichlet process.

    Notes
    -----
    A state takes of the bins that are left a share v ~ Beta(1, concentration), each trial its own;
    without v, its dwell time is beta-binomial. The last state takes the rest.

    References
    ----------
    Sethuraman 1994, A constructive definition of Dirichlet priors. Statistica Sinica 4: 639-650.
    """

    def __init__(self, n_states: int, n_bins: int, concentration: float) -> None:
        self.n_states = n_states
        left, dwell = np.arange(n_bins + 1)[:, None], np.arange(n_bins + 1)
        rest = np.maximum(left - dwell, 0)
        log_ways = gammaln(left + 1) - gammaln(dwell + 1) - gammaln(rest + 1)
        share = betaln(dwell + 1, rest + concentration) - betaln(1, concentration)
        self._log_dwell = np.where(dwell <= left, log_ways + share, -np.inf)

    def _scores(
        self, log_likelihood: Floats, hazards: Hazards, number: int, scores: Floats
    ) -> None:
        _segments.fill_skipping(log_likelihood, self._log_dwell, scores)

    def _weights(
        self, scores: Floats, sums: tuple[Floats, Floats, float], boundaries: Floats, out: Floats
    ) -> None:
        n = scores.shape[1] - 1
        reached = np.cumsum(boundaries, axis=1)[:, :n]
        entered = np.vstack([np.ones(n), reached])
        out[:n] = np.maximum(entered - np.vstack([reached, np.zeros(n)]), 0).T
        out[n:] = 0


class GradualPaths(_SegmentPaths):
    """All states in their order, with rates that cross over along a sigmoid at each boundary.

    Parameters
    ----------
    n_states, min_dwell : int
    width_bins : float
        Of the sigmoid: j bins behind the boundary the next state has a share of
        ``1 / (1 + exp(-j / width_bins))``.

    Notes
    -----
    Counts of a bin with shares of two states are the sum of two Poisson counts, so that rates have
    the closed form that they have for steps. A bin belongs to the boundary that is nearer; beyond
    four widths it is its state's alone.
    """

    def __init__(self, n_states: int, min_dwell: int, width_bins: float) -> None:
        self.n_states, self._min_dwell = n_states, min_dwell
        self._reach = int(np.ceil(4 * width_bins))
        behind = np.arange(self._reach) + 0.5
        later = expit(np.concatenate([-behind, behind]) / width_bins)
        n_modes = n_states + (n_states - 1) * 2 * self._reach
        self._shares = np.zeros((n_modes, n_states))
        self._shares[:n_states] = np.eye(n_states)
        for k in range(n_states - 1):
            rows = slice(n_states + k * len(later), n_states + (k + 1) * len(later))
            self._shares[rows, k], self._shares[rows, k + 1] = 1 - later, later

    def modes(self, states: Coefficients) -> Coefficients:
        """Return the log of the sum of shares of expected log rates, and minus the rates."""
        top = states.x.max(axis=1, keepdims=True)
        x = np.log(self._shares @ np.exp(states.x - top)) + top
        return Coefficients(one=self._shares @ states.one, x=x)

    def states(
        self, modes: Statistics, states: Coefficients, rng: np.random.Generator | None = None
    ) -> Statistics:
        """Share each mode's spikes out among its states."""
        top = states.x.max(axis=1, keepdims=True)
        rates = np.exp(states.x - top)[:, None] * self._shares[:, :, None]
        parts = rates / rates.sum(axis=2, keepdims=True)  # (n_sets, n_modes, n_states, n_units)
        if rng is None:
            x = np.einsum("rmn,rmkn->rkn", modes.x, parts)
        else:
            counts = np.rint(modes.x).astype(np.int64)
            shared = rng.multinomial(counts, np.moveaxis(parts, 2, 3))
            x = np.moveaxis(shared.sum(axis=1), 1, 2).astype(np.float64)
        return Statistics(n=self._shares.T @ modes.n, x=x)

    def weigh(self, boundaries: Counts, lengths: Counts, n_bins: int) -> Floats:
        """See `Paths.weigh`."""
        weights = np.zeros((len(lengths), n_bins, 1, len(self._shares)))
        _segments.weigh_gradual(boundaries, lengths, self.n_states, self._reach, weights[:, :, 0])
        return weights

    def _scores(
        self, log_likelihood: Floats, hazards: Hazards, number: int, scores: Floats
    ) -> None:
        timing = hazards.survive[number], hazards.leave[number]
        _segments.fill_gradual(
            log_likelihood, self.n_states, self._reach, self._min_dwell, *timing, scores
        )

    def _weights(
        self, scores: Floats, sums: tuple[Floats, Floats, float], boundaries: Floats, out: Floats
    ) -> None:
        _segments.add_gradual(scores, *sums, self._reach, out)
