"""Innovation regression: planted synapses are found through calcium, with direction."""

import numpy as np
import pytest

from connflow.calcium import CalciumParams, simulate_calcium
from connflow.connectivity.activity import traces
from connflow.connectivity.innovation import Innovations, infer_by_innovations, threshold_of
from connflow.connectivity.params import ConnectivityParams
from connflow.errors import InvalidInputError

PARAMS = ConnectivityParams(method="innovation_regression")
N_UNITS = 12


@pytest.fixture(scope="module")
def planted():
    """Spikes in which 0 excites 1 in the same and the next frame, and 2 inhibits 3."""
    rng = np.random.default_rng(3)
    n_frames = 30_000
    counts = (rng.random((n_frames, N_UNITS)) < 0.1).astype(np.uint8)
    now_or_before = counts | np.concatenate([counts[:1], counts[:-1]])
    counts[:, 1] |= now_or_before[:, 0] & (rng.random(n_frames) < 0.25)
    counts[:, 3] *= (now_or_before[:, 2] == 0) | (rng.random(n_frames) > 0.7)
    return counts


def fluorescence(counts, noise_sd):
    params = CalciumParams(tau_s=0.4, noise_sd=noise_sd)
    return np.concatenate([block for _, block in simulate_calcium(counts, 0.02, params)])


def infer(values, segments=None):
    return infer_by_innovations(traces(values, 0.02, segments), PARAMS, map)


@pytest.mark.parametrize("noise_sd", [0.05, 0.2])
def test_planted_synapses_are_found_with_sign_and_direction(planted, noise_sd):
    estimate = infer(fluorescence(planted, noise_sd))
    z = estimate.z.copy()
    np.fill_diagonal(z, 0)
    assert z[0, 1] > 8
    assert z[2, 3] < -4.5
    assert z[0, 1] > 1.2 * z[1, 0]
    assert abs(z[2, 3]) > 1.2 * abs(z[3, 2])
    assert estimate.notes["tau_s"] == pytest.approx(0.4, rel=0.1)
    z[[0, 1, 2, 3], [1, 0, 3, 2]] = 0
    assert np.abs(z).max() < 4.5


def test_z_without_synapses_is_standard_normal():
    counts = np.random.default_rng(4).random((20_000, 40)) < 0.1
    z = infer(fluorescence(counts.astype(np.uint8), 0.1)).z[~np.eye(40, dtype=bool)]
    assert z.std() == pytest.approx(1, abs=0.08)
    assert abs(z.mean()) < 0.1


def test_innovations_are_read_as_they_would_be_computed_at_once():
    values = np.random.default_rng(5).normal(size=(50, 3)).astype(np.float32)
    lazy = Innovations(values, 0.9, np.array([-np.inf, 0, 0.5], np.float32))
    whole = np.maximum(values[1:] - np.float32(0.9) * values[:-1], lazy.threshold)
    assert lazy.shape == (49, 3)
    np.testing.assert_array_equal(lazy[10:20], whole[10:20])
    np.testing.assert_array_equal(lazy[40:90, :], whole[40:])


def test_no_innovation_spans_a_gap(planted):
    values = fluorescence(planted, 0.1)
    gap = np.concatenate(
        [values[:12_000], np.full((10, N_UNITS), 1e4, np.float32), values[12_000:]]
    )
    apart = infer(gap, np.array([[0, 12_000], [12_010, len(gap)]]))
    np.testing.assert_allclose(apart.z, infer(values).z, atol=1.5)


def test_noise_is_cut_off_only_where_spikes_stand_out():
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 0.1, (20_000, 4)).astype(np.float32)
    spikes = (rng.random(noise.shape) < 0.05).astype(np.float32)
    threshold, skewness = threshold_of(spikes + noise)
    assert skewness > 2
    np.testing.assert_allclose(threshold, 0.1, atol=0.03)
    assert np.isneginf(threshold_of(noise)[0]).all()


def test_a_trace_without_transients_is_refused():
    noise = np.random.default_rng(7).normal(size=(5000, 4)).astype(np.float32)
    with pytest.raises(InvalidInputError, match="transients"):
        infer(noise.cumsum(axis=0))


def test_a_unit_that_is_silent_for_a_quarter_of_the_time_has_no_influence_there(planted):
    """Without noise its innovations are then all the same."""
    counts = planted.copy()
    counts[:8_000, 7] = 0
    z = infer(fluorescence(counts, 0.0)).z.copy()
    assert np.isfinite(z).all()
    assert z[0, 1] > 8
    others = np.r_[0:7, 8:N_UNITS]
    assert np.abs(z[7, others]).max() < 4.5


def test_copies_of_a_unit_are_refused(planted):
    values = fluorescence(planted, 0.1)
    values[:, 5] = values[:, 4]
    exact = PARAMS.model_copy(update={"ridge": 0.0})
    with pytest.raises(InvalidInputError, match="copies"):
        infer_by_innovations(traces(values, 0.02), exact, map)
