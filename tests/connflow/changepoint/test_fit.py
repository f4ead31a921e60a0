"""The public function: what it returns, what it refuses, and what it does not get wrong."""

import numpy as np
import pytest
import xarray as xr

from connflow.changepoint import (
    ChangepointParams,
    compare_evidence,
    fit_changepoints,
    order_changepoints,
    to_inference_data,
)
from connflow.errors import InvalidInputError
from tests.connflow.changepoint.lab import draw_changepoints, make_trials, simulate

QUICK = {"n_folds": 0, "n_draws": 50}


def fit(values, *, regions=None, columns=None, **params):
    trials = make_trials(values, regions=regions, **(columns or {}))
    return fit_changepoints(trials, ChangepointParams.parse({**QUICK, **params}))


@pytest.mark.parametrize("n_states", [1, 2, 4])
def test_the_number_of_states_is_found(n_states):
    values, _, _ = simulate(1, n_trials=30, n_bins=40, n_units=15, n_states=n_states)
    found = fit(values, max_states=6)
    assert found.dataset.attrs["n_states"] == n_states
    table = found.tables["evidence"]
    assert table["n_states"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["probability"].sum() == pytest.approx(1)
    assert found.dataset.sizes["changepoint"] == n_states - 1


@pytest.mark.parametrize("inference", ["vb", "gibbs"])
def test_dataset_is_complete_and_consistent(inference):
    values, cuts, rates = simulate(0, n_trials=24, n_units=15)
    values[3, 25:] = np.nan
    data = fit(values, n_states=3, inference=inference, n_draws=300).dataset
    ends = np.where(np.arange(24) == 3, 25, 30) * 0.05
    low, high = data["changepoint_low"].to_numpy(), data["changepoint_high"].to_numpy()
    median = data["changepoint_median"].to_numpy()
    assert np.all(low <= median + 1e-9)
    assert np.all(median <= high + 1e-9)
    assert np.all(high <= ends[:, None] + 1e-9)
    keep = np.delete(np.arange(24), 3)
    assert np.abs(data["changepoint_mean"].to_numpy()[keep] - cuts[keep] * 0.05).mean() < 0.05
    probability = data["changepoint_probability"].to_numpy()
    np.testing.assert_allclose(probability.sum(axis=2), 1, atol=1e-5)
    state = data["state_probability"].to_numpy()
    assert np.isnan(state[3, 25:]).all()
    np.testing.assert_allclose(np.nansum(state, axis=2)[keep], 1, atol=1e-5)
    level = data["level"].to_numpy()[0]
    assert np.all((data["level_low"] <= data["level"]) & (data["level"] <= data["level_high"]))
    assert np.abs(np.log(level / (rates / 0.05))).mean() < 0.3
    assert data["level"].attrs["units"] == "Hz"
    drawn = data["changepoint_draw"].to_numpy()
    assert np.all(np.diff(drawn, axis=2) > 0)
    np.testing.assert_allclose(drawn.mean(axis=0), data["changepoint_mean"], atol=0.15)


def test_the_same_seed_gives_the_same_bytes():
    values, _, _ = simulate(0)
    one, other = (fit(values, n_states=3, inference="gibbs", seed=5).dataset for _ in range(2))
    xr.testing.assert_identical(one, other)
    changed = fit(values, n_states=3, inference="gibbs", seed=6).dataset
    assert not changed["changepoint_draw"].equals(one["changepoint_draw"])


def test_order_of_units_does_not_matter():
    values, _, _ = simulate(0)
    order = np.random.default_rng(0).permutation(values.shape[2])
    one, other = fit(values, n_states=3).dataset, fit(values[:, :, order], n_states=3).dataset
    np.testing.assert_allclose(one["changepoint_mean"], other["changepoint_mean"], atol=1e-4)


def test_a_silent_unit_does_no_harm():
    values, _, _ = simulate(0)
    silent = np.concatenate([values, np.zeros((*values.shape[:2], 1))], axis=2)
    for emission in ("poisson", "negative_binomial", "gaussian_mean", "gaussian_mean_variance"):
        alone = fit(values, n_states=3, emission=emission).dataset
        beside = fit(silent, n_states=3, emission=emission).dataset
        np.testing.assert_allclose(
            beside["changepoint_mean"], alone["changepoint_mean"], atol=0.01, err_msg=emission
        )
        assert np.isfinite(beside["level"]).all()


def test_bins_that_were_not_observed_do_no_harm():
    values, cuts, _ = simulate(0, n_trials=24, n_units=15)
    holes = values.copy()
    holes[np.random.default_rng(0).random(values.shape) < 0.2] = np.nan
    holes[:, 12, :] = np.nan
    holes[0, 0, 0] = values[0, 0, 0]
    found = fit(holes, n_states=3).dataset["changepoint_mean"].to_numpy()
    assert np.abs(found - cuts * 0.05).mean() < 0.06


def test_one_trial_is_done_exactly_and_says_what_it_does_not_know():
    """Of short trials in which nothing changes, no number of states is called sure."""
    shares = []
    for seed in range(12):
        values, _, _ = simulate(seed, n_trials=1, n_units=3, spread=0.0)
        found = fit(values, max_states=5)
        assert found.dataset.attrs["method"] == "exact"
        shares.append(found.tables["evidence"]["probability"])
    assert np.max(shares) < 0.9
    assert np.all(np.abs(np.mean(shares, axis=0) - 0.2) < 0.1)


@pytest.mark.parametrize("n_draws", [0, 30])
def test_one_trial_with_a_clear_change(n_draws):
    rates = np.repeat([[0.2, 3.0], [3.0, 0.2]], 15, axis=0)
    values = np.random.default_rng(0).poisson(rates)[None].astype(float)
    found = fit(values, n_draws=n_draws).dataset
    assert found.sizes["draw"] == n_draws
    assert np.abs(np.log(found["level"].to_numpy()[0] * 0.05 / rates[[0, -1]])).max() < 1
    assert found.attrs["n_states"] == 2
    assert found["changepoint_mean"].item() == pytest.approx(0.75, abs=0.06)


@pytest.mark.parametrize("sequence", ["all", "skipping"])
def test_trials_that_leave_a_state_out(sequence):
    """Half of the trials have no middle state: only a model that may skip it says so."""
    rng = np.random.default_rng(0)
    rates = np.array([[2.0, 0.2, 0.2], [0.2, 2.0, 0.2], [0.2, 0.2, 2.0]]).repeat(3, axis=1)
    states = np.array([[0] * 10 + [1] * 10 + [2] * 10, [0] * 15 + [2] * 15] * 10)
    found = fit(rng.poisson(rates[states]).astype(float), n_states=3, sequence=sequence).dataset
    middle = found["state_probability"].sel(state=1).sum("time").to_numpy()
    assert middle[0::2].min() > 8
    if sequence == "skipping":
        assert middle[1::2].max() < 0.6
    else:
        assert middle[1::2].min() >= 1 - 1e-5


def test_gradual_transitions_are_told_from_steps():
    rng, n_bins = np.random.default_rng(0), 40
    rates = np.exp(rng.normal(size=(2, 25)))
    cuts = rng.uniform(12, 28, 30)
    at = np.arange(n_bins) + 0.5
    for width, expected in ((2.0, 2.0), (0.05, 0.5)):
        share = 1 / (1 + np.exp(-(at - cuts[:, None]) / width))
        mean = (1 - share)[:, :, None] * rates[0] + share[:, :, None] * rates[1]
        values = rng.poisson(mean).astype(float)
        found = fit(values, n_states=2, transition="gradual").dataset
        assert found.attrs["width_bins"] == expected
        off = found["changepoint_mean"].to_numpy()[:, 0] / 0.05 - cuts
        assert np.abs(off).mean() < 0.6


def test_narrow_timing_is_learned():
    rng = np.random.default_rng(0)
    rates = 0.25 * np.exp(0.5 * rng.normal(size=(3, 15)))
    cuts = np.rint(np.array([10, 20]) + rng.normal(0, 1.5, (40, 2))).astype(int)
    state = (cuts[:, None] <= np.arange(30)[:, None]).sum(axis=2)
    values = rng.poisson(rates[state]).astype(float)
    errors = {
        timing: np.abs(
            fit(values, n_states=3, timing=timing).dataset["changepoint_mean"] / 0.05 - cuts
        ).mean()
        for timing in ("uniform", "learned")
    }
    guess = np.abs(cuts - cuts.mean(axis=0)).mean()
    assert errors["learned"] < errors["uniform"]
    assert errors["learned"] < guess


def test_held_out_trials_are_foretold_better_where_there_are_states():
    values, _, _ = simulate(0, n_trials=25)
    found = fit(values, n_states=3, n_folds=5)
    assert found.dataset.attrs["held_out_bits_per_spike"] > 0.05
    table = found.tables["held_out"]
    assert len(table) == 5
    assert table["n_spikes"].sum() == values.sum()
    flat = np.random.default_rng(0).poisson(0.4, values.shape).astype(float)
    assert fit(flat, n_states=3, n_folds=5).dataset.attrs["held_out_bits_per_spike"] < 0.005


@pytest.mark.parametrize(
    "params",
    [
        {"n_trial_blocks": 2, "pooling": "shared"},
        {"transition": "gradual"},
        {"sequence": "skipping"},
        {"emission": "negative_binomial"},
        {"pooling": "separate"},
    ],
)
def test_every_model_holds_out(params):
    values, _, _ = simulate(0, n_trials=16)
    found = fit(values, n_states=3, n_folds=2, columns={"condition": ["a", "b"] * 8}, **params)
    assert found.dataset.attrs["held_out_bits_per_spike"] > 0


def test_responses_are_those_of_units_that_respond():
    """Noise units are no part of what found the changepoints, so that they stay insignificant."""
    values, _, _ = simulate(2, n_trials=40, n_units=12, spread=1.0)
    noise = np.random.default_rng(0).poisson(0.4, (40, 30, 8)).astype(float)
    found = fit(np.concatenate([values, noise], axis=2), n_states=3, n_shuffles=400)
    table = found.tables["responses"].query("test == 'state'").set_index("unit")
    assert (table.loc[:11, "q"] < 0.05).mean() > 0.8
    assert (table.loc[12:, "p"] < 0.05).sum() <= 2
    changes = found.tables["responses"].query("test == 'transition'")
    assert (changes[changes["unit"] >= 12]["p"] < 0.05).mean() < 0.2
    assert len(changes) == 20 * 2
    assert changes["unit"].is_monotonic_increasing


def test_what_is_locked_to_the_event_of_a_condition_is_no_transition():
    """A unit that fires at another time in each condition knows nothing of a trial's own course."""
    rng = np.random.default_rng(0)
    n_trials, n_bins = 80, 30
    at = np.where(np.arange(n_trials) % 2, 18, 10)  # of the event's condition
    cuts = at + rng.integers(-4, 5, n_trials)  # of the population, around it
    time = np.arange(n_bins)
    values = rng.poisson(np.where(time < cuts[:, None], 0.3, 1.5)[..., None], (80, 30, 8))
    locked = rng.poisson(np.where(time < at[:, None], 0.3, 1.5)[..., None], (80, 30, 8))
    columns = {"condition": ["a", "b"] * 40}
    whole = np.concatenate([values, locked], axis=2).astype(float)
    found = fit(whole, columns=columns, pooling="shared", n_states=2, n_shuffles=200)
    p = found.tables["responses"].query("test == 'transition'").set_index("unit")["p"]
    assert (p.loc[:7] < 0.05).all()
    assert (p.loc[8:] < 0.05).sum() <= 2


def test_what_ended_before_its_end_says_so():
    values, _, _ = simulate(0)
    assert fit(values, n_states=3).dataset.attrs["converged"]
    assert not fit(values, n_states=3, max_iterations=2).dataset.attrs["converged"]


def test_held_out_gain_of_means_is_a_value_even_of_whole_numbers():
    values, _, _ = simulate(0, n_trials=10)
    found = fit(100 * values, n_states=2, n_folds=2, emission="gaussian_mean")
    assert found.tables["held_out"]["n_spikes"].sum() == values.size


def test_region_and_conditions_are_chosen():
    values, _, _ = simulate(0, n_trials=20)
    regions = ["GC"] * 7 + ["BLA"] * 5
    columns = {"condition": ["sucrose", "quinine"] * 10}
    data = fit(
        values, regions=regions, columns=columns, region="GC", conditions=["sucrose"], n_states=2
    ).dataset
    assert (data.sizes["unit"], data.sizes["trial"]) == (7, 10)
    with pytest.raises(InvalidInputError, match="no region PFC; known: BLA, GC"):
        fit(values, regions=regions, region="PFC")
    with pytest.raises(InvalidInputError, match="known: quinine, sucrose"):
        fit(values, columns=columns, conditions=["salt"])


def test_conditions_have_levels_of_their_own():
    values, _, _ = simulate(0, n_trials=20)
    columns = {"condition": ["sucrose", "quinine"] * 10}
    data = fit(values, columns=columns, n_states=3).dataset
    assert data.attrs["groups"] == ["quinine", "sucrose"]
    assert data["trial_group"].to_numpy()[:4].tolist() == [1, 0, 1, 0]
    assert fit(values, columns=columns, n_states=3, pooling="shared").dataset.sizes["group"] == 1


@pytest.mark.parametrize(
    ("change", "params", "message"),
    [
        (lambda x: x + 0.5, {}, "is for counts.*gaussian_mean"),
        (lambda x: -x, {"emission": "categorical"}, "is for counts"),
        (lambda x: x + 2, {"emission": "bernoulli"}, "at most one spike a bin"),
        (
            lambda x: x,
            {"n_states": 40},
            "40 states of at least 1 bins do not fit into a trial of 30",
        ),
        (lambda x: x, {"n_states": 4, "min_dwell_bins": 9}, "do not fit"),
        (lambda x: x, {"min_dwell_bins": 31}, "do not fit"),
        (lambda x: x[:2], {"n_trial_blocks": 3}, "3 blocks of trials"),
        (lambda x: x, {"n_trial_blocks": 2}, "so have the conditions a, b"),
        (lambda x: x, {"transition": "gradual", "emission": "bernoulli"}, "only Poisson"),
        (lambda x: x, {"inference": "gibbs", "n_draws": 0}, "needs draws"),
        (lambda x: x, {"surrogate": "simulated", "emission": "gaussian_mean"}, "whole|count|none"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, params, message):
    values, _, _ = simulate(0)
    if params.get("surrogate"):
        values = values + 0.1
    values = change(values)
    names = list("ab" * len(values))[: len(values)]
    with pytest.raises(InvalidInputError, match=message):
        fit(values, columns={"condition": names}, **params)


def test_models_are_compared_by_evidence():
    values, _, _ = simulate(0, n_trials=24)
    fits = {f"{n} states": fit(values, n_states=n).dataset for n in (2, 3, 4)}
    table = compare_evidence(fits)
    assert table["model"][0] == "3 states"
    assert table["probability"].sum() == pytest.approx(1)
    fits["others"] = fit(values[:, :, :5], n_states=3).dataset
    with pytest.raises(InvalidInputError, match="of other values"):
        compare_evidence(fits)


def test_evidence_compares_what_was_fitted_not_what_it_is_called():
    values, _, _ = simulate(0, n_trials=24)
    monday, again = (fit(values, n_states=3, seed=seed).dataset for seed in (0, 1))
    assert len(compare_evidence({"one": monday, "another seed": again})) == 2
    tuesday = fit(simulate(1, n_trials=24)[0], n_states=3).dataset
    with pytest.raises(InvalidInputError, match="tuesday is of other values"):
        compare_evidence({"monday": monday, "tuesday": tuesday})
    shares = fit(values, n_states=3, emission="categorical").dataset
    with pytest.raises(InvalidInputError, match="of other events"):
        compare_evidence({"counts": monday, "shares": shares})


def test_who_changes_first_is_told_by_joint_samples():
    rng = np.random.default_rng(0)
    rates = np.exp(rng.normal(size=(2, 2, 12)))
    cuts = draw_changepoints(rng, 20, 40, 2, least=10)[:, 0]
    at = np.arange(40)
    early = rng.poisson(rates[0][(at >= cuts[:, None] - 3).astype(int)]).astype(float)
    late = rng.poisson(rates[1][(at >= cuts[:, None]).astype(int)]).astype(float)
    one, other = (fit(x, n_states=2, n_draws=400).dataset for x in (early, late))
    table = order_changepoints(one, other)
    assert (table.query("trial >= 0")["p_first"] > 0.5).mean() > 0.9
    whole = table.query("trial == -1").iloc[0]
    assert whole["lag_low_s"] < 0.15 < whole["lag_high_s"] + 0.03
    assert whole["p_first"] > 0.99
    with pytest.raises(InvalidInputError, match="same trials"):
        order_changepoints(one, other.isel(trial=slice(3)))


def test_arviz_takes_it():
    values, _, _ = simulate(0)
    data = fit(values, n_states=3, n_draws=80).dataset
    exported = to_inference_data(data)
    posterior = exported["posterior"]
    assert dict(posterior.sizes) == {"chain": 1, "draw": 80, "trial": 20, "changepoint": 2}
    with pytest.raises(InvalidInputError, match="n_draws"):
        to_inference_data(fit(values, n_states=3, n_draws=0).dataset)
