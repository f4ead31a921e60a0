"""Sums over pairs of spikes equal the sums that brute force finds on the grid."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from connflow.connectivity.activity import SpikeTrains, Traces, split_time
from connflow.connectivity.events import correlograms, event_moments
from connflow.connectivity.moments import Kernel, Moments, accumulate_moments


@st.composite
def some_trains(draw: st.DrawFn) -> SpikeTrains:
    """Trains of 1 to 5 units in 1 to 4 segments, with silent units and coincident spikes."""
    n_units = draw(st.integers(1, 5))
    edge = draw(st.integers(0, 3))
    segments = []
    for _ in range(draw(st.integers(1, 4))):
        stop = edge + draw(st.integers(1, 25))
        segments.append((edge, stop))
        edge = stop + draw(st.integers(0, 3))
    inside = [tick for start, stop in segments for tick in range(start, stop)]
    spike = st.tuples(st.sampled_from(inside), st.integers(0, n_units - 1))
    spikes = sorted(draw(st.lists(spike, max_size=60)), key=lambda found: found[0])
    ticks = np.array([tick for tick, _ in spikes], np.int64)
    units = np.array([unit for _, unit in spikes], np.int32)
    return SpikeTrains(ticks, units, n_units, 0.001, np.array(segments, np.int64))


@st.composite
def some_kernels(draw: st.DrawFn) -> list[Kernel]:
    """One to three windows, which may overlap, touch, start at 0, or exceed the segments."""
    window = st.tuples(st.integers(0, 12), st.integers(0, 12))
    pairs = draw(st.lists(window, min_size=1, max_size=3))
    return [(min(pair), max(pair)) for pair in pairs]


def count(trains: SpikeTrains) -> NDArray[np.int64]:
    counts = np.zeros((int(trains.segments[-1, 1]), trains.n_units), np.int64)
    np.add.at(counts, (trains.ticks, trains.units), 1)
    return counts


def brute_moments(trains: SpikeTrains, kernels: list[Kernel]) -> dict[str, Any]:
    """Form every tick's features and targets, and sum their products."""
    counts, past = count(trains), max(last for _, last in kernels)
    whole = [t for start, stop in trains.segments for t in range(start + past, stop)]
    rows = [
        np.concatenate([counts[t - last : t - first + 1].sum(axis=0) for first, last in kernels])
        for t in whole
    ]
    features = np.array(rows, np.int64).reshape(len(whole), len(kernels) * trains.n_units)
    targets = counts[whole]
    shape = len(kernels), trains.n_units
    return {
        "n_bins": len(whole),
        "feature_sum": features.sum(axis=0).reshape(shape),
        "target_sum": targets.sum(axis=0),
        "target_square": (targets**2).sum(axis=0),
        "gram": features.T @ features,
        "feature_square": (features**2).sum(axis=0).reshape(shape),
        "cross": (features.T @ targets).reshape(*shape, -1),
    }


def brute_correlograms(trains: SpikeTrains, max_lag: int) -> NDArray[np.int64]:
    found = np.zeros((2 * max_lag + 1, trains.n_units, trains.n_units), np.int64)
    home = np.searchsorted(trains.segments[:, 0], trains.ticks, side="right")
    for a, b in product(range(len(trains.ticks)), repeat=2):
        lag = trains.ticks[b] - trains.ticks[a]
        if abs(lag) <= max_lag and home[a] == home[b]:
            found[max_lag + lag, trains.units[a], trains.units[b]] += 1
    return found


def assert_equal(found: Moments, expected: Moments | dict[str, Any]) -> None:
    values = expected if isinstance(expected, dict) else vars(expected)
    for name, value in values.items():
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


@given(some_trains(), some_kernels())
@settings(max_examples=300, deadline=None)
def test_moments_are_those_of_the_grid(trains: SpikeTrains, kernels: list[Kernel]) -> None:
    expected = brute_moments(trains, kernels)
    assert_equal(event_moments(trains, kernels, with_gram=True), expected)
    without = event_moments(trains, kernels, with_gram=False)
    assert without.gram is None
    assert_equal(without, expected | {"gram": None})


@given(some_trains(), st.integers(0, 14))
@settings(max_examples=200, deadline=None)
def test_correlograms_are_those_of_all_pairs_of_spikes(trains: SpikeTrains, max_lag: int) -> None:
    expected = brute_correlograms(trains, max_lag)
    found = correlograms(trains, max_lag)
    np.testing.assert_array_equal(found, expected)
    some = np.arange(trains.n_units)[::-2]
    np.testing.assert_array_equal(
        correlograms(trains, max_lag, sources=some, targets=some[:1]),
        expected[:, some][:, :, some[:1]],
    )
    np.testing.assert_array_equal(correlograms(trains, max_lag, targets=some), expected[:, :, some])


def poisson(n_units: int = 70, n_ticks: int = 4_000, n_spikes: int = 9_000) -> SpikeTrains:
    rng = np.random.default_rng(1)
    ticks = np.sort(rng.integers(0, n_ticks, n_spikes)) + 17
    units = rng.integers(0, n_units, n_spikes, dtype=np.int32)
    return SpikeTrains(ticks, units, n_units, 0.001, np.array([[17, 17 + n_ticks]]))


def on_threads(function: Callable[[Any], Any], blocks: Iterable[Any]) -> Iterator[Any]:
    with ThreadPoolExecutor(3) as pool:
        yield from pool.map(function, blocks)


def test_parts_merge_to_the_same_numbers_in_any_order() -> None:
    trains, kernels = poisson(), [(1, 8), (3, 4)]
    parts = [trains.within(segments) for segments in split_time(trains, 4)]
    apart = replace(trains, segments=np.concatenate([part.segments for part in parts]))
    moments = [event_moments(part, kernels, with_gram=True) for part in parts]
    whole = event_moments(apart, kernels, with_gram=True)
    for order in permutations(moments):
        assert_equal(reduce(lambda a, b: a + b, order), whole)
    counts = [correlograms(part, 6) for part in parts]
    np.testing.assert_array_equal(sum(counts), correlograms(apart, 6))


def test_threads_find_the_same_as_one_thread() -> None:
    trains, kernels = poisson(), [(1, 8), (20, 22)]
    expected = event_moments(trains, kernels, with_gram=True)
    assert_equal(event_moments(trains, kernels, with_gram=True, map_blocks=on_threads), expected)
    np.testing.assert_array_equal(
        correlograms(trains, 6, map_blocks=on_threads), correlograms(trains, 6)
    )


def test_events_and_an_array_of_counts_have_the_same_moments() -> None:
    trains, kernels = poisson(), [(1, 8), (8, 30)]
    traces = Traces(count(trains).astype(np.uint8), 0.001, trains.segments)
    assert_equal(
        accumulate_moments(trains, kernels, with_gram=True),
        accumulate_moments(traces, kernels, with_gram=True),
    )


def test_a_long_recording_on_a_fine_grid_loses_no_tick() -> None:
    ticks, units = np.array([10, 13]), np.array([0, 1], np.int32)
    near = SpikeTrains(ticks, units, 2, 1e-6, np.array([[0, 20]]))
    far = replace(near, ticks=ticks + 2**40, segments=np.array([[0, 2**40 + 20]]))
    short, long = (event_moments(trains, [(2, 4)], with_gram=True) for trains in (near, far))
    assert long.n_bins == short.n_bins + 2**40
    assert_equal(replace(long, n_bins=short.n_bins), short)


def test_sums_beyond_32_bits_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    n, width = 3_000, 600_000
    ticks = np.repeat(np.arange(n // 2) + width, 2)
    trains = SpikeTrains(
        ticks, np.tile(np.array([0, 1], np.int32), n // 2), 2, 1e-5, np.array([[0, 10 * width]])
    )
    moments = event_moments(trains, [(1, width)], with_gram=True)
    gaps = np.abs(np.subtract.outer(ticks[::2], ticks[::2]))
    assert moments.gram is not None
    assert moments.gram[0, 1] == moments.gram[0, 0] == (width - gaps).sum() > 2**32
