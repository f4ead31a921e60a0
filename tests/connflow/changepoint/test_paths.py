"""Sums over paths equal brute force over all ways to cut a trial."""

import numpy as np
import pytest
from scipy.special import betaln, comb, expit

from connflow.changepoint.observations import Coefficients, Statistics
from connflow.changepoint.paths import GradualPaths, SkippingPaths, StepPaths
from connflow.changepoint.timing import Hazards, LearnedTiming, UniformTiming, log_ways
from tests.connflow.changepoint.lab import enumerate_cuts, posterior_by_brute_force

N_BINS, N_EMPTY = 9, 2  # the trial is shorter than the longest by two bins
LENGTHS = np.array([N_BINS])


def draw_likelihood(n_modes, seed=0, scale=3.0):
    log_likelihood = np.random.default_rng(seed).normal(0, scale, (1, N_BINS + N_EMPTY, 1, n_modes))
    log_likelihood[:, N_BINS:] = 0
    return log_likelihood


def uniform(n_states, min_dwell=1):
    return UniformTiming(n_states, N_BINS + N_EMPTY, min_dwell).start(1)


def hazards_of(chance):
    stay = np.cumsum(np.log1p(-chance), axis=-1)
    return Hazards(stay, np.log(chance), np.zeros(1))


def weigh_states(log_likelihood, cut):
    edges = (0, *cut, N_BINS)
    return sum(log_likelihood[edges[k] : edges[k + 1], k].sum() for k in range(len(edges) - 1))


def assert_same(posterior, weights, n_states):
    evidence, boundaries, states = posterior_by_brute_force(weights, N_BINS, n_states)
    assert posterior.log_evidence[0, 0] == pytest.approx(evidence, abs=1e-10)
    found = posterior.boundaries[0, 0]
    np.testing.assert_allclose(found[:, : N_BINS + 1], boundaries, atol=1e-10)
    assert not found[:, N_BINS + 1 :].any()
    return states


@pytest.mark.parametrize("min_dwell", [1, 2])
@pytest.mark.parametrize("n_states", [1, 2, 3, 4])
def test_steps_with_uniform_timing(n_states, min_dwell):
    log_likelihood = draw_likelihood(n_states)
    paths = StepPaths(n_states, min_dwell)
    posterior = paths.infer(log_likelihood, LENGTHS, uniform(n_states, min_dwell))
    cuts = list(enumerate_cuts(N_BINS, n_states, min_dwell))
    weights = {cut: weigh_states(log_likelihood[0, :, 0], cut) for cut in cuts}
    states = assert_same(posterior, weights, n_states)
    np.testing.assert_allclose(posterior.weights[0, :N_BINS, 0], states, atol=1e-10)
    assert not posterior.weights[0, N_BINS:].any()
    assert np.exp(log_ways(LENGTHS, n_states, min_dwell)[0]) == pytest.approx(len(cuts))


@pytest.mark.parametrize("min_dwell", [1, 2])
@pytest.mark.parametrize("n_states", [2, 3, 4])
def test_steps_with_chances_of_leaving(n_states, min_dwell):
    log_likelihood = draw_likelihood(n_states)
    rng = np.random.default_rng(1)
    chance = rng.uniform(0.1, 0.9, (1, n_states - 1, N_BINS + N_EMPTY + 1))
    hazards = hazards_of(chance)
    posterior = StepPaths(n_states, min_dwell).infer(log_likelihood, LENGTHS, hazards)
    prior, weights = {}, {}
    for cut in enumerate_cuts(N_BINS, n_states, min_dwell):
        edges, p = (0, *cut, N_BINS), 1.0
        for k in range(n_states - 1):
            last = N_BINS - (n_states - 1 - k) * min_dwell
            p *= np.prod(1 - chance[0, k, edges[k] + min_dwell : edges[k + 1]])
            p *= chance[0, k, edges[k + 1]] if edges[k + 1] < last else 1.0
        prior[cut] = p
        weights[cut] = weigh_states(log_likelihood[0, :, 0], cut) + np.log(p)
    assert sum(prior.values()) == pytest.approx(1, abs=1e-12)
    assert_same(posterior, weights, n_states)


@pytest.mark.parametrize("n_states", [1, 2, 3, 4])
def test_states_that_may_be_left_out(n_states):
    log_likelihood, alpha = draw_likelihood(n_states), 1.7
    paths = SkippingPaths(n_states, N_BINS + N_EMPTY, alpha)
    posterior = paths.infer(log_likelihood, LENGTHS, uniform(n_states))

    def log_dwell(left, dwell):
        share = betaln(1 + dwell, alpha + left - dwell) - betaln(1, alpha)
        return np.log(comb(left, dwell)) + share

    prior, weights = [], {}
    for cut in enumerate_cuts(N_BINS, n_states, least=0):
        edges = (0, *cut)
        own = sum(
            log_dwell(N_BINS - edges[k], edges[k + 1] - edges[k]) for k in range(n_states - 1)
        )
        prior.append(np.exp(own))
        weights[cut] = weigh_states(log_likelihood[0, :, 0], cut) + own
    assert sum(prior) == pytest.approx(1, abs=1e-12)
    states = assert_same(posterior, weights, n_states)
    np.testing.assert_allclose(posterior.weights[0, :N_BINS, 0], states, atol=1e-10)


def modes_by_hand(cut, n_states, reach):
    """Return the mode of each bin: which side of which boundary, or else its state."""
    edges, modes = (0, *cut, N_BINS), []
    for k in range(n_states):
        dwell = edges[k + 1] - edges[k]
        n_in = 0 if k == 0 else min(reach, dwell if k == n_states - 1 else (dwell + 1) // 2)
        n_out = 0 if k == n_states - 1 else min(reach, dwell if k == 0 else dwell // 2)
        modes += [n_states + (k - 1) * 2 * reach + reach + j for j in range(n_in)]
        modes += [k] * (dwell - n_in - n_out)
        modes += [n_states + k * 2 * reach + j for j in reversed(range(n_out))]
    return np.array(modes)


@pytest.mark.parametrize("min_dwell", [1, 2])
@pytest.mark.parametrize("n_states", [1, 2, 3])
def test_gradual_transitions(n_states, min_dwell):
    paths, reach = GradualPaths(n_states, min_dwell, 0.5), 2
    n_modes = n_states + (n_states - 1) * 2 * reach
    log_likelihood = draw_likelihood(n_modes)
    posterior = paths.infer(log_likelihood, LENGTHS, uniform(n_states, min_dwell))
    weights = {}
    for cut in enumerate_cuts(N_BINS, n_states, min_dwell):
        modes = modes_by_hand(cut, n_states, reach)
        weights[cut] = log_likelihood[0, np.arange(N_BINS), 0, modes].sum()
        known = paths.weigh(np.array([cut], np.int64).reshape(1, -1), LENGTHS, N_BINS + N_EMPTY)
        np.testing.assert_array_equal(known[0, :N_BINS, 0].argmax(axis=1), modes)
    assert_same(posterior, weights, n_states)
    expected = np.zeros((N_BINS, n_modes))
    p = np.exp(np.array(list(weights.values())) - posterior.log_evidence[0, 0])
    for cut, share in zip(weights, p, strict=True):
        expected[np.arange(N_BINS), modes_by_hand(cut, n_states, reach)] += share
    np.testing.assert_allclose(posterior.weights[0, :N_BINS, 0], expected, atol=1e-10)


def test_gradual_rates_are_shares_of_two_states():
    paths = GradualPaths(2, 1, 1.0)
    rates = np.array([[[1.0, 4.0], [3.0, 0.5]]])
    modes = paths.modes(Coefficients(one=-rates, x=np.log(rates)))
    later = expit(0.5)
    mixed = (1 - later) * rates[0, 0] + later * rates[0, 1]
    after = 2 + 4  # two states, four bins before the boundary, then the first one after it
    np.testing.assert_allclose(np.exp(modes.x[0, after]), mixed)
    np.testing.assert_allclose(modes.one[0, after], -mixed)


def test_spikes_of_a_transition_are_shared_out_whole():
    paths = GradualPaths(3, 1, 0.7)
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.2, 3, (1, 3, 4))
    states = Coefficients(one=-rates, x=np.log(rates))
    n_modes = paths.modes(states).x.shape[1]
    counts = rng.poisson(5, (1, n_modes, 4)).astype(float)
    sums = Statistics(n=np.ones_like(counts), x=counts)
    expected, drawn = paths.states(sums, states), paths.states(sums, states, rng)
    for one in (expected, drawn):
        np.testing.assert_allclose(one.x.sum(axis=1), counts.sum(axis=1))
        np.testing.assert_allclose(one.n.sum(axis=1), n_modes)
    np.testing.assert_array_equal(drawn.x, np.rint(drawn.x))


def kinds():
    yield StepPaths(3, 2), 3
    yield SkippingPaths(3, N_BINS + N_EMPTY, 1.0), 3
    gradual = GradualPaths(3, 1, 0.5)
    yield gradual, 3 + 2 * 4


@pytest.mark.parametrize(("paths", "n_modes"), list(kinds()), ids=["step", "skipping", "gradual"])
def test_draws_have_the_frequencies_of_the_posterior(paths, n_modes):
    log_likelihood = draw_likelihood(n_modes, scale=1.0)
    hazards = uniform(3, getattr(paths, "min_dwell", 1))
    posterior = paths.infer(log_likelihood, LENGTHS, hazards)
    n_draws = 20_000
    drawn = paths.draw(log_likelihood, LENGTHS, hazards, np.random.default_rng(0), n_draws)
    for k in range(2):
        share = np.bincount(drawn[:, 0, k], minlength=N_BINS + N_EMPTY + 1) / n_draws
        p = posterior.boundaries[0, 0, k]
        assert np.all(np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / n_draws) + 1e-9)
    assert np.all(np.diff(drawn[:, 0], axis=1) >= getattr(paths, "min_dwell", 0))


@pytest.mark.parametrize("min_dwell", [1, 2])
def test_leaving_is_counted_where_it_was_a_choice(min_dwell):
    """In known paths, each state is left once; not counted where it had to be."""
    n_bins = 12
    cuts = np.array([[3, 7], [5, 8], [8, 10], [2, 12 - min_dwell]])
    certain = (cuts[:, :, None] == np.arange(n_bins + 1)).astype(float)
    timing = LearnedTiming(3, n_bins, min_dwell, concentration=2.0)
    lengths = np.full(len(cuts), n_bins)
    chances = timing.chances(certain[None], lengths)[0]
    prior = timing.chances(np.zeros((1, 0, 2, n_bins + 1)), lengths[:0])[0]
    for k in range(2):
        last = n_bins - (2 - k) * min_dwell
        for t in range((k + 1) * min_dwell, last):
            entered = np.zeros(len(cuts)) if k == 0 else cuts[:, 0]
            at_risk = (entered + min_dwell <= t) & (cuts[:, k] >= t)
            left = np.sum(at_risk & (cuts[:, k] == t))
            expected = (2 * prior[k, t] + left) / (2 + at_risk.sum())
            assert chances[k, t] == pytest.approx(expected)
        assert np.isnan(chances[k, last:]).all()


def test_very_likely_and_very_unlikely_bins_do_no_harm():
    log_likelihood = draw_likelihood(3, scale=4000.0)
    posterior = StepPaths(3).infer(log_likelihood, LENGTHS, uniform(3))
    cuts = list(enumerate_cuts(N_BINS, 3))
    weights = {cut: weigh_states(log_likelihood[0, :, 0], cut) for cut in cuts}
    best = max(weights, key=weights.get)
    assert posterior.log_evidence[0, 0] == pytest.approx(weights[best])
    assert posterior.boundaries[0, 0].argmax(axis=1).tolist() == list(best)
