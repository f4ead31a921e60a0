"""Emissions of any values: Gaussian, of one variance a unit or of one a state."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import stats
from scipy.special import digamma

from connflow.changepoint.conjugate import (
    Floats,
    Interval,
    gamma_divergence,
    tails,
    total,
)
from connflow.changepoint.observations import Coefficients, Statistics


@dataclass(frozen=True, eq=False)
class Normals:
    """Normal-gamma posterior: mean of precision κτ around m, and τ ~ Gamma(a, b).

    Parameters
    ----------
    mean, kappa : (n_sets, n_states, n_units)
    a, b : (n_sets, n_states or 1, n_units)
    """

    mean: Floats
    kappa: Floats
    a: Floats
    b: Floats


PRIOR_KAPPA = 0.1


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Values of mean μ and precision τ, conjugate, with priors around the unit's own moments.

    Parameters
    ----------
    centre, variance : (n_units,)
        Of all values.
    shares_variance : bool
        Whether a unit's variance is the same in all states.
    """

    centre: Floats
    variance: Floats
    shares_variance: bool
    with_squares: ClassVar[bool] = True
    level_name: ClassVar[str] = "mean"

    @classmethod
    def of(cls, values: Floats, *, shares_variance: bool) -> "Gaussian":
        """Return the family with the prior that suits some values."""
        flat = values.reshape(-1, values.shape[2])
        count = np.maximum(np.isfinite(flat).sum(axis=0), 1)
        centre = np.nansum(flat, axis=0) / count
        variance = np.nansum((flat - centre) ** 2, axis=0) / count
        return cls(centre, np.where(variance > 0, variance, 1.0), shares_variance)

    def like(self, values: Floats) -> "Gaussian":
        """Return the family of other values."""
        return self.of(values, shares_variance=self.shares_variance)

    def posterior(self, sums: Statistics) -> Normals:
        """Return the normal-gamma posterior."""
        assert sums.xx is not None
        kappa = PRIOR_KAPPA + sums.n
        mean = (PRIOR_KAPPA * self.centre + sums.x) / kappa
        # sums of squares about the posterior mean, without the large terms that cancel
        about = sums.xx - 2 * self.centre * sums.x + self.centre**2 * sums.n
        scatter = about - kappa * (mean - self.centre) ** 2
        half_n = sums.n / 2
        if self.shares_variance:
            half_n, scatter = (one.sum(axis=1, keepdims=True) for one in (half_n, scatter))
        return Normals(mean, kappa, 1 + half_n, self.variance + np.maximum(scatter, 0) / 2)

    def coefficients(self, posterior: Normals) -> Coefficients:
        """Return the expected log density as a parabola in x."""
        tau = posterior.a / posterior.b
        log_tau = digamma(posterior.a) - np.log(posterior.b)
        one = 0.5 * (log_tau - np.log(2 * np.pi)) - 0.5 * (
            tau * posterior.mean**2 + 1 / posterior.kappa
        )
        return Coefficients(one, tau * posterior.mean, np.broadcast_to(-0.5 * tau, one.shape))

    def divergence(self, posterior: Normals) -> Floats:
        """Return the sum of normal-gamma divergences."""
        tau = posterior.a / posterior.b
        ratio = PRIOR_KAPPA / posterior.kappa
        shift = PRIOR_KAPPA * (posterior.mean - self.centre) ** 2 * tau
        means = 0.5 * (ratio - np.log(ratio) - 1 + shift)
        return total(means) + total(gamma_divergence(posterior.a, posterior.b, 1.0, self.variance))

    def draw(self, posterior: Normals, rng: np.random.Generator) -> Coefficients:
        """Return the coefficients of drawn mean and precision."""
        tau = rng.gamma(posterior.a) / posterior.b
        noise = rng.standard_normal(posterior.mean.shape)
        mean = posterior.mean + noise / np.sqrt(posterior.kappa * tau)
        one = 0.5 * np.log(tau / (2 * np.pi)) - 0.5 * tau * mean**2
        return Coefficients(one, tau * mean, np.broadcast_to(-0.5 * tau, one.shape))

    def level(self, posterior: Normals) -> Floats:
        """Return the mean."""
        return posterior.mean

    def drawn_level(self, drawn: Coefficients) -> Floats:
        """Return the mean."""
        assert drawn.xx is not None
        return -0.5 * drawn.x / drawn.xx

    def interval(self, posterior: Normals, coverage: float) -> Interval:
        """Return quantiles of Student's t."""
        scale = np.sqrt(posterior.b / (posterior.a * posterior.kappa))
        low, high = (
            posterior.mean + scale * stats.t.ppf(q, 2 * posterior.a) for q in tails(coverage)
        )
        return low, high

    def constant(self, posterior: Normals) -> Floats:
        """Return 0."""
        return np.zeros(len(posterior.mean))
