"""Least squares for many targets at once, from second moments, in the memory of the moments."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from connflow.connectivity.moments import Moments
from connflow.errors import InvalidInputError

_LEAST_VARIANCE = 1e-14  # share of the largest, below which a feature is still
_LEAST_UNEXPLAINED = 1e-10  # share of a feature's variance below which it is a sum of others


@dataclass(frozen=True, eq=False)
class Solution:
    """Coefficients of every target on every feature, and how sure they are.

    Parameters
    ----------
    b : (n_kernels, n_sources, n_targets) float64
    covariance : (n_kernels, n_kernels, n_sources) float64
        Of each source's coefficients, where the noise has variance 1.
    sigma : (n_targets,) float64
        Standard deviation of the noise; infinite for a target that is predicted perfectly, where
        there is no noise to measure against.
    """

    b: NDArray[np.float64]
    covariance: NDArray[np.float64]
    sigma: NDArray[np.float64]

    def z(self, kernel: int) -> NDArray[np.float64]:
        """Return the coefficients of one kernel over their standard errors."""
        spread = np.sqrt(self.covariance[kernel, kernel])
        return np.asarray(self.b[kernel] / spread[:, None] / self.sigma)

    def z_of_all(self) -> NDArray[np.float64]:
        """Return the sum of z over the kernels, over the standard deviation of that sum."""
        variance = np.einsum("ffi->fi", self.covariance)
        correlation = self.covariance / np.sqrt(variance[:, None] * variance)
        total = np.sum([self.z(f) for f in range(len(self.b))], axis=0)
        return np.asarray(total / np.sqrt(correlation.sum(axis=(0, 1)))[:, None])


def solve(moments: Moments, ridge: float, *, overwrite: bool = False) -> Solution:
    """Regress every unit on the features of all units, itself included.

    Parameters
    ----------
    moments : Moments
        Centred, with a Gram matrix.
    ridge : float
        Penalty as a share of each feature's own variance.
    overwrite : bool
        Whether the matrices of `moments` may be worked in; with many units, that saves the memory
        of two more.

    Raises
    ------
    InvalidInputError
        If some features are sums of others.

    Notes
    -----
    A feature that never changes, such as that of a unit whose few spikes lie too near to the start
    of their stretch, gets coefficients of 0. Otherwise, with the centred Gram matrix ``G``, cross
    products ``R``, and ``A = G + ridge diag(G)``::

        b = inv(A) R
        z = b / se,   se[fi, j] = sigma[j] sqrt(inv(A)[fi, fi])

    where ``sigma[j]`` is the standard deviation of target j's residual. With the Cholesky factor
    ``A = L L'`` and ``y = inv(L) R``, what the features explain of target j is ::

        2 b'R - b'Gb = y'y + ridge b' diag(G) b

    and ``inv(A)[fi, gi]`` is the product of columns fi and gi of ``inv(L)``.

    References
    ----------
    Least squares for multivariate autoregression: Luetkepohl 2005, New Introduction to Multiple
    Time Series Analysis, ch. 3.
    """
    assert moments.gram is not None
    n_kernels, n_sources, n_targets = moments.cross.shape
    gram = moments.gram if overwrite else moments.gram.copy()
    cross = moments.cross if overwrite else moments.cross.copy()
    variance = np.diag(gram)
    still = variance <= _LEAST_VARIANCE * variance.max()
    penalty = np.where(still, 1, ridge * variance)
    gram[np.diag_indices_from(gram)] += penalty
    factor = _factorise(gram)
    # the transpose of rows is in Fortran's order, which is solved in place
    half = blas.dtrsm(1.0, factor, cross.reshape(-1, n_targets).T, 1, 1, 1, overwrite_b=1).T
    explained = np.einsum("fj,fj->j", half, half)
    b = blas.dtrsm(1.0, factor, half.T, 1, 1, 0, overwrite_b=1).T
    explained += np.einsum("f,fj,fj->j", penalty, b, b)
    root, _ = lapack.dtrtri(factor, lower=1, overwrite_c=1)
    columns = root.reshape(-1, n_kernels, n_sources)
    covariance = np.empty((n_kernels, n_kernels, n_sources))
    for f, g in product(range(n_kernels), repeat=2):
        covariance[f, g] = np.einsum("ki,ki->i", columns[:, f], columns[:, g])
    freedom = max(1, moments.n_bins - 1 - n_kernels * n_sources)
    sigma = np.sqrt(np.maximum(moments.target_square - explained, 0) / freedom)
    sigma[sigma == 0] = np.inf
    return Solution(b.reshape(n_kernels, n_sources, n_targets), covariance, sigma)


def _factorise(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower Cholesky factor of a symmetric matrix, worked in the matrix's memory."""
    variance = np.diag(matrix).copy()
    factor, info = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1)
    unexplained = np.diag(factor) ** 2 / variance  # of each feature by those before it
    if info != 0 or unexplained.min() < _LEAST_UNEXPLAINED:
        raise InvalidInputError(
            "connectivity: some units are copies or sums of others, so their influences cannot be "
            "told apart; leave the copies out, or raise connectivity.ridge"
        )
    return np.asarray(factor)
