"""The empirical null: what z looks like where there is no influence, learned from all z at once.

In: a histogram of z over all pairs (histograms of tiles add up). Out: a `Null` that turns z into
p-values, and the share of pairs without influence.

References
----------
Efron B (2004). Large-scale simultaneous hypothesis testing: the choice of a null hypothesis.
Journal of the American Statistical Association 99:96-104.

Stephens M (2017). False discovery rates: a new deal. Biostatistics 18:275-294.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

from connflow.connectivity._null_law import Grid, Law, fit_bulk, most_likely
from connflow.errors import InvalidInputError

Array = NDArray[np.float64]

FEWEST_PAIRS = 200
"""With fewer, z is compared with the standard normal."""

_TAIL = 1e-10  # probability from which on a tail is continued as an exponential
_BINS_PER_SD = 6
_FURTHEST = 60.0  # standard deviations of the bulk; what lies beyond is counted there


@dataclass(frozen=True, eq=False)
class Null:
    """Distribution of z where there is no influence.

    Parameters
    ----------
    z : (n,) float64
        Grid, ascending.
    log_below, log_above : (n,) float64
        Logarithms of the probabilities to be below and above each point of the grid.
    location, scale : float
        Mean and standard deviation.
    share : float
        Share of the pairs without influence; 1 where it was not estimated.
    """

    z: Array
    log_below: Array
    log_above: Array
    location: float
    scale: float
    share: float

    def p_below(self, z: NDArray[np.floating]) -> Array:
        """Return the probability of a z as low as this or lower."""
        return np.exp(self._log_p_below(z))

    def p_above(self, z: NDArray[np.floating]) -> Array:
        """Return the probability of a z as high as this or higher."""
        return np.exp(self._log_p_above(z))

    def widened(self, other: Self) -> Self:
        """Return this null with tails nowhere lighter than those of another."""
        z = np.union1d(self.z, other.z)
        return replace(
            self,
            z=z,
            log_below=np.maximum(self._log_p_below(z), other._log_p_below(z)),
            log_above=np.maximum(self._log_p_above(z), other._log_p_above(z)),
        )

    def _log_p_below(self, z: NDArray[np.floating]) -> Array:
        return _log_tail(-z, -self.z[::-1], self.log_below[::-1])

    def _log_p_above(self, z: NDArray[np.floating]) -> Array:
        return _log_tail(z, self.z, self.log_above)

    def p_values(self, z: NDArray[np.floating]) -> Array:
        """Return two-sided p-values: twice the smaller tail."""
        return np.asarray(np.minimum(2 * np.minimum(self.p_below(z), self.p_above(z)), 1))


def _log_tail(z: NDArray[np.floating], grid: Array, log_above: Array) -> Array:
    """Interpolate the logarithm of an upper tail, and continue it as a line beyond the grid."""
    with np.errstate(over="ignore", divide="ignore"):  # where the logarithm is flat
        curve = PchipInterpolator(grid, log_above)
    inside = curve(np.clip(z, grid[0], grid[-1]))
    slope = (log_above[-1] - log_above[-2]) / (grid[-1] - grid[-2])
    return np.asarray(inside + slope * np.maximum(z - grid[-1], 0))


def normal_null(location: float = 0.0, scale: float = 1.0) -> Null:
    """Return a normal null."""
    z = np.linspace(-38, 38, 7601)
    return Null(location + scale * z, norm.logcdf(z), norm.logsf(z), location, scale, 1.0)


def fit_null(counts: NDArray[np.integer], edges: Array, *, effects: bool = True) -> Null:
    """Fit the null to a histogram of z.

    Parameters
    ----------
    counts : (n_bins,) int
        Pairs in each bin; those of several tiles added up.
    edges : (n_bins + 1,) float64
        Equally spaced, six or more bins in a standard deviation. What lies beyond belongs into the
        outermost bins, which should be far out.
    effects : bool
        Whether some of the pairs may have an influence; not so with surrogate data.

    Returns
    -------
    Null
        The standard normal for fewer than `FEWEST_PAIRS` pairs.

    Raises
    ------
    InvalidInputError
        If the bins are not equally wide.

    Notes
    -----
    Every z is taken for the sum of independent parts::

        z = location + sd e + bias + effect

    with e standard normal. The *bias* is what remains of common input in pairs without influence;
    it grows with the length of the recording and is skewed where units are hidden. It is the
    difference of two gamma variables of the same shape k, with the characteristic function
    ``((1 - i u t)(1 + i d t))^-k``. The *effect* is 0 in most pairs, a gamma variable in excited
    and minus another in inhibited ones. The null is the law without effect. Likelihood times wide
    priors is maximised. The priors say that few pairs are connected and that few effects are
    near 0: Efron's zero assumption, without which null and weak effects cannot be told apart.

    Median and MAD of all z are too wide where a tenth of the pairs is connected; a normal law
    fitted to the middle misses the tails that the bias makes.
    """
    widths = np.diff(edges)
    if not np.allclose(widths, widths[0], rtol=1e-6):
        raise InvalidInputError(
            f"connectivity: the histogram of z has bins from {widths.min():g} to "
            f"{widths.max():g} wide; make them equally wide"
        )
    if counts.sum() < FEWEST_PAIRS:
        return normal_null()
    centres = (edges[1:] + edges[:-1]) / 2
    location, scale = fit_bulk(counts, centres)
    counts, centres = _merged(counts, centres, int(scale / (_BINS_PER_SD * widths[0])))
    width = float((centres[1] - centres[0]) / scale)
    grid = Grid.around(counts, (centres - location) / scale, width)
    return _tabulate(grid, most_likely(grid, effects=effects), effects, location, scale)


def _merged(
    counts: NDArray[np.integer], centres: Array, n_together: int
) -> tuple[NDArray[np.integer], Array]:
    """Put neighbouring bins together."""
    if n_together < 2:
        return counts, centres
    missing = -len(counts) % n_together
    whole = np.pad(counts, (0, missing)).reshape(-1, n_together).sum(axis=1)
    width = centres[1] - centres[0]
    first = centres[0] + width * (n_together - 1) / 2
    return whole, first + width * n_together * np.arange(len(whole))


def _tabulate(grid: Grid, law: Law, effects: bool, location: float, scale: float) -> Null:
    """Return the null in the units that z came in."""
    mass = np.maximum(grid.masses(law, effects=False)[0], 0)
    below, above = np.cumsum(mass)[:-1], np.cumsum(mass[::-1])[::-1][1:]  # at the bins' edges
    sure = (below > _TAIL) & (above > _TAIL)
    return Null(
        z=location + scale * (grid.z[:-1] + grid.width / 2)[sure],
        log_below=np.log(below[sure]),
        log_above=np.log(above[sure]),
        location=location + scale * law.mean,
        scale=scale * law.sd,
        share=float(law.shares[0]) if effects else 1.0,
    )


def histogram(z: NDArray[np.floating]) -> tuple[NDArray[np.int64], Array]:
    """Count z in bins that suit `fit_null`; far outliers are counted in the outermost bins."""
    low, middle, high = np.percentile(z, [25, 50, 75])
    width = max(high - low, 1e-6) / 1.349 / _BINS_PER_SD
    n_bins = int(2 * _FURTHEST * _BINS_PER_SD) + 1
    edges = middle + width * (np.arange(n_bins + 1) - n_bins / 2)
    counts = np.histogram(np.clip(z, edges[0], edges[-1]), edges)[0]
    return counts.astype(np.int64), edges
