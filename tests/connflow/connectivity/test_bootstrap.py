"""Bootstrap intervals cover the true weights of a known vector autoregression."""

from functools import partial

import numpy as np
import pytest

from connflow.connectivity import accumulate_moments, bootstrap, traces
from connflow.connectivity.bootstrap import bootstrap_weights
from connflow.connectivity.least_squares import solve
from connflow.errors import InvalidInputError

N = 6
ACCUMULATE = partial(accumulate_moments, kernels=[(1, 1)], with_gram=True)


def weigh(moments):
    return solve(moments, 0.0).b[0]


@pytest.fixture(scope="module")
def coupling():
    rng = np.random.default_rng(0)
    weights = (rng.random((N, N)) < 0.3) * rng.normal(0, 0.15, (N, N))
    np.fill_diagonal(weights, 0.3)
    return weights


def simulate(coupling, n_samples, seed):
    noise = np.random.default_rng(seed).standard_normal((n_samples, N))
    for t in range(1, n_samples):
        noise[t] += noise[t - 1] @ coupling
    return traces(noise, 0.01)


def intervals(activity, n_resamples=60, seed=0):
    return bootstrap_weights(activity, ACCUMULATE, weigh, 1, n_resamples, seed)


def test_intervals_cover_the_truth_in_95_of_100(coupling):
    covered = []
    for seed in range(24):
        ends = intervals(simulate(coupling, 2000, seed), seed=seed)
        covered.append((ends.low <= coupling) & (coupling <= ends.high))
    assert 0.93 <= np.mean(covered) <= 0.97


def test_intervals_are_as_wide_as_least_squares_says(coupling):
    activity = simulate(coupling, 4000, 1)
    solution = solve(ACCUMULATE(activity).centred(), 0.0)
    half = (lambda ends: (ends.high - ends.low) / 2)(intervals(activity, 200))
    expected = 2.093 * np.sqrt(solution.covariance[0, 0])[:, None] * solution.sigma
    assert np.mean(half / expected) == pytest.approx(1, abs=0.06)


def test_same_seed_gives_the_same_intervals(coupling):
    activity = simulate(coupling, 1000, 2)
    one, other = intervals(activity), intervals(activity)
    assert np.array_equal(one.low, other.low)
    assert not np.array_equal(one.low, intervals(activity, seed=1).low)


def test_short_recordings_are_refused(coupling):
    with pytest.raises(InvalidInputError, match="record longer"):
        intervals(simulate(coupling, 150, 0))


def test_too_many_units_are_refused(coupling, monkeypatch):
    monkeypatch.setattr(bootstrap, "_MOST_BYTES", 1000)
    with pytest.raises(InvalidInputError, match="GiB"):
        intervals(simulate(coupling, 1000, 0))
