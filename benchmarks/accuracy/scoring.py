"""Scores of an answer against the wiring, each with its chance level where it has one."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from benchmarks.accuracy.answer import Answer
from connflow.evaluation.scores import precision_at_density

RECALLS = np.linspace(0.02, 1, 50)
"""Where the precision-recall curve is kept."""


def score(answer: Answer, weights: NDArray[np.floating]) -> dict[str, float | list[float]]:
    """Score an answer; see the page for what each name means.

    Parameters
    ----------
    answer : Answer
    weights : (n_units, n_units) float
        True signed weights, ``[source, target]``.
    """
    pairs = ~np.eye(len(weights), dtype=bool)
    truth, z = weights[pairs], np.asarray(answer.z, np.float64)[pairs]
    connected, strength = truth != 0, np.abs(z)
    scores: dict[str, float | list[float]] = {
        "auroc": float(roc_auc_score(connected, strength)),
        "average_precision": float(average_precision_score(connected, strength)),
        "precision_at_density": precision_at_density(connected, strength),
        "chance": float(connected.mean()),
        "sign_accuracy": float((np.sign(z) == np.sign(truth))[connected].mean()),
        "auroc_transposed": float(roc_auc_score(connected, np.abs(answer.z).T[pairs])),
        "curve": _precision_at(RECALLS, connected, strength),
    }
    if answer.mask is not None:
        scores |= discoveries(np.asarray(answer.mask)[pairs], connected)
    return scores


def discoveries(found: NDArray[np.bool_], connected: NDArray[np.bool_]) -> dict[str, float]:
    """Return what is true of the pairs called connected; the proportion is 0 if there are none.

    ``mcc`` is Matthews' correlation coefficient of calls and truth.
    """
    n_found, n_true = int(found.sum()), int(connected.sum())
    hits, n_pairs = int((found & connected).sum()), len(found)
    spread = n_found * n_true * (n_pairs - n_found) * (n_pairs - n_true)
    excess = hits * n_pairs - n_found * n_true
    return {
        "n_found": float(n_found),
        "false_discovery_proportion": (n_found - hits) / n_found if n_found else 0.0,
        "recall": hits / n_true,
        "mcc": excess / float(spread) ** 0.5 if spread else 0.0,
    }


def _precision_at(
    recalls: NDArray[np.float64], connected: NDArray[np.bool_], strength: NDArray[np.float64]
) -> list[float]:
    precision, recall, _ = precision_recall_curve(connected, strength)
    at = np.interp(recalls, recall[::-1], precision[::-1])
    return [round(float(value), 4) for value in at]
