"""Deconvolution: the decay found without spikes, the feed signal, the OASIS library."""

import numpy as np
import pytest
from scipy.signal import savgol_filter

from connflow.calcium import CalciumParams, simulate_calcium
from connflow.deconvolution import (
    DeconvolutionParams,
    choose_decay,
    deconvolve_oasis,
    estimate_decay,
    feed_signal,
)
from connflow.errors import InvalidInputError


def image(tau_s, noise_sd, frame_rate_hz, duration_s=200, rate_hz=3.0, n_units=12, seed=0):
    n_frames = int(duration_s * frame_rate_hz)
    rng = np.random.default_rng(seed)
    spikes = rng.poisson(rate_hz / frame_rate_hz, (n_frames, n_units)).astype(np.uint8)
    params = CalciumParams(tau_s=tau_s, noise_sd=noise_sd, seed=seed)
    parts = simulate_calcium(spikes, 1 / frame_rate_hz, params)
    return spikes, np.concatenate([part for _, part in parts])


@pytest.mark.parametrize("noise_sd", [0.05, 1.0])
@pytest.mark.parametrize(
    ("tau_s", "frame_rate_hz"), [(0.1, 1000), (0.1, 200), (0.3, 50), (1.0, 30)]
)
def test_decay_is_found_without_the_spikes(tau_s, frame_rate_hz, noise_sd):
    _, traces = image(tau_s, noise_sd, frame_rate_hz)
    estimates = estimate_decay(traces, frame_rate_hz)
    assert np.median(estimates) == pytest.approx(tau_s, rel=0.1)


def test_decay_does_not_depend_on_other_units():
    _, traces = image(0.2, 0.1, 100)
    np.testing.assert_array_equal(
        estimate_decay(traces, 100, slice(3, 6)), estimate_decay(traces, 100)[3:6]
    )


def test_noise_has_no_decay():
    noise = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    ramp = np.linspace(0, 1, 5000, dtype=np.float32)[:, None]
    assert np.isnan(estimate_decay(np.hstack([ramp, 0 * ramp]), 30.0)).all()
    with pytest.raises(InvalidInputError, match=r"give deconvolution\.tau_s"):
        choose_decay(np.full(3, np.nan), DeconvolutionParams())
    found = estimate_decay(noise, 30.0)
    assert (np.isnan(found) | (found < 0.2)).all()


def test_few_frames_are_refused():
    with pytest.raises(InvalidInputError, match="49 frames are too few"):
        estimate_decay(np.zeros((49, 1), np.float32), 30.0)


def test_common_decay_is_the_median():
    estimates = np.array([0.1, np.nan, 0.3, 0.2])
    np.testing.assert_array_equal(choose_decay(estimates, DeconvolutionParams()), [0.2] * 4)
    own = choose_decay(estimates, DeconvolutionParams(per_unit_tau=True))
    np.testing.assert_array_equal(own, [0.1, 0.2, 0.3, 0.2])


@pytest.mark.parametrize(("window", "degree"), [(31, 2), (5, 3), (3, 1)])
def test_feed_signal_is_slope_plus_decay(window, degree):
    _, traces = image(0.1, 0.2, 100, duration_s=20)
    tau_s = np.linspace(0.05, 0.3, 12)
    params = DeconvolutionParams(window_frames=window, polyorder=degree)
    parts = feed_signal(traces, 100.0, tau_s, params, block_frames=300)
    feed = np.concatenate([part for _, part in parts])
    smooth, slope = (
        savgol_filter(traces.astype(float), window, degree, deriv, 0.01, axis=0, mode="nearest")
        for deriv in (0, 1)
    )
    wanted = slope + smooth / tau_s
    np.testing.assert_allclose(feed, wanted, atol=1e-4 * wanted.std())


def test_feed_signal_is_the_same_in_blocks_of_units():
    _, traces = image(0.1, 0.2, 100, duration_s=20)
    tau_s = np.linspace(0.05, 0.3, 12)
    whole = next(iter(feed_signal(traces, 100.0, tau_s, DeconvolutionParams())))[1]
    some = slice(4, 9)
    part = next(iter(feed_signal(traces, 100.0, tau_s[some], DeconvolutionParams(), some)))[1]
    np.testing.assert_array_equal(part, whole[:, some])


def test_window_longer_than_the_recording_is_refused():
    with pytest.raises(InvalidInputError, match=r"deconvolution\.window_frames is 31"):
        next(
            feed_signal(
                np.zeros((20, 1), np.float32),
                30.0,
                np.ones(1),
                DeconvolutionParams(window_frames=31),
            )
        )


@pytest.mark.parametrize("bad", [{"window_frames": 4}, {"window_frames": 3, "polyorder": 3}])
def test_impossible_window_is_refused(bad):
    with pytest.raises(InvalidInputError, match="window_frames"):
        DeconvolutionParams.parse(bad)


def test_oasis_finds_the_spikes_at_good_signal_to_noise():
    spikes, traces = image(0.3, 0.05, 30, duration_s=120, rate_hz=0.5, n_units=3)
    for place, estimate in deconvolve_oasis(traces, 30.0, np.full(3, 0.3)):
        assert np.corrcoef(estimate, spikes[:, place])[0, 1] > 0.9
        assert (estimate >= 0).all()
