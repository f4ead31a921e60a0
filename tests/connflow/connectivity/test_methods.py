"""What every method of the list must do, whatever its formula."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from connflow.connectivity import METHODS, ConnectivityParams, infer_connectivity, traces
from connflow.connectivity.activity import SpikeTrains
from connflow.errors import InvalidInputError

IDS = np.array([7, 3, 12, 40, 41, 5])
EXCITED, INHIBITED = (7, 40), (3, 12)  # source and target, as planted
SYMMETRIC = {"partial_correlation", "sutera"}
OPTIONS = {
    "glm": {"delay_max_s": 0.003},  # it has one height for all delays
    "partial_correlation": {"resolution_s": 0.005},  # it looks at what happens in one bin
}
SPIKES = [name for name, method in METHODS.items() if SpikeTrains in method.reads]
TRACES = [name for name in METHODS if name not in SPIKES]


def plant(n_bins, rate, gain, loss):
    """Poisson counts in which unit 0 excites unit 3 and unit 1 inhibits unit 2, a bin later."""
    rng = np.random.default_rng(2)
    counts = np.zeros((n_bins, 6), np.uint8)
    base = np.full(6, rate)
    base[2] += loss
    for t in range(1, n_bins):
        drive = base.copy()
        drive[3] += gain * counts[t - 1, 0]
        drive[2] -= loss * min(counts[t - 1, 1], 1)
        counts[t] = rng.poisson(drive)
    return counts


def as_events(counts, n_segments=4):
    """Spike trains of the counts, cut into stretches with gaps between them."""
    edges = np.linspace(0, len(counts), n_segments + 1).astype(np.int64)
    shift = np.repeat(np.arange(n_segments) * 1000, np.diff(edges))
    rows, units = np.nonzero(counts)
    n = counts[rows, units]
    segments = np.stack([edges[:-1], edges[1:]], 1) + 1000 * np.arange(n_segments)[:, None]
    ticks = np.repeat(rows + shift[rows], n).astype(np.int64)
    return SpikeTrains(ticks, np.repeat(units, n).astype(np.int32), 6, 0.001, segments)


def as_fluorescence(counts):
    """First-order calcium of the counts, with a little noise, in two stretches."""
    calcium = np.zeros(counts.shape)
    for t in range(1, len(counts)):
        calcium[t] = 0.9 * calcium[t - 1] + counts[t]
    noise = 0.02 * np.random.default_rng(5).normal(size=calcium.shape)
    half = len(counts) // 2
    segments = np.array([[0, half], [half + 1, len(counts)]], np.int64)
    return traces((calcium + noise).astype(np.float32), 0.02, segments)


@pytest.fixture(scope="module")
def spikes():
    return as_events(plant(60_000, 0.03, 0.25, 0.1))


@pytest.fixture(scope="module")
def fluorescence():
    return as_fluorescence(plant(16_000, 0.15, 0.4, 0.25))


@pytest.fixture
def activity(method, spikes, fluorescence):
    return spikes if method in SPIKES else fluorescence


def infer(activity, method, ids=IDS, **options):
    params = ConnectivityParams(method=method, **OPTIONS.get(method, {}))
    return infer_connectivity(activity, ids, params, **options)


every_method = pytest.mark.parametrize("method", METHODS)


@every_method
def test_planted_wiring_is_found_with_sign_and_direction(method, activity):
    z = infer(activity, method)["z"]
    assert z.dims == ("source", "target")
    excited = float(z.sel(source=EXCITED[0], target=EXCITED[1]))
    assert excited > 5
    if method not in ("gte",):  # its information has no sign of its own
        assert float(z.sel(source=INHIBITED[0], target=INHIBITED[1])) < -3
    if method not in SYMMETRIC:
        assert excited > 1.2 * abs(float(z.sel(source=EXCITED[1], target=EXCITED[0])))


@every_method
def test_result_is_labelled_complete_and_consistent(method, activity):
    found = infer(activity, method)
    assert found["source"].to_numpy().tolist() == found["target"].to_numpy().tolist() == list(IDS)
    assert {"weight", "z", "p", "delay", "mask"} <= set(found.data_vars)
    assert np.isfinite(found["weight"]).all()
    assert np.isfinite(found["z"]).all()
    assert ((found["p"] >= 0) & (found["p"] <= 1)).all()
    for variable, elsewhere in (("weight", 0), ("z", 0), ("p", 1), ("mask", False)):
        assert (np.diag(found[variable]) == elsewhere).all()
    assert found["mask"].sel(source=EXCITED[0], target=EXCITED[1])
    assert found.attrs["method"] == method


@every_method
def test_no_pair_is_formed_across_a_gap(method, activity):
    """Stretches that are moved further apart, or come in another order, give the same."""
    if isinstance(activity, SpikeTrains):
        home = np.searchsorted(activity.segments[:, 0], activity.ticks, side="right") - 1
        spread = 777 * np.arange(len(activity.segments))
        other = replace(
            activity,
            ticks=activity.ticks + spread[home],
            segments=activity.segments + spread[:, None],
        )
    else:
        gap = np.full((50, 6), 99.0, np.float32)
        half = activity.segments[0, 1]
        values = np.concatenate([activity.values[:half], gap, activity.values[half:]])
        shift = np.array([[0], [50]])
        other = traces(values, activity.interval_s, activity.segments + shift)
    np.testing.assert_allclose(infer(other, method)["z"], infer(activity, method)["z"], rtol=1e-6)


@every_method
def test_same_bits_whoever_computes_the_blocks(method, activity):
    alone = infer(activity, method)
    with ThreadPoolExecutor(3) as pool:
        together = infer(activity, method, map_blocks=pool.map)
    assert alone.identical(together)


@every_method
def test_order_of_the_units_does_not_matter(method, activity):
    order = np.array([4, 2, 0, 5, 1, 3])
    moved = infer(activity.select(order), method, IDS[order])
    straight = infer(activity, method).sel(source=IDS[order], target=IDS[order])
    np.testing.assert_allclose(moved["z"], straight["z"], rtol=1e-3, atol=0.02)


@every_method
def test_silent_unit_gets_zero_and_harms_nobody(method, activity):
    if isinstance(activity, SpikeTrains):
        kept = activity.units != 4
        silent = replace(activity, ticks=activity.ticks[kept], units=activity.units[kept])
    else:
        values = activity.values.copy()
        values[:, 4] = 0
        silent = replace(activity, values=values)
    found = infer(silent, method)
    assert found.attrs["constant_units"] == [41]
    assert (found["z"].sel(source=41) == 0).all()
    assert (found["p"].sel(target=41) == 1).all()
    others = infer(activity.select(np.array([0, 1, 2, 3, 5])), method, np.delete(IDS, 4))
    rest = found.drop_sel(source=41, target=41)
    np.testing.assert_allclose(rest["z"], others["z"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", TRACES)
def test_methods_of_traces_refuse_spikes(method, spikes):
    with pytest.raises(InvalidInputError, match=f"{method} reads traces"):
        infer(spikes, method)


def test_every_name_is_a_method():
    field = ConnectivityParams.model_fields["method"]
    assert set(field.annotation.__args__) == {"auto", *METHODS}
