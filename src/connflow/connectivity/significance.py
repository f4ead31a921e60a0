"""Significance: from z-scores to calibrated p-values and a mask."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from connflow.connectivity.null import FEWEST_PAIRS, Null, fit_null, histogram, normal_null
from connflow.connectivity.params import ConnectivityParams

LEAST_SHARE = 0.5
"""Fits that see influence in more than half of the pairs have taken the bulk for it."""

LEAST_SPREAD = 0.8
"""A bulk of z of counts that is narrower is that of few events, and says nothing of its tails."""

LEAST_SPREAD_TO_FIT = 0.2
"""The same of other activity, whose z is narrower than its standard error where it is smooth."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Scores, and their law where there is no influence.

    Parameters
    ----------
    z : (n_sources, n_targets) float
    null : Null
    """

    z: NDArray[np.floating]
    null: Null


@dataclass(frozen=True, eq=False)
class Significance:
    """p-values, which pairs are significant, and what they were compared with.

    Parameters
    ----------
    p : (n_sources, n_targets) float64
        The largest of all comparisons; 1 on the diagonal. Two-sided; one-sided after
        `impose_dale`.
    mask : (n_sources, n_targets) bool
    comparisons : list of Comparison
        A pair has to stand out in each of them; the first is that of z itself.
    notes : dict
        How the null came out; becomes attributes of the result.
    """

    p: NDArray[np.float64]
    mask: NDArray[np.bool_]
    comparisons: list[Comparison]
    notes: dict[str, object]


def assess(
    z: NDArray[np.floating],
    params: ConnectivityParams,
    against: NDArray[np.floating] | None = None,
    *,
    at_least_normal: bool = False,
) -> Significance:
    """Compare z-scores with their null, and call pairs significant.

    Parameters
    ----------
    z : (n_sources, n_targets)
        The diagonal is not looked at. With ``null_law="surrogate"``, z against the surrogates of
        each pair.
    params : ConnectivityParams
        Its `null_law` and `false_discovery_rate`.
    against : (n_sources, n_targets), optional
        With ``null_law="both"``, z against the surrogates of each pair.
    at_least_normal : bool
        Whether a bulk that is narrower than the standard normal is not believed: z of few events
        is nearly the same in most pairs, which says nothing of its tails.

    Returns
    -------
    Significance

    Notes
    -----
    Pairs are chosen by the step-up procedure of Benjamini and Hochberg, without a correction for
    the estimated share of pairs without influence: that share is the least certain number of the
    fit. Methods that give z[i, j] = z[j, i] have each pair twice, which changes neither the null
    nor the share of false discoveries. Where a pair has to stand out in two comparisons, the larger
    p is its p: where either null holds, p is below alpha in a share alpha of pairs at most.

    References
    ----------
    Benjamini Y, Hochberg Y (1995). Controlling the false discovery rate: a practical and powerful
    approach to multiple testing. Journal of the Royal Statistical Society B 57:289-300.

    Berger RL (1982). Multiparameter hypothesis testing and acceptance sampling. Technometrics
    24:295-300 (the larger p).
    """
    null, kind = _choose_null(z, params, at_least_normal)
    if at_least_normal:
        null = null.widened(normal_null())
    comparisons = [Comparison(z, null)]
    if against is not None:
        comparisons.append(Comparison(against, normal_null()))
        kind = f"{kind}, and surrogates"
    p = np.max([one.null.p_values(one.z) for one in comparisons], axis=0)
    np.fill_diagonal(p, 1)
    notes: dict[str, object] = {
        "null": kind,
        "null_location": null.location,
        "null_scale": null.scale,
        "null_share": null.share,
    }
    return Significance(p, significant(p, params.false_discovery_rate), comparisons, notes)


def significant(p: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    """Choose pairs off the diagonal by the procedure of Benjamini and Hochberg."""
    off_diagonal = ~np.eye(len(p), dtype=bool)
    mask = np.zeros(p.shape, bool)
    mask[off_diagonal] = false_discovery_control(p[off_diagonal]) <= rate
    return mask


def off_diagonal(matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the entries off the diagonal of a square matrix, or of each of a stack of them."""
    return np.asarray(matrices[..., ~np.eye(matrices.shape[-1], dtype=bool)], np.float64).ravel()


def _choose_null(
    z: NDArray[np.floating], params: ConnectivityParams, at_least_normal: bool
) -> tuple[Null, str]:
    if params.null_law not in ("empirical", "both"):
        return normal_null(), params.null_law
    values = off_diagonal(z)
    if len(values) < FEWEST_PAIRS:
        return normal_null(), f"normal, since {len(values)} values of z are too few to fit one"
    low, middle, high = np.percentile(values, [25, 50, 75])
    spread = float(high - low) / 1.349
    if spread < (LEAST_SPREAD if at_least_normal else LEAST_SPREAD_TO_FIT):
        return normal_null(), "normal, since z is nearly the same in most pairs"
    null = fit_null(*histogram(values))
    if null.share >= LEAST_SHARE:
        return null, "empirical"
    return (
        normal_null(float(middle), spread),
        "median and quartiles of z, since no bulk without influence stands out",
    )
