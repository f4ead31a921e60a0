"""Transfer entropy from events against dense arrays, and its null against Poisson sums."""

import numpy as np
import pytest
from scipy.stats import poisson

from connflow.connectivity import ConnectivityParams
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.transfer_entropy import infer_by_transfer_entropy, log_tail

SEGMENTS = np.array([[0, 700], [700, 703], [710, 1500]], np.int64)


@pytest.fixture
def trains():
    """Dense trains with doublets, repeated spikes, and spikes in first and last bins."""
    rng = np.random.default_rng(3)
    observed = np.concatenate([np.arange(*segment) for segment in SEGMENTS])
    ticks = np.sort(np.concatenate([rng.choice(observed, 900), SEGMENTS[:, 0], SEGMENTS[:, 1] - 1]))
    units = rng.integers(0, 4, len(ticks)).astype(np.int32)
    return SpikeTrains(ticks, units, 4, 0.001, SEGMENTS)


def brute_force(trains, source, target, delay):
    """Transfer entropy from arrays of 0 and 1, as in Ito et al. 2011, and the sign."""
    dense = np.zeros((1500, 4), int)
    dense[trains.ticks, trains.units] = 1
    now, before, past = [], [], []
    for start, stop in SEGMENTS:
        for t in range(start + max(delay, 1), stop):
            now.append(dense[t, target])
            before.append(dense[t - 1, target])
            past.append(dense[t - delay, source])
    n = np.zeros((2, 2, 2))
    np.add.at(n, (now, before, past), 1)
    bits, excess = 0.0, 0.0
    for b in range(2):
        for x in range(2):
            for y in range(2):
                if n[y, b, x]:
                    given_both = n[y, b, x] / n[:, b, x].sum()
                    given_own = n[y, b].sum() / n[:, b].sum()
                    bits += n[y, b, x] / n.sum() * np.log2(given_both / given_own)
        excess += n[1, b, 1] - n[:, b, 1].sum() * n[1, b].sum() / n[:, b].sum()
    return bits, np.sign(excess)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 5), (3, 6)])
def test_it_equals_dense_arrays(trains, first, last):
    params = ConnectivityParams(delay_min_s=first * 0.001, delay_max_s=last * 0.001)
    found = infer_by_transfer_entropy(trains, params, map)
    for i in range(4):
        for j in set(range(4)) - {i}:
            several = [brute_force(trains, i, j, delay) for delay in range(first, last + 1)]
            best = int(np.argmax([bits for bits, _ in several]))
            bits, sign = several[best]
            assert found.weight[i, j] == pytest.approx(sign * bits, rel=1e-9)
            assert found.delay_s[i, j] == pytest.approx((first + best) * 0.001)


def brute_tail(observed, expected):
    counts = np.arange(400)
    masses = [poisson.pmf(counts, mean) for mean in expected]

    def deviance(count, mean):
        with np.errstate(divide="ignore", invalid="ignore"):
            return 2 * (np.where(count > 0, count * np.log(count / mean), 0) - count + mean)

    far = sum(deviance(np.array(c), m) for c, m in zip(observed, expected, strict=True))
    sums = np.add.outer(*(deviance(counts, mean) for mean in expected)) - far
    weight = np.where(np.abs(sums) < 1e-9, 0.5, sums > 0)
    return (np.outer(*masses) * weight).sum()


@pytest.mark.parametrize(
    ("observed", "expected"),
    [((0, 0), (0.3, 0.01)), ((4, 1), (0.3, 0.01)), ((9, 0), (20.0, 2.5)), ((40, 3), (20.0, 0.1))],
)
def test_the_tail_of_few_counts_is_that_of_poisson_counts(observed, expected):
    arrays = (np.array(pair, float).reshape(2, 1, 1) for pair in (observed, expected))
    assert np.exp(log_tail(*arrays)[0, 0]) == pytest.approx(brute_tail(observed, expected))


def test_the_tail_of_many_counts_is_chi_squared():
    expected = np.full((2, 1, 1), 80.0)
    observed = expected + 9
    deviance = 2 * 2 * (89 * np.log(89 / 80) - 9)
    assert log_tail(observed, expected)[0, 0] == pytest.approx(-deviance / 2)
    one = log_tail(np.array([89.0, 0.0]).reshape(2, 1, 1), np.array([80, 1e-9]).reshape(2, 1, 1))
    assert np.exp(one[0, 0]) == pytest.approx(brute_tail((89, 0), (80, 1e-9)), rel=0.1)
