"""The rivals' formulas, each against a plain one."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import poisson

from benchmarks.accuracy.rivals import glmcc, sccg
from benchmarks.accuracy.rivals._lags import count_lags
from connflow.recording.network import NetworkParams, simulate_network


def test_lags_are_those_of_every_pair_of_spikes() -> None:
    rng = np.random.default_rng(0)
    ticks = np.sort(rng.integers(0, 300, 120)).astype(np.int64)
    units = rng.integers(0, 4, 120).astype(np.int32)
    expected = np.zeros((4, 4, 5), np.int32)
    for a in range(120):
        for b in range(120):
            lag = ticks[b] - ticks[a]
            if a != b and 0 <= lag < 15:
                expected[units[a], units[b], lag // 3] += 1
    found = count_lags(ticks, units, 4, 5, 3)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("coupling", "delay"), [(0.6, 2), (-1.0, 3), (0.0, 1)])
def test_glmcc_finds_the_maximum_of_its_posterior(coupling: float, delay: int) -> None:
    rng = np.random.default_rng(1)
    f = glmcc.coupling_filter(50, delay, 4.0)
    rate = 40 * np.exp(0.2 * np.sin(np.arange(100) / 20))
    rate[50:] *= np.exp(coupling * f)
    c = rng.poisson(rate).astype(float)
    a, forward, backward, posterior = glmcc.fit_correlogram(c, delay, 4.0, 400.0)

    def loss(x: np.ndarray) -> float:
        eta = x[:100].copy()
        eta[50:] += x[100] * f
        eta[:50] += x[101] * f[::-1]
        return -float(c @ eta - np.exp(eta).sum() - 200 * (np.diff(x[:100]) ** 2).sum())

    start = np.append(np.full(100, np.log(40)), [0.1, 0.1])
    plain = minimize(loss, start, method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10**6})
    assert posterior == pytest.approx(-plain.fun, abs=0.05)
    assert (forward, backward) == pytest.approx(tuple(plain.x[100:]), abs=0.03)
    assert forward == pytest.approx(coupling, abs=0.3)
    assert loss(np.concatenate([a, [forward, backward]])) == pytest.approx(-posterior)


def test_smoothed_ccg_scores_by_the_poisson_tail_of_peak_or_trough() -> None:
    counts, mu = np.array([[3, 9, 4], [12, 11, 0]]), np.array([4.0, 10.0])
    strength, sign = sccg.score(counts, mu)
    peak = poisson.sf(9, 4.0) + poisson.pmf(9, 4.0) / 2
    trough = poisson.pmf(0, 10.0) / 2
    np.testing.assert_allclose(strength, -np.log([peak, trough]))
    np.testing.assert_array_equal(sign, [1, -1])


def test_hollow_kernel_sums_to_one_and_has_a_dent() -> None:
    kernel = sccg.hollow_kernel()
    centre = len(kernel) // 2
    assert kernel.sum() == pytest.approx(1)
    assert kernel[centre] == pytest.approx(0.6 * kernel[centre + 1], rel=1e-2)


@pytest.mark.parametrize("rival", [glmcc, sccg])
def test_rival_finds_planted_synapses_their_direction_and_sign(rival: object) -> None:
    network = NetworkParams(n_units=40, duration_s=200.0, connection_probability=0.1)
    recording = simulate_network(network.model_copy(update={"weight_mean_mv": 2.0}))
    answer = rival.infer(recording)  # type: ignore[attr-defined]
    assert recording.weights is not None
    connected = recording.weights != 0
    assert answer.mask is not None
    assert answer.mask[connected].mean() > 2 * answer.mask.T[connected].mean()
    assert (np.sign(answer.z) == np.sign(recording.weights))[connected].mean() > 0.8
