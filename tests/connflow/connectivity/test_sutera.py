"""Sutera's recipe: agreement with the published formulas written out, and units of fluorescence."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from connflow.connectivity import sutera
from connflow.connectivity.activity import traces
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.sutera import LOW_PASS, THRESHOLDS, infer_by_sutera, noise_level

PARAMS = ConnectivityParams(method="sutera")


def infer(values, segments=None):
    return infer_by_sutera(traces(values, 0.02, segments), PARAMS, map)


@pytest.fixture(scope="module")
def culture():
    """Ten units with spikes, unit 0 often followed by 1, and bursts of all."""
    rng = np.random.default_rng(8)
    spikes = rng.random((4000, 10)) < 0.02
    spikes[1:, 1] |= spikes[:-1, 0] & (rng.random(3999) < 0.7)
    for start in range(100, 4000, 400):
        spikes[start : start + 4] |= rng.random((4, 10)) < 0.4
    calcium = np.zeros(spikes.shape)
    for t in range(1, 4000):
        calcium[t] = 0.98 * calcium[t - 1] + 50 * spikes[t]
    return (calcium / (calcium + 300) + rng.normal(0, 0.03, spikes.shape)).astype(np.float32)


def published(x):
    """Average the partial correlations, each with whole arrays and scikit-learn's PCA."""
    n_frames, n_units = x.shape
    average = np.zeros((n_units, n_units))
    for coefficients in LOW_PASS:
        y = np.array(
            [
                sum(c * x[t + lag] for lag, c in zip(range(-3, 3), coefficients, strict=True))
                for t in range(3, n_frames - 2)
            ]
        )
        g = y[1:] - y[:-1]
        for tau in THRESHOLDS:
            h = np.where(g >= tau, g, 0)
            w = np.ones_like(h)
            for t in np.flatnonzero(h.sum(axis=1)):
                w[t] = (h[t] + 1) ** (1 + 1 / h[t].sum())
            precision = PCA(n_components=int(0.8 * n_units)).fit(w).get_precision()
            scale = np.sqrt(np.diag(precision))
            average -= precision / np.outer(scale, scale)
    return average / len(LOW_PASS) / len(THRESHOLDS)


@pytest.mark.parametrize("dense", [1, 8])
def test_it_is_the_published_recipe(culture, dense, monkeypatch):
    monkeypatch.setattr(sutera, "_DENSE", dense)
    scaled = culture.astype(float) * 0.03 / noise_level(traces(culture, 0.02))
    wanted = published(scaled)
    got = infer(culture).weight
    off = ~np.eye(10, dtype=bool)
    np.testing.assert_allclose(got[off], wanted[off], atol=2e-3)


def test_the_planted_pair_is_found(culture):
    z = infer(culture).z
    assert (z > z[0, 1]).sum() <= 4  # of 90
    np.testing.assert_array_equal(z, z.T)


def test_units_of_fluorescence_do_not_matter(culture):
    wanted = infer(culture).weight
    np.testing.assert_allclose(infer(culture * 300 + 40).weight, wanted, atol=2e-3)


def test_noise_level_is_that_of_the_noise(culture):
    assert noise_level(traces(culture, 0.02)) == pytest.approx(0.03, rel=0.1)


def test_blocks_and_segments_add_up(culture, monkeypatch):
    gap = np.concatenate([culture[:1500], np.full((9, 10), 50, np.float32), culture[1500:]])
    segments = np.array([[0, 1500], [1509, len(gap)]])
    whole = infer(gap, segments).weight
    np.testing.assert_allclose(whole, infer(culture).weight, atol=0.02)
    monkeypatch.setattr(sutera, "TIME_BLOCK", 700)
    np.testing.assert_allclose(infer(gap, segments).weight, whole, atol=0.02)


def test_units_that_never_rise_have_no_influence(culture):
    flat = culture.copy()
    flat[:, 4] = np.random.default_rng(9).normal(0, 0.001, len(flat))
    weight = infer(flat).weight
    assert np.all(weight[4] == 0)
    assert np.isfinite(weight).all()
