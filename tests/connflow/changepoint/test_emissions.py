"""Families of emissions against scipy's distributions, and against one-step-ahead predictions."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from connflow.changepoint.emissions import choose_emission
from connflow.changepoint.exact import EXACT_EMISSIONS, fit_exactly, segment_evidence
from connflow.changepoint.observations import Observations
from connflow.changepoint.paths import StepPaths
from connflow.changepoint.timing import UniformTiming, log_ways
from tests.connflow.changepoint.lab import enumerate_cuts

EMISSIONS = (
    "poisson",
    "negative_binomial",
    "gaussian_mean",
    "gaussian_mean_variance",
    "categorical",
    "bernoulli",
)
N_BINS, N_UNITS = 8, 3


def draw_values(name, seed=0, n_trials=1, n_bins=N_BINS):
    rng = np.random.default_rng(seed)
    shape = (n_trials, n_bins, N_UNITS)
    if name.startswith("gaussian"):
        return rng.normal(3.0, 2.0, shape)
    if name == "bernoulli":
        return rng.integers(0, 2, shape).astype(float)
    return rng.poisson(1.5, shape).astype(float)


def draw_states(name, values, n_states, seed=0):
    """Return a family, and parameters of states drawn from a posterior."""
    emission = choose_emission(name, values)
    seen = Observations(values, with_squares=emission.with_squares)
    weights = np.random.default_rng(seed).dirichlet(np.ones(n_states), values.shape[:2])
    posterior = emission.posterior(seen.sums(weights[:, :, None]))
    return emission, seen, posterior, emission.draw(posterior, np.random.default_rng(seed))


def log_p(name, values, drawn, k):
    """Return the log probability of each bin in a state, by scipy, (n_trials, n_bins)."""
    one, x = drawn.one[0, k], drawn.x[0, k]
    if name == "poisson":
        return stats.poisson.logpmf(values, -one).sum(axis=-1)
    if name == "bernoulli":
        return stats.bernoulli.logpmf(values, expit(x)).sum(axis=-1)
    if name == "negative_binomial":
        p = np.exp(x)
        return stats.nbinom.logpmf(values, one / np.log1p(-p), 1 - p).sum(axis=-1)
    if name == "categorical":
        p = np.exp(x) / np.exp(x).sum()
        return stats.multinomial.logpmf(values, values.sum(axis=-1), p)
    precision = -2 * drawn.xx[0, k]
    return stats.norm.logpdf(values, x / precision, precision**-0.5).sum(axis=-1)


@pytest.mark.parametrize("n_states", [1, 2, 3, 4])
@pytest.mark.parametrize("name", EMISSIONS)
def test_evidence_is_that_of_all_ways_to_cut(name, n_states):
    values = draw_values(name)
    emission, seen, posterior, drawn = draw_states(name, values, n_states)
    found = StepPaths(n_states).infer(
        seen.log_likelihood(drawn), seen.lengths, UniformTiming(n_states, N_BINS, 1).start(1)
    )
    each = np.stack([log_p(name, values, drawn, k)[0] for k in range(n_states)])
    total = [
        sum(
            each[k, s:t].sum()
            for k, (s, t) in enumerate(zip((0, *cut), (*cut, N_BINS), strict=True))
        )
        for cut in enumerate_cuts(N_BINS, n_states)
    ]
    evidence = found.log_evidence[0, 0] + emission.constant(posterior)[0]
    assert evidence == pytest.approx(np.logaddexp.reduce(total), abs=1e-10)


@pytest.mark.parametrize("name", EMISSIONS)
def test_bins_that_were_not_observed_say_nothing(name):
    values = draw_values(name, n_trials=3)
    values[0, 5:] = np.nan
    values[1, 2, 1] = np.nan
    if name == "categorical":
        values[1, 2] = np.nan
    emission, seen, _, drawn = draw_states(name, values, 2)
    assert seen.lengths.tolist() == [5, N_BINS, N_BINS]
    found = seen.log_likelihood(drawn)
    assert not found[0, 5:].any()
    rest = np.nan_to_num(values[1, 2]) if name != "categorical" else None
    if rest is not None:
        alone = Observations(values[1:2, 2:3, [0, 2]], with_squares=emission.with_squares)
        part = type(drawn)(
            drawn.one[..., [0, 2]],
            drawn.x[..., [0, 2]],
            None if drawn.xx is None else drawn.xx[..., [0, 2]],
        )
        np.testing.assert_allclose(found[1, 2], alone.log_likelihood(part)[0, 0])


def predict_ahead(name, values):
    """Return the log marginal probability of bins, each foretold from those before it."""
    family = choose_emission(name, values[None])
    total = 0.0
    for t, now in enumerate(values):
        before, n = values[:t].sum(axis=0), t
        if name == "poisson":
            a, b = 1 + before, 1 / family.mean + n
            total += stats.nbinom.logpmf(now, a, b / (b + 1)).sum()
        elif name == "bernoulli":
            p = (family.a0 + before) / (family.a0 + family.b0 + n)
            total += stats.bernoulli.logpmf(now, p).sum()
        elif name == "categorical":
            total += stats.dirichlet_multinomial.logpmf(now, family.prior + before, now.sum())
        else:
            squares = ((values[:t] - family.centre) ** 2).sum(axis=0)
            kappa = 0.1 + n
            mean = (0.1 * family.centre + before) / kappa
            scatter = squares - kappa * (mean - family.centre) ** 2
            a, b = 1 + n / 2, family.variance + scatter / 2
            total += stats.t.logpdf(now, 2 * a, mean, np.sqrt(b * (kappa + 1) / (a * kappa))).sum()
    return total


@pytest.mark.parametrize("name", EXACT_EMISSIONS)
def test_evidence_of_a_segment_is_that_of_foretelling_each_bin(name):
    values = draw_values(name)[0]
    emission = choose_emission(name, values[None])
    found = segment_evidence(values, emission, min_dwell=1)[0, N_BINS]
    constant = emission.constant(
        emission.posterior(
            Observations(values[None], with_squares=True).sums(np.ones((1, N_BINS, 1, 1)))
        )
    )[0]
    assert found + constant == pytest.approx(predict_ahead(name, values), rel=1e-12)


@pytest.mark.parametrize("name", EXACT_EMISSIONS)
def test_a_single_trial_is_exact(name):
    values = draw_values(name)[0]
    emission = choose_emission(name, values[None])
    evidence = segment_evidence(values, emission, min_dwell=1)
    fit = fit_exactly(evidence, 3, 0.0, 1, 4000, np.random.default_rng(0))
    weights = [
        evidence[0, a] + evidence[a, b] + evidence[b, N_BINS] for a, b in enumerate_cuts(N_BINS, 3)
    ]
    ways = log_ways(np.array([N_BINS]), 3, 1)[0]
    assert fit.evidence == pytest.approx(np.logaddexp.reduce(weights) - ways, abs=1e-10)
    share = np.bincount(fit.drawn[:, 0], minlength=N_BINS + 1) / 4000
    np.testing.assert_allclose(share, fit.boundaries[0], atol=0.05)


@pytest.mark.parametrize("name", EMISSIONS)
def test_intervals_hold_the_share_of_draws_that_they_should(name):
    values = draw_values(name, n_trials=6)
    emission, _, posterior, _ = draw_states(name, values, 2)
    low, high = emission.interval(posterior, 0.8)
    rng = np.random.default_rng(1)
    drawn = np.stack([emission.drawn_level(emission.draw(posterior, rng)) for _ in range(2000)])
    inside = ((drawn >= low) & (drawn <= high)).mean(axis=0)
    assert np.all(np.abs(inside - 0.8) < 0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), emission.level(posterior), rtol=0.1)


def test_overdispersed_counts_are_told_from_poisson_ones():
    rng = np.random.default_rng(0)
    wide = rng.negative_binomial(1.0, 0.25, (40, 30, N_UNITS)).astype(float)
    narrow = rng.poisson(3.0, (40, 30, N_UNITS)).astype(float)
    for values, is_wide in ((wide, True), (narrow, False)):
        emission = choose_emission("negative_binomial", values)
        posterior = emission.posterior(
            Observations(values).sums(np.ones((*values.shape[:2], 1, 1)))
        )
        assert np.all(posterior.size < 2) if is_wide else np.all(posterior.size > 30)


def test_logit_of_a_drawn_probability_is_its_coefficient():
    values = draw_values("bernoulli")
    emission, _, _, drawn = draw_states("bernoulli", values, 2)
    np.testing.assert_allclose(logit(emission.drawn_level(drawn)), drawn.x)
