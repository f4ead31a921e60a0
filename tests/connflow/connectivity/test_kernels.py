"""Kernels: exact moments of any shape, and a course of influence that is found again."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connflow.connectivity import ConnectivityParams, infer_connectivity, spike_trains, traces
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.delays import find_delays
from connflow.connectivity.kernels import choose_kernels, delay_windows
from connflow.connectivity.profiles import profile_moments
from connflow.recording.network import NetworkParams, simulate_network


def brute_force(dense, segments, heights):
    """Features and targets of each sample with a whole past, by definition."""
    past, features, targets = len(heights) - 1, [], []
    for start, stop in segments:
        for t in range(start + past, stop):
            lagged = dense[t - past : t + 1][::-1]
            features.append((heights.T @ lagged).ravel())
            targets.append(dense[t])
    shape = len(targets), heights.shape[1] * dense.shape[1]
    return np.array(features).reshape(shape), np.array(targets)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    n_units=st.integers(1, 4),
    heights=st.lists(st.tuples(st.integers(-3, 9), st.integers(0, 3)), min_size=1, max_size=9),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
def test_moments_of_any_profile_are_those_of_the_definition(seed, n_units, heights, lengths):
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *(length + 3 for length in lengths)])[:-1]
    segments = np.stack([starts, starts + lengths], 1).astype(np.int64)
    dense = np.zeros((segments[-1, 1], n_units), np.int64)
    for start, stop in segments:
        dense[start:stop] = rng.poisson(0.4, (stop - start, n_units))
    profile = np.vstack([[0, 0], heights]).astype(np.int64)
    features, targets = brute_force(dense, segments, profile)
    rows, units = np.nonzero(dense)
    n = dense[rows, units]
    trains = SpikeTrains(
        np.repeat(rows, n).astype(np.int64),
        np.repeat(units, n).astype(np.int32),
        n_units,
        0.001,
        segments,
    )
    found = profile_moments(trains, profile)
    assert found.n_bins == len(targets)
    if len(targets):
        np.testing.assert_array_equal(found.gram, features.T @ features)
        np.testing.assert_array_equal(found.cross.reshape(-1, n_units), features.T @ targets)
        np.testing.assert_array_equal(found.feature_sum.ravel(), features.sum(0))
        np.testing.assert_array_equal(found.target_sum, targets.sum(0))
        np.testing.assert_array_equal(found.target_square, (targets**2).sum(0))


def test_moments_of_traces_under_a_profile():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(300, 3)).astype(np.float32)
    segments = np.array([[0, 100], [110, 300]], np.int64)
    heights = np.array([[0, 0], [2, 0], [2, 0], [-1, 3], [0, 3]], np.int64)
    features, targets = brute_force(values.astype(float), segments, heights)
    features -= features.mean(0)
    targets -= targets.mean(0)
    found = profile_moments(traces(values, 0.01, segments), heights).centred()
    np.testing.assert_allclose(found.gram, features.T @ features, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(
        found.cross.reshape(6, 3), features.T @ targets, rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize("interval_s", [1e-4, 5e-4, 1e-3, 5e-3, 0.02, 1 / 30_000])
def test_windows_of_delays_adjoin_and_reach_twice_the_longest_delay(interval_s):
    windows = delay_windows(ConnectivityParams(), interval_s)
    assert windows[0][0] == max(1, round(0.001 / interval_s))
    assert windows[-1][1] == max(1, round(0.02 / interval_s))
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(windows))


def respond(course, seed=0, n_units=12, n_ticks=400_000):
    """Poisson trains at 1 ms in which a third of the units drive the next ones, along `course`."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.01, (n_ticks, n_units))
    n = n_units // 3
    for lag, height in enumerate(course, start=1):
        counts[lag:, n : 2 * n] += rng.binomial(counts[:-lag, :n], height)
    rows, units = np.nonzero(counts)
    again = counts[rows, units]
    return SpikeTrains(
        np.repeat(rows, again).astype(np.int64),
        np.repeat(units, again).astype(np.int32),
        n_units,
        0.001,
        np.array([[0, n_ticks]], np.int64),
    )


@pytest.mark.parametrize(
    "course", [[0, 0, 0.1, 0.05, 0.02, 0.01], [0.1], [0.02] * 9], ids=["late", "sharp", "flat"]
)
def test_course_of_influence_is_learned(course):
    params = ConnectivityParams()
    kernels = choose_kernels(respond(course), params, map)
    heights = kernels.heights[1:10, 0] / kernels.heights[:, 0].max()
    wanted = np.zeros(9)
    wanted[: len(course)] = np.array(course) / max(course)
    np.testing.assert_allclose(heights, wanted, atol=0.3)
    if course != [0.02] * 9:
        assert kernels.notes["kernel_held_out_gain_nats"] > 0


def test_delay_of_each_pair_is_found():
    recording = simulate_network(
        NetworkParams(n_units=60, duration_s=300, delay_min_s=0.004, delay_max_s=0.004)
    )
    weights = recording.weights
    delays = find_delays(spike_trains(recording), weights, ConnectivityParams(), map)
    strong = weights > np.quantile(weights[weights > 0], 0.8)
    assert np.mean((delays[strong] > 0.0039) & (delays[strong] < 0.0051)) > 0.6
    assert np.mean((delays > 0.0039) & (delays < 0.0051)) < 0.3


def test_unit_that_is_silent_for_half_of_the_time_does_no_harm():
    trains = respond([0, 0.15, 0.05], n_ticks=200_000)
    late = (trains.units == 3) & (trains.ticks > 90_000)
    kept = replace(trains, ticks=trains.ticks[~late], units=trains.units[~late])
    kernels = choose_kernels(kept, ConnectivityParams(), map)
    assert kernels.heights[:, 0].argmax() == 2
    assert np.isfinite(kernels.notes["kernel_held_out_gain_nats"])


def test_unit_whose_spikes_have_no_past_gets_zero():
    trains = respond([0, 0.15, 0.05], n_ticks=200_000)
    early = (trains.units == 11) & (trains.ticks >= 30)
    kept = replace(trains, ticks=trains.ticks[~early], units=trains.units[~early])
    kept = replace(kept, ticks=np.append(1, kept.ticks), units=np.append(np.int32(11), kept.units))
    found = infer_connectivity(kept, np.arange(12), ConnectivityParams(kernel_stop_s=0.004))
    assert (found["z"].sel(target=11) == 0).all()
    assert found["mask"].sel(source=0, target=4)
