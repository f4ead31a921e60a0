"""Poisson GLM from events against scikit-learn on dense arrays."""

import logging

import numpy as np
import pytest
from sklearn.linear_model import PoissonRegressor

from connflow.connectivity import ConnectivityParams, glm
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.glm import infer_by_glm
from connflow.errors import InvalidInputError

SEGMENTS = np.array([[0, 6000], [6000, 6003], [6050, 15_000]], np.int64)
PARAMS = ConnectivityParams(delay_min_s=0.002, delay_max_s=0.005, ridge=0.05)


@pytest.fixture(scope="module")
def trains():
    """Unit 0 excites unit 1 and silences unit 2; trains are dense, with repeated spikes."""
    rng = np.random.default_rng(8)
    counts = rng.poisson(0.06, (15_000, 4))
    recent = sum(np.roll(counts[:, 0], lag) for lag in range(2, 6))
    counts[:, 1] += rng.poisson(0.05 * recent)
    counts[:, 2] *= recent == 0
    home = [np.any((t >= SEGMENTS[:, 0]) & (t < SEGMENTS[:, 1])) for t in range(15_000)]
    ticks, units = np.nonzero(counts * np.array(home)[:, None])
    times = counts[ticks, units]
    return SpikeTrains(
        np.repeat(ticks, times), np.repeat(units, times).astype(np.int32), 4, 0.001, SEGMENTS
    )


def dense(trains):
    """Features and targets of the bins with a whole past in their segment."""
    counts = np.zeros((15_000, 4))
    np.add.at(counts, (trains.ticks, trains.units), 1)
    rows = np.concatenate([np.arange(min(a + 5, b), b) for a, b in SEGMENTS])
    return sum(counts[rows - lag] for lag in range(2, 6)), counts[rows]


def test_coefficients_and_errors_equal_scikit_learn(trains):
    found = infer_by_glm(trains, PARAMS, map)
    features, targets = dense(trains)
    scale = features.std(axis=0)
    for j in range(4):
        rate = targets[:, j].mean()
        oracle = PoissonRegressor(alpha=PARAMS.ridge * rate, tol=1e-9, max_iter=1000)
        oracle.fit(features / scale, targets[:, j])
        b = oracle.coef_ / scale
        design = np.column_stack([np.ones(len(features)), features])
        information = design.T @ (design * oracle.predict(features / scale)[:, None])
        penalty = PARAMS.ridge * rate * len(features) * features.var(axis=0)
        errors = np.sqrt(np.diag(np.linalg.inv(information + np.diag([0, *penalty]))))[1:]
        assert np.allclose(found.weight[:, j], b, atol=1e-5)
        assert np.allclose(found.z[:, j], b / errors, atol=1e-3)
    assert found.notes["not_converged"] == 0


def test_the_start_and_the_damping_do_not_matter(trains, monkeypatch):
    expected = infer_by_glm(trains, PARAMS, map)
    pose = glm.pose

    def pose_badly(*args):
        problem = pose(*args)
        problem.start[:] += np.random.default_rng(0).normal(0, 3, problem.start.shape)
        return problem

    monkeypatch.setattr(glm, "pose", pose_badly)
    found = infer_by_glm(trains, PARAMS, map)
    assert np.allclose(found.weight, expected.weight, atol=1e-5)


def test_a_fit_that_does_not_converge_says_so(trains, monkeypatch, caplog):
    monkeypatch.setattr(glm, "_MOST_ROUNDS", 0)
    monkeypatch.setattr(glm, "_PASSES_A_ROUND", 1)
    with caplog.at_level(logging.WARNING, logger="connflow.connectivity.glm"):
        found = infer_by_glm(trains, PARAMS, map)
    assert found.notes["not_converged"] == 4
    assert "4 of 4 targets had not converged" in caplog.text


def test_a_pair_without_a_coincidence_has_a_finite_weight():
    ticks = np.concatenate([np.arange(0, 9000, 30), np.arange(20, 9000, 30)])
    units = np.repeat(np.arange(2, dtype=np.int32), 300)
    order = np.argsort(ticks)
    trains = SpikeTrains(ticks[order], units[order], 2, 0.001, np.array([[0, 9000]]))
    found = infer_by_glm(trains, ConnectivityParams(delay_max_s=0.005), map)
    assert np.all(np.isfinite(found.weight))
    assert found.weight[0, 1] < -2
    assert found.notes["not_converged"] == 0


def test_copies_are_refused(trains):
    twice = SpikeTrains(
        np.repeat(trains.ticks, 2),
        np.stack([trains.units, trains.units + 4], axis=1).ravel(),
        8,
        0.001,
        SEGMENTS,
    )
    with pytest.raises(InvalidInputError, match="copies or sums"):
        infer_by_glm(twice, PARAMS.model_copy(update={"ridge": 0.0}), map)
