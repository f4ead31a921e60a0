"""Recordings at the edge of what can be inferred: few events, late units, long delays."""

import numpy as np
import pytest

from connflow.connectivity import ConnectivityParams, infer_connectivity, traces
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.surrogates import against_surrogates
from connflow.errors import InvalidInputError

N_TICKS = 60_000
ANY_SPIKES = (
    {"method": "kernel_regression"},
    {"method": "lagged_regression"},
    {"method": "lagged_regression", "lasso": 0.05},
    {"method": "glm"},
    {"method": "ccg"},
    {"method": "transfer_entropy"},
    {"method": "tspe"},
    {"method": "correlation"},
)


def trains(units, n_ticks=N_TICKS, interval_s=0.001):
    """Return spike trains from the ticks of each unit."""
    ticks = np.concatenate(units)
    rows = np.repeat(np.arange(len(units), dtype=np.int32), [len(one) for one in units])
    order = np.lexsort((rows, ticks))
    whole = np.array([[0, n_ticks]], np.int64)
    return SpikeTrains(ticks[order], rows[order], len(units), interval_s, whole)


def infer(activity, **params):
    """Infer with these parameters."""
    return infer_connectivity(
        activity, np.arange(activity.n_units), ConnectivityParams.parse(params)
    )


@pytest.fixture
def units():
    """Ticks of 12 independent units at 5 Hz."""
    rng = np.random.default_rng(2)
    return [np.unique(rng.integers(0, N_TICKS, 300)) for _ in range(12)]


@pytest.mark.parametrize(
    "method", ["kernel_regression", "lagged_regression", "correlation", "ccg", "transfer_entropy"]
)
@pytest.mark.parametrize("seed", range(3))
def test_rare_counts_in_bins_make_no_edges_by_chance(method, seed):
    counts = np.random.default_rng(seed).random((60_000, 40)) < 0.001
    found = infer(traces(counts.astype(np.uint8), 0.01), method=method)
    assert found["mask"].sum() <= 1


@pytest.mark.parametrize("method", ["kernel_regression", "lagged_regression", "correlation"])
def test_traces_of_rare_events_do_not_break_the_fit_of_the_null(method):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        events = (rng.random((60_000, 40)) < 0.001) * rng.uniform(0.5, 1.5, (60_000, 40))
        found = infer(traces(events.astype(np.float32), 0.01), method=method)
        assert np.isfinite(found["p"]).all()


def test_pairs_that_never_meet_in_surrogates_are_not_beyond_doubt_for_meeting_once():
    rng = np.random.default_rng(0)
    surrogates = rng.normal(size=(5, 20, 20))
    surrogates[:, 0, 1] = -0.1
    z = rng.normal(size=(20, 20))
    z[0, 1] = 3.4
    assert against_surrogates(z, surrogates)[0, 1] < 4


@pytest.mark.parametrize("given", ANY_SPIKES, ids=lambda given: "-".join(map(str, given.values())))
@pytest.mark.parametrize("tick", [0, N_TICKS - 1])
def test_a_unit_that_fires_only_at_an_end_gives_nothing_or_a_clear_error(units, given, tick):
    activity = trains([*units, np.array([tick])])
    if given["method"] == "glm":
        with pytest.raises(InvalidInputError, match="start or end"):
            infer(activity, **given)
        return
    found = infer(activity, **given)
    assert np.isfinite(found["weight"]).all()
    assert not found["mask"].sel(source=12).any()


@pytest.mark.parametrize("method", ["ccg", "tspe"])
def test_a_unit_that_loses_its_only_spike_to_the_grid_is_constant(units, method):
    fine = [10 * one for one in units]
    activity = trains([*fine, np.array([10 * N_TICKS + 4])], 10 * N_TICKS + 5, 0.0001)
    found = infer(activity, method=method)
    assert found.attrs["constant_units"] == [12]
    assert np.isfinite(found["weight"]).all()


@pytest.mark.parametrize("method", ["ccg", "tspe", "transfer_entropy", "kernel_regression"])
def test_delays_longer_than_the_recording_are_refused(units, method):
    with pytest.raises(InvalidInputError, match="delay_max_s"):
        infer(trains(units), method=method, delay_max_s=200.0)


@pytest.mark.parametrize("method", ["ccg", "correlation", "kernel_regression"])
def test_under_dales_rule_no_weight_has_the_other_sign(units, method):
    found = infer(trains(units), method=method, dale=True)
    assert not (found["weight"] * found["source_sign"] < 0).any()


@pytest.mark.parametrize(
    "given", [{"method": "ccg"}, {"method": "lagged_regression", "lasso": 0.1}]
)
def test_intervals_are_refused_where_there_are_none(units, given):
    with pytest.raises(InvalidInputError, match="gives no intervals"):
        infer(trains(units), n_bootstrap=10, **given)


def test_an_edge_of_the_lasso_has_a_weight(units):
    follower = np.unique(np.concatenate([units[0][::2] + 1, units[1]]))
    found = infer(
        trains([*units, follower[follower < N_TICKS]]), method="lagged_regression", lasso=0.3
    )
    assert found["mask"].sel(source=0, target=12)
    assert (found["weight"].to_numpy()[found["mask"].to_numpy()] != 0).all()
