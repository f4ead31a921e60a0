"""Rates of several groups of trials: each group's own, or around a common one.

Groups are conditions, such as stimuli, or blocks of successive trials.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from connflow.changepoint.conjugate import Shapes, gamma_divergence
from connflow.changepoint.count_emissions import NegativeBinomial, Poisson
from connflow.changepoint.emissions import Emission
from connflow.changepoint.observations import Coefficients, Statistics

Floats = NDArray[np.float64]

_NEWTON_STEPS = 6


class Pooling(Protocol):
    """From the sums of every group to the posteriors of their parameters."""

    @property
    def emission(self) -> Emission:
        """What states say of bins."""
        ...

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
        return np.asarray(np.sum([self.emission.divergence(one) for one in posteriors], axis=0))

    def draw(self, sums: Sequence[Statistics], rng: np.random.Generator) -> list[Coefficients]:
        """See `Pooling.draw`."""
        return [self.emission.draw(one, rng) for one in self.posteriors(sums)]


@dataclass(frozen=True, eq=False)
class SharedSize(Separate):
    """Each group has parameters of its own, but a unit's counts are as variable in all of them.

    Parameters
    ----------
    emission : NegativeBinomial
    """

    emission: NegativeBinomial

    def posteriors(self, sums: Sequence[Statistics]) -> list[Any]:
        """See `Pooling.posteriors`."""
        return list(self.emission.posteriors(sums))


SHAPES = (1.0, 4.0, 16.0, 64.0, 256.0)
"""Of the distribution of groups' rates around the common one: they vary by ``1 / sqrt(shape)``."""


@dataclass(frozen=True, eq=False)
class Hierarchical:
    """Poisson rates of the groups around a common one.

    Notes
    -----
    λ_g ~ Gamma(shape, β), and β ~ Gamma(2, 2 mean / shape), for each state and unit; the shape is
    that of `SHAPES` with the highest evidence.

    Parameters
    ----------
    emission : Poisson
    """

    emission: Poisson

    def posteriors(self, sums: Sequence[Statistics]) -> list["_Pooled"]:
        """See `Pooling.posteriors`."""
        tried = self._try_shapes(sums)
        best = np.argmax(self._gains(sums, tried), axis=0)  # (n_sets,)
        sets = np.arange(len(best))
        return [_Pooled(*(array[best, sets] for array in vars(one).values())) for one in tried]

    def _try_shapes(self, sums: Sequence[Statistics]) -> list["_Pooled"]:
        """Return the posteriors under each of `SHAPES`, which is the first axis of all arrays."""
        shape = np.array(SHAPES)[:, None, None, None]
        c0, d0 = _prior(shape, self.emission.mean)
        c = c0 + len(sums) * shape
        # near the root: the rate that all groups would have together
        n, x = (sum(getattr(one, name) for one in sums) for name in ("n", "x"))
        beta = shape * (1 + n * self.emission.mean) / (self.emission.mean * (1 + x))
        for _ in range(_NEWTON_STEPS):  # where beta is c / d, and d what beta makes it
            over, slope = d0 * beta - c, d0
            for one in sums:
                share = (shape + one.x) / (beta + one.n)
                over, slope = over + share * beta, slope + share * one.n / (beta + one.n)
            beta = np.maximum(beta - over / slope, 0.1 * beta)
        d = c / beta
        every = (np.broadcast_to(c, d.shape), d, np.broadcast_to(shape, d.shape))
        return [_Pooled(shape + one.x, beta + one.n, *every) for one in sums]

    def _gains(self, sums: Sequence[Statistics], tried: Sequence["_Pooled"]) -> Floats:
        """Return the bound that each shape gives, (n_shapes, n_sets)."""
        gains = -self.divergence(tried)
        for given, one in zip(map(self.emission.coefficients, tried), sums, strict=True):
            gains = gains + (given.x * one.x + given.one * one.n).sum(axis=(-2, -1))
        return np.asarray(gains)

    def divergence(self, posteriors: Sequence["_Pooled"]) -> Floats:
        """See `Pooling.divergence`."""
        c, d, shape = posteriors[0].c, posteriors[0].d, posteriors[0].shape
        c0, d0 = _prior(shape, self.emission.mean)
        slack = shape * (np.log(c) - digamma(c))  # of log E β over E log β
        each = [gamma_divergence(one.a, one.b, shape, c / d) + slack for one in posteriors]
        return np.asarray((sum(each) + gamma_divergence(c, d, c0, d0)).sum(axis=(-2, -1)))

    def draw(self, sums: Sequence[Statistics], rng: np.random.Generator) -> list[Coefficients]:
        """See `Pooling.draw`; λ is drawn given a draw of β from its own expectation."""
        pooled = self.posteriors(sums)
        beta = rng.gamma(pooled[0].c) / pooled[0].d
        drawn = [Shapes(one.a, beta + these.n) for one, these in zip(pooled, sums, strict=True)]
        return [self.emission.draw(one, rng) for one in drawn]


def _prior(shape: Any, mean: Floats) -> tuple[float, Floats]:
    return 2.0, 2.0 * mean / shape


@dataclass(frozen=True, eq=False)
class _Pooled(Shapes):
    c: Floats
    d: Floats
    shape: Floats


def choose_pooling(name: str, emission: Emission, n_groups: int) -> Pooling:
    """Return how the rates of groups go together."""
    if isinstance(emission, NegativeBinomial):
        return SharedSize(emission)
    if name == "hierarchical" and n_groups > 1 and isinstance(emission, Poisson):
        return Hierarchical(emission)
    return Separate(emission)
