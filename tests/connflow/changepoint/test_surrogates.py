"""Surrogates keep exactly what they claim to keep, and destroy the rest."""

import numpy as np
import pytest

from connflow.changepoint import make_surrogate
from connflow.errors import InvalidInputError
from tests.connflow.changepoint.lab import make_trials, simulate

CONDITIONS = ["a", "b"] * 10


@pytest.fixture
def trials():
    values, _, _ = simulate(0, n_trials=20)
    values[4, 22:] = np.nan
    return make_trials(values, condition=CONDITIONS)


def trains_of(values, unit, members):
    return sorted(values[trial, :, unit].tobytes() for trial in members)


def members():
    return [np.arange(20)[np.array(CONDITIONS) == name] for name in "ab"]


def test_trial_shuffled_keeps_each_train_and_destroys_who_was_together(trials):
    made = make_surrogate(trials, "trial_shuffled", 0).values
    for group in members():
        for unit in range(trials.n_units):
            assert trains_of(made, unit, group) == trains_of(trials.values, unit, group)
    whole = {trials.values[trial].tobytes() for trial in range(20)}
    assert not any(made[trial].tobytes() in whole for trial in range(20))


def test_spike_shuffled_keeps_population_vectors_at_each_time(trials):
    made = make_surrogate(trials, "spike_shuffled", 0).values
    for group in members():
        for t in range(trials.n_time_bins):
            vectors = [sorted(x[i, t].tobytes() for i in group) for x in (made, trials.values)]
            assert vectors[0] == vectors[1]
    assert trains_of(made, 0, range(20)) != trains_of(trials.values, 0, range(20))


def test_circular_shift_keeps_each_train_up_to_rotation(trials):
    made = make_surrogate(trials, "circular_shift", 0).values
    n_moved = 0
    for trial in range(20):
        length = 22 if trial == 4 else 30
        for unit in range(trials.n_units):
            train, before = made[trial, :length, unit], trials.values[trial, :length, unit]
            lags = [lag for lag in range(length) if np.array_equal(np.roll(before, lag), train)]
            assert lags
            n_moved += 0 not in lags
    assert n_moved > 150


def test_simulated_has_the_mean_time_course_and_nothing_else(trials):
    made = np.stack([make_surrogate(trials, "simulated", seed).values for seed in range(60)])
    for group in members():
        expected = np.nanmean(trials.values[group], axis=0)
        found = np.nanmean(made[:, group], axis=(0, 1))
        assert np.abs(found - expected).max() < 6 * np.sqrt((expected.max() + 0.1) / 600)


@pytest.mark.parametrize(
    "kind", ["trial_shuffled", "spike_shuffled", "simulated", "circular_shift"]
)
def test_what_was_not_observed_stays_so(trials, kind):
    made = make_surrogate(trials, kind, 0).values
    assert np.isnan(made).sum() == np.isnan(trials.values).sum()
    again = make_surrogate(trials, kind, 0).values
    np.testing.assert_array_equal(made, again)
    assert not np.array_equal(made, make_surrogate(trials, kind, 1).values, equal_nan=True)


@pytest.mark.parametrize("kind", ["trial_shuffled", "circular_shift", "simulated"])
def test_a_unit_draws_the_same_whoever_is_beside_it(kind):
    values, _, _ = simulate(0, n_trials=20)
    trials = make_trials(values, regions=["x"] * 5 + ["y"] * 7)
    alone = make_surrogate(trials.select(region="y"), kind, 0).values
    np.testing.assert_array_equal(alone, make_surrogate(trials, kind, 0).values[:, :, 5:])


def test_binary_counts_stay_binary():
    values, _, _ = simulate(0)
    trials = make_trials(np.minimum(values, 1))
    assert set(np.unique(make_surrogate(trials, "simulated", 0).values)) == {0.0, 1.0}


def test_conditions_are_simulated_from_numbers_of_their_own():
    """Else trials of conditions alike would be copies of one another."""
    values = np.full((20, 30, 6), 1.0)
    values[::2, ::2] = 0.0
    values[1::2, 1::2] = 0.0
    made = make_surrogate(
        make_trials(values[:, :, :] * 3, condition=["a"] * 10 + ["b"] * 10), "simulated", 0
    ).values
    assert not np.array_equal(made[:10], made[10:])


def test_values_that_are_no_counts_are_not_simulated():
    values, _, _ = simulate(0)
    with pytest.raises(InvalidInputError, match="draws spike counts"):
        make_surrogate(make_trials(values + 0.5), "simulated", 0)
