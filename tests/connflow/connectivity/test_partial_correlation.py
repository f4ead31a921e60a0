"""Partial correlation: agreement with regression residuals, shrinkage, calibration."""

import numpy as np
import pytest
from sklearn.covariance import OAS

from connflow.connectivity.activity import traces
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.partial_correlation import (
    choose_shrinkage,
    infer_by_partial_correlation,
)

PARAMS = ConnectivityParams(method="partial_correlation")


def infer(values, segments=None):
    return infer_by_partial_correlation(traces(values, 0.02, segments), PARAMS, map)


@pytest.fixture(scope="module")
def chain():
    """Unit 0 drives 1, and 1 drives 2: 0 and 2 correlate, but not given 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 5))
    x[:, 1] += x[:, 0]
    x[:, 2] += x[:, 1]
    return x.astype(np.float32)


def residual_correlation(x, i, j):
    others = np.delete(x, [i, j], axis=1)
    design = np.column_stack([others, np.ones(len(x))])
    left = x[:, [i, j]] - design @ np.linalg.lstsq(design, x[:, [i, j]], rcond=None)[0]
    return np.corrcoef(left.T)[0, 1]


def test_it_is_the_correlation_of_what_the_others_leave(chain):
    estimate = infer(chain)
    for i, j in [(0, 1), (0, 2), (3, 1)]:
        wanted = residual_correlation(chain.astype(float), i, j)
        assert estimate.weight[i, j] == pytest.approx(wanted, abs=1e-3)
    assert estimate.z[0, 1] > 50
    assert abs(estimate.z[0, 2]) < 4
    np.testing.assert_array_equal(estimate.weight, estimate.weight.T)


def test_shrinkage_is_the_one_of_scikit_learn():
    x = np.random.default_rng(1).normal(size=(60, 20))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    fit = OAS(assume_centered=True).fit(x)
    correlation = x.T @ x / len(x)
    # theirs leaves the 1 - 2/p of an earlier equation out
    assert choose_shrinkage(correlation, len(x)) == pytest.approx(fit.shrinkage_, abs=0.05)


def test_z_of_independent_units_is_standard_normal():
    z = infer(np.random.default_rng(2).normal(size=(5000, 60)).astype(np.float32)).z
    off = z[np.triu_indices(60, 1)]
    assert off.std() == pytest.approx(1, abs=0.08)
    assert abs(off.mean()) < 0.1


def test_fewer_samples_than_units_are_enough_for_a_ranking(chain):
    z = infer(np.hstack([chain[:40], np.random.default_rng(3).normal(size=(40, 60))])).z
    assert (z > z[0, 1]).mean() < 0.02
    assert np.isfinite(z).all()


def test_segments_are_merged_exactly(chain):
    gap = np.concatenate([chain[:7000], np.full((100, 5), 9, np.float32), chain[7000:]])
    apart = infer(gap, np.array([[0, 7000], [7100, len(gap)]]))
    np.testing.assert_allclose(apart.weight, infer(chain).weight, atol=1e-5)
