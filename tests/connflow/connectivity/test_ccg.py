"""Cross-correlograms: counts against brute force, the test against scipy's binomial."""

import numpy as np
import pytest
from scipy.stats import binom

from connflow.connectivity import ConnectivityParams, correlogram, pairwise
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.ccg import _log_p, baseline_weights, deviance_root, infer_by_ccg
from connflow.connectivity.spike_index import index_spikes

SEGMENTS = np.array([[0, 900], [901, 2400]], np.int64)


@pytest.fixture
def trains():
    rng = np.random.default_rng(7)
    ticks = np.sort(rng.choice(np.delete(np.arange(2400), 900), 700))
    return SpikeTrains(ticks, rng.integers(0, 4, 700).astype(np.int32), 4, 0.001, SEGMENTS)


def brute_counts(trains, max_lag):
    counts = np.zeros((2 * max_lag + 1, trains.n_units, trains.n_units), int)
    home = np.searchsorted(trains.segments[:, 0], trains.ticks, side="right")
    for a in range(len(trains.ticks)):
        for b in range(len(trains.ticks)):
            lag = trains.ticks[b] - trains.ticks[a]
            if abs(lag) <= max_lag and home[a] == home[b]:
                counts[max_lag + lag, trains.units[a], trains.units[b]] += 1
    return counts


def test_the_raw_correlogram_counts_every_pair_of_a_segment(trains):
    ids = np.array([5, 2, 9, 11])
    counts = correlogram(trains, ids, 0.02)
    assert counts.dims == ("lag", "source", "target")
    assert counts["source"].to_numpy().tolist() == ids.tolist()
    assert np.allclose(counts["lag"], np.arange(-20, 21) * 0.001)
    assert np.array_equal(counts, brute_counts(trains, 20))


@pytest.mark.parametrize("cached", [0, 10**6])
@pytest.mark.parametrize("lags", [(-20, 20), (3, 9), (-8, 0)])
def test_tiles_of_sources_count_the_same(trains, monkeypatch, cached, lags):
    monkeypatch.setattr(pairwise, "_CACHED_COUNTS", cached)
    counts = pairwise.count_pairs(index_spikes(trains), lags, slice(1, 3))
    first, last = 20 + lags[0], 20 + lags[1]
    assert np.array_equal(counts, brute_counts(trains, 20)[first : last + 1, 1:3])


def test_weight_and_delay_follow_the_formula(trains):
    found = infer_by_ccg(trains, ConnectivityParams(delay_max_s=0.005), map)
    counts = brute_counts(trains, 30).astype(float)
    lags = np.arange(-30, 31)
    for i, j in [(0, 1), (2, 0), (3, 1)]:
        excess, roots = [], []
        for delay in range(1, 6):
            w = np.exp(-((lags - delay) ** 2) / (2 * 10**2)) * ((lags < 1) | (lags > 5))
            w /= w.sum()
            b, c, m = w @ counts[:, i, j], counts[30 + delay, i, j], 1 / (w**2).sum()
            excess.append(c - b)
            roots.append(abs(deviance_root(c, b, m)))
        assert found.weight[i, j] == pytest.approx(sum(excess) / (trains.units == i).sum())
        assert found.delay_s[i, j] == pytest.approx(0.001 * (1 + np.argmax(roots)))


def test_the_baseline_is_an_average_that_leaves_the_delays_out():
    weights = baseline_weights(1, 10, 10.0)
    max_lag = weights.shape[1] // 2
    assert np.allclose(weights.sum(axis=1), 1)
    assert np.all(weights[:, max_lag + 1 : max_lag + 11] == 0)
    assert np.all(weights[:, max_lag] > 0)


@pytest.mark.parametrize(
    ("count", "rest", "n_bins"), [(0, 9, 30), (3, 4, 8), (7, 60, 30), (1, 0, 9)]
)
def test_p_is_the_binomial_mid_p(count, rest, n_bins):
    null = binom(count + rest, 1 / (1 + n_bins))
    upper = null.sf(count) + null.pmf(count) / 2
    arrays = (np.array([float(value)]) for value in (count, rest / n_bins, 0.0, n_bins))
    log_p, sign = _log_p(*arrays)
    assert np.exp(log_p[0]) == pytest.approx(2 * min(upper, 1 - upper))
    assert np.sign(sign[0]) == np.sign(0.5 - upper)


def test_strong_influences_keep_their_order():
    observed = np.array([2e3, 4e3, 8e3])
    baseline, n_bins = np.full(3, 100.0), np.full(3, 30.0)
    root = deviance_root(observed, baseline, n_bins)
    log_p, _ = _log_p(observed, baseline, root, n_bins)
    assert np.all(np.diff(log_p) < -1000)
