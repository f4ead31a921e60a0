"""Variational Bayes and Gibbs sampling: what must hold of any model."""

import numpy as np
import pytest

from connflow.changepoint.emissions import choose_emission
from connflow.changepoint.exact import fit_exactly, segment_evidence
from connflow.changepoint.gibbs import draw_boundaries, sample
from connflow.changepoint.intervals import histogram_boundaries
from connflow.changepoint.model import build_model, divide_trials
from connflow.changepoint.params import ChangepointParams
from connflow.changepoint.vb import fit_vb, next_sums, run_round
from tests.connflow.changepoint.lab import simulate
from tests.connflow.changepoint.test_emissions import EMISSIONS

N_STATES = 3

SETTINGS = {
    "uniform": {},
    "learned timing": {"concentration": 4.0},
    "gradual": {"width_bins": 0.8},
    "gradual, learned timing": {"width_bins": 0.8, "concentration": 4.0},
    "dwell of 3": {"min_dwell_bins": 3, "concentration": 4.0},
    "skipping": {"sequence": "skipping"},
    "blocks": {"n_trial_blocks": 2, "concentration": 4.0},
    "conditions": {"groups": 2, "pooling": "separate"},
    "hierarchical": {"groups": 2, "pooling": "hierarchical"},
}


def values_for(emission, seed=0, **shape):
    values, cuts, _ = simulate(seed, **shape)
    if emission == "bernoulli":
        values = np.minimum(values, 1)
    if emission.startswith("gaussian"):
        values = values + np.random.default_rng(1).normal(0, 0.3, values.shape)
    return values, cuts


def build(values, emission="poisson", *, groups=1, width_bins=None, concentration=None, **params):
    gradual = {"transition": "gradual"} if width_bins else {}
    settings = ChangepointParams.parse({"emission": emission, **gradual, **params})
    family = choose_emission(emission, values)
    places = np.arange(len(values))
    split = [places[places % groups == group] for group in range(groups)]
    parts = divide_trials(values, split, family, settings.n_trial_blocks)
    return build_model(parts, family, N_STATES, settings, width_bins, concentration)


def cases():
    for name in SETTINGS:
        yield name, "poisson"
    for emission in EMISSIONS[1:]:
        for name in ("learned timing", "skipping", "blocks", "conditions"):
            yield name, emission


@pytest.mark.parametrize(("name", "emission"), list(cases()))
def test_the_bound_never_falls(name, emission):
    values, _ = values_for(emission, n_trials=12)
    values[0, 20:] = np.nan
    values[1, 4, :3] = np.nan
    model = build(values, emission, **SETTINGS[name])
    rng = np.random.default_rng(0)
    sums, hazards = model.start(3, rng), [one.start(3) for one in model.timings]
    bounds = []
    for _ in range(25):
        done, sums, hazards = run_round(model, sums, hazards)
        bounds.append(done.elbo)
    rise = np.diff(bounds, axis=0)
    assert np.all(np.isfinite(bounds))
    assert rise.min() > -1e-8 * abs(bounds[0]).max(), rise.min()


@pytest.mark.parametrize("name", list(SETTINGS))
def test_planted_changepoints_are_found(name):
    values, cuts = values_for("poisson", n_trials=24, n_units=20)
    model = build(values, **SETTINGS[name])
    fit = fit_vb(model, 4, np.random.default_rng(0))
    drawn = draw_boundaries(model, fit, 400, np.random.default_rng(1))
    if name == "dwell of 3":
        wide = np.diff(np.pad(cuts, ((0, 0), (1, 1)), constant_values=(0, 30)), axis=1).min(1) >= 3
        drawn, cuts = drawn[:, wide], cuts[wide]
    assert np.abs(drawn.mean(axis=0) - cuts).mean() < 0.8


@pytest.mark.parametrize("emission", EMISSIONS)
def test_any_emission_finds_them(emission):
    values, cuts = values_for(emission, n_trials=24, n_units=24)
    fit = fit_vb(build(values, emission), 4, np.random.default_rng(0))
    found = fit.last.paths[0].boundaries[0] @ np.arange(values.shape[1] + 1)
    assert np.abs(found - cuts).mean() < 1.0


@pytest.mark.parametrize("grouped", [{}, {"groups": 3}, {"n_trial_blocks": 2}])
def test_the_size_of_a_negative_binomial_is_that_of_all_groups(grouped):
    """Counts of size 2 in groups that do not differ: the size is found however they are divided."""
    rng = np.random.default_rng(0)
    values = rng.negative_binomial(2, 0.4, (30, 30, 6)).astype(float)
    fit = fit_vb(build(values, "negative_binomial", **grouped), 2, rng)
    sizes = [one.size for one in fit.last.posteriors]
    assert all(np.array_equal(size, sizes[0]) for size in sizes)
    assert sizes[0].min() > 1.2
    assert sizes[0].max() < 3.5


@pytest.mark.parametrize("emission", ["poisson", "bernoulli", "categorical"])
def test_the_bound_is_below_the_evidence_and_near_it(emission):
    values, _ = values_for(emission, n_trials=1, n_bins=25, n_units=6)
    family = choose_emission(emission, values)
    exact = fit_exactly(
        segment_evidence(values[0], family, 1),
        N_STATES,
        float(
            family.constant(
                family.posterior(build(values, emission).start(1, np.random.default_rng(0))[0])
            )[0]
        ),
        1,
        0,
        np.random.default_rng(0),
    )
    fit = fit_vb(build(values, emission), 20, np.random.default_rng(0))
    assert fit.elbo <= exact.evidence + 1e-9
    assert fit.elbo > exact.evidence - 8


def test_gibbs_draws_from_the_exact_posterior_of_one_trial():
    values, _ = values_for("poisson", n_trials=1, n_bins=14, n_units=4)
    family = choose_emission("poisson", values)
    exact = fit_exactly(
        segment_evidence(values[0], family, 1), N_STATES, 0.0, 1, 0, np.random.default_rng(0)
    )
    model = build(values)
    fit = fit_vb(model, 4, np.random.default_rng(0))
    draws = sample(model, fit, 200, 20_000, np.random.default_rng(0))
    shares = histogram_boundaries(draws.boundaries, values.shape[1])[0]
    np.testing.assert_allclose(shares, exact.boundaries, atol=0.03)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_gibbs_agrees_with_variational_bayes_where_data_are_plenty(name):
    values, _ = values_for("poisson", n_trials=24, n_units=20)
    model = build(values, **SETTINGS[name])
    fit = fit_vb(model, 4, np.random.default_rng(0))
    draws = sample(model, fit, 30, 150, np.random.default_rng(0))
    assert draws.boundaries.shape == (150, 24, N_STATES - 1)
    levels = np.concatenate([model.pooling.emission.level(one) for one in fit.last.posteriors])
    assert np.corrcoef(draws.levels.mean(axis=0).ravel(), levels.ravel())[0, 1] > 0.98
    expected = draw_boundaries(model, fit, 400, np.random.default_rng(1)).mean(axis=0)
    assert np.abs(draws.boundaries.mean(axis=0) - expected).mean() < 0.4


def test_drift_over_trials_is_found_where_it_is():
    early, _, _ = simulate(0, n_trials=14)
    late, _, _ = simulate(1, n_trials=10)
    model = build(np.concatenate([early, late]), n_trial_blocks=2)
    fit = fit_vb(model, 4, np.random.default_rng(0))
    block = fit.last.membership[0].argmax(axis=1)
    assert block.tolist() == [0] * 14 + [1] * 10


def test_conditions_with_few_trials_lean_on_the_others():
    errors = {"separate": 0.0, "hierarchical": 0.0}
    for seed in range(6):
        values, _, rates = simulate(seed, n_trials=24, n_units=8)
        values = values[np.r_[0:20:2, 1, 3]]  # ten of one condition, two of the other
        family = choose_emission("poisson", values)
        parts = divide_trials(values, [np.arange(10), np.arange(10, 12)], family)
        for pooling in errors:
            model = build_model(parts, family, N_STATES, ChangepointParams(pooling=pooling))
            fit = fit_vb(model, 4, np.random.default_rng(0))
            level = family.level(fit.last.posteriors[1])[0]
            errors[pooling] += np.abs(np.log(level / rates)).mean()
    assert errors["hierarchical"] < 0.85 * errors["separate"]


def test_a_start_from_the_end_stays_there():
    values, _ = values_for("poisson")
    model = build(values)
    fit = fit_vb(model, 4, np.random.default_rng(0))
    again = fit_vb(model, 1, np.random.default_rng(0), start=next_sums(model, fit.last))
    assert again.elbo == pytest.approx(fit.elbo, abs=1e-3)
    assert len(again.elbos) <= 3


def test_restarts_help_or_do_no_harm():
    values, _ = values_for("poisson", seed=4, n_units=4)
    one, many = (fit_vb(build(values), n, np.random.default_rng(0)) for n in (1, 10))
    assert many.elbo >= one.elbo - 1e-6
    assert many.elbo == pytest.approx(np.nanmax(many.restart_elbos))
    assert len(many.restart_elbos) == 10
