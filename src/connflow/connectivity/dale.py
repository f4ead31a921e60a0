"""Dale's rule: all influences of a source have one sign.

In: an estimate and its significance. Out: both with one sign a source, and how sure each sign is.

References
----------
Eccles JC (1976). From electrical to chemical transmission in the central nervous system. Notes and
Records of the Royal Society of London 30:219-230.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from connflow.connectivity.estimate import Estimate
from connflow.connectivity.significance import Significance, significant


@dataclass(frozen=True, eq=False)
class SourceSigns:
    """The sign of each source.

    Parameters
    ----------
    sign : (n_sources,) int8
        1 excitatory, -1 inhibitory.
    confidence : (n_sources,) float64
        From 0, nothing speaks for either sign, to 1, all influences have this one.
    """

    sign: NDArray[np.int8]
    confidence: NDArray[np.float64]


def find_signs(z: NDArray[np.floating], location: float = 0.0) -> SourceSigns:
    """Judge the sign of each source by all its influences.

    Parameters
    ----------
    z : (n_sources, n_targets)
        The diagonal is not looked at.
    location : float
        Mean of z where there is no influence.

    Notes
    -----
    The sign is that of ``s = sum_j (z_ij - location)^3``: the cube lets the few connected pairs
    outweigh the many others. The confidence is ``|s| / sum_j |z_ij - location|^3``.
    """
    cubes = (np.asarray(z, np.float64) - location) ** 3
    np.fill_diagonal(cubes, 0)
    total, size = cubes.sum(axis=1), np.abs(cubes).sum(axis=1)
    sign = np.where(total >= 0, 1, -1).astype(np.int8)
    return SourceSigns(sign, np.abs(total) / np.where(size > 0, size, 1))


def impose_dale(
    estimate: Estimate, significance: Significance, signs: SourceSigns, rate: float
) -> tuple[Estimate, Significance]:
    """Give every source one sign; what contradicts it becomes 0.

    Parameters
    ----------
    estimate : Estimate
    significance : Significance
        Of its z.
    signs : SourceSigns
        See `find_signs`.
    rate : float
        False discovery rate.

    Returns
    -------
    estimate : Estimate
        Weight, its interval and z are 0 where weight or z contradict the sign of their source.
    significance : Significance
        p is 1 there, and the probability of a z so far on the sign's side elsewhere.
    signs : SourceSigns

    Notes
    -----
    One side is tested, since the sign is given: half of the pairs without influence leave by
    contradicting it, and with two-sided p-values the real share of false discoveries would be half
    of the one asked for.
    """
    excites = signs.sign[:, None] > 0
    contradicts = ((estimate.z > 0) != excites) | (signs.sign[:, None] * estimate.weight < 0)
    one_sided = [
        np.where(excites, one.null.p_above(one.z), one.null.p_below(one.z))
        for one in significance.comparisons
    ]
    p = np.max(one_sided, axis=0)
    p[contradicts] = 1
    np.fill_diagonal(p, 1)
    kept = replace(
        estimate,
        weight=np.where(contradicts, 0, estimate.weight),
        z=np.where(contradicts, 0, estimate.z),
    )
    if estimate.weight_low is not None and estimate.weight_high is not None:
        kept = replace(
            kept,
            weight_low=np.where(contradicts, 0, estimate.weight_low),
            weight_high=np.where(contradicts, 0, estimate.weight_high),
        )
    return kept, replace(significance, p=p, mask=significant(p, rate))
