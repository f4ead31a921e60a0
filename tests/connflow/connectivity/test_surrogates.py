"""Surrogates: what they keep, what they destroy, and that they stay inside their segment."""

import numpy as np
import pytest
from scipy.stats import kstest

from connflow.connectivity import ConnectivityParams, infer_connectivity
from connflow.connectivity.activity import SpikeTrains, traces
from connflow.connectivity.dale import find_signs, impose_dale
from connflow.connectivity.estimate import Estimate
from connflow.connectivity.significance import assess
from connflow.connectivity.surrogates import against_surrogates, jittered, shifted
from connflow.errors import InvalidInputError

SEGMENTS = np.array([[0, 1003], [1500, 1740], [2000, 6000]], np.int64)
WIDTH = 25


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.fixture
def trains(rng):
    observed = np.concatenate([np.arange(*segment) for segment in SEGMENTS])
    ticks = np.sort(rng.choice(observed, 3000))
    return SpikeTrains(ticks, rng.integers(0, 7, 3000).astype(np.int32), 7, 0.001, SEGMENTS)


def window_counts(trains):
    """Spikes of each unit in each window, windows counted from each segment's start."""
    return {
        (start, unit): np.bincount(
            (trains.ticks[here] - start) // WIDTH, minlength=(stop - start) // WIDTH + 1
        ).tolist()
        for start, stop in trains.segments
        for unit in range(trains.n_units)
        for here in [(trains.units == unit) & (trains.ticks >= start) & (trains.ticks < stop)]
    }


def test_jitter_keeps_the_count_of_each_unit_in_each_window(trains, rng):
    surrogate = jittered(trains, WIDTH * 0.001, rng)
    assert len(surrogate.ticks) == len(trains.ticks)
    assert np.all(np.diff(surrogate.ticks) >= 0)
    assert window_counts(surrogate) == window_counts(trains)
    assert not np.array_equal(surrogate.ticks, trains.ticks)


def test_jittered_spikes_are_uniform_in_their_window(rng):
    ticks = np.full(20_000, 40, np.int64)
    one = SpikeTrains(ticks, np.zeros(20_000, np.int32), 1, 0.001, np.array([[0, 60]]))
    moved = jittered(one, 0.025, rng).ticks
    assert moved.min() == 25
    assert moved.max() == 49
    assert np.abs(np.bincount(moved - 25) / 800 - 1).max() < 5 / np.sqrt(800)


def test_a_window_ends_with_its_segment(rng):
    ticks = np.full(1000, 58, np.int64)
    one = SpikeTrains(ticks, np.zeros(1000, np.int32), 1, 0.001, np.array([[0, 60], [61, 90]]))
    assert set(jittered(one, 0.025, rng).ticks.tolist()) == set(range(50, 60))


def test_a_jitter_that_moves_nothing_is_refused(trains, rng):
    with pytest.raises(InvalidInputError, match=r"at least 0.002 s"):
        jittered(trains, 0.001, rng)


def test_shifted_trains_keep_their_intervals_around_the_circle(trains, rng):
    surrogate = shifted(trains, rng)
    for start, stop in SEGMENTS:
        for unit in range(trains.n_units):
            before, after = (
                some.ticks[(some.units == unit) & (some.ticks >= start) & (some.ticks < stop)]
                for some in (trains, surrogate)
            )
            dense = [np.bincount(t - start, minlength=stop - start) for t in (before, after)]
            assert any(np.array_equal(np.roll(dense[0], k), dense[1]) for k in range(stop - start))


def test_shifts_are_independent_and_uniform(rng):
    n_units = 2000
    ticks, units = np.full(n_units, 10, np.int64), np.arange(n_units, dtype=np.int32)
    one = SpikeTrains(ticks, units, n_units, 0.001, np.array([[0, 100_000]]))
    assert kstest(shifted(one, rng).ticks / 100_000, "uniform").pvalue > 0.001


def test_shifted_traces_keep_each_unit_and_move_it_by_its_own_offset(rng):
    values = rng.standard_normal((6000, 3)).astype(np.float32)
    surrogate = shifted(traces(values, 0.02, SEGMENTS), rng)
    for start, stop in SEGMENTS:
        offsets = []
        for unit in range(3):
            first = np.flatnonzero(surrogate.values[start:stop, unit] == values[start, unit])[0]
            offsets.append(first)
            expected = np.roll(values[start:stop, unit], first)
            assert np.array_equal(surrogate.values[start:stop, unit], expected)
        assert len(set(offsets)) == 3
    assert np.array_equal(surrogate.values[1003:1500], values[1003:1500])


def test_the_same_seed_gives_the_same_surrogate(trains):
    first, second = (jittered(trains, 0.025, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first.ticks, second.ticks)
    assert np.array_equal(first.units, second.units)


@pytest.mark.parametrize("unequal", [0.0, 0.6])
def test_pairs_without_influence_are_standard_normal_against_their_surrogates(rng, unequal):
    """Each pair has a mean and a spread of its own, as slow common changes of rate give it."""
    n_units, n_surrogates = 80, 10
    mean = rng.normal(3, 4, (n_units, n_units))
    spread = np.exp(unequal * rng.normal(size=(n_units, n_units)))
    surrogates = mean + spread * rng.normal(size=(n_surrogates, n_units, n_units))
    z = against_surrogates(mean + spread * rng.normal(size=(n_units, n_units)), surrogates)
    off = z[~np.eye(n_units, dtype=bool)]
    assert kstest(off, "norm").pvalue > 0.001
    assert off.std() == pytest.approx(1, abs=0.05)
    influenced = against_surrogates(mean + 8 * spread, surrogates)
    assert np.median(influenced[~np.eye(n_units, dtype=bool)]) > 4


def test_jitter_tells_fine_timing_from_common_changes_of_rate(rng):
    """Units share slow changes of rate; one drives another 3 ms later."""
    n_units, n_ticks = 10, 300_000
    rate = 0.01 * np.exp(np.repeat(rng.normal(size=n_ticks // 200), 200))[:, None]
    counts = rng.random((n_ticks, n_units)) < np.minimum(rate, 1)
    counts[3:, 1] |= counts[:-3, 0] & (rng.random(n_ticks - 3) < 0.1)
    rows, units = np.nonzero(counts)
    whole = np.array([[0, n_ticks]], np.int64)
    trains = SpikeTrains(rows, units.astype(np.int32), n_units, 0.001, whole)
    params = ConnectivityParams(method="kernel_regression", null_law="surrogate", n_surrogates=10)
    found = infer_connectivity(trains, np.arange(n_units), params)
    assert found["mask"].to_numpy()[0, 1]
    assert int(found["mask"].sum()) <= 3


def test_with_both_nulls_a_pair_must_stand_out_of_the_bulk_and_of_its_own_surrogates(rng):
    """Pairs that share slow changes of rate stand out of the bulk, fine timing of surrogates."""
    n_units, n_ticks = 24, 300_000
    slow = np.repeat(rng.normal(size=n_ticks // 200), 200)
    rate = np.full((n_ticks, n_units), 0.01)
    rate[:, :3] *= np.exp(1.5 * slow)[:, None]
    counts = rng.random(rate.shape) < np.minimum(rate, 1)
    counts[3:, 11] |= counts[:-3, 10] & (rng.random(n_ticks - 3) < 0.2)
    rows, units = np.nonzero(counts)
    trains = SpikeTrains(
        rows, units.astype(np.int32), n_units, 0.001, np.array([[0, n_ticks]], np.int64)
    )
    given = {"method": "kernel_regression", "n_surrogates": 10}
    found = {
        law: infer_connectivity(
            trains, np.arange(n_units), ConnectivityParams.parse({**given, "null_law": law})
        )
        for law in ("empirical", "surrogate", "both")
    }
    assert found["empirical"]["mask"].to_numpy()[:3, :3].any()
    both = found["both"]
    assert both["mask"].to_numpy()[10, 11]
    assert not both["mask"].to_numpy()[:3, :3].any()
    assert both.attrs["null"] == "empirical, and surrogates"
    np.testing.assert_array_equal(both["z"], found["empirical"]["z"])
    larger = np.maximum(found["empirical"]["p"], found["surrogate"]["p"])
    np.testing.assert_allclose(both["p"], larger, rtol=1e-5)


def test_a_sign_is_judged_against_both_nulls_too(rng):
    n_units = 30
    z = rng.normal(size=(n_units, n_units))
    z[0, 1:9] = 12  # stands out of the bulk
    against = rng.normal(size=z.shape)
    against[0, 1:5] = 12  # and of its surrogates
    params = ConnectivityParams(null_law="both", dale=True)
    before = assess(z, params, against)
    estimate = Estimate(z, z, float("nan"), "1", {})
    _, after = impose_dale(estimate, before, find_signs(z, 0.0), params.false_discovery_rate)
    for significance in (before, after):
        assert significance.mask[0, 1:5].all()
        assert not significance.mask[0, 5:9].any()
