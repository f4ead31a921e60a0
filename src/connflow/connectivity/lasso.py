"""The elastic net for all targets at once, from second moments."""

import logging

import numpy as np
from numpy.typing import NDArray

from connflow.connectivity.moments import Moments

logger = logging.getLogger(__name__)

_MOST_STEPS = 2000
_TOLERANCE = 1e-6  # largest change of a coefficient in a step, as a share of the largest one


def fit_elastic_net(moments: Moments, lasso: float, ridge: float) -> NDArray[np.float64]:
    """Regress every unit on the features of all, most coefficients being exactly 0.

    Parameters
    ----------
    moments : Moments
        Centred, with a Gram matrix.
    lasso : float
        Penalty as a share of the least one at which all coefficients of a target are 0.
    ridge : float
        Penalty as a share of each feature's own variance.

    Returns
    -------
    (n_kernels, n_sources, n_targets) float64

    Notes
    -----
    With features and targets scaled to variance 1, correlations ``C`` and ``r``, each target's
    coefficients minimise ``b'Cb / 2 - b'r + ridge b'b / 2 + lasso max|r| |b|_1``. The minimum is
    found by accelerated proximal steps on all targets together: a product of matrices a step.

    References
    ----------
    Zou & Hastie 2005, J R Stat Soc B 67:301-320; Beck & Teboulle 2009, SIAM J Imaging Sci
    2:183-202.
    """
    assert moments.gram is not None
    scale = _or_inf(np.sqrt(np.diag(moments.gram)))  # still features get 0
    target_scale = np.sqrt(moments.target_square)
    c = moments.gram / scale[:, None] / scale
    c[np.diag_indices_from(c)] += ridge
    r = moments.cross.reshape(len(c), -1) / scale[:, None] / _or_inf(target_scale)
    b = _descend(c, r, lasso * np.abs(r).max(axis=0))
    return np.asarray((b / scale[:, None] * target_scale).reshape(moments.cross.shape))


def _or_inf(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(scale > 0, scale, np.inf)


def _descend(
    c: NDArray[np.float64], r: NDArray[np.float64], penalty: NDArray[np.float64]
) -> NDArray[np.float64]:
    step = 1 / np.linalg.norm(c, 2)
    b: NDArray[np.float64] = np.zeros_like(r)
    ahead = b
    momentum = 1.0
    for _ in range(_MOST_STEPS):
        moved = ahead - step * (c @ ahead - r)
        shrunk = np.maximum(np.abs(moved) - step * penalty, 0)
        following = np.asarray(np.sign(moved) * shrunk)
        change = np.abs(following - b).max()
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / faster * (following - b)
        b, momentum = following, faster
        if change <= _TOLERANCE * np.abs(b).max():
            return b
    logger.warning(
        "elastic net: still moving after %d steps; raise connectivity.ridge", _MOST_STEPS
    )
    return b
