"""Pages of fits and of batches: whole, self-contained, escaped, and said in words where empty."""

import io
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image
from scipy.special import logsumexp
from scipy.stats import gamma, poisson

from connflow.changepoint.batch_figures import pair_surrogates
from connflow.changepoint.batch_words import list_fits, tidy
from connflow.changepoint.fit import fit_changepoints, prepare
from connflow.changepoint.fit_view import view_fit
from connflow.changepoint.page import render_batch_page, render_fit_page
from connflow.changepoint.page_words import list_changepoints, list_responses
from connflow.changepoint.params import ChangepointParams
from connflow.changepoint.state_figures import draw_levels
from connflow.errors import InvalidInputError
from connflow.trials import Trials

BIN_S, T_START = 0.05, -0.5
HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>&"
FIT_FIGURES = {"examples", "overview", "aligned", "levels", "timing", "evidence", "climb"}


def make_trials(
    n_trials: int, n_units: int, n_bins: int, n_states: int, seed: int = 0, n_conditions: int = 1
) -> tuple[Trials, np.ndarray]:
    """Return Poisson counts that switch rates at changepoints, and these (bins)."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1.2, 8.0, (n_states, n_units)) + 1.0
    ends = np.sort(
        [rng.choice(np.arange(1, n_bins), n_states - 1, replace=False) for _ in range(n_trials)]
    ).reshape(n_trials, n_states - 1)
    states = (np.arange(n_bins)[None, :, None] >= ends[:, None, :]).sum(axis=2)
    counts = rng.poisson(rates[states] * BIN_S).astype(float)
    table = pd.DataFrame({"onset_s": 10.0 * np.arange(n_trials)}, pd.RangeIndex(n_trials))
    table.index.name = "trial"
    if n_conditions > 1:
        table["condition"] = [f"taste {trial % n_conditions}" for trial in range(n_trials)]
    units = pd.DataFrame(index=pd.Index(np.arange(300, 300 + n_units), name="unit"))
    return Trials(counts, BIN_S, T_START, units, table), ends


def fit_by_em(trials: Trials, n_states: int) -> xr.Dataset:
    """Return the exact posterior under rates found by expectation-maximisation."""
    values = np.asarray(trials.values)
    n_trials, n_bins, _ = values.shape
    seen = np.isfinite(values).all(axis=2)
    weights = np.zeros((n_trials, n_bins, n_states))
    for trial, length in enumerate(seen.sum(axis=1)):
        weights[trial, np.arange(length), np.arange(length) * n_states // length] = 1
    trace = []
    for _ in range(12):
        x = np.einsum("itk,itn->kn", weights, np.where(seen[..., None], values, 0)) + 0.5
        n = weights.sum(axis=(0, 1))[:, None] + 0.5
        found = [_posterior(values[trial], seen[trial], x / n) for trial in range(n_trials)]
        weights = np.nan_to_num(np.stack([one[1] for one in found]))
        trace.append(sum(one[0] for one in found))
    return _as_dataset(trials, found, np.stack([x, n + np.zeros_like(x)]), np.array(trace))


def _posterior(values, seen, rates):
    """Return log evidence, state probabilities and start probabilities of one trial."""
    length, n_states = int(seen.sum()), len(rates)
    log_like = poisson.logpmf(values[:length, None], rates).sum(axis=2)
    sums = np.concatenate([np.zeros((1, n_states)), np.cumsum(log_like, axis=0)])
    forward = np.full((n_states, length + 1), -np.inf)  # state k ends before bin t
    backward = np.full((n_states, length + 1), -np.inf)  # state k starts with bin t
    forward[0, 1:], backward[-1, :-1] = sums[1:, 0], sums[-1, -1] - sums[:-1, -1]
    for k in range(1, n_states):
        for t in range(k + 1, length + 1):
            forward[k, t] = logsumexp(forward[k - 1, :t] + sums[t, k] - sums[:t, k])
    for k in range(n_states - 2, -1, -1):
        for t in range(length - (n_states - k) + 1):
            later = np.arange(t + 1, length + 1)
            backward[k, t] = logsumexp(sums[later, k] - sums[t, k] + backward[k + 1, later])
    evidence = forward[-1, length]
    starts = np.zeros((n_states - 1, len(values)))
    starts[:, :length] = np.exp(forward[:-1, :-1] + backward[1:, :-1] - evidence)
    entered = np.concatenate([np.ones((1, length)), np.cumsum(starts[:, :length], axis=1)])
    states = np.full((len(values), n_states), np.nan)
    states[:length] = (entered - np.concatenate([entered[1:], np.zeros((1, length))])).T
    return evidence, states, starts


def _as_dataset(trials, found, shapes, trace):
    starts, time = np.stack([one[2] for one in found]), trials.bin_starts_s
    quantile = {
        name: time[np.minimum((starts.cumsum(axis=2) < q).sum(axis=2), len(time) - 1)]
        for name, q in (("low", 0.05), ("median", 0.5), ("high", 0.95))
    }
    x, n = shapes[:, None]
    hz = {"units": "Hz", "long_name": "firing rate"}
    dims = ("group", "state", "unit")
    n_states = x.shape[1]
    return xr.Dataset(
        {
            "changepoint_probability": (("trial", "changepoint", "time"), starts),
            "changepoint_mean": (("trial", "changepoint"), starts @ time),
            **{f"changepoint_{k}": (("trial", "changepoint"), v) for k, v in quantile.items()},
            "state_probability": (("trial", "time", "state"), np.stack([f[1] for f in found])),
            "level": (dims, x / n / BIN_S, hz),
            "level_low": (dims, gamma.ppf(0.05, x) / n / BIN_S, hz),
            "level_high": (dims, gamma.ppf(0.95, x) / n / BIN_S, hz),
            "leaving_probability": (
                ("group", "changepoint", "time"),
                starts.mean(axis=0, keepdims=True),
            ),
            "elbo": ("iteration", trace),
            "restart_elbo": ("restart", trace[-1] - np.array([0.0, 0.0, 3.1, 40.0])),
            "trial_group": ("trial", np.zeros(trials.n_trials, int)),
        },
        coords={
            "trial": trials.trial_ids,
            "time": time,
            "unit": trials.unit_ids,
        },
        attrs={
            "emission": "poisson",
            "n_states": n_states,
            "groups": ["all"],
            "coverage": 0.9,
            "inference": "vb",
            "seed": 0,
            "bin_size_s": BIN_S,
            "t_start": T_START,
            "evidence": trace[-1],
            "held_out_bits_per_spike": 0.123,
        },
    )


def make_tables(n_states: int) -> dict[str, pd.DataFrame]:
    counts = np.arange(1, n_states + 3)
    evidence = -3000.0 - 4.0 * (counts - n_states) ** 2
    probability = np.exp(evidence - logsumexp(evidence))
    responses = pd.DataFrame(
        {
            "unit": [300, 301, 302],
            "test": ["state", "transition", "transition"],
            "changepoint": [-1, 1, 0],
            "statistic": [8.1, 5.5, 0.3],
            "p": [0.001, 0.002, 0.6],
            "q": [0.003, 0.004, 0.6],
        }
    )
    return {
        "evidence": pd.DataFrame(
            {"n_states": counts, "evidence": evidence, "probability": probability}
        ),
        "held_out": pd.DataFrame({"fold": [0], "bits_per_spike": [0.123], "n_spikes": [100]}),
        "responses": responses,
    }


def shorten(trials: Trials, seed: int = 3) -> Trials:
    lengths = np.random.default_rng(seed).integers(12, trials.n_time_bins + 1, trials.n_trials)
    late = np.arange(trials.n_time_bins) >= lengths[:, None]
    values = np.where(late[..., None], np.nan, trials.values)
    return Trials(values, BIN_S, T_START, trials.units, trials.table)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [str(v) for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read_page(html: str) -> str:
    """Return the text of a page that is well formed and loads nothing."""
    parser = _Parser()
    parser.feed(html)
    assert parser.open == []
    assert all(one.startswith("data:image/png;base64,") for one in parser.sources)
    assert "<script" not in html
    return re.sub(r"\s+", " ", " ".join(parser.texts))


def check_pngs(pngs: Mapping[str, bytes]) -> None:
    for png in pngs.values():
        image = Image.open(io.BytesIO(png))
        assert max(image.size) < 4000
        assert np.asarray(image).std() > 1  # something was drawn


@pytest.fixture(scope="module")
def example() -> tuple[Trials, np.ndarray, xr.Dataset]:
    trials, ends = make_trials(16, 9, 40, 4, n_conditions=2)
    return trials, ends, fit_by_em(trials, 4)


def test_page_of_a_fit_holds_all_figures_and_says_what_was_fitted(example):
    trials, _, fit = example
    html, pngs = render_fit_page(trials, fit, make_tables(4), "Gustatory cortex")
    text = read_page(html)
    assert set(pngs) == FIT_FIGURES
    check_pngs(pngs)
    assert html.count("data:image/png;base64,") == len(FIT_FIGURES)
    for words in ("9 units in 16 trials", "40 bins of 50 ms", "chosen by evidence", "cross-fitted"):
        assert words in text
    assert "0.123 bits/spike above a static rate" in text


def test_same_fit_gives_same_bytes(example):
    trials, _, fit = example
    first = render_fit_page(trials, fit, make_tables(4), "same")
    assert render_fit_page(trials, fit, make_tables(4), "same") == first


@pytest.mark.parametrize(
    ("n_trials", "n_units", "n_bins", "n_states"),
    [(12, 5, 40, 1), (1, 6, 40, 3), (1, 1, 30, 1), (2, 1, 12, 10), (30, 60, 20, 2), (3, 4, 5, 2)],
)
def test_page_of_any_size_is_whole(n_trials, n_units, n_bins, n_states):
    trials, _ = make_trials(n_trials, n_units, n_bins, n_states, seed=1)
    html, pngs = render_fit_page(trials, fit_by_em(trials, n_states), {}, "small")
    text = read_page(html)
    check_pngs(pngs)
    assert ("aligned" in pngs) == (n_states > 1)
    assert ("hence no changepoints" in text) == (n_states == 1)
    assert "nothing is said here of other numbers of states" in text
    assert "were not tested" in text


def test_short_trials_are_drawn_to_their_end():
    trials, _ = make_trials(10, 8, 40, 3, seed=2, n_conditions=3)
    short = shorten(trials)
    html, pngs = render_fit_page(short, fit_by_em(short, 3), {}, "short")
    assert {"examples", "overview", "aligned"} <= set(pngs)
    assert re.search(r"of \d+ to \d+ bins", read_page(html))


def test_fit_without_trace_and_of_one_state_lacks_variables(example):
    trials, _ = make_trials(4, 5, 20, 1)
    fit = fit_by_em(trials, 1)
    bare = fit.drop_vars([str(name) for name in fit if "changepoint" in str(name)])
    bare = bare.drop_vars(["elbo", "restart_elbo", "leaving_probability"])
    html, pngs = render_fit_page(trials, bare, {}, "bare")
    assert set(pngs) == {"examples", "overview", "levels", "timing"}
    assert "there is no trace of an ELBO" in read_page(html)


def test_gaussian_fit_speaks_of_no_rates(example):
    trials, _, fit = example
    gaussian = fit.assign_attrs(emission="gaussian_mean")
    for name in ("level", "level_low", "level_high"):
        gaussian[name] = gaussian[name].assign_attrs(units="1", long_name="mean")
    centred = Trials(np.asarray(trials.values) - 1.0, BIN_S, T_START, trials.units, trials.table)
    assert view_fit(centred, gaussian).activity_name == "signal"
    assert view_fit(centred, gaussian).level_name == "mean"
    check_pngs(render_fit_page(centred, gaussian, {}, "gaussian")[1])


def test_several_groups_have_levels_of_their_own(example):
    trials, _, fit = example
    groups = [f"block {number}" for number in range(6)]
    many = fit.isel(group=[0] * 6).assign_attrs(groups=groups)
    html, pngs = render_fit_page(trials, many, make_tables(4), "blocks")
    assert "Levels differ between 6 groups" in read_page(html)
    check_pngs(pngs)


def test_intervals_of_all_groups_lie_inside_their_axes(example):
    trials, _, fit = example
    groups = ["low", "high"]
    two = fit.isel(group=[0, 0]).assign_attrs(groups=groups)
    scale = xr.DataArray([1.0, 5.0], dims="group")
    for name in ("level", "level_low", "level_high"):
        two[name] = two[name] * scale
    right = draw_levels(view_fit(trials, two)).figure.axes[1:4:2]
    assert all(axes.get_ylim()[1] >= two["level_high"].max() for axes in right)
    assert [axes.get_title(loc="left") for axes in right] == groups


def test_fit_of_some_trials_and_units_finds_them_by_id(example):
    trials, _, fit = example
    part = fit.isel(trial=[7, 2, 4], unit=[5, 1])
    view = view_fit(trials, part)
    np.testing.assert_array_equal(view.values, np.asarray(trials.values)[[7, 2, 4]][:, :, [5, 1]])
    with pytest.raises(InvalidInputError, match=r"units \[999\]"):
        view_fit(trials, part.assign_coords(unit=[999, 301]))
    with pytest.raises(InvalidInputError, match="bins"):
        view_fit(trials, part.isel(time=slice(10)))


def test_start_bins_are_where_the_medians_are(example):
    trials, ends, fit = example
    view = view_fit(trials, fit)
    found = np.stack([view.start_bins(number) for number in range(3)], axis=1)
    assert np.mean(np.abs(found - ends)) < 2
    np.testing.assert_allclose(T_START + BIN_S * found, view.changepoint("median"))


def test_units_are_sorted_by_preferred_state_and_trials_by_condition(example):
    trials, _, fit = example
    view = view_fit(trials, fit)
    preferred = view.level[0].argmax(axis=0)[view.unit_order]
    assert np.all(np.diff(preferred) >= 0)
    first = view.changepoint("median")[view.trial_order, 0]
    names = np.array(view.conditions)[view.trial_order]
    assert sorted(names) == list(names)
    assert all(np.all(np.diff(first[names == name]) >= 0) for name in set(names))


def test_changepoint_table_says_when_and_how_well(example):
    trials, _, fit = example
    rows = list_changepoints(view_fit(trials, fit))
    assert [row["name"] for row in rows] == ["1 to 2", "2 to 3", "3 to 4"]
    assert float(rows[0]["median"]) == pytest.approx(
        float(fit["changepoint_median"][:, 0].median()), abs=1e-3
    )
    width = float((fit["changepoint_high"] - fit["changepoint_low"])[:, 2].median())
    assert float(rows[2]["width"]) == pytest.approx(1000 * width, rel=1e-3)


def test_responses_come_surest_first_and_name_the_transition(example):
    trials, _, fit = example
    rows = list_responses(view_fit(trials, fit, make_tables(4)))
    assert rows is not None
    assert [row["unit"] for row in rows] == ["300", "301", "302"]
    assert [row["test"] for row in rows] == ["differs between states", "2 to 3", "1 to 2"]


def test_most_states_that_were_tried_are_no_finding(example):
    trials, _, fit = example
    evidence = pd.DataFrame(
        {"n_states": [3, 4], "evidence": [-9.0, -8.0], "probability": [0.27, 0.73]}
    )
    html, _ = render_fit_page(trials, fit, {"evidence": evidence}, "bound")
    assert "raise max_states" in read_page(html)
    assert "raise max_states" not in render_fit_page(trials, fit, make_tables(4), "within")[0]
    roomy = fit.assign_attrs(max_states=8)
    html, _ = render_fit_page(trials, roomy, {"evidence": evidence}, "bound by a short trial")
    assert "the shortest trial" in read_page(html)
    assert "raise max_states" not in read_page(html)
    early = fit.assign_attrs(converged=False, max_iterations=2)
    html, _ = render_fit_page(trials, early, {"evidence": evidence}, "not at its end")
    assert "not come to an end after 2 rounds" in read_page(html)


def test_states_that_a_trial_skips_have_no_start(example):
    trials, _, fit = example
    median = fit["changepoint_median"].copy()
    median[0] = T_START + BIN_S * np.array([0, 7, 7])
    median[1] = T_START + BIN_S * np.array([5, 40, 40])
    skipping = fit.assign(changepoint_median=median).assign_attrs(sequence="skipping")
    view = view_fit(trials, skipping)
    starts = np.stack([view.start_bins(number) for number in range(3)], axis=1)
    np.testing.assert_array_equal(starts[:2], [[np.nan, np.nan, 7], [5, np.nan, np.nan]])
    assert "may leave states out" in read_page(render_fit_page(trials, skipping, {}, "skip")[0])


def test_tests_without_a_result_are_told_from_tests_that_were_not_made(example):
    trials, _, fit = example
    empty = make_tables(4)["responses"].iloc[:0]
    assert "nothing to test" in render_fit_page(trials, fit, {"responses": empty}, "none")[0]
    assert "were not tested" in render_fit_page(trials, fit, {}, "none")[0]


@pytest.mark.parametrize(
    "params",
    [
        {"max_states": 3, "n_shuffles": 9},
        {"n_states": 3, "inference": "gibbs", "n_burn_in": 5, "n_draws": 20},
        {"n_states": 4, "sequence": "skipping", "n_folds": 0},
        {
            "n_states": 2,
            "n_trial_blocks": 2,
            "pooling": "shared",
            "emission": "gaussian_mean",
            "n_folds": 0,
        },
        {"n_states": 2, "emission": "categorical", "conditions": ("taste 1",)},
    ],
)
def test_page_of_a_fit_by_the_engine(params):
    trials, _ = make_trials(8, 6, 20, 3, n_conditions=2)
    trials = shorten(trials)
    chosen = ChangepointParams(**params)
    fit = fit_changepoints(trials, chosen)
    html, pngs = render_fit_page(prepare(trials, chosen), fit.dataset, fit.tables, "engine")
    read_page(html)
    check_pngs(pngs)
    assert {"examples", "overview", "levels", "timing", "climb"} <= set(pngs)
    assert ("evidence" in pngs) == ("max_states" in params)


def test_hostile_names_stay_text(example):
    trials, _, fit = example
    table = trials.table.assign(condition=HOSTILE)
    hostile = Trials(trials.values, BIN_S, T_START, trials.units, table)
    html, _ = render_fit_page(hostile, fit.assign_attrs(region=HOSTILE), {}, HOSTILE)
    assert HOSTILE not in html
    assert "alert(2)" in read_page(html)


def test_steps_stand_on_the_page(example):
    trials, _, fit = example
    steps: list[dict[str, Any]] = [
        {"step": "trials", "key": "ab" * 32, "version": 1, "params": {"bin_size_s": 0.05}}
    ]
    html, _ = render_fit_page(trials, fit, {}, "steps", steps)
    assert "Parameters of trials" in read_page(html)
    assert "abababab" in html


def make_batch(n_sessions: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows: list[dict[str, Any]] = [
        {
            "source": f"session {session}",
            "region": region,
            "n_states": n_states,
            "bin_size_s": 0.05,
            "surrogate": surrogate,
            "emission": "poisson",
            "evidence": -5000 - 30 * (n_states - 4) ** 2 + rng.normal(),
            "held_out_bits_per_spike": 0.02 + (surrogate is None) * 0.1 + rng.normal(0, 0.01),
            "state": "Completed",
            "reason": None,
        }
        for session in range(n_sessions)
        for region in ("GC", "BLA")
        for n_states in range(2, 7)
        for surrogate in (None, "trial_shuffled", "simulated")
    ]
    failed = {"state": "Failed", "evidence": np.nan, "held_out_bits_per_spike": np.nan}
    rows[3] |= failed | {"reason": "no region OFC"}
    rows[8] |= failed | {"reason": "no region OFC"}
    rows[9] |= failed | {"reason": "12 states do not fit into 10 bins"}
    return pd.DataFrame(rows)


def test_batch_page_counts_lists_failures_and_draws():
    table = make_batch()
    html, pngs = render_batch_page(table, "All animals")
    text = read_page(html)
    assert set(pngs) == {"evidence", "surrogates"}
    check_pngs(pngs)
    assert f"Fits {len(table)}" in text
    assert "Failed 3" in text
    assert "2 no region OFC" in text
    assert text.index("no region OFC") < text.index("12 states do not fit")


def test_batch_table_is_best_first_and_failures_are_last():
    rows = list_fits(tidy(make_batch()))
    bits = [float(row["held_out_bits_per_spike"] or "-inf") for row in rows]
    assert bits == sorted(bits, reverse=True)
    assert [row["state"] for row in rows[-3:]] == ["Failed"] * 3


def test_surrogates_are_paired_with_the_same_fit_of_recorded_trials():
    table = make_batch()
    pairs = pair_surrogates(tidy(table).query("state == 'Completed'"))
    keys = ["source", "region", "n_states"]
    wanted = table.set_index([*keys, "surrogate"])["held_out_bits_per_spike"]
    done = table[table["state"] == "Completed"].set_index(keys)
    assert len(pairs) > 40
    for row in pairs.itertuples():
        real = done.loc[(row.source, row.region, row.n_states)]
        assert row.real in real.loc[real["surrogate"].isna(), "held_out_bits_per_spike"].to_list()
        assert row.fake == wanted.loc[row.source, row.region, row.n_states, row.surrogate]


@pytest.mark.parametrize("kept", [0, 1])
def test_batch_of_little_is_said_in_words(kept):
    html, pngs = render_batch_page(make_batch().iloc[:kept], "little")
    text = read_page(html)
    assert pngs == {}
    assert "no evidence to compare" in text
    assert "the two are not compared" in text


def test_batch_that_failed_whole_still_has_a_page():
    table = make_batch().assign(state="Failed", reason=HOSTILE, evidence=None, n_states=None)
    html, pngs = render_batch_page(table, "all failed")
    assert pngs == {}
    assert HOSTILE not in html
    read_page(html)


def test_sessions_that_were_never_read_are_listed_though_nothing_else_is():
    lost = pd.DataFrame([{"source": "rat 3", "state": "Failed", "reason": "no file there"}])
    html, pngs = render_batch_page(lost, "lost")
    assert pngs == {}
    assert "1 no file there rat 3" in read_page(html)


def test_batch_table_without_a_column_is_refused():
    with pytest.raises(InvalidInputError, match="lacks evidence"):
        render_batch_page(make_batch().drop(columns="evidence"), "no")
