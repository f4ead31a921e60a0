"""Emissions of at most one spike a bin, and of which unit fired."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import stats
from scipy.special import digamma, expit, gammaln

from connflow.changepoint.conjugate import (
    Floats,
    Interval,
    Shapes,
    beta_divergence,
    tails,
    total,
)
from connflow.changepoint.observations import Coefficients, Statistics


@dataclass(frozen=True, eq=False)
class Bernoulli:
    """At most one spike a bin, with probability p ~ Beta of mean the unit's own and strength 2.

    Parameters
    ----------
    a0, b0 : (n_units,)
    """

    a0: Floats
    b0: Floats
    with_squares: ClassVar[bool] = False
    level_name: ClassVar[str] = "rate"

    @classmethod
    def of(cls, values: Floats) -> "Bernoulli":
        """Return the family with the prior that suits some values."""
        n_observed = np.isfinite(values).sum(axis=(0, 1))
        p = (np.nansum(values, axis=(0, 1)) + 0.5) / (n_observed + 1)
        return cls(2 * p, 2 * (1 - p))

    def like(self, values: Floats) -> "Bernoulli":
        """Return the family of other values."""
        return self.of(values)

    def posterior(self, sums: Statistics) -> Shapes:
        """Return the two parameters of p."""
        return Shapes(self.a0 + sums.x, self.b0 + sums.n - sums.x)

    def coefficients(self, posterior: Shapes) -> Coefficients:
        """Return E log (1 - p) of 1, and E log p / (1 - p) of x."""
        not_p = digamma(posterior.b) - digamma(posterior.a + posterior.b)
        return Coefficients(one=not_p, x=digamma(posterior.a) - digamma(posterior.b))

    def divergence(self, posterior: Shapes) -> Floats:
        """Return the sum of beta divergences."""
        return total(beta_divergence(posterior.a, posterior.b, self.a0, self.b0))

    def draw(self, posterior: Shapes, rng: np.random.Generator) -> Coefficients:
        """Return the coefficients of a drawn p."""
        p = np.clip(rng.beta(posterior.a, posterior.b), 1e-300, 1 - 1e-16)
        return Coefficients(one=np.log1p(-p), x=np.log(p) - np.log1p(-p))

    def level(self, posterior: Shapes) -> Floats:
        """Return E p."""
        return posterior.a / (posterior.a + posterior.b)

    def drawn_level(self, drawn: Coefficients) -> Floats:
        """Return p."""
        return np.asarray(expit(drawn.x))

    def interval(self, posterior: Shapes, coverage: float) -> Interval:
        """Return quantiles of p."""
        low, high = (stats.beta.ppf(q, posterior.a, posterior.b) for q in tails(coverage))
        return low, high

    def constant(self, posterior: Shapes) -> Floats:
        """Return 0."""
        return np.zeros(len(posterior.a))


@dataclass(frozen=True, eq=False)
class Categorical:
    """Which units fired, given how many spikes there were: ``Σ x log π``, π ~ Dirichlet.

    Parameters
    ----------
    prior : (n_units,)
        In proportion to the units' own shares, 1 in the mean.
    coefficient : float
        Sum of the logs of the multinomial coefficients.
    """

    prior: Floats
    coefficient: float
    with_squares: ClassVar[bool] = False
    level_name: ClassVar[str] = "probability"

    @classmethod
    def of(cls, values: Floats) -> "Categorical":
        """Return the family with the prior that suits some values."""
        share = np.nansum(values, axis=(0, 1)) + 0.5
        ways = gammaln(np.nansum(values, axis=2) + 1).sum() - np.nansum(gammaln(values + 1))
        return cls(len(share) * share / share.sum(), float(ways))

    def like(self, values: Floats) -> "Categorical":
        """Return the family of other values."""
        return self.of(values)

    def posterior(self, sums: Statistics) -> Shapes:
        """Return the Dirichlet parameters, and their sum."""
        a = self.prior + sums.x
        return Shapes(a, a.sum(axis=-1, keepdims=True))

    def coefficients(self, posterior: Shapes) -> Coefficients:
        """Return E log π of x."""
        x = digamma(posterior.a) - digamma(posterior.b)
        return Coefficients(one=np.zeros_like(x), x=x)

    def divergence(self, posterior: Shapes) -> Floats:
        """Return the sum of Dirichlet divergences."""
        expected = digamma(posterior.a) - digamma(posterior.b)
        each = gammaln(self.prior) - gammaln(posterior.a) + (posterior.a - self.prior) * expected
        whole = gammaln(posterior.b[..., 0]) - gammaln(self.prior.sum())
        return np.asarray(total(each) + whole.sum(axis=-1))

    def draw(self, posterior: Shapes, rng: np.random.Generator) -> Coefficients:
        """Return the coefficients of a drawn π."""
        gammas = np.maximum(rng.gamma(posterior.a), np.finfo(float).tiny)
        x = np.log(gammas) - np.log(gammas.sum(axis=-1, keepdims=True))
        return Coefficients(one=np.zeros_like(x), x=x)

    def level(self, posterior: Shapes) -> Floats:
        """Return E π."""
        return posterior.a / posterior.b

    def drawn_level(self, drawn: Coefficients) -> Floats:
        """Return π."""
        return np.exp(drawn.x)

    def interval(self, posterior: Shapes, coverage: float) -> Interval:
        """Return quantiles of each unit's share."""
        low, high = (
            stats.beta.ppf(q, posterior.a, posterior.b - posterior.a) for q in tails(coverage)
        )
        return low, high

    def constant(self, posterior: Shapes) -> Floats:
        """Return the multinomial coefficients."""
        return np.full(len(posterior.a), self.coefficient)
