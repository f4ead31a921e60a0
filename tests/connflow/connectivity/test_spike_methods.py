"""What all methods that read spikes share: planted influences, calibration, segments, blocks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from connflow.connectivity import ConnectivityParams
from connflow.connectivity.activity import SpikeTrains, as_spike_trains, traces
from connflow.connectivity.methods import METHODS
from connflow.errors import InvalidInputError

NAMES = ("ccg", "transfer_entropy", "tspe", "glm")
WITH_DELAYS = ("ccg", "transfer_entropy", "tspe")
PARAMS = ConnectivityParams()


def infer(trains, name, map_blocks=map):
    return METHODS[name].estimate(trains, PARAMS, map_blocks)


def in_order(ticks, units, n_units, segments):
    order = np.lexsort((units, ticks))
    return SpikeTrains(
        ticks[order], units[order].astype(np.int32), n_units, 0.001, np.array(segments)
    )


def independent(n_units, rate_hz, duration_s, seed):
    """Poisson trains that know nothing of one another."""
    rng = np.random.default_rng(seed)
    n_bins = round(1000 * duration_s)
    n_spikes = rng.poisson(rate_hz * duration_s * n_units)
    ticks, units = rng.integers(0, n_bins, n_spikes), rng.integers(0, n_units, n_spikes)
    return in_order(ticks, units, n_units, [[0, n_bins]])


@pytest.fixture(scope="module")
def planted():
    """Unit 0 adds spikes to unit 3, 4 ms later; unit 1 silences unit 2 from 3 to 6 ms after."""
    trains = independent(5, 15, 300, seed=1)
    rng = np.random.default_rng(2)
    own = trains.ticks[trains.units == 0]
    added = own[(rng.random(len(own)) < 0.1) & (own < 299_990)] + 4
    silent = (trains.ticks[trains.units == 1][:, None] + np.arange(3, 7)).ravel()
    kept = ~((trains.units == 2) & np.isin(trains.ticks, silent))
    return in_order(
        np.concatenate([trains.ticks[kept], added]),
        np.concatenate([trains.units[kept], np.full(len(added), 3)]),
        5,
        trains.segments,
    )


@pytest.mark.parametrize("name", NAMES)
def test_planted_influences_are_found_with_sign_and_direction(planted, name):
    found = infer(planted, name)
    assert found.z[0, 3] > 6
    assert found.z[1, 2] < -4
    assert found.weight[0, 3] > 0 > found.weight[1, 2]
    others = found.z.copy()
    others[[0, 1], [3, 2]] = 0
    np.fill_diagonal(others, 0)
    reach = 5 if name == "tspe" else 4  # its flanks reach over to the other direction
    assert np.abs(others).max() < reach


@pytest.mark.parametrize("name", WITH_DELAYS)
def test_planted_delays_are_found(planted, name):
    delay_s = infer(planted, name).delay_s
    assert delay_s[0, 3] == pytest.approx(0.004, abs=0.0011 if name == "tspe" else 1e-9)
    assert 0.002 < delay_s[1, 2] < 0.007


@pytest.mark.parametrize("name", NAMES)
def test_z_is_standard_normal_without_influences(name):
    z = infer(independent(70, 15, 100, seed=5), name).z[~np.eye(70, dtype=bool)]
    assert abs(z.mean()) < 0.1
    assert 0.9 < z.std() < 1.08
    assert (np.abs(z) > 3).mean() < 0.005
    assert np.abs(z).max() < 5


@pytest.mark.parametrize("name", WITH_DELAYS)  # glm's Wald score needs many coincidences
def test_few_spikes_give_no_false_alarm(name):
    z = infer(independent(60, 1, 100, seed=6), name).z[~np.eye(60, dtype=bool)]
    assert (np.abs(z) > 3).mean() < 0.006
    assert np.abs(z).max() < 5


@pytest.mark.parametrize("name", NAMES)
def test_no_pair_spans_a_gap(planted, name):
    cuts = [0, 40_000, 40_011, 150_000, 300_000]
    together = replace(planted, segments=np.stack([cuts[:-1], cuts[1:]], axis=1))
    home = np.searchsorted(cuts, planted.ticks, side="right") - 1
    apart = replace(
        planted,
        ticks=planted.ticks + 1000 * home,
        segments=together.segments + 1000 * np.arange(4)[:, None],
    )
    near, far = infer(together, name), infer(apart, name)
    assert np.array_equal(near.z, far.z)
    assert np.array_equal(near.weight, far.weight)
    assert not np.array_equal(near.z, infer(planted, name).z)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_whoever_computes(planted, name):
    with ThreadPoolExecutor(2) as pool:
        threaded = infer(planted, name, pool.map)
    assert np.array_equal(threaded.z, infer(planted, name).z)


@pytest.mark.parametrize("name", NAMES)
def test_counts_of_spikes_are_as_good_as_spikes(planted, name):
    counts = np.zeros((300_000, 5), np.uint8)
    np.add.at(counts, (planted.ticks, planted.units), 1)
    assert np.array_equal(infer(traces(counts, 0.001), name).z, infer(planted, name).z)


def test_traces_that_are_no_counts_are_refused():
    with pytest.raises(InvalidInputError, match="counts of spikes"):
        as_spike_trains(traces(np.zeros((9, 2), np.float32), 0.01))
    with pytest.raises(InvalidInputError, match="counts of spikes"):
        as_spike_trains(traces(np.full((9, 2), -1), 0.01))


def test_counts_become_events_inside_segments_only():
    counts = np.array([[0, 2], [1, 0], [3, 1], [0, 1]])
    trains = as_spike_trains(traces(counts, 0.01, np.array([[0, 2], [3, 4]])))
    assert trains.ticks.tolist() == [0, 0, 1, 3]
    assert trains.units.tolist() == [1, 1, 0, 1]
