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

from typing import Any, ClassVar, Protocol

import numpy as np

from connflow.changepoint.conjugate import Floats, Interval
from connflow.changepoint.count_emissions import NegativeBinomial, Poisson
from connflow.changepoint.gaussian_emission import Gaussian
from connflow.changepoint.observations import Coefficients, Statistics
from connflow.changepoint.share_emissions import Bernoulli, Categorical


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
