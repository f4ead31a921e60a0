"""The decay time constant to use for each unit."""

import logging

import numpy as np
from numpy.typing import NDArray

from connflow.decay import estimate_decay as estimate_decay
from connflow.deconvolution.params import DeconvolutionParams
from connflow.errors import InvalidInputError

logger = logging.getLogger(__name__)


def choose_decay(
    estimates: NDArray[np.float64], params: DeconvolutionParams
) -> NDArray[np.float64]:
    """Return the time constant to use for each unit, from the estimates.

    Parameters
    ----------
    estimates : (n_units,) float64
        As `estimate_decay` returns them, NaN where there is none.
    params : DeconvolutionParams
        `per_unit_tau` keeps each unit's own; units without one get the median of the others.

    Raises
    ------
    InvalidInputError
        If no unit has an estimate.
    """
    known = np.isfinite(estimates)
    if not known.any():
        raise InvalidInputError(
            "deconvolution: no unit shows transients that decay within 3 s, so the decay cannot "
            "be estimated; give deconvolution.tau_s"
        )
    median = float(np.median(estimates[known]))
    if not params.per_unit_tau:
        return np.full(len(estimates), median)
    if not known.all():
        logger.warning("%d units get the median decay, %.3g s", (~known).sum(), median)
    return np.where(known, estimates, median)
