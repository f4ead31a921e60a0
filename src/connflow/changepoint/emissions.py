"""What states say of bins: conjugate families, by their sufficient statistics.

Each family goes from the weighted sums of 1, x and x² in a state to the posterior of its
parameters, from there to the expected log likelihood as coefficients of 1, x and x², and to the
divergence of posterior from prior. Arrays are (n_sets, n_states, n_units), a set being a starting
point, a condition, or a draw.

References
----------
Murphy 2007, Conjugate Bayesian analysis of the Gaussian distribution.
Bishop 2006, Pattern recognition and machine learning, chapters 2 and 10.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import betaln, digamma, expit, gammaln

from connflow.changepoint.observations import Coefficients, Statistics

Floats = NDArray[np.float64]
Interval = tuple[Floats, Floats]

PRIOR_SHAPE = 1.0
"""Of the gamma prior of a rate, whose mean is the unit's own: an exponential distribution."""


class Emission(Protocol):
    """A family of emissions with its prior; `posterior` returns one that holds a posterior."""

    with_squares: ClassVar[bool]
    level_name: ClassVar[str]

    def posterior(self, sums: Statistics) -> Any:
        """Return the posterior of the parameters, given the sums of each state."""
        ...

    def coefficients(self, posterior: Any) -> Coefficients:
        """Return the expected log likelihood of a bin."""
        ...

    def divergence(self, posterior: Any) -> Floats:
        """Return the divergence of posterior from prior, (n_sets,)."""
        ...

    def draw(self, posterior: Any, rng: np.random.Generator) -> Coefficients:
        """Return the log likelihood of a bin under parameters drawn from the posterior."""
        ...

    def level(self, posterior: Any) -> Floats:
        """Return the mean of x in each state, (n_sets, n_states, n_units)."""
        ...

    def drawn_level(self, drawn: Coefficients) -> Floats:
        """Return the mean of x under drawn parameters."""
        ...

    def interval(self, posterior: Any, coverage: float) -> Interval:
        """Return the ends of the central interval of the mean of x."""
        ...

    def constant(self, posterior: Any) -> Floats:
        """Return what the log likelihood of all bins has beside the coefficients, (n_sets,)."""
        ...

    def like(self, values: Floats) -> "Emission":
        """Return the same family for other values, (n_trials, n_time_bins, n_units)."""
        ...


def _tails(coverage: float) -> tuple[float, float]:
    return (1 - coverage) / 2, (1 + coverage) / 2


def _total(values: Floats) -> Floats:
    """Sum over states and units."""
    return np.asarray(values.sum(axis=(-2, -1)))


@dataclass(frozen=True, eq=False)
class Shapes:
    """Two parameters of a gamma or beta distribution, (n_sets, n_states, n_units)."""

    a: Floats
    b: Floats


def gamma_divergence(a: Floats, b: Floats, a0: Floats | float, b0: Floats | float) -> Floats:
    """Return the divergence between gamma distributions of shape a and rate b."""
    return np.asarray(
        (a - a0) * digamma(a) - gammaln(a) + gammaln(a0) + a0 * np.log(b / b0) + a * (b0 / b - 1)
    )


def beta_divergence(a: Floats, b: Floats, a0: Floats | float, b0: Floats | float) -> Floats:
    """Return the divergence between beta distributions."""
    both = (a0 - a + b0 - b) * digamma(a + b)
    return np.asarray(
        betaln(a0, b0) - betaln(a, b) + (a - a0) * digamma(a) + (b - b0) * digamma(b) + both
    )


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
        return _total(
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
            stats.gamma.ppf(q, posterior.a, scale=1 / posterior.b) for q in _tails(coverage)
        )
        return low, high

    def constant(self, posterior: Shapes) -> Floats:
        """Return the sum of ``-log x!``."""
        return np.full(len(posterior.a), -self.log_factorials)


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
        return _total(beta_divergence(posterior.a, posterior.b, self.a0, self.b0))

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
        low, high = (stats.beta.ppf(q, posterior.a, posterior.b) for q in _tails(coverage))
        return low, high

    def constant(self, posterior: Shapes) -> Floats:
        """Return 0."""
        return np.zeros(len(posterior.a))


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
    states, is that of `SIZES` with the highest evidence.

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
        n, x = sums.n[..., None], sums.x[..., None]
        b0 = 1 + SIZES / self.mean[:, None]
        gain = (betaln(1 + x, b0 + SIZES * n) - betaln(1.0, b0)).sum(axis=1)
        size = SIZES[(gain + self.log_gammas).argmax(axis=-1)][:, None, :]
        prior = 1 + size / self.mean
        return Dispersed(1 + sums.x, prior + size * sums.n, size, np.ones_like(prior), prior)

    def coefficients(self, posterior: Dispersed) -> Coefficients:
        """Return r E log (1 - p) of 1, and E log p of x."""
        both = digamma(posterior.a + posterior.b)
        return Coefficients(
            one=posterior.size * (digamma(posterior.b) - both), x=digamma(posterior.a) - both
        )

    def divergence(self, posterior: Dispersed) -> Floats:
        """Return the sum of beta divergences."""
        return _total(beta_divergence(posterior.a, posterior.b, posterior.a0, posterior.b0))

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
        low, high = (stats.beta.ppf(q, posterior.a, posterior.b) for q in _tails(coverage))
        return posterior.size * low / (1 - low), posterior.size * high / (1 - high)

    def constant(self, posterior: Dispersed) -> Floats:
        """Return the terms in which r and x meet."""
        place = np.searchsorted(SIZES, posterior.size[:, 0])
        units = np.arange(len(self.mean))
        return np.asarray(self.log_gammas[units, place].sum(axis=1))


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
        return _total(means) + _total(
            gamma_divergence(posterior.a, posterior.b, 1.0, self.variance)
        )

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
            posterior.mean + scale * stats.t.ppf(q, 2 * posterior.a) for q in _tails(coverage)
        )
        return low, high

    def constant(self, posterior: Normals) -> Floats:
        """Return 0."""
        return np.zeros(len(posterior.mean))


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
        return np.asarray(_total(each) + whole.sum(axis=-1))

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
            stats.beta.ppf(q, posterior.a, posterior.b - posterior.a) for q in _tails(coverage)
        )
        return low, high

    def constant(self, posterior: Shapes) -> Floats:
        """Return the multinomial coefficients."""
        return np.full(len(posterior.a), self.coefficient)


def choose_emission(name: str, values: Floats) -> Emission:
    """Return the family of that name, with the prior that suits some values."""
    if name.startswith("gaussian"):
        return Gaussian.of(values, shares_variance=name == "gaussian_mean")
    families = {
        "poisson": Poisson,
        "negative_binomial": NegativeBinomial,
        "bernoulli": Bernoulli,
        "categorical": Categorical,
    }
    return families[name].of(values)  # type: ignore[attr-defined,no-any-return]
