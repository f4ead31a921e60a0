"""When states are left: every way to cut a trial alike, or a chance of leaving a bin, learned.

The learned prior has for each state and bin a probability h of leaving after that bin, with

    h ~ Beta(c h⁰, c (1 - h⁰)),  h⁰ = m / (L - m (d - 1)),

where m states of at least d bins are still to come in the L bins left: under h⁰ all ways to cut a
trial of full length are alike. Leaving is certain when the rest only just suffices, so that the
prior is a proper one over paths that go through all states.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from connflow.changepoint import _paths
from connflow.changepoint.conjugate import beta_divergence

Floats = NDArray[np.float64]

CONCENTRATIONS = (2.0, 8.0, 32.0)
"""Trials that the prior chance of leaving counts for, of which the evidence chooses."""


@dataclass(frozen=True, eq=False)
class Hazards:
    """The log timing prior that recursions take.

    Parameters
    ----------
    survive, leave : (n_sets, n_states - 1, n_time_bins + 1)
        Running sum of the log probability to stay, and the log probability to leave.
    divergence : (n_sets,)
        Of the posterior from the prior.
    """

    survive: Floats
    leave: Floats
    divergence: Floats


def log_ways(n_bins: NDArray[np.int64], n_states: int, min_dwell: int) -> Floats:
    """Return the log of the number of ways to cut trials into states."""
    rest, m = n_bins - n_states * min_dwell, n_states - 1
    return np.asarray(gammaln(rest + m + 1) - gammaln(rest + 1) - gammaln(m + 1))


class UniformTiming:
    """Every way to cut a trial has the same probability."""

    def __init__(self, n_states: int, n_bins: int, min_dwell: int) -> None:
        self._shape = (n_states - 1, n_bins + 1)
        self._n_states, self._min_dwell = n_states, min_dwell

    def log_normaliser(self, lengths: NDArray[np.int64]) -> Floats:
        """Return the log of the sum over all paths of each trial, (n_trials,)."""
        return log_ways(lengths, self._n_states, self._min_dwell)

    def start(self, n_sets: int) -> Hazards:
        """Return the prior."""
        zeros = np.zeros((n_sets, *self._shape))
        return Hazards(zeros, zeros, np.zeros(n_sets))

    def update(self, boundaries: Floats, lengths: NDArray[np.int64]) -> Hazards:
        """Return the prior again: nothing is learned."""
        return self.start(len(boundaries))

    def draw(
        self, boundaries: Floats, lengths: NDArray[np.int64], rng: np.random.Generator
    ) -> Hazards:
        """Return the prior."""
        return self.start(len(boundaries))


class OwnTiming(UniformTiming):
    """That of paths which have a proper prior of dwell times themselves."""

    def log_normaliser(self, lengths: NDArray[np.int64]) -> Floats:
        """Return 0."""
        return np.zeros(len(lengths))


class LearnedTiming:
    """Chances of leaving, learned from the trials."""

    def __init__(self, n_states: int, n_bins: int, min_dwell: int, concentration: float) -> None:
        to_come = np.arange(n_states - 1, 0, -1)[:, None]
        left = n_bins - np.arange(n_bins + 1)
        spare = left - to_come * min_dwell
        first = np.arange(1, n_states)[:, None] * min_dwell
        self._is_open = (spare > 0) & (np.arange(n_bins + 1) >= first)
        chance = np.where(self._is_open, to_come / np.maximum(spare + to_come, 1), 0.5)
        self._a, self._b = concentration * chance, concentration * (1 - chance)
        self._min_dwell = min_dwell

    def log_normaliser(self, lengths: NDArray[np.int64]) -> Floats:
        """Return 0: the probabilities of all paths sum to 1."""
        return np.zeros(len(lengths))

    def start(self, n_sets: int) -> Hazards:
        """Return what is expected before any trial was seen."""
        return self._expect(*(np.repeat(one[None], n_sets, axis=0) for one in (self._a, self._b)))

    def update(self, boundaries: Floats, lengths: NDArray[np.int64]) -> Hazards:
        """Return what is expected after the boundaries, (n_sets, n_trials, n_states - 1, ...)."""
        return self._expect(*self._posterior(boundaries, lengths))

    def draw(
        self, boundaries: Floats, lengths: NDArray[np.int64], rng: np.random.Generator
    ) -> Hazards:
        """Return chances drawn from their posterior."""
        chance = np.clip(rng.beta(*self._posterior(boundaries, lengths)), 1e-300, 1 - 1e-16)
        return self._hazards(np.log1p(-chance), np.log(chance), np.zeros(len(boundaries)))

    def chances(self, boundaries: Floats, lengths: NDArray[np.int64]) -> Floats:
        """Return the mean chance of leaving after a bin, (n_sets, n_states - 1, n_time_bins + 1).

        NaN where a state cannot be left, or must.
        """
        a, b = self._posterior(boundaries, lengths)
        return np.where(self._is_open, a / (a + b), np.nan)

    def _posterior(self, boundaries: Floats, lengths: NDArray[np.int64]) -> tuple[Floats, Floats]:
        shape = (len(boundaries), *self._a.shape)
        left, stayed = np.zeros(shape), np.zeros(shape)
        for number, one in enumerate(boundaries):
            _paths.count_leaving(one, lengths, self._min_dwell, left[number], stayed[number])
        return self._a + left, self._b + stayed

    def _expect(self, a: Floats, b: Floats) -> Hazards:
        both = digamma(a + b)
        divergence = beta_divergence(a, b, self._a, self._b) * self._is_open
        return self._hazards(digamma(b) - both, digamma(a) - both, divergence.sum(axis=(1, 2)))

    def _hazards(self, stay: Floats, leave: Floats, divergence: Floats) -> Hazards:
        survive = np.cumsum(np.where(self._is_open, stay, 0.0), axis=-1)
        return Hazards(survive, np.where(self._is_open, leave, 0.0), divergence)


Timing = UniformTiming | LearnedTiming
