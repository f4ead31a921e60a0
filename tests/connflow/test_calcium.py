"""Calcium: the recursion, its noise, and that neither depends on how the work was cut."""

import numpy as np
import pytest
from scipy.signal import lfilter

from connflow.calcium import CalciumParams, simulate_calcium
from connflow.errors import InvalidInputError


def simulate(counts, params, **cut):
    return np.concatenate([part for _, part in simulate_calcium(counts, 0.001, params, **cut)])


@pytest.fixture(scope="module")
def counts():
    return np.random.default_rng(1).poisson(0.02, (70_000, 20)).astype(np.uint8)


def test_noise_free_calcium_is_the_filtered_spikes(counts):
    traces = simulate(counts, CalciumParams(tau_s=0.05, amplitude=0.3, noise_sd=0))
    gamma = np.exp(-0.001 / 0.05)
    wanted = lfilter([0.3], [1, -gamma], counts.astype(float), axis=0)
    np.testing.assert_allclose(traces, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block_frames", [999, 32_768, 50_000])
def test_cut_along_time_changes_nothing(counts, block_frames):
    params = CalciumParams.parse({"preset": "calnet", "seed": 4})
    whole = simulate(counts, params, block_frames=1 << 20)
    np.testing.assert_array_equal(simulate(counts, params, block_frames=block_frames), whole)


def test_cut_along_units_changes_nothing(counts):
    params = CalciumParams.parse({"preset": "calnet"})
    parts = [simulate(counts, params, units=slice(a, b)) for a, b in ((0, 7), (7, 20))]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), simulate(counts, params))


def test_longer_recording_begins_like_the_shorter(counts):
    params = CalciumParams(noise_sd=0.5, input_noise_sd=0.1)
    short = simulate(counts[:40_000], params)
    np.testing.assert_array_equal(simulate(counts, params)[:40_000], short)


def test_noise_has_the_asked_spread_and_no_correlation():
    silent = np.zeros((100_000, 8), np.uint8)
    noise = simulate(silent, CalciumParams(noise_sd=0.3))
    assert noise.std(axis=0) == pytest.approx(0.3, rel=0.02)
    assert np.abs(np.corrcoef(noise.T) - np.eye(8)).max() < 0.02
    assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.02
    blocks = noise[: 3 * 32_768, 0].reshape(3, -1)
    assert np.abs(np.corrcoef(blocks) - np.eye(3)).max() < 0.03


def test_input_noise_builds_up_in_calcium():
    silent = np.zeros((200_000, 4), np.uint8)
    traces = simulate(silent, CalciumParams(noise_sd=0, input_noise_sd=0.01, tau_s=0.1))
    gamma = np.exp(-0.01)
    assert traces[1000:].std() == pytest.approx(0.01 / np.sqrt(1 - gamma**2), rel=0.05)


def test_seed_decides_the_noise(counts):
    one, same, other = (
        simulate(counts[:500], CalciumParams(noise_sd=1, seed=seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_calnet_setting():
    """The published setting: 100 ms decay, unit jumps, noise .01 in and 1 out, 100 frames off."""
    params = CalciumParams.parse({"preset": "calnet"})
    assert params.model_dump(exclude={"seed"}) == {
        "tau_s": 0.1,
        "amplitude": 1.0,
        "input_noise_sd": 0.01,
        "noise_sd": 1.0,
        "dropped_frames": 100,
    }


def test_dropped_frames_are_the_first(counts):
    whole = simulate(counts, CalciumParams(noise_sd=0.1))
    cut = simulate(counts, CalciumParams(noise_sd=0.1, dropped_frames=100), block_frames=40_000)
    np.testing.assert_array_equal(cut, whole[100:])


def test_dropping_everything_is_refused(counts):
    with pytest.raises(InvalidInputError, match=r"calcium\.dropped_frames is 500"):
        simulate(counts[:500], CalciumParams(dropped_frames=500))
