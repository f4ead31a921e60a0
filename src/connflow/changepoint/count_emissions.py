"""Emissions of spike counts: Poisson, and more variable than that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import stats
from scipy.special import betaln, digamma, gammaln

from connflow.changepoint.conjugate import (
    Floats,
    Interval,
    Shapes,
    beta_divergence,
    gamma_divergence,
    tails,
    total,
)
from connflow.changepoint.observations import Coefficients, Statistics

PRIOR_SHAPE = 1.0
"""Of the gamma prior of a rate, whose mean is the unit's own: an exponential distribution."""


@dataclass(frozen=True, eq=False)
class Poisson:
    """Counts of rate λ, λ ~ Gamma(1, 1 / the unit's mean): ``x log λ - λ - log x!``.

    Parameters
    ----------
    mean : (n_units,)
        Of all counts.
    log_factorials : float
        Sum of ``log x!`` over all bins.
    """

    mean: Floats
    log_factorials: float
    with_squares: ClassVar[bool] = False
    level_name: ClassVar[str] = "rate"

    @classmethod
    def of(cls, values: Floats) -> "Poisson":
        """Return the family with the prior that suits some values."""
        n_observed = np.isfinite(values).sum(axis=(0, 1))
        total = np.nansum(values, axis=(0, 1))
        mean = (total + 0.5) / np.maximum(n_observed, 1)  # above 0 for a silent unit, too
        return cls(mean, float(np.nansum(gammaln(values + 1))))

    def like(self, values: Floats) -> "Poisson":
        """Return the family of other values."""
        return self.of(values)

    def posterior(self, sums: Statistics) -> Shapes:
        """Return shape and rate of λ."""
        return Shapes(PRIOR_SHAPE + sums.x, PRIOR_SHAPE / self.mean + sums.n)

    def coefficients(self, posterior: Shapes) -> Coefficients:
        """Return E log λ of x, and -E λ."""
        return Coefficients(
            one=-posterior.a / posterior.b, x=digamma(posterior.a) - np.log(posterior.b)
        )

    def divergence(self, posterior: Shapes) -> Floats:
        """Return the sum of gamma divergences."""
        return total(
            gamma_divergence(posterior.a, posterior.b, PRIOR_SHAPE, PRIOR_SHAPE / self.mean)
        )

    def draw(self, posterior: Shapes, rng: np.random.Generator) -> Coefficients:
        """Return the coefficients of a drawn λ."""
        rate = np.maximum(rng.gamma(posterior.a) / posterior.b, np.finfo(float).tiny)
        return Coefficients(one=-rate, x=np.log(rate))

    def level(self, posterior: Shapes) -> Floats:
        """Return E λ."""
        return posterior.a / posterior.b

    def drawn_level(self, drawn: Coefficients) -> Floats:
        """Return λ."""
        return -drawn.one

    def interval(self, posterior: Shapes, coverage: float) -> Interval:
        """Return quantiles of λ."""
        low, high = (
            stats.gamma.ppf(q, posterior.a, scale=1 / posterior.b) for q in tails(coverage)
        )
        return low, high

    def constant(self, posterior: Shapes) -> Floats:
        """Return the sum of ``-log x!``."""
        return np.full(len(posterior.a), -self.log_factorials)


@dataclass(frozen=True, eq=False)
class Dispersed(Shapes):
    """Posterior of p of a negative binomial, with the size r of each unit, (n_sets, 1, n_units)."""

    size: Floats
    a0: Floats
    b0: Floats


SIZES = np.geomspace(0.1, 1000.0, 41)
"""Sizes r of a negative binomial that are tried: from heavy tails to Poisson."""


@dataclass(frozen=True, eq=False)
class NegativeBinomial:
    """Counts that vary more than Poisson's: ``log Γ(x+r)/(Γ(r) x!) + r log(1-p) + x log p``.

    p ~ Beta(1, 1 + r / mean), under which counts have the unit's mean; r, a unit's own in all its
    states and all groups of trials, is that of `SIZES` with the highest evidence.

    Parameters
    ----------
    mean : (n_units,)
    log_gammas : (n_units, n_sizes)
        Sum over bins of ``log Γ(x+r) - log Γ(r) - log x!``.
    """

    mean: Floats
    log_gammas: Floats
    with_squares: ClassVar[bool] = False
    level_name: ClassVar[str] = "rate"

    @classmethod
    def of(cls, values: Floats) -> "NegativeBinomial":
        """Return the family with the prior that suits some values."""
        mean = Poisson.of(values).mean
        flat = values.reshape(-1, values.shape[2])
        tables = np.empty((len(mean), len(SIZES)))
        for unit in range(len(mean)):
            counts, times = np.unique(flat[:, unit][np.isfinite(flat[:, unit])], return_counts=True)
            terms = gammaln(counts[:, None] + SIZES) - gammaln(SIZES) - gammaln(counts[:, None] + 1)
            tables[unit] = times @ terms
        return cls(mean, tables)

    def like(self, values: Floats) -> "NegativeBinomial":
        """Return the family of other values."""
        return self.of(values)

    def posterior(self, sums: Statistics) -> Dispersed:
        """Return the parameters of p, at the size of highest evidence."""
        return self.posteriors([sums])[0]

    def posteriors(self, sums: Sequence[Statistics]) -> list[Dispersed]:
        """Return the parameters of p in each group, at the size of highest evidence of them all."""
        gain = self.log_gammas + sum(self._gain(one) for one in sums)
        size = SIZES[gain.argmax(axis=-1)][:, None, :]
        prior = 1 + size / self.mean
        return [
            Dispersed(1 + one.x, prior + size * one.n, size, np.ones_like(prior), prior)
            for one in sums
        ]

    def _gain(self, sums: Statistics) -> Floats:
        """Return what p integrated out gives at each size, (n_sets, n_units, n_sizes)."""
        n, x = sums.n[..., None], sums.x[..., None]
        b0 = 1 + SIZES / self.mean[:, None]
        return np.asarray((betaln(1 + x, b0 + SIZES * n) - betaln(1.0, b0)).sum(axis=1))

    def coefficients(self, posterior: Dispersed) -> Coefficients:
        """Return r E log (1 - p) of 1, and E log p of x."""
        both = digamma(posterior.a + posterior.b)
        return Coefficients(
            one=posterior.size * (digamma(posterior.b) - both), x=digamma(posterior.a) - both
        )

    def divergence(self, posterior: Dispersed) -> Floats:
        """Return the sum of beta divergences."""
        return total(beta_divergence(posterior.a, posterior.b, posterior.a0, posterior.b0))

    def draw(self, posterior: Dispersed, rng: np.random.Generator) -> Coefficients:
        """Return the coefficients of a drawn p."""
        p = np.clip(rng.beta(posterior.a, posterior.b), 1e-300, 1 - 1e-16)
        return Coefficients(one=posterior.size * np.log1p(-p), x=np.log(p))

    def level(self, posterior: Dispersed) -> Floats:
        """Return r E p / (1 - p)."""
        return posterior.size * posterior.a / (posterior.b - 1)

    def drawn_level(self, drawn: Coefficients) -> Floats:
        """Return r p / (1 - p)."""
        p = np.exp(drawn.x)
        return np.asarray(drawn.one / np.log1p(-p) * p / (1 - p))

    def interval(self, posterior: Dispersed, coverage: float) -> Interval:
        """Return r p / (1 - p) at quantiles of p."""
        low, high = (stats.beta.ppf(q, posterior.a, posterior.b) for q in tails(coverage))
        return posterior.size * low / (1 - low), posterior.size * high / (1 - high)

    def constant(self, posterior: Dispersed) -> Floats:
        """Return the terms in which r and x meet."""
        place = np.searchsorted(SIZES, posterior.size[:, 0])
        units = np.arange(len(self.mean))
        return np.asarray(self.log_gammas[units, place].sum(axis=1))
