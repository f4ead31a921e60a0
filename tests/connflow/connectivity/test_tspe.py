"""TSPE: equality with elephant, the filters, and the null."""

import numpy as np
import pytest

from connflow.connectivity import ConnectivityParams
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.tspe import _saddlepoint_score, edge_filters, infer_by_tspe
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


@pytest.mark.parametrize("mean", [0.3, 4.0])
def test_the_score_of_weighted_poisson_counts_is_normal(mean):
    filters = edge_filters(11)[5:6]
    counts = np.random.default_rng(1).poisson(mean, (filters.shape[1], 100_000))
    values = filters @ counts
    score = _saddlepoint_score(
        values, filters, np.zeros(values.shape, np.int64), np.full(values.shape, mean)
    )[0]
    assert score.std() == pytest.approx(1, abs=0.03)
    for threshold in (2, 3):
        expected = {2: 0.02275, 3: 0.00135}[threshold]
        assert (score > threshold).mean() == pytest.approx(expected, rel=0.25)
        assert (score < -threshold).mean() == pytest.approx(expected, rel=0.25)
