"""Partial correlation: what two units share beyond what all others explain, at the same time.

It has no direction: the weight of i on j is that of j on i.
"""

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import MapBlocks
from connflow.connectivity.activity import Activity, check_length
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.moments import accumulate_moments
from connflow.connectivity.params import ConnectivityParams

_MOST_SHRINKAGE = 0.9  # at 1 nothing is left to rank


def infer_by_partial_correlation(
    activity: Activity, params: ConnectivityParams, map_blocks: MapBlocks
) -> Estimate:
    """Correlate every two units, given all others, from a shrunk correlation matrix.

    Notes
    -----
    With the correlation matrix ``R`` shrunk to ``(1 - s) R + s I`` and its inverse ``P``::

        r[i, j] = -P[i, j] / sqrt(P[i, i] P[j, j])
        z = arctanh(r) / (1 - s) sqrt(n_samples - (1 - s) (n_units - 2) - 3)

    Without shrinkage z is Fisher's: `n_units` - 2 units are conditioned on, each of which costs a
    degree of freedom. Shrinkage makes r smaller by about ``1 - s`` where there is no influence,
    and conditions on less. The intensity s is the one of `choose_shrinkage`, 0.9 at most.
    Symmetric: the method cannot tell the source from the target. Samples are taken as
    independent; slow activity has fewer that are.

    References
    ----------
    Fisher RA (1924). The distribution of the partial correlation coefficient. Metron 3:329-332.
    """
    check_length(activity, 0, 0)
    moments = accumulate_moments(
        activity, [(0, 0)], with_gram=True, map_blocks=map_blocks
    ).centred()
    assert moments.gram is not None
    correlation = to_correlation(moments.gram)
    shrinkage = min(choose_shrinkage(correlation, moments.n_bins), _MOST_SHRINKAGE)
    shrunk = (1 - shrinkage) * correlation + shrinkage * np.eye(len(correlation))
    weight = to_partial(np.asarray(np.linalg.inv(shrunk), np.float64))
    conditions = (1 - shrinkage) * (activity.n_units - 2)
    z = fisher_z(weight, moments.n_bins - conditions) / (1 - shrinkage)
    notes: dict[str, object] = {"shrinkage": float(shrinkage), "directed": False}
    return Estimate(weight, z, float("nan"), "partial correlation", notes)


def choose_shrinkage(correlation: NDArray[np.float64], n_samples: int) -> float:
    """Return how far to shrink a correlation matrix towards the identity, from 0 to 1.

    Notes
    -----
    The oracle-approximating shrinkage for normal samples, which asks for second moments only,
    so that those of several recordings can be merged (the intensities of Ledoit and Wolf 2004
    and of Schaefer and Strimmer 2005 ask for fourth moments). For p units::

        s = ((1 - 2/p) tr(R^2) + p^2) / ((n + 1 - 2/p) (tr(R^2) - p))

    References
    ----------
    Chen Y, Wiesel A, Eldar YC, Hero AO (2010). Shrinkage algorithms for MMSE covariance
    estimation. IEEE Trans Signal Processing 58:5016-5029, eq. 23.
    """
    p = len(correlation)
    square = float((correlation**2).sum())
    excess = (n_samples + 1 - 2 / p) * (square - p)
    needed = (1 - 2 / p) * square + p**2
    return 1.0 if excess <= needed else needed / excess


def to_correlation(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation matrix; 0 for a unit without variance."""
    sd = np.sqrt(np.diag(covariance))
    scale = np.where(sd > 0, sd, np.inf)
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1)
    return np.asarray(correlation)


def to_partial(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return partial correlations from an inverse covariance; 0 on the diagonal."""
    scale = np.sqrt(np.diag(precision))
    partial = -(precision + precision.T) / 2 / np.outer(scale, scale)
    np.fill_diagonal(partial, 0)
    return np.asarray(partial)


def fisher_z(r: NDArray[np.float64], n_samples: float) -> NDArray[np.float64]:
    """Return Fisher's z of correlations, over its standard error."""
    bounded = np.clip(r, -1 + 1e-12, 1 - 1e-12)
    return np.asarray(np.arctanh(bounded) * np.sqrt(max(n_samples - 3, 1)))
