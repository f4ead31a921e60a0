"""Variants of the simulated network: units unseen, a drive that all share, equal inputs."""

import numpy as np
import pytest

from connflow.recording.network import NetworkParams, simulate_network

WHOLE = NetworkParams(n_units=60, duration_s=3.0, seed=2)


def changed(**changes: object) -> NetworkParams:
    return WHOLE.model_copy(update=changes)


@pytest.mark.parametrize(("fraction", "n_seen"), [(0.2, 12), (0.5, 30), (0.001, 2)])
def test_seen_units_fire_as_they_do_in_the_whole_network(fraction: float, n_seen: int) -> None:
    whole, part = simulate_network(WHOLE), simulate_network(changed(observed_fraction=fraction))
    seen = part.unit_ids
    assert len(seen) == part.n_units == n_seen
    for row, unit in enumerate(seen):
        np.testing.assert_array_equal(
            part.spike_times[part.spike_units == row], whole.spike_times[whole.spike_units == unit]
        )
    assert whole.weights is not None
    np.testing.assert_array_equal(part.weights, whole.weights[np.ix_(seen, seen)])
    np.testing.assert_array_equal(part.units["cell_type"], whole.units["cell_type"].loc[seen])


def test_units_are_seen_at_random_and_by_the_seed() -> None:
    one, other = (
        simulate_network(changed(observed_fraction=0.5, seed=seed)).unit_ids for seed in (0, 1)
    )
    assert not np.array_equal(one, other)
    assert one.min() < 15
    assert one.max() > 45


def test_common_drive_makes_units_fire_together() -> None:
    alone, together = (
        simulate_network(changed(connection_probability=0.0, duration_s=60.0, common_drive_sd=sd))
        for sd in (0.0, 0.3)
    )
    assert together.units.equals(alone.units)
    fano = []
    for recording in (alone, together):
        counts = np.bincount((recording.spike_times / 0.05).astype(int))
        fano.append(counts.var() / counts.mean())
    assert fano[0] < 1.2
    assert fano[1] > 5


def test_common_drive_has_its_correlation_time() -> None:
    params = changed(
        connection_probability=0.0, duration_s=200.0, common_drive_sd=0.3, common_drive_tau_s=0.5
    )
    counts = np.bincount((simulate_network(params).spike_times / 0.1).astype(int))
    x = counts - counts.mean()
    fallen = (x[10:] @ x[:-10]) / (x[5:] @ x[:-5])  # from 0.5 s to 1 s
    assert fallen == pytest.approx(np.exp(-1), abs=0.12)


def test_shorter_run_of_a_driven_network_is_the_first_part_of_a_longer_one() -> None:
    long, short = (
        simulate_network(changed(common_drive_sd=0.3, duration_s=seconds)) for seconds in (3.0, 1.7)
    )
    np.testing.assert_array_equal(short.spike_times, long.spike_times[long.spike_times < 1.7])


def test_every_unit_has_the_same_number_of_inputs_of_each_kind() -> None:
    weights = simulate_network(changed(fixed_in_degree=True, connection_probability=0.25)).weights
    assert weights is not None
    np.testing.assert_array_equal((weights[:48] > 0).sum(axis=0), np.full(60, 12))
    np.testing.assert_array_equal((weights[48:] < 0).sum(axis=0), np.full(60, 3))
    assert not weights.diagonal().any()
    assert np.ptp((weights != 0).sum(axis=1)) > 5  # outputs stay random


def test_equal_inputs_are_at_most_all_others() -> None:
    whole = changed(fixed_in_degree=True, connection_probability=1.0, duration_s=0.1)
    weights = simulate_network(whole).weights
    assert weights is not None
    np.testing.assert_array_equal(weights != 0, ~np.eye(60, dtype=bool))
