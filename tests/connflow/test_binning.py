"""Binning: each spike once, half-open bins, the same however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connflow.binning import BinningParams, bin_spikes, count_bins, count_dtype
from connflow.errors import InvalidInputError
from connflow.recording.model import SpikeRecording, unit_table


def record(times, units=None, n_units=3, t_start=0.0, t_stop=10.0):
    times = np.asarray(times, np.float64)
    units = np.zeros(len(times), np.int32) if units is None else np.asarray(units, np.int32)
    return SpikeRecording(times, units, unit_table(np.arange(n_units)), t_start, t_stop)


def count_all(recording, bin_size_s, block_bins=1 << 15):
    parts = bin_spikes(recording, BinningParams(bin_size_s=bin_size_s), block_bins)
    return np.concatenate([counts for _, counts in parts])


spike_trains = st.lists(st.tuples(st.floats(-5, 4.999), st.integers(0, 2)), max_size=60).map(sorted)


@settings(deadline=None)
@given(spike_trains, st.floats(0.01, 3.0), st.integers(1, 50))
def test_counts_sum_to_spikes_however_they_are_cut(spikes, bin_size_s, block_bins):
    times, units = zip(*spikes, strict=True) if spikes else ((), ())
    recording = record(times, units, t_start=-5.0, t_stop=5.0)
    counts = count_all(recording, bin_size_s, block_bins)
    assert counts.sum(axis=0).tolist() == [units.count(unit) for unit in range(3)]
    np.testing.assert_array_equal(counts, count_all(recording, bin_size_s))


def test_counts_agree_with_numpy_histogram():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(4397.0, 4407.0, 5000))
    units = rng.integers(0, 3, 5000)
    counts = count_all(record(times, units, t_start=4397.0, t_stop=4407.0), 0.1)
    for unit in range(3):
        edges = 4397.0 + np.arange(101) * 0.1
        np.testing.assert_array_equal(counts[:, unit], np.histogram(times[units == unit], edges)[0])


@pytest.mark.parametrize("bin_size_s", [0.001, 0.01, 0.0007, 1 / 30])
def test_spike_on_an_edge_belongs_to_the_bin_that_it_opens(bin_size_s):
    edges = np.arange(300) * bin_size_s
    counts = count_all(record(edges, t_stop=300 * bin_size_s), bin_size_s)
    assert counts[:, 0].tolist() == [1] * 300


def test_last_bin_may_be_cut_short():
    assert count_bins(record([0.95], t_stop=1.0), BinningParams(bin_size_s=0.3)) == 4
    assert count_bins(record([0.5], t_stop=0.9), BinningParams(bin_size_s=0.3)) == 3


def test_type_holds_the_largest_count():
    busy = record(np.linspace(0, 0.9, 300), t_stop=1.0)
    assert count_dtype(busy, BinningParams(bin_size_s=1.0)) == np.uint16
    assert count_all(busy, 1.0)[0, 0] == 300
    assert count_dtype(busy, BinningParams(bin_size_s=0.001)) == np.uint8


def test_silent_units_have_zero_counts():
    assert count_all(record([1.0, 2.0]), 0.5)[:, 1:].sum() == 0


def test_bin_longer_than_the_recording_is_refused():
    with pytest.raises(InvalidInputError, match=r"binning\.bin_size_s is 20 s"):
        count_all(record([1.0]), 20.0)


@pytest.mark.parametrize("bad", [0, -0.001])
def test_bins_have_a_size(bad):
    with pytest.raises(InvalidInputError, match="bin_size_s"):
        BinningParams.parse({"bin_size_s": bad})
