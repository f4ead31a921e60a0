"""Dale's rule: types are found, contradictions go, and the error rate stays the nominal one."""

import numpy as np
import pytest

from connflow.connectivity import ConnectivityParams
from connflow.connectivity.dale import find_signs, impose_dale
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.significance import assess

N = 200
TYPES = np.where(np.arange(N) < 160, 1, -1)


def draw(seed):
    rng = np.random.default_rng(seed)
    connected = rng.random((N, N)) < 0.1
    np.fill_diagonal(connected, False)
    z = rng.standard_normal((N, N)) + connected * TYPES[:, None] * rng.gamma(6, 0.7, (N, N))
    np.fill_diagonal(z, 50 * -TYPES)  # not looked at
    return z, connected


def impose(z, rate=0.05):
    estimate = Estimate(z / 100, z, float("nan"), "1")
    significance = assess(z, ConnectivityParams())
    signs = find_signs(z, significance.comparisons[0].null.location)
    return (*impose_dale(estimate, significance, signs, rate), signs)


def test_types_are_found():
    _, _, signs = impose(draw(0)[0])
    assert (signs.sign == TYPES).mean() > 0.99
    assert signs.sign.dtype == np.int8
    assert 0 <= signs.confidence.min() <= signs.confidence.max() <= 1


def test_confidence_is_low_without_influence():
    z = np.random.default_rng(0).standard_normal((N, N))
    assert find_signs(z).confidence.mean() < 0.3
    assert find_signs(draw(0)[0]).confidence.mean() > 0.7


def test_contradictions_become_0():
    estimate, significance, signs = impose(draw(1)[0])
    agrees = np.sign(estimate.z) == signs.sign[:, None]
    assert np.all(agrees | (estimate.z == 0))
    assert np.all(estimate.weight[~agrees] == 0)
    assert np.all(significance.p[~agrees] == 1)
    assert not significance.mask[~agrees].any()
    assert not significance.mask.diagonal().any()


def test_false_discoveries_stay_nominal_and_more_edges_are_found():
    shares, gained = [], []
    for seed in range(3):
        z, connected = draw(seed)
        _, significance, _ = impose(z)
        shares.append((significance.mask & ~connected).sum() / significance.mask.sum())
        before = assess(z, ConnectivityParams()).mask & connected
        gained.append((significance.mask & connected).sum() - before.sum())
    assert 0.03 < np.mean(shares) < 0.07
    assert min(gained) > 0


def test_sources_without_any_z_are_given_no_confidence():
    assert find_signs(np.zeros((3, 3))).confidence == pytest.approx(0)
