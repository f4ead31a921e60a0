"""Generalised transfer entropy: agreement with its definition, conditioning, calibration."""

import itertools

import numpy as np
import pytest

from connflow.connectivity.activity import traces
from connflow.connectivity.gte import (
    conditioning_level,
    discretise,
    infer_by_generalised_transfer_entropy,
)
from connflow.connectivity.params import ConnectivityParams

PARAMS = ConnectivityParams(method="gte")


def infer(values, segments=None):
    return infer_by_generalised_transfer_entropy(traces(values, 0.02, segments), PARAMS, map)


@pytest.fixture(scope="module")
def spiking():
    """Unit 0 excites unit 1 a frame later, 2 inhibits 3 in the same frame; noise."""
    rng = np.random.default_rng(10)
    spikes = rng.random((20_000, 6)) < 0.08
    spikes[1:, 1] |= spikes[:-1, 0] & (rng.random(19_999) < 0.3)
    spikes[:, 3] |= rng.random(20_000) < 0.2
    spikes[:, 3] &= ~(spikes[:, 2] & (rng.random(20_000) < 0.9))
    calcium = np.zeros(spikes.shape)
    for t in range(1, len(spikes)):
        calcium[t] = 0.95 * calcium[t - 1] + spikes[t]
    return (calcium + rng.normal(0, 0.1, spikes.shape)).astype(np.float32)


def entropy_by_definition(target, source):
    """Sum over all states, with probabilities from counting; bits."""
    step, past = target // 9, target % 9
    total = 0.0
    for a, p, b in itertools.product(range(3), range(9), range(9)):
        joint = (step == a) & (past == p) & (source == b)
        if joint.any():
            given_both = (step[(past == p) & (source == b)] == a).mean()
            given_past = (step[past == p] == a).mean()
            total += joint.mean() * np.log2(given_both / given_past)
    return total


def test_it_is_what_the_definition_says(spiking):
    few = spiking[:1500, :3]
    targets, sources, _ = discretise(traces(few, 0.02))
    estimate = infer(few)
    for i, j in [(0, 1), (2, 0)]:
        table = np.zeros((9, 3, 9))
        np.add.at(table, (targets[j] % 9, targets[j] // 9, sources[i]), 1)
        free = sum(
            ((t.sum(axis=1) > 0).sum() - 1) * ((t.sum(axis=0) > 0).sum() - 1)
            for t in table
            if t.sum()
        )
        bias = free / (2 * np.log(2) * targets.shape[1])
        wanted = entropy_by_definition(targets[j], sources[i]) - bias
        assert estimate.weight[i, j] == pytest.approx(wanted, abs=1e-12)


def test_states_are_steps_and_their_forerunners(spiking):
    targets, sources, _ = discretise(traces(spiking[:500], 0.02))
    np.testing.assert_array_equal(targets // 3, 3 * (targets // 9) + targets // 3 % 3)
    assert targets.max() < 27
    assert sources.max() < 9
    if targets.shape[1] == 497:
        np.testing.assert_array_equal(targets[:, 1:] % 9, targets[:, :-1] // 3)
        np.testing.assert_array_equal(sources, targets // 3)


def test_planted_influence_is_found_with_sign(spiking):
    z = infer(spiking).z
    assert z[0, 1] > 8
    assert z[0, 1] > 2 * abs(z[1, 0])
    assert z[2, 3] < -5


def test_z_without_influence_is_nearly_standard_normal():
    rng = np.random.default_rng(11)
    spikes = rng.random((30_000, 20)) < 0.2
    values = spikes + rng.normal(0, 0.2, spikes.shape)
    z = infer(values.astype(np.float32)).z[~np.eye(20, dtype=bool)]
    assert 0.75 < z.std() < 1.15


def test_bursts_lie_above_the_conditioning_level():
    rng = np.random.default_rng(12)
    quiet = rng.normal(0.1, 0.01, 9000)
    burst = rng.uniform(0.3, 0.8, 1000)
    level = conditioning_level(np.concatenate([quiet, burst]))
    assert 0.12 < level < 0.25
    assert (quiet < conditioning_level(quiet)).all()


def test_no_step_spans_a_gap(spiking):
    gap = np.concatenate([spiking[:9000], np.full((5, 6), 99, np.float32), spiking[9000:]])
    targets, _, _ = discretise(traces(gap, 0.02, np.array([[0, 9000], [9005, len(gap)]])))
    whole, _, _ = discretise(traces(spiking, 0.02))
    assert whole.shape[1] - 4 <= targets.shape[1] <= whole.shape[1]
