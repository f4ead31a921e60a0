"""Rates of several groups of trials: each group's own, or around a common one.

Groups are conditions, such as stimuli, or blocks of successive trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from connflow.changepoint.emissions import (
    Emission,
    Poisson,
    Shapes,
    gamma_divergence,
)
from connflow.changepoint.observations import Coefficients, Statistics

Floats = NDArray[np.float64]

_ROUNDS = 30  # until a common rate and the groups' agree to rounding


class Pooling(Protocol):
    """From the sums of every group to the posteriors of their parameters."""

    emission: Emission

    def posteriors(self, sums: Sequence[Statistics]) -> list[Any]:
        """Return a posterior for each group."""
        ...

    def divergence(self, posteriors: Sequence[Any]) -> Floats:
        """Return the divergence of all parameters from the prior, (n_sets,)."""
        ...

    def draw(self, sums: Sequence[Statistics], rng: np.random.Generator) -> list[Coefficients]:
        """Return the coefficients of parameters drawn from their posteriors."""
        ...


@dataclass(frozen=True, eq=False)
class Separate:
    """Each group has parameters of its own."""

    emission: Emission

    def posteriors(self, sums: Sequence[Statistics]) -> list[Any]:
        """See `Pooling.posteriors`."""
        return [self.emission.posterior(one) for one in sums]

    def divergence(self, posteriors: Sequence[Any]) -> Floats:
        """See `Pooling.divergence`."""
        return np.sum([self.emission.divergence(one) for one in posteriors], axis=0)

    def draw(self, sums: Sequence[Statistics], rng: np.random.Generator) -> list[Coefficients]:
        """See `Pooling.draw`."""
        return [self.emission.draw(one, rng) for one in self.posteriors(sums)]


@dataclass(frozen=True, eq=False)
class Hierarchical:
    """Poisson rates of the groups around a common one.

    Parameters
    ----------
    emission : Poisson
    shape : float
        Rates of groups vary by ``1 / sqrt(shape)`` of the common one.

    Notes
    -----
    λ_g ~ Gamma(shape, β), and β ~ Gamma(2, 2 mean / shape), for each state and unit.
    """

    emission: Poisson
    shape: float = 4.0

    @property
    def _prior(self) -> tuple[float, Floats]:
        return 2.0, 2.0 * self.emission.mean / self.shape

    def posteriors(self, sums: Sequence[Statistics]) -> list["_Pooled"]:
        """See `Pooling.posteriors`."""
        c0, d0 = self._prior
        c = c0 + len(sums) * self.shape
        beta = np.broadcast_to(self.shape / self.emission.mean, sums[0].x.shape)
        for _ in range(_ROUNDS):
            level = sum((self.shape + one.x) / (beta + one.n) for one in sums)
            d = d0 + level
            beta = c / d
        return [_Pooled(self.shape + one.x, beta + one.n, np.full_like(d, c), d) for one in sums]

    def divergence(self, posteriors: Sequence["_Pooled"]) -> Floats:
        """See `Pooling.divergence`."""
        c0, d0 = self._prior
        c, d = posteriors[0].c, posteriors[0].d
        slack = self.shape * (np.log(c / d) - digamma(c) + np.log(d))  # log E β - E log β
        each = [gamma_divergence(one.a, one.b, self.shape, c / d) + slack for one in posteriors]
        return np.asarray((sum(each) + gamma_divergence(c, d, c0, d0)).sum(axis=(1, 2)))

    def draw(self, sums: Sequence[Statistics], rng: np.random.Generator) -> list[Coefficients]:
        """See `Pooling.draw`; λ is drawn given a draw of β from its own expectation."""
        pooled = self.posteriors(sums)
        beta = rng.gamma(pooled[0].c) / pooled[0].d
        drawn = [Shapes(one.a, beta + these.n) for one, these in zip(pooled, sums, strict=True)]
        return [self.emission.draw(one, rng) for one in drawn]


@dataclass(frozen=True, eq=False)
class _Pooled(Shapes):
    c: Floats
    d: Floats


def choose_pooling(name: str, emission: Emission, n_groups: int) -> Pooling:
    """Return how the rates of groups go together."""
    if name == "hierarchical" and n_groups > 1 and isinstance(emission, Poisson):
        return Hierarchical(emission)
    return Separate(emission)
