"""The bursting culture: wiring, depression, bursts, and what the camera sees."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.distance import cdist

from connflow.recording.culture import (
    CultureParams,
    culture_fluorescence,
    simulate_culture,
    simulate_culture_spikes,
)

PARAMS = CultureParams(n_units=300, duration_s=120.0, seed=3)


@pytest.fixture(scope="module")
def spikes():
    return simulate_culture_spikes(PARAMS)


def test_the_same_seed_gives_the_same_recording(spikes):
    again = simulate_culture_spikes(PARAMS)
    np.testing.assert_array_equal(again.spike_times, spikes.spike_times)
    np.testing.assert_array_equal(again.weights, spikes.weights)


def test_a_shorter_run_is_the_start_of_a_longer_one(spikes):
    short = simulate_culture_spikes(PARAMS.model_copy(update={"duration_s": 30.0}))
    n_spikes = len(short.spike_times)
    assert n_spikes > 0
    np.testing.assert_array_equal(short.spike_times, spikes.spike_times[:n_spikes])
    assert spikes.spike_times[n_spikes] >= 30


def test_wiring_is_local_excitatory_and_of_the_density_asked_for(spikes):
    weights = spikes.weights
    assert (weights >= 0).all()
    assert (np.diag(weights) == 0).all()
    assert (weights > 0).sum() / 300 == pytest.approx(12, rel=0.1)
    assert weights[weights > 0].mean() == pytest.approx(PARAMS.weight_mean_mv, rel=0.05)
    places = spikes.units[["x_mm", "y_mm"]].to_numpy()
    distance = cdist(places, places)
    assert distance[weights > 0].mean() < 0.6 * distance.mean()


def population(spikes, bin_s=0.05):
    edges = np.arange(0, spikes.duration_s + bin_s / 2, bin_s)
    return np.histogram(spikes.spike_times, edges)[0] / spikes.n_units


def test_it_bursts_and_fires_rarely_in_between(spikes):
    active = population(spikes)
    n_bursts = int(((active[1:] > 0.3) & (active[:-1] <= 0.3)).sum())
    assert 4 < spikes.duration_s / n_bursts < 30
    assert 0.05 < active[active < 0.1].mean() / 0.05 < 1  # Hz


def test_without_depression_the_culture_does_not_rest(spikes):
    tireless = PARAMS.model_copy(update={"release_fraction": 0.0, "duration_s": 20.0})
    assert population(simulate_culture_spikes(tireless)).mean() > 5 * population(spikes).mean()


def test_without_synapses_units_are_independent():
    params = PARAMS.model_copy(update={"weight_mean_mv": 1e-6, "duration_s": 60.0})
    active = population(simulate_culture_spikes(params)) * params.n_units
    assert active.var() / active.mean() == pytest.approx(1, abs=0.25)


def test_fluorescence_follows_its_formula(spikes):
    params = PARAMS.model_copy(update={"noise_sd": 0.0})
    seen = culture_fluorescence(spikes, params)
    counts = np.zeros(seen.fluorescence.shape)
    np.add.at(counts, ((spikes.spike_times * 50 + 1e-6).astype(int), spikes.spike_units), 1)
    calcium = np.zeros_like(counts)
    calcium[0] = 50 * counts[0]
    for k in range(1, len(counts)):
        calcium[k] = np.exp(-0.02) * calcium[k - 1] + 50 * counts[k]
    own = calcium / (calcium + 300)
    places = spikes.units[["x_mm", "y_mm"]].to_numpy()
    share = 0.15 * np.exp(-((cdist(places, places) / 0.05) ** 2))
    np.fill_diagonal(share, 0)
    np.testing.assert_allclose(seen.fluorescence, own + own @ share, atol=1e-5)
    np.testing.assert_array_equal(seen.weights, spikes.weights)


def test_noise_is_as_large_as_asked_for(spikes):
    silent = PARAMS.model_copy(update={"scattering": 0.0})
    clean = silent.model_copy(update={"noise_sd": 0.0})
    noise = (
        culture_fluorescence(spikes, silent).fluorescence
        - culture_fluorescence(spikes, clean).fluorescence
    )
    assert noise.std() == pytest.approx(0.03, rel=0.01)
    assert abs(np.corrcoef(noise[:, :2].T)[0, 1]) < 0.06


def test_units_and_rate_of_the_recording():
    recording = simulate_culture(CultureParams(n_units=30, duration_s=3.0))
    assert recording.fluorescence.shape == (150, 30)
    assert recording.fluorescence.dtype == np.float32
    assert recording.duration_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"connections_per_unit": 200.0}, "fewer than"),
        ({"delay_max_s": 0.0005}, "delay_m"),
        ({"refractory_s": 0.00012}, "multiple"),
        ({"rate": 1}, "rate"),
    ],
)
def test_impossible_cultures_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        CultureParams(**{"n_units": 100, **change})
