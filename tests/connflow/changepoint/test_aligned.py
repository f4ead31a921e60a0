"""Activity around changepoints: against a loop over trials, and against what the control is for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connflow.changepoint.aligned import align_activity, average, standard_error
from connflow.errors import InvalidInputError


def make(seed: int, n_trials: int, n_bins: int, n_units: int):
    rng = np.random.default_rng(seed)
    values = rng.poisson(3.0, (n_trials, n_bins, n_units)).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    starts = rng.integers(0, n_bins, n_trials).astype(float)
    starts[rng.random(n_trials) < 0.15] = np.nan
    conditions = rng.integers(0, 2, n_trials).tolist()
    return values, starts, conditions


def at(values, trial, place):
    """Return what lies at a bin, NaN outside."""
    is_inside = 0 <= place < values.shape[1]
    return values[trial, int(place)] if is_inside else np.full(values.shape[2:], np.nan)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9), st.integers(1, 12))
def test_means_are_those_of_a_loop_over_trials(seed, n_trials, n_bins, half):
    values, starts, conditions = make(seed, n_trials, n_bins, 3)
    found = align_activity(values, starts, half, conditions)
    population = average(values, axis=2)
    for number, lag in enumerate(range(-half, half)):
        own = [at(values, i, starts[i] + lag) for i in range(n_trials) if starts[i] == starts[i]]
        expected = average(np.array(own).reshape(-1, 3), axis=0)
        np.testing.assert_allclose(found.unit_mean[number], expected)
        control = []
        for i in range(n_trials):
            others = [
                at(population, i, starts[j] + lag)
                for j in range(n_trials)
                if j != i and conditions[j] == conditions[i] and starts[j] == starts[j]
            ]
            control.append(average(np.array(others).reshape(-1), axis=0))
        np.testing.assert_allclose(found.control_mean[number], average(np.array(control), axis=0))


def test_a_jump_at_the_changepoint_is_seen_whole_and_the_control_smears_it():
    starts = np.array([5.0, 12.0, 20.0, 26.0])
    time = np.arange(32)
    values = np.where(time >= starts[:, None], 10.0, 2.0)[..., None]
    found = align_activity(values, starts, 5, [0] * 4)
    np.testing.assert_array_equal(found.population_mean, [2.0] * 5 + [10.0] * 5)
    np.testing.assert_allclose(found.population_sem, 0)
    assert abs(found.control_mean[5] - found.control_mean[4]) < 1.0


def test_what_follows_the_clock_looks_the_same_in_the_control():
    starts = np.random.default_rng(0).integers(8, 30, 400).astype(float)
    values = np.broadcast_to(np.sin(np.arange(40) / 5)[None, :, None], (400, 40, 2)).copy()
    found = align_activity(values, starts, 6, [0] * 400)
    np.testing.assert_allclose(found.control_mean, found.population_mean, atol=1e-12)


def test_other_conditions_do_not_enter_the_control():
    starts = np.array([3.0, 5.0, 6.0, 8.0])
    values = np.random.default_rng(1).normal(size=(4, 12, 2))
    together = align_activity(values[:2], starts[:2], 2, ["a", "a"])
    apart = align_activity(values, starts, 2, ["a", "a", "b", "c"])
    assert np.isfinite(together.control_mean).all()
    np.testing.assert_allclose(apart.control_mean, together.control_mean)


def test_one_trial_has_no_control_and_no_standard_error():
    values = np.arange(12.0).reshape(1, 6, 2)
    found = align_activity(values, np.array([3.0]), 2, [""])
    assert np.isnan(found.control_mean).all()
    assert np.isnan(found.population_sem).all()
    np.testing.assert_array_equal(found.unit_mean, values[0, 1:5])
    assert found.n_trials.tolist() == [1, 1, 1, 1]


def test_standard_error_leaves_out_what_was_not_observed():
    values = np.array([[1.0, np.nan], [3.0, 2.0], [np.nan, np.nan]])
    np.testing.assert_allclose(standard_error(values), [1.0, np.nan])


@pytest.mark.parametrize(
    ("starts", "half", "words"),
    [([1.0], 2, "2 trials"), ([1.0, 9.0], 2, "from 0 to 4"), ([1.0, 2.0], 0, "at least 1")],
)
def test_what_cannot_be_aligned_is_refused(starts, half, words):
    with pytest.raises(InvalidInputError, match=words):
        align_activity(np.ones((2, 5, 1)), np.array(starts), half, ["", ""])
