"""What conjugate families have in common: posteriors of two parameters, and divergences."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, digamma, gammaln

Floats = NDArray[np.float64]
Interval = tuple[Floats, Floats]


def tails(coverage: float) -> tuple[float, float]:
    """Return the shares below the two ends of a central interval."""
    return (1 - coverage) / 2, (1 + coverage) / 2


def total(values: Floats) -> Floats:
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
