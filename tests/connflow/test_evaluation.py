"""Evaluation: perfect, random and transposed answers get the scores they deserve."""

import numpy as np
import pytest
import xarray as xr

from connflow.errors import InvalidInputError
from connflow.evaluation import EvaluationParams, evaluate, precision_at_density

N = 60
IDS = np.arange(N) * 3 + 5


def label(matrix):
    return xr.DataArray(matrix, dims=("source", "target"), coords={"source": IDS, "target": IDS})


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    sign = np.where(np.arange(N) < 48, 1, -4)[:, None]
    weights = (rng.random((N, N)) < 0.1) * rng.lognormal(0, 0.5, (N, N)) * sign
    np.fill_diagonal(weights, 0)
    return label(weights)


def score(weight, truth, z=None, mask=None, sign=None, **params):
    inferred = xr.Dataset({"weight": label(weight), "z": label(weight if z is None else z)})
    if mask is not None:
        inferred["mask"] = label(mask)
    if sign is not None:
        inferred["source_sign"] = ("source", sign)
    result = evaluate(inferred, truth, EvaluationParams(**params))
    return result.scores.set_index("score")["value"], result


def test_perfect_answer(truth):
    connected, sign = truth.to_numpy() != 0, np.where(np.arange(N) < 48, 1, -1)
    scores, result = score(truth.to_numpy(), truth, mask=connected, sign=sign)
    for name in (
        "auroc",
        "average_precision",
        "precision_at_density",
        "auroc_undirected",
        "auroc_excitatory",
        "average_precision_inhibitory",
        "weight_correlation",
        "weight_correlation_on_synapses",
        "sign_accuracy",
        "recall",
        "mcc",
        "type_accuracy",
        "in_degree_correlation",
        "out_degree_correlation",
    ):
        assert scores[name] == pytest.approx(1.0), name
    assert scores["false_discovery_proportion"] == 0
    assert result.scores["meaning"].str.len().min() > 10


def test_random_answer_is_at_chance(truth):
    guess = np.random.default_rng(1).normal(size=(N, N))
    _, result = score(guess, truth)
    table = result.scores.set_index("score")
    ranked = [name for name in table.index if name.startswith(("auroc", "average", "precision"))]
    assert len(ranked) == 9
    for name in ranked:
        assert table.loc[name, "value"] == pytest.approx(table.loc[name, "chance"], abs=0.12), name


def test_transposed_answer_keeps_only_the_undirected_scores(truth):
    scores, _ = score(truth.to_numpy().T, truth)
    assert scores["auroc"] < 0.6
    assert scores["auroc_undirected"] == pytest.approx(1.0)


def test_wrong_signs_are_seen(truth):
    scores, _ = score(-truth.to_numpy(), truth)
    assert scores["auroc"] == pytest.approx(1.0)
    assert scores["sign_accuracy"] == 0
    assert scores["auroc_excitatory"] < 0.5
    assert scores["weight_correlation"] == pytest.approx(-1.0)


def test_discoveries_are_those_of_the_mask(truth):
    rng = np.random.default_rng(3)
    connected = truth.to_numpy() != 0
    mask = connected & (rng.random((N, N)) < 0.5)
    wrong = rng.permutation(np.flatnonzero(~connected & ~np.eye(N, dtype=bool)))[: mask.sum()]
    mask.ravel()[wrong] = True
    scores, result = score(truth.to_numpy(), truth, mask=mask)
    assert scores["n_discoveries"] == mask.sum()
    assert scores["false_discovery_proportion"] == 0.5
    assert scores["recall"] == pytest.approx((mask & connected).sum() / connected.sum())
    assert 0.3 < scores["mcc"] < 0.6
    chance = result.scores.set_index("score")["chance"]
    assert chance["mcc"] == 0
    assert chance["recall"] == pytest.approx(mask.sum() / (N * (N - 1)))


def test_empty_mask_finds_nothing(truth):
    scores, _ = score(truth.to_numpy(), truth, mask=np.zeros((N, N), bool))
    assert scores["n_discoveries"] == scores["recall"] == scores["mcc"] == 0
    assert "false_discovery_proportion" not in scores


def test_without_mask_and_types_their_scores_are_absent(truth):
    scores, _ = score(truth.to_numpy(), truth)
    assert not {"n_discoveries", "recall", "mcc", "type_accuracy"} & set(scores.index)


def test_type_accuracy_counts_sources_beside_the_commoner_type(truth):
    sign = np.where(np.arange(N) < 45, 1, -1)  # 3 of 60 wrong
    scores, result = score(truth.to_numpy(), truth, sign=sign)
    assert scores["type_accuracy"] == pytest.approx(57 / 60)
    assert result.scores.set_index("score").loc["type_accuracy", "chance"] == pytest.approx(0.8)


def test_sources_of_mixed_sign_have_no_type(truth):
    mixed = truth.copy()
    mixed[0, np.flatnonzero(truth[0])[0]] *= -1
    scores, _ = score(truth.to_numpy(), mixed, sign=np.where(np.arange(N) < 48, 1, -1))
    assert scores["type_accuracy"] == 1


def test_truth_is_matched_by_unit_id(truth):
    shuffled = truth.isel(source=slice(None, None, -1))
    scores, _ = score(truth.to_numpy(), shuffled)
    assert scores["auroc"] == pytest.approx(1.0)


def test_ties_count_by_the_room_there_is():
    connected = np.array([True, False, True, False])
    assert precision_at_density(connected, np.zeros(4)) == 0.5
    assert precision_at_density(connected, np.array([1.0, 0, 1, 0])) == 1.0
    one_above = precision_at_density(connected, np.array([2.0, 1, 1, 1]))
    assert one_above == pytest.approx((1 + 1 / 3) / 2)


def test_curves_run_from_corner_to_corner(truth):
    noisy = truth.to_numpy() + np.random.default_rng(2).normal(size=(N, N))
    _, result = score(noisy, truth, n_curve_points=50)
    roc = result.curves.query("curve == 'roc'")
    assert len(roc) <= 50
    assert roc[["x", "y"]].iloc[0].tolist() == [0, 0]
    assert roc[["x", "y"]].iloc[-1].tolist() == [1, 1]
    assert result.curves.query("curve == 'precision_recall'")["x"].is_monotonic_increasing


def test_network_without_inhibition_has_no_inhibitory_scores(truth):
    scores, _ = score(truth.to_numpy(), np.abs(truth))
    assert "auroc_inhibitory" not in scores
    assert "auroc_excitatory" in scores


@pytest.mark.parametrize(("fill", "message"), [(0.0, "connects 0 of"), (1.0, "connects 3540 of")])
def test_truth_without_contrast_is_refused(truth, fill, message):
    with pytest.raises(InvalidInputError, match=message):
        score(truth.to_numpy(), xr.full_like(truth, fill))


def test_truth_of_other_units_is_refused(truth):
    with pytest.raises(InvalidInputError, match="lacks a unit"):
        score(truth.to_numpy(), truth.isel(source=slice(1, None)))
