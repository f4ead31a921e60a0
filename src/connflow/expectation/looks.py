"""What a result looks like without its truth, and what it scores where the truth is known."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from connflow.expectation.standin import StandIn

SCORES: Mapping[str, str] = {
    "auroc": "chance that a synapse ranks above a pair without one, by |z|",
    "average_precision": "area under precision against recall, ranked by |z|",
    "precision_at_density": "share of synapses among as many top pairs as there are synapses",
    "precision": "share of synapses among the significant pairs",
    "recall": "share of the synapses that are significant",
    "sign_accuracy": "share of the synapses whose sign is right",
}
"""Scores that are foretold, and what they mean. Precision and recall are of the mask."""

_LEAST_SHARE = 0.001
_CLEAR = 2.5  # widths of the bulk of z
_N_VALUES = 1_000_000  # that stand for a histogram of z

Scores = Mapping[str, tuple[float, float]]
"""Value and chance level of each score; NaN where there is none."""


@dataclass(frozen=True, eq=False)
class Judged:
    """The result on a network that stands in for the recording: its look, scores, discoveries."""

    stand_in: StandIn
    look: NDArray[np.float64]
    scores: Scores
    n_found: int = 0


def look_at(connectivity: xr.Dataset) -> NDArray[np.float64]:
    """Describe what a result shows: how many pairs are significant, and how clear the clear are.

    Parameters
    ----------
    connectivity : Dataset
        What `infer_connectivity` returns, with the variables ``z`` and ``mask``, or `find_edges`
        with ``n_pairs`` over z.

    Returns
    -------
    (2,) float64
        ``log(s + 0.001)``, s the share of significant pairs, and ``log q``, q the lower tercile of
        what of ``abs(z) / b`` is above 2.5, b being the median absolute deviation of z, scaled to
        be 1 for a standard normal.

    Notes
    -----
    The first tells how dense the wiring may be, the second whether most synapses stand clear of
    the noise or barely reach out of it. Neither depends on the unit of z. They were chosen, among
    spread, tails, quantiles and the fitted null, as those that tell most of the scores of 64
    networks of random wiring (R^2 of 0.7 to 0.8 for AUROC, average precision and recall).
    """
    if "n_pairs" in connectivity:  # of so many units that there are no matrices
        n_pairs = connectivity["n_pairs"]
        share = connectivity.attrs["n_edges"] / max(int(n_pairs.sum()), 1)
        return _look(_spread(n_pairs), share)
    z, mask = np.asarray(connectivity["z"], np.float64), np.asarray(connectivity["mask"])
    seen = np.isfinite(z) & (z != 0) & ~np.eye(len(z), dtype=bool)  # 0: of units that never change
    return _look(z[seen], mask[seen].mean() if seen.any() else 0.0)


def _spread(n_pairs: xr.DataArray) -> NDArray[np.float64]:
    """Return values of z that are spread as a histogram says."""
    below = np.cumsum(n_pairs.to_numpy())
    wanted = (np.arange(_N_VALUES) + 0.5) / _N_VALUES * below[-1]
    return np.asarray(n_pairs["z"].to_numpy()[np.searchsorted(below, wanted)], np.float64)


def _look(z: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    if not z.size:
        return np.array([math.log(_LEAST_SHARE), math.log(_CLEAR)])
    size = np.abs(z)
    width = 1.4826 * float(np.median(np.abs(z - np.median(z))))
    relative = size / (width or float(size.max()))
    clear = np.quantile(np.append(relative[relative > _CLEAR], _CLEAR), 1 / 3)
    return np.log([share + _LEAST_SHARE, clear])


def judge(
    stand_in: StandIn, connectivity: xr.Dataset, truth: xr.DataArray, table: pd.DataFrame
) -> Judged:
    """Judge the result on a simulated network, whose truth is known.

    Parameters
    ----------
    stand_in : StandIn
        What was simulated.
    connectivity : Dataset
        What `infer_connectivity` returned, with the variables ``z`` and ``mask``.
    truth : (source, target) DataArray
        True weights of the same units.
    table : DataFrame
        Columns ``score``, ``value`` and ``chance``, as `connflow.evaluation` makes them.
    """
    found = table.set_index("score")[["value", "chance"]].reindex(list(SCORES))
    scores = {
        str(name): (float(row["value"]), float(row["chance"])) for name, row in found.iterrows()
    }
    scores |= _scores_of_mask(np.asarray(connectivity["mask"]), np.asarray(truth) != 0)
    return Judged(stand_in, look_at(connectivity), scores, count_found(connectivity))


def count_found(connectivity: xr.Dataset) -> int:
    """Return the number of significant pairs."""
    if "n_pairs" in connectivity:
        return int(connectivity.attrs["n_edges"])
    return int(np.asarray(connectivity["mask"]).sum())


def _scores_of_mask(mask: NDArray[np.bool_], true: NDArray[np.bool_]) -> Scores:
    off = ~np.eye(len(mask), dtype=bool)
    n_found, n_true = int(mask[off].sum()), int(true[off].sum())
    n_hits = int((mask & true)[off].sum())
    return {
        "precision": (n_hits / n_found if n_found else float("nan"), float(true[off].mean())),
        "recall": (n_hits / n_true if n_true else float("nan"), float(mask[off].mean())),
    }
