"""Few coincidences: normal scores against Poisson's own probabilities, and no edge by chance."""

import numpy as np
import pytest
from scipy.stats import norm, poisson

from connflow.connectivity import ConnectivityParams, infer_connectivity, infer_edges
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.coincidences import expected_coincidences, to_normal


@pytest.mark.parametrize("mean", [0.01, 0.3, 1.0, 7.0, 60.0, 3000.0])
def test_scores_are_those_of_the_probabilities_of_a_poisson_count(mean):
    count = np.unique(poisson(mean).isf(norm.sf([1, 2, 3, 4, 5, 6])))
    count = count[count > mean]
    above = poisson(mean).logsf(count - 1)  # half of the count's own probability counts
    half = above + np.log1p(-0.5 * np.exp(poisson(mean).logpmf(count) - above))
    z = to_normal((count - mean) / np.sqrt(mean), np.full(count.shape, mean))
    np.testing.assert_allclose(z, norm.isf(np.exp(half)), atol=0.15, rtol=0.02)


def test_scores_grow_with_z_and_come_to_it_where_much_is_expected():
    z = np.linspace(-30, 30, 2001)
    for mean in (1e-3, 0.5, 40.0):
        assert np.all(np.diff(to_normal(z, np.full(z.shape, mean))) >= 0)
    np.testing.assert_allclose(to_normal(z, np.full(z.shape, 1e9)), z, rtol=1e-3, atol=1e-9)
    assert to_normal(np.array([-3.0]), np.array([0.5])) == pytest.approx(-1.0)


def test_as_many_coincidences_are_expected_as_there_are():
    rng = np.random.default_rng(0)
    n_spikes, n_bins, width = np.array([400.0, 2000.0]), 100_000, 5
    counts = [rng.permutation(n_bins) < n for n in n_spikes]
    feature = [np.convolve(one, np.ones(width))[:n_bins] for one in counts]
    square = np.array([(one**2).sum() for one in feature])
    by_source, by_target = expected_coincidences(n_spikes, n_bins, square, np.ones(width))
    plain = np.outer(n_spikes, n_spikes) * width / n_bins
    np.testing.assert_allclose(np.outer(by_source, by_target), plain, rtol=0.15)


def draw_trains(n_units, mean_rate_hz, duration_s, seed):
    """Independent Poisson trains at 1 ms of log-normal rates; unit 0 drives unit 1 after 3 ms."""
    rng = np.random.default_rng(seed)
    rate_hz = mean_rate_hz * np.exp(rng.normal(size=n_units) - 0.5)
    n_ticks = round(1000 * duration_s)
    units = np.repeat(np.arange(n_units), rng.poisson(rate_hz * duration_s))
    ticks = rng.integers(0, n_ticks - 10, len(units))
    driven = ticks[units == 0] + 3
    ticks, units = np.concatenate([ticks, driven]), np.concatenate([units, np.ones_like(driven)])
    spikes = np.unique(ticks * n_units + units)
    whole = np.array([[0, n_ticks]], np.int64)
    return SpikeTrains(
        spikes // n_units, (spikes % n_units).astype(np.int32), n_units, 0.001, whole
    )


@pytest.mark.parametrize("given", [{}, {"method": "lagged_regression", "lags": [1, 2, 3]}])
@pytest.mark.parametrize(("rate_hz", "duration_s"), [(2, 60), (0.5, 600)])
def test_rare_spikes_make_no_edges_by_chance(given, rate_hz, duration_s):
    trains = draw_trains(120, rate_hz, duration_s, seed=1)
    found = infer_connectivity(trains, np.arange(120), ConnectivityParams.parse(given))
    mask = found["mask"].to_numpy()
    assert mask[0, 1]
    assert mask.sum() <= 3


def test_rare_spikes_make_no_edges_by_chance_tile_by_tile():
    trains = draw_trains(400, 1, 60, seed=2)
    params = ConnectivityParams(kernel_start_s=0.001, kernel_stop_s=0.004, n_candidates=40)
    edges = infer_edges(trains, np.arange(400), params)
    assert edges.iloc[0][["source", "target"]].tolist() == [0, 1]
    assert len(edges) <= 3
