"""Cutting a recording around events, against counting by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connflow.errors import InvalidInputError, RecordingError
from connflow.recording.model import SpikeRecording, unit_table
from connflow.trials import TrialsParams, cut_trials, read_events
from connflow.trials.model import trial_table


def recording(times, units, n_units=3, t_stop=100.0, gapless=None):
    order = np.argsort(times, kind="stable")
    return SpikeRecording(
        np.asarray(times, np.float64)[order],
        np.asarray(units, np.int32)[order],
        unit_table(np.arange(n_units) + 10),
        0.0,
        t_stop,
        gapless=gapless,
    )


def events(*times, **columns):
    return trial_table(len(times), time_s=np.array(times), **columns)


@given(
    st.lists(st.tuples(st.integers(0, 99_999), st.integers(0, 2)), max_size=200),
    st.lists(st.integers(1_000, 98_000), min_size=1, max_size=5),
    st.sampled_from([0.01, 0.025, 0.1]),
)
@settings(max_examples=60, deadline=None)
def test_every_spike_of_a_window_is_counted_in_its_bin(spikes, onsets, bin_size_s):
    times = np.array([time for time, _ in spikes]) / 1000
    units = np.array([unit for _, unit in spikes], int)
    params = TrialsParams(bin_size_s=bin_size_s, t_start=-0.5, t_stop=1.0)
    found = cut_trials(recording(times, units), events(*(np.array(onsets) / 1000)), params)
    step = round(bin_size_s * 1000)
    expected = np.zeros_like(found.values)
    for trial, onset in enumerate(onsets):
        for time, unit in spikes:
            place = (time - onset + 500) // step  # whole milliseconds: no rounding at edges
            if 0 <= place < expected.shape[1]:
                expected[trial, place, unit] += 1
    np.testing.assert_array_equal(found.values, expected)
    assert found.bin_starts_s[0] == pytest.approx(-0.5)


def test_bins_outside_the_recording_or_in_a_gap_were_not_observed():
    gapless = np.array([[0.0, 10.0], [20.0, 30.0]])
    spikes = recording([9.95, 20.05], [0, 1], t_stop=30.0, gapless=gapless)
    params = TrialsParams(bin_size_s=0.1, t_start=-0.2, t_stop=0.2)
    found = cut_trials(spikes, events(10.0, 20.0, 30.0), params).values[:, :, 0]
    np.testing.assert_array_equal(
        np.isnan(found),
        [[False, False, True, True], [True, True, False, False], [False, False, True, True]],
    )
    assert found[0, 1] == 1


def test_a_bin_that_a_gap_cuts_was_not_observed():
    gapless = np.array([[0.0, 10.05], [20.0, 30.0]])
    spikes = recording([5.0], [0], t_stop=30.0, gapless=gapless)
    found = cut_trials(spikes, events(10.0), TrialsParams(bin_size_s=0.1, t_start=-0.1, t_stop=0.1))
    assert np.isnan(found.values[0, :, 0]).tolist() == [False, True]


def test_trials_outside_the_recording_are_refused_with_their_number():
    with pytest.raises(InvalidInputError, match=r"2 of 3 trials lie outside.*first at 200"):
        cut_trials(recording([1.0], [0]), events(5.0, 200.0, 300.0), TrialsParams(t_stop=1.0))


def test_window_and_bins_must_fit():
    with pytest.raises(InvalidInputError, match=r"set trials\.t_stop"):
        cut_trials(recording([1.0], [0]), events(5.0), TrialsParams())
    with pytest.raises(InvalidInputError, match="longer than the trial"):
        cut_trials(recording([1.0], [0]), events(5.0), TrialsParams(bin_size_s=3, t_stop=1.0))
    with pytest.raises(InvalidInputError, match="must be later"):
        TrialsParams.parse({"t_start": 1.0, "t_stop": 0.5})


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "npz"])
def test_events_are_read_from_every_format(tmp_path, ending):
    table = pd.DataFrame({"onset": [1.5, 2.5], "stimulus": ["a", "b"], "contrast": [0.5, 1.0]})
    path = tmp_path / f"events.{ending}"
    if ending in ("csv", "tsv"):
        table.to_csv(path, sep="," if ending == "csv" else "\t", index=False)
    elif ending == "parquet":
        table.to_parquet(path)
    else:
        np.savez(path, **{name: np.array(table[name].tolist()) for name in table})
    found = read_events(str(path), {"time_s": "onset", "condition": "stimulus"})
    assert found["time_s"].tolist() == [1.5, 2.5]
    assert found["condition"].tolist() == ["a", "b"]
    assert found["contrast"].tolist() == [0.5, 1.0]


def test_events_without_times_are_refused(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("onset,what\n1.0,a\n")
    with pytest.raises(RecordingError, match="no column time_s; it has onset, what"):
        read_events(str(path))
    path.write_text("time_s\n1.0\nlate\n")
    with pytest.raises(RecordingError, match="1 values that are no times"):
        read_events(str(path))
    with pytest.raises(RecordingError, match="events are read from"):
        read_events(str(tmp_path))
