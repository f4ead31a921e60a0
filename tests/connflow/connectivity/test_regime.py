"""The regime: simulated recordings of each kind are told apart, with a reason."""

import numpy as np
import pytest

from connflow.calcium import CalciumParams, simulate_calcium
from connflow.connectivity.activity import spike_trains, traces
from connflow.connectivity.regime import measure_regime
from connflow.recording.culture import CultureParams, simulate_culture
from connflow.recording.network import NetworkParams, simulate_network


@pytest.fixture(scope="module")
def network():
    return simulate_network(NetworkParams(n_units=100, duration_s=30.0, weight_mean_mv=1.4))


def calcium_of(recording, rate_hz, params):
    n_frames = round(recording.duration_s * rate_hz)
    counts = np.zeros((n_frames, recording.n_units), np.uint8)
    frames = (recording.spike_times * rate_hz + 1e-6).astype(int)
    np.add.at(counts, (frames, recording.spike_units), 1)
    return np.concatenate([block for _, block in simulate_calcium(counts, 1 / rate_hz, params)])


@pytest.mark.parametrize(
    ("rate_hz", "tau_s", "noise_sd", "name"),
    [
        (1000, 0.1, 0.05, "clear"),
        (1000, 0.1, 1.0, "noisy"),
        (50, 0.4, 0.05, "slow"),
        (50, 0.4, 0.8, "slow"),
    ],
)
def test_asynchronous_networks(network, rate_hz, tau_s, noise_sd, name):
    values = calcium_of(network, rate_hz, CalciumParams(tau_s=tau_s, noise_sd=noise_sd))
    regime = measure_regime(traces(values, 1 / rate_hz))
    assert regime.name == name
    assert name in regime.reason
    assert regime.measures["tau_s"] == pytest.approx(tau_s, rel=0.25)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_culture_bursts(seed):
    params = CultureParams(n_units=100, duration_s=200.0, seed=seed)
    regime = measure_regime(traces(simulate_culture(params).fluorescence, 0.02))
    assert regime.name == "bursting"
    assert f"{regime.measures['burst_skewness']:.1f}" in regime.reason


def test_spike_times_need_no_measuring(network):
    regime = measure_regime(spike_trains(network))
    assert regime.name == "spikes"
    assert regime.measures["rate_hz"] == pytest.approx(
        len(network.spike_times) / network.n_units / network.duration_s, rel=1e-3
    )


def test_noise_alone_is_noisy_or_slow():
    noise = np.random.default_rng(0).normal(size=(4000, 20)).astype(np.float32)
    assert measure_regime(traces(noise, 0.001)).name == "noisy"
    assert measure_regime(traces(noise, 0.02)).name == "slow"
