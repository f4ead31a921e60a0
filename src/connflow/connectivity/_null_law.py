"""The law that z is taken to follow, its likelihood on a histogram, and the best parameters.

The density on a grid is the inverse Fourier transform of a product of characteristic functions, one
for each independent part of z. See `connflow.connectivity.null`.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import norm

Array = NDArray[np.float64]
Complex = NDArray[np.complexfloating]

_MARGIN = 10.0  # left free on the grid, so that what runs out at one end does not enter the other
_FLOOR = 1e-12  # mass of a bin below which rounding of the Fourier transform rules
_LARGEST = 8.0  # of the size of a parameter
_BULK = 1.5  # half width of the bulk, in its own standard deviations
_BULK_ROUNDS = 10


class Law(NamedTuple):
    """Parameters, as they are searched over; the defaults are where the prior has its peak.

    Parameters
    ----------
    location, log_sd : float
        Of the noise.
    log_shape, log_up, log_down : float
        Of the bias: shape of both gamma variables above the least one, and their scales.
    odds_excited, odds_inhibited : float
        Logarithm of the number of such pairs over that of pairs without influence.
    log_excitation, log_excitation_shape, log_inhibition, log_inhibition_shape : float
        Mean of the effects, and their shape above the least one.
    """

    location: float = 0.0
    log_sd: float = 0.0
    log_shape: float = 0.0
    log_up: float = -1.0
    log_down: float = -2.0
    odds_excited: float = -2.3
    odds_inhibited: float = -3.3
    log_excitation: float = 1.6
    log_excitation_shape: float = 0.4
    log_inhibition: float = 1.6
    log_inhibition_shape: float = 0.4

    @property
    def shares(self) -> Array:
        """Shares of pairs that are not connected, excited and inhibited."""
        odds = np.exp([0.0, self.odds_excited, self.odds_inhibited])
        return np.asarray(odds / odds.sum())

    @property
    def mean(self) -> float:
        """Mean of z without effect."""
        scales = np.exp(self.log_up) - np.exp(self.log_down)
        return float(self.location + self.bias_shape * scales)

    @property
    def sd(self) -> float:
        """Standard deviation of z without effect."""
        spread = np.exp(2 * self.log_up) + np.exp(2 * self.log_down)
        return float(np.sqrt(np.exp(2 * self.log_sd) + self.bias_shape * spread))

    @property
    def bias_shape(self) -> float:
        """Shape of the two gamma variables of the bias."""
        return float(_LEAST_BIAS_SHAPE + np.exp(self.log_shape))


PRIOR_MEAN = np.array(Law())
PRIOR_SD = np.array(Law(1.0, 0.3, 1.0, 1.5, 1.5, 2.0, 2.0, 1.5, 0.5, 1.5, 0.5))
STARTS = (
    Law(-0.2, 0.0),
    Law(-0.4, -0.3, 0.7, -0.7, -1.5, log_excitation=2.2, log_inhibition=2.2),
    Law(0.0, 0.1, 0.0, -2.0, -2.0, log_excitation=1.2, log_inhibition=1.2),
)
_N_NULL = 5  # parameters without effects

_LEAST_BIAS_SHAPE = 1.0  # several shared inputs add up: the tails are at most exponential
_LEAST_EFFECT_SHAPE = 1.25  # the density of effects falls towards 0
_WIDEST = 1.35  # standard deviation of the null, in those of the bulk


@dataclass(frozen=True, eq=False)
class Grid:
    """A histogram of z on a grid with room at its ends; the bins beyond the data are empty."""

    first: float
    width: float
    counts: Array

    @classmethod
    def around(cls, counts: NDArray[np.integer], centres: Array, width: float) -> Self:
        """Put a histogram on a grid whose length suits the Fourier transform."""
        filled = np.flatnonzero(counts)
        spare = int(np.ceil(_MARGIN / width))
        n_filled = filled[-1] - filled[0] + 1
        length = 1 << int(np.ceil(np.log2(n_filled + 2 * spare)))
        padded = np.zeros(length)
        padded[spare : spare + n_filled] = counts[filled[0] : filled[-1] + 1]
        return cls(float(centres[filled[0]] - spare * width), width, padded)

    @property
    def z(self) -> Array:
        """Centres of the bins."""
        return np.asarray(self.first + self.width * np.arange(len(self.counts)), np.float64)

    def masses(self, law: Law, *, effects: bool) -> tuple[Array, Array]:
        """Return the probability of each bin, without effect and in all."""
        t: Array = np.asarray(2 * np.pi * np.fft.rfftfreq(len(self.counts), self.width), np.float64)
        null = self._shape_of_bins(t) * _noise(law, t) * _bias(law, t)
        alone = np.fft.irfft(null, len(self.counts))
        if not effects:
            return alone, alone
        none, excited, inhibited = law.shares
        up = _gamma(t, law.log_excitation, law.log_excitation_shape)
        down = _gamma(-t, law.log_inhibition, law.log_inhibition_shape)
        both = np.fft.irfft(null * (none + excited * up + inhibited * down), len(self.counts))
        return alone, both

    def _shape_of_bins(self, t: Array) -> Complex:
        return np.asarray(np.exp(1j * t * self.first) * np.sinc(t * self.width / (2 * np.pi)))


def _noise(law: Law, t: Array) -> Complex:
    return np.asarray(np.exp(-1j * law.location * t - np.exp(2 * law.log_sd) * t**2 / 2))


def _bias(law: Law, t: Array) -> Complex:
    up, down = np.log1p(1j * np.exp(law.log_up) * t), np.log1p(-1j * np.exp(law.log_down) * t)
    return np.asarray(np.exp(-law.bias_shape * (up + down)))


def _gamma(t: Array, log_mean: float, log_shape: float) -> Complex:
    shape = _LEAST_EFFECT_SHAPE + np.exp(log_shape)
    return np.asarray(np.exp(-shape * np.log1p(1j * np.exp(log_mean) / shape * t)))


def most_likely(grid: Grid, *, effects: bool) -> Law:
    """Return the parameters at which likelihood times prior are greatest, of several starts."""
    n_free = len(PRIOR_MEAN) if effects else _N_NULL

    def loss(at: Array) -> float:
        if np.abs(at).max() > _LARGEST:
            return 1e9
        law = Law(*at, *PRIOR_MEAN[len(at) :])
        mass = np.maximum(grid.masses(law, effects=effects)[1], _FLOOR)
        surprise = ((at - PRIOR_MEAN[:n_free]) / PRIOR_SD[:n_free]) ** 2
        too_wide = max(np.log(law.sd / _WIDEST), 0.0)
        likelihood = grid.counts @ np.log(mass) / grid.counts.sum()
        return float(surprise.sum() / 2 / grid.counts.sum() - likelihood + 100 * too_wide**2)

    options = {"maxiter": 300, "gtol": 3e-6}
    with warnings.catch_warnings():
        # one start may not come to an end; the best of several counts
        warnings.filterwarnings("ignore", "The line search algorithm", RuntimeWarning)
        found = [
            minimize(loss, np.array(start)[:n_free], method="BFGS", options=options)
            for start in STARTS
        ]
    best = min(found, key=lambda one: float(one.fun))
    return Law(*best.x, *PRIOR_MEAN[n_free:])


def fit_bulk(counts: NDArray[np.integer], centres: Array) -> tuple[float, float]:
    """Return location and sd of a normal cut off on both sides that fits the middle of a histogram.

    Found by maximum likelihood; the cuts move with what is found.
    """
    half_way = np.cumsum(counts) - counts / 2
    low, middle, high = np.interp(np.array([1, 2, 3]) / 4 * counts.sum(), half_way, centres)
    width = centres[1] - centres[0]
    at = np.array([middle, np.log(max((high - low) / 1.349, width))])
    for _ in range(_BULK_ROUNDS):
        inside = np.abs(centres - at[0]) < max(_BULK * np.exp(at[1]), 2.5 * width)
        x, n = centres[inside], counts[inside]
        before, at = at, minimize(_loss_of_cut_normal, at, (x, n, width), "Nelder-Mead").x
        if np.abs(at - before).max() < 1e-3:
            break
    return float(at[0]), float(np.exp(at[1]))


def _loss_of_cut_normal(at: Array, x: Array, counts: NDArray[np.integer], width: float) -> float:
    location, sd = at[0], np.exp(at[1])
    ends = np.array([x[0] - width / 2, x[-1] + width / 2])
    inside = np.diff(norm.cdf((ends - location) / sd))[0]
    square = (counts @ ((x - location) / sd) ** 2) / counts.sum()
    return float(square / 2 + at[1] + np.log(max(inside, 1e-300)) + (at[1] / 4) ** 8)
