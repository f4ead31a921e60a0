"""TSPE: equality with elephant, the filters, and the null."""

import numpy as np
import pytest

from connflow.connectivity import ConnectivityParams, pairwise, tspe
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.events import correlograms
from connflow.connectivity.tspe import (
    count_all_pairs,
    edge_filters,
    infer_by_tspe,
    saddlepoint_score,
)
from connflow.errors import InvalidInputError

# elephant 1.2.1, total_spiking_probability_edges(BinnedSpikeTrain(spikes at tick + 0.5 ms, 1 ms)),
# defaults, on `recording()`: [target, source], delays in bins
ELEPHANT_TSPE = np.array(
    [
        [17.13272591, 1.11717045, 6.20268583, -2.97269703],
        [0.95987572, 16.92212063, -0.95037787, 2.49473979],
        [2.57444005, -1.08625114, 17.07517628, -3.65796318],
        [-3.64886032, 3.24529341, -3.40335834, 17.12858685],
    ]
)
ELEPHANT_DELAY = np.array([[0, 6, 10, 2], [20, 0, 21, 16], [20, 17, 0, 12], [8, 12, 8, 0]])
AS_ELEPHANT = ConnectivityParams(delay_min_s=0, delay_max_s=0.024)


def recording():
    """600 spikes of each of 4 units in 20 s, by arithmetic; some twice in a bin."""
    k = np.arange(600)
    ticks = np.concatenate([(k * k * (7 * i + 3) + 13 * k * (i + 1)) % 20_000 for i in range(4)])
    units = np.repeat(np.arange(4, dtype=np.int32), 600)
    order = np.lexsort((units, ticks))
    return SpikeTrains(ticks[order], units[order], 4, 0.001, np.array([[0, 20_000]]))


def test_it_equals_elephant():
    found = infer_by_tspe(recording(), AS_ELEPHANT, map)
    assert np.allclose(found.weight, ELEPHANT_TSPE.T, rtol=1e-7)
    assert np.array_equal(np.round(found.delay_s * 1000), ELEPHANT_DELAY.T)


@pytest.mark.parametrize("cuts", [[20_000], [20, 11_000, 20_000]])
def test_pairs_counted_at_once_are_those_of_the_correlogram(cuts):
    whole = recording()
    segments = np.array([(start, stop) for start, stop in zip([0, *cuts], cuts, strict=False)])
    trains = whole.within(segments + [[1, 0]] * len(segments))
    counted = count_all_pairs(trains, np.bincount(trains.units), 31)
    assert np.array_equal(counted, correlograms(trains, 22)[14:].transpose(1, 0, 2))


def test_many_units_are_counted_tile_by_tile_with_the_same_result(monkeypatch):
    at_once = infer_by_tspe(recording(), AS_ELEPHANT, map)
    monkeypatch.setattr(tspe, "TILE_COUNTS", 100)
    monkeypatch.setattr(pairwise, "TILE_COUNTS", 100)
    by_tiles = infer_by_tspe(recording(), AS_ELEPHANT, map)
    for name in ("weight", "z", "delay_s"):
        assert np.array_equal(getattr(by_tiles, name), getattr(at_once, name))


def test_delays_out_of_bounds_are_not_looked_at():
    params = ConnectivityParams(delay_min_s=0.002, delay_max_s=0.012)
    delay_s = infer_by_tspe(recording(), params, map).delay_s
    assert delay_s.min() >= 0.002
    assert delay_s.max() < 0.0121


def test_a_flat_correlogram_has_no_edges():
    filters = edge_filters(11)
    assert np.allclose(filters.sum(axis=1), 0)
    assert np.allclose(filters, filters[::-1, ::-1])


def test_too_few_delays_are_refused():
    with pytest.raises(InvalidInputError, match="6 delays"):
        edge_filters(5)


def test_scores_from_tables_are_those_at_the_saddlepoint():
    weights, mean = edge_filters(25)[12], 2.5
    s = np.linspace(-2, 4, 59)[:, None] / weights.max()
    total, slope, curvature = (
        (np.exp(s * weights) * weights**power - (power == 0)).sum(axis=1) for power in range(3)
    )
    s = s[:, 0]
    r = np.sign(s) * np.sqrt(2 * mean * (s * slope - total))
    exact = r + np.log(s * np.sqrt(mean * curvature) / r) / r
    found = saddlepoint_score(
        mean * slope[None], np.zeros((1, 59), np.int64), weights[None], np.full((1, 59), mean)
    )
    assert np.allclose(found[0], exact, rtol=2e-3)


@pytest.mark.parametrize("mean", [0.3, 4.0])
def test_the_score_of_weighted_poisson_counts_is_normal(mean):
    filters = edge_filters(11)[5:6]
    counts = np.random.default_rng(1).poisson(mean, (filters.shape[1], 100_000))
    values = filters @ counts
    score = saddlepoint_score(
        values, np.zeros(values.shape, np.int64), filters, np.full(values.shape, mean)
    )[0]
    assert score.std() == pytest.approx(1, abs=0.03)
    for threshold in (2, 3):
        expected = {2: 0.02275, 3: 0.00135}[threshold]
        assert (score > threshold).mean() == pytest.approx(expected, rel=0.25)
        assert (score < -threshold).mean() == pytest.approx(expected, rel=0.25)
