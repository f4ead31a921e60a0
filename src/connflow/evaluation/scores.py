"""The scores, each beside its chance level, and the curves behind them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    matthews_corrcoef,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from connflow.errors import InvalidInputError
from connflow.evaluation.params import EvaluationParams


@dataclass(frozen=True)
class Evaluation:
    """Scores, with columns score, value, chance, meaning; curves, with curve, x, y."""

    scores: pd.DataFrame
    curves: pd.DataFrame


@dataclass(frozen=True)
class _Pairs:
    """All ordered pairs of different units, flattened."""

    z: NDArray[np.float64]
    weight: NDArray[np.float64]
    truth: NDArray[np.float64]
    found: NDArray[np.bool_] | None

    @property
    def connected(self) -> NDArray[np.bool_]:
        return np.asarray(self.truth != 0)


Score = tuple[str, float, float, str]
"""Name, value, chance level (NaN if there is none), meaning."""


def evaluate(connectivity: xr.Dataset, truth: xr.DataArray, params: EvaluationParams) -> Evaluation:
    """Score inferred connectivity against the true wiring.

    Parameters
    ----------
    connectivity : Dataset
        ``weight`` and ``z`` over (source, target); ``mask`` where significance was judged, and
        ``source_sign`` over source, 1, -1 or 0, where the type of sources was.
    truth : (source, target) DataArray
        True signed weights; 0 where there is no synapse. Matched to the inferred ones by unit id.
    params : EvaluationParams

    Returns
    -------
    Evaluation

    Raises
    ------
    InvalidInputError
        If the truth lacks a unit, or if no pair, or every pair, is connected.
    """
    pairs = _pair_up(connectivity, _align(truth, connectivity))
    if not pairs.connected.any() or pairs.connected.all():
        raise InvalidInputError(
            f"evaluation: the true wiring connects {int(pairs.connected.sum())} of "
            f"{len(pairs.truth)} pairs; scores need some that are connected and some that are not"
        )
    z = np.asarray(connectivity["z"], np.float64)
    weight = np.asarray(connectivity["weight"], np.float64)
    true = _without_diagonal(np.asarray(_align(truth, connectivity), np.float64))
    rows = [
        *_ranking_scores(pairs),
        *_undirected_scores(z, true),
        *_cell_type_scores(pairs),
        *_weight_scores(pairs),
        *_degree_scores(weight, true),
        *_discovery_scores(pairs),
        *_source_scores(connectivity, true),
    ]
    table = pd.DataFrame(rows, columns=["score", "value", "chance", "meaning"])
    return Evaluation(table, _curves(pairs, params.n_curve_points))


def _align(truth: xr.DataArray, connectivity: xr.Dataset) -> xr.DataArray:
    try:
        return truth.sel(source=connectivity["source"], target=connectivity["target"])
    except KeyError as error:
        raise InvalidInputError(
            f"evaluation: the true wiring lacks a unit of the recording ({error}); give weights "
            "for every unit id"
        ) from None


def _pair_up(connectivity: xr.Dataset, truth: xr.DataArray) -> _Pairs:
    n_units = connectivity.sizes["source"]
    off_diagonal = ~np.eye(n_units, dtype=bool)
    z, weight, true = (
        np.asarray(array, np.float64)[off_diagonal]
        for array in (connectivity["z"], connectivity["weight"], truth)
    )
    found = None
    if "mask" in connectivity:
        found = np.asarray(connectivity["mask"], bool)[off_diagonal]
    return _Pairs(z, weight, true, found)


def _without_diagonal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.eye(len(matrix), dtype=bool), 0, matrix)


def _ranking_scores(pairs: _Pairs) -> Iterator[Score]:
    strength, connected = np.abs(pairs.z), pairs.connected
    density = float(connected.mean())
    yield (
        "auroc",
        roc_auc_score(connected, strength),
        0.5,
        "ranking of pairs by |z|, any synapse",
    )
    yield (
        "average_precision",
        average_precision_score(connected, strength),
        density,
        "area under precision against recall, ranked by |z|",
    )
    yield (
        "precision_at_density",
        precision_at_density(connected, strength),
        density,
        "share of true synapses among as many top pairs as there are synapses",
    )


def precision_at_density(connected: NDArray[np.bool_], strength: NDArray[np.float64]) -> float:
    """Return the share of connected pairs among the K strongest, K the number connected.

    Pairs tied with the K-th count by the share of them that the K has room for.
    """
    k = int(connected.sum())
    threshold = np.partition(strength, len(strength) - k)[len(strength) - k]
    above, tied = strength > threshold, strength == threshold
    room = (k - above.sum()) / tied.sum()
    return float((connected[above].sum() + room * connected[tied].sum()) / k)


def _undirected_scores(z: NDArray[np.float64], truth: NDArray[np.float64]) -> Iterator[Score]:
    upper = np.triu_indices(len(z), 1)
    strength = np.maximum(np.abs(z), np.abs(z.T))[upper]
    connected = ((truth != 0) | (truth.T != 0))[upper]
    if connected.all():
        return
    yield (
        "auroc_undirected",
        roc_auc_score(connected, strength),
        0.5,
        "as auroc, direction ignored",
    )
    yield (
        "average_precision_undirected",
        average_precision_score(connected, strength),
        float(connected.mean()),
        "as average_precision, direction ignored",
    )


def _cell_type_scores(pairs: _Pairs) -> Iterator[Score]:
    absent = pairs.truth == 0
    for name, sign in (("excitatory", 1), ("inhibitory", -1)):
        present = pairs.truth * sign > 0
        if not present.any():
            continue
        among = present | absent
        connected, strength = present[among], sign * pairs.z[among]
        what = f"{name} synapses against unconnected pairs, ranked by signed z"
        yield f"auroc_{name}", roc_auc_score(connected, strength), 0.5, what
        yield (
            f"average_precision_{name}",
            average_precision_score(connected, strength),
            float(connected.mean()),
            what,
        )


def _weight_scores(pairs: _Pairs) -> Iterator[Score]:
    true = pairs.connected
    yield (
        "weight_correlation",
        _correlation(pairs.weight, pairs.truth),
        0.0,
        "Pearson r of inferred and true weight, all pairs",
    )
    if np.ptp(pairs.truth[true]) > 0:
        yield (
            "weight_correlation_on_synapses",
            _correlation(pairs.weight[true], pairs.truth[true]),
            0.0,
            "the same, true synapses only",
        )
    agrees = np.sign(pairs.weight[true]) == np.sign(pairs.truth[true])
    positive = float((pairs.truth[true] > 0).mean())
    yield (
        "sign_accuracy",
        float(agrees.mean()),
        max(positive, 1 - positive),
        "share of true synapses whose sign is right; chance: the commoner sign throughout",
    )


def _degree_scores(weight: NDArray[np.float64], truth: NDArray[np.float64]) -> Iterator[Score]:
    strength = np.abs(_without_diagonal(weight))
    for name, axis, what in (("in", 0, "target"), ("out", 1, "source")):
        inferred = strength.sum(axis=axis)
        true = np.abs(truth).sum(axis=axis)
        if np.ptp(inferred) > 0 and np.ptp(true) > 0:
            meaning = f"Pearson r of inferred and true |weight|, summed per {what}"
            yield (
                f"{name}_degree_correlation",
                _correlation(inferred, true),
                0.0,
                meaning,
            )


def _discovery_scores(pairs: _Pairs) -> Iterator[Score]:
    found = pairs.found
    if found is None:
        return
    n_found = int(found.sum())
    yield "n_discoveries", float(n_found), float("nan"), "pairs that the result calls significant"
    if n_found:
        yield (
            "false_discovery_proportion",
            float((~pairs.connected[found]).mean()),
            float(1 - pairs.connected.mean()),
            "share of those that are not connected",
        )
    yield (
        "recall",
        float(found[pairs.connected].mean()),
        float(found.mean()),
        "share of true synapses among those",
    )
    yield (
        "mcc",
        float(matthews_corrcoef(pairs.connected, found)),
        0.0,
        "Matthews correlation of significant and connected",
    )


def _source_scores(connectivity: xr.Dataset, truth: NDArray[np.float64]) -> Iterator[Score]:
    """Judge the sign of each source whose synapses are of one sign."""
    balance, n_synapses = np.sign(truth).sum(axis=1), (truth != 0).sum(axis=1)
    typed = (n_synapses > 0) & (np.abs(balance) == n_synapses)
    if "source_sign" not in connectivity or not typed.any():
        return
    true = np.sign(balance[typed])
    excitatory = float((true > 0).mean())
    yield (
        "type_accuracy",
        float((np.asarray(connectivity["source_sign"])[typed] == true).mean()),
        max(excitatory, 1 - excitatory),
        "share of sources whose sign is right; chance: the commoner type throughout",
    )


def _correlation(a: NDArray[np.floating], b: NDArray[np.generic]) -> float:
    if np.ptp(a) == 0:
        return 0.0
    return float(np.corrcoef(a, np.asarray(b, np.float64))[0, 1])


def _curves(pairs: _Pairs, n_points: int) -> pd.DataFrame:
    strength = np.abs(pairs.z)
    false_positive, true_positive, _ = roc_curve(pairs.connected, strength)
    precision, recall, _ = precision_recall_curve(pairs.connected, strength)
    return pd.concat(
        [
            _curve("roc", false_positive, true_positive, n_points),
            _curve("precision_recall", recall[::-1], precision[::-1], n_points),
        ],
        ignore_index=True,
    )


def _curve(
    name: str, x: NDArray[np.float64], y: NDArray[np.float64], n_points: int
) -> pd.DataFrame:
    kept = np.unique(np.linspace(0, len(x) - 1, n_points).round().astype(int))
    return pd.DataFrame({"curve": name, "x": x[kept], "y": y[kept]})
