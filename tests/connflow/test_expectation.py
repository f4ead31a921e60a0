"""The expectation: what is measured is matched, and the intervals hold what they promise."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from connflow.binning import BinningParams, bin_spikes
from connflow.calcium import CalciumParams, simulate_calcium
from connflow.errors import InvalidInputError
from connflow.expectation import (
    SCORES,
    ExpectationParams,
    Measures,
    StandIn,
    allow_for_regularity,
    choose_stand_ins,
    design_networks,
    foretell,
    foretell_scores,
    judge,
    look_at,
    match_activity,
    measure_fluorescence,
    measure_spikes,
    state_assumptions,
    tabulate,
)
from connflow.expectation.matching import SYNAPSE_INPUTS, SYNAPSE_MV
from connflow.expectation.params import RANGES
from connflow.recording import SpikeRecording, unit_table
from connflow.recording.network import NetworkParams, simulate_network

MEASURES = Measures(n_units=50, duration_s=60.0, rate_hz=5.0, rate_log_sd=0.3)


def poisson(rates_hz, step_s=0.01, gapless=None):
    """Return spikes of units that fire at these rates, (n_steps, n_units), in random places."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rates_hz * step_s)
    steps, units = np.nonzero(counts)
    repeats = counts[steps, units]
    steps, units = np.repeat(steps, repeats), np.repeat(units, repeats)
    times = (steps + rng.random(len(steps))) * step_s
    order = np.argsort(times)
    return SpikeRecording(
        times[order],
        units[order].astype(np.int32),
        unit_table(np.arange(rates_hz.shape[1])),
        0.0,
        len(rates_hz) * step_s,
        gapless=gapless,
    )


def modulation(n_steps, tau_s, step_s=0.01):
    a = np.exp(-step_s / tau_s)
    noise = np.random.default_rng(1).standard_normal(n_steps) * np.sqrt(1 - a**2)
    x = np.empty(n_steps)
    x[0] = 0
    for k in range(1, n_steps):
        x[k] = a * x[k - 1] + noise[k]
    return x


def test_independent_units_share_nothing():
    rates = np.random.default_rng(2).lognormal(1.5, 0.5, 40)
    measures = measure_spikes(poisson(np.tile(rates, (30_000, 1))))
    assert measures.shared_sd == 0
    assert measures.rate_hz == pytest.approx(rates.mean(), rel=0.05)
    assert measures.rate_log_sd == pytest.approx(np.log(rates).std(), abs=0.05)


@pytest.mark.parametrize(("sd", "tau_s"), [(0.3, 0.2), (0.2, 1.0)])
def test_what_units_share_is_measured(sd, tau_s):
    shared = np.maximum(0, 1 + sd * modulation(60_000, tau_s))
    measures = measure_spikes(poisson(np.tile(6 * shared[:, None], (1, 40))))
    assert measures.shared_sd == pytest.approx(sd, rel=0.2)
    assert measures.shared_tau_s == pytest.approx(tau_s, rel=0.4)


def test_gaps_count_for_nothing():
    rates = np.full((20_000, 30), 5.0)
    rates[8000:12_000] = 0  # a gap, which would look like a modulation of all
    gapless = np.array([[0.0, 80.0], [120.0, 200.0]])
    with_gap = poisson(rates, gapless=gapless)
    measures = measure_spikes(with_gap)
    assert measures.duration_s == 160
    assert measures.shared_sd == 0
    assert measure_spikes(replace(with_gap, gapless=None)).shared_sd > 0.3


def test_silent_units_are_not_counted():
    rates = np.zeros((6000, 10))
    rates[:, :4] = 8.0
    measures = measure_spikes(poisson(rates))
    assert measures.n_units == 4
    assert measures.rate_hz == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize(("noise_sd", "rate_hz", "tau_s"), [(0.1, 2.0, 0.5), (0.4, 5.0, 0.2)])
def test_fluorescence_tells_its_noise_its_rate_and_its_decay(noise_sd, rate_hz, tau_s):
    spikes = poisson(np.full((60_000, 20), rate_hz))
    counts = np.concatenate([b for _, b in bin_spikes(spikes, BinningParams(bin_size_s=0.02))])
    params = CalciumParams(tau_s=tau_s, noise_sd=3 * noise_sd, amplitude=3.0)
    traces = np.concatenate([b for _, b in simulate_calcium(counts, 0.02, params)])
    measures = measure_fluorescence(traces, 50.0)
    assert measures.noise_sd == pytest.approx(noise_sd, rel=0.25)
    assert measures.rate_hz == pytest.approx(rate_hz, rel=0.25)
    assert measures.tau_s == pytest.approx(tau_s, rel=0.25)
    assert measures.duration_s == pytest.approx(600)


@pytest.mark.parametrize("external_rate_hz", [500, 800])
def test_regular_firing_is_allowed_for(external_rate_hz):
    network = NetworkParams(n_units=60, duration_s=120, external_rate_hz=external_rate_hz, seed=3)
    spikes = simulate_network(network)
    rate_hz = len(spikes.spike_times) / 60 / 120
    counts = np.concatenate([b for _, b in bin_spikes(spikes, BinningParams(bin_size_s=1 / 30))])
    params = CalciumParams(tau_s=0.4, noise_sd=0.3)
    traces = np.concatenate([b for _, b in simulate_calcium(counts, 1 / 30, params)])
    shown = measure_fluorescence(traces, 30.0)
    assert shown.rate_hz > 1.1 * rate_hz
    told = allow_for_regularity(shown, ExpectationParams(observed_fraction=1))
    assert told.rate_hz == pytest.approx(rate_hz, rel=0.2)
    assert told.noise_sd == pytest.approx(0.3, rel=0.4)
    assert allow_for_regularity(MEASURES, ExpectationParams()) == MEASURES


def test_a_histogram_of_z_looks_like_its_values():
    rng = np.random.default_rng(4)
    z = np.concatenate([rng.standard_normal(90_000), rng.normal(5, 1, 10_000)])
    edges = np.linspace(-20, 20, 4001)
    n_pairs = (("z",), np.histogram(z, edges)[0])
    histogram = xr.Dataset(
        {"n_pairs": n_pairs}, {"z": (edges[1:] + edges[:-1]) / 2}, {"n_edges": 9_500}
    )
    mask = np.zeros(z.shape, bool)
    mask[-9_500:] = True
    square = {
        name: (("source", "target"), np.pad(values, (0, 317**2 - len(z))).reshape(317, 317))
        for name, values in (("z", z), ("mask", mask))
    }
    off = square["z"][1][~np.eye(317, dtype=bool)]
    assert np.count_nonzero(off) > 99_000
    assert look_at(histogram) == pytest.approx(look_at(xr.Dataset(square)), abs=0.02)


def test_noise_alone_shows_no_activity():
    traces = np.random.default_rng(0).standard_normal((4000, 6)).astype(np.float32)
    measures = measure_fluorescence(-np.abs(traces), 30.0)
    assert measures.rate_hz == 0
    assert choose_stand_ins(measures, ExpectationParams()) == []


@pytest.mark.parametrize("rate_hz", [0.5, 5.0, 20.0])
def test_networks_fire_as_often_as_the_recording(rate_hz):
    for network in design_networks(replace(MEASURES, rate_hz=rate_hz), ExpectationParams())[:3]:
        matched = match_activity(network, rate_hz)
        assert measure_spikes(simulate_network(matched)).rate_hz == pytest.approx(rate_hz, rel=0.2)


def test_networks_share_as_much_as_the_recording():
    network = NetworkParams(n_units=100, duration_s=120)
    matched = match_activity(network, 5.0, shared_sd=0.5, shared_tau_s=0.2)
    measures = measure_spikes(simulate_network(matched))
    assert measures.shared_sd == pytest.approx(0.5, rel=0.3)
    assert measures.rate_hz == pytest.approx(5.0, rel=0.3)


def test_wirings_fill_the_ranges_evenly():
    params = ExpectationParams(n_networks=10)
    networks = design_networks(MEASURES, params)
    for name, values in {
        "connection_probability": [n.connection_probability for n in networks],
        "weight_log_sd": [n.weight_log_sd for n in networks],
        "excitatory_fraction": [n.excitatory_fraction for n in networks],
        "synapse_scale": [
            n.weight_mean_mv
            / SYNAPSE_MV
            / np.sqrt(SYNAPSE_INPUTS / (n.connection_probability * n.n_units))
            for n in networks
        ],
        "inhibition": [
            n.inhibition_factor * (1 - n.excitatory_fraction) / n.excitatory_fraction
            for n in networks
        ],
    }.items():
        low, high = np.log(getattr(params, name))
        place = (np.log(values) - low) / (high - low) * 10
        assert sorted(np.floor(place).astype(int)) == list(range(10)), name
    assert networks == design_networks(MEASURES, params)
    assert set(RANGES) == {
        "connection_probability",
        "synapse_scale",
        "weight_log_sd",
        "inhibition",
        "excitatory_fraction",
    }


@pytest.mark.parametrize(
    ("n_units", "fraction", "n_simulated"),
    [(50, 1.0, 50), (50, 0.25, 200), (5, 0.5, 60), (10_000, 0.25, 1000)],
)
def test_networks_have_as_many_units_as_allowed(n_units, fraction, n_simulated):
    params = ExpectationParams(observed_fraction=fraction)
    network = design_networks(replace(MEASURES, n_units=n_units), params)[0]
    assert network.n_units == n_simulated


def test_each_network_stands_in_at_every_duration():
    params = ExpectationParams(n_networks=5, observed_fraction=1.0, max_duration_s=40.0)
    chosen = choose_stand_ins(MEASURES, params)
    assert [one.duration_factor for one in chosen] == [1.0, 2.0] * 5
    assert [one.network.seed for one in chosen] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert {one.network.duration_s for one in chosen} == {40.0, 80.0}
    assert StandIn.parse(chosen[0].model_dump(mode="json")) == chosen[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"inhibition": (2.0, 1.0)}, "lower limit first"),
        ({"duration_factors": (2.0,)}, "must hold 1"),
        ({"max_units": 100, "observed_fraction": 0.1}, "at least min_units"),
    ],
)
def test_params_that_make_no_sense_are_refused(values, words):
    with pytest.raises(InvalidInputError, match=words):
        ExpectationParams.parse(values)


@pytest.mark.parametrize(
    ("when", "is_known", "is_wanted"),
    [
        ("unknown_wiring", True, False),
        ("unknown_wiring", False, True),
        ("always", True, True),
        ("never", False, False),
    ],
)
def test_when_it_is_wanted(when, is_known, is_wanted):
    assert ExpectationParams(when=when).is_wanted(is_known) == is_wanted


def result(z, mask=None):
    n_units = len(z)
    ids = np.arange(n_units)
    mask = np.abs(z) > 2 if mask is None else mask
    dims = ("source", "target")
    return xr.Dataset({"z": (dims, z), "mask": (dims, mask)}, {"source": ids, "target": ids})


def test_looks_tell_how_many_pairs_are_significant_and_how_clear_they_are():
    z = np.random.default_rng(0).standard_normal((200, 200))
    synapses = np.random.default_rng(1).random(z.shape) < 0.05
    off = ~np.eye(200, dtype=bool)
    faint, clear = (result(np.where(synapses, size * z, z), synapses) for size in (5, 20))
    share = np.log(synapses[off].mean() + 0.001)
    assert look_at(faint)[0] == look_at(clear)[0] == pytest.approx(share)
    nothing = look_at(result(z, np.zeros_like(synapses)))
    assert nothing[0] == pytest.approx(np.log(0.001))
    assert np.log(2.5) <= nothing[1] < look_at(faint)[1] < look_at(clear)[1]


def test_looks_do_not_depend_on_the_unit_of_z_nor_on_silent_units():
    z = np.random.default_rng(0).standard_normal((60, 60)) ** 3
    mask = np.abs(z) > 5
    look = look_at(result(z, mask))
    assert look_at(result(7 * z, mask)) == pytest.approx(look)
    wider, wider_mask = np.zeros((80, 80)), np.zeros((80, 80), bool)
    wider[:60, :60], wider_mask[:60, :60] = z, mask
    assert look_at(result(wider, wider_mask)) == pytest.approx(look)
    assert np.isfinite(look_at(result(np.zeros((4, 4))))).all()


def scored(stand_in, seed):
    rng = np.random.default_rng(seed)
    truth = rng.random((30, 30)) < 0.2
    z = rng.standard_normal((30, 30)) + 4 * truth
    table = pd.DataFrame({"score": ["auroc"], "value": [0.9], "chance": [0.5]})
    found = result(z)
    weights = xr.DataArray(truth * 2.0, found["z"].coords, found["z"].dims)
    return judge(stand_in, found, weights, table), found["mask"].to_numpy(), truth


def test_precision_and_recall_are_of_the_mask_without_the_diagonal():
    one, mask, truth = scored(StandIn(network=NetworkParams(), duration_factor=1.0), 0)
    pairs = [(i, j) for i in range(30) for j in range(30) if i != j]
    hits = sum(mask[pair] and truth[pair] for pair in pairs)
    assert one.scores["precision"][0] == pytest.approx(hits / sum(mask[p] for p in pairs))
    assert one.scores["recall"][0] == pytest.approx(hits / sum(truth[p] for p in pairs))
    assert one.scores["auroc"] == (0.9, 0.5)
    assert np.isnan(one.scores["sign_accuracy"][0])


@pytest.mark.parametrize("n_networks", [6, 12])
def test_interval_holds_one_more_network_as_often_as_it_says(n_networks):
    rng = np.random.default_rng(3)
    n_held = 0
    for _ in range(1000):
        looks = rng.normal(size=(n_networks + 1, 2))
        y = 1 + looks @ [0.7, -0.3] + rng.normal(0, 0.5, n_networks + 1)
        values = 1 / (1 + np.exp(-y))
        _, low, high = foretell(looks[-1], looks[:-1], values[:-1], 0.9)
        n_held += low <= values[-1] <= high
    assert n_held / 1000 == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("n_found", [10, 40, 1000])
def test_interval_of_a_share_holds_however_few_it_is_a_share_of(n_found):
    """Networks have hundreds of discoveries, the recording fewer: chance varies its precision.

    Few have few possible shares, so that the interval holds more often than it says.
    """
    rng = np.random.default_rng(3)
    n_held = 0
    for _ in range(1000):
        looks = rng.normal(size=(11, 2))
        p = 1 / (1 + np.exp(-(1.5 + looks @ [0.5, -0.3] + rng.normal(0, 0.25, 11))))
        counts = rng.integers(200, 600, 10)
        values = rng.binomial(counts, p[:-1]) / counts
        _, low, high = foretell(looks[-1], looks[:-1], values, 0.9, list(counts), n_found)
        n_held += low <= rng.binomial(n_found, p[-1]) / n_found <= high
    assert n_held / 1000 > 0.87
    assert n_found < 1000 or n_held / 1000 < 0.95


def test_the_less_alike_the_wider():
    looks = np.random.default_rng(0).normal(size=(10, 2))
    values = 1 / (1 + np.exp(-looks[:, 0] - np.random.default_rng(1).normal(0, 0.3, 10)))
    near, far = (foretell(np.array([0.0, away]), looks, values, 0.9) for away in (0.0, 6.0))
    assert far[2] - far[1] > 2 * (near[2] - near[1])
    sure, unsure = (foretell(np.zeros(2), looks, values, coverage) for coverage in (0.5, 0.99))
    assert unsure[1] < sure[1] < sure[0] < sure[2] < unsure[2]


def test_what_too_few_networks_have_is_not_told():
    looks = np.random.default_rng(0).normal(size=(6, 2))
    values = np.array([0.9, 0.8, 0.7, np.nan, np.nan, np.nan])
    assert np.isnan(foretell(np.zeros(2), looks, values, 0.9)).all()
    assert foretell(np.zeros(2), looks, np.ones(6), 0.9)[2] == 1.0


def results(n_networks=6):
    networks = [NetworkParams(n_units=50, duration_s=60, seed=seed) for seed in range(n_networks)]
    return [
        scored(StandIn(network=network, duration_factor=factor), 10 * network.seed + int(factor))[0]
        for network in networks
        for factor in (1.0, 2.0)
    ]


def test_table_has_a_row_for_each_score_and_duration():
    table = foretell_scores(np.zeros(2), results(), 0.9)
    assert len(table) == 2 * len(SCORES)
    told = table[table["score"] == "precision"]
    assert (told["low"] < told["mean"]).all()
    assert (told["mean"] < told["high"]).all()
    assert table.set_index("score").loc["sign_accuracy", "n_networks"].tolist() == [0, 0]
    assert tabulate(results())["duration_factor"].tolist() == [1.0, 2.0] * 6


def state(measures=MEASURES, away=0.0):
    """State the assumptions for a result that looks as others do, or so far away from them."""
    params, found = ExpectationParams(observed_fraction=1.0), results()
    look = np.mean([one.look for one in found], axis=0) + away
    return " ".join(state_assumptions(measures, look, found, params))


def test_assumptions_are_stated():
    text = state()
    for words in ("6 networks", "5 Hz", "100 %", "connection probability 0.05 to 0.2", "Not match"):
        assert words in text
    imaged = replace(MEASURES, frame_rate_hz=30.0, tau_s=0.5, noise_sd=0.2, shared_sd=0.3)
    assert "imaged at 30 Hz with a decay of 0.5 s and noise of 0.2" in state(imaged)
    assert "vary together by 30 %" in state(imaged)


@pytest.mark.parametrize(
    ("measures", "away", "words"),
    [
        (replace(MEASURES, n_units=3000), 0.0, "smaller than the recording"),
        (replace(MEASURES, n_units=7), 0.0, "larger than the recording"),
        (replace(MEASURES, duration_s=9000.0), 0.0, "less than the recording's"),
        (MEASURES, 5.0, "looks unlike"),
    ],
)
def test_where_the_networks_differ_from_the_recording_it_says_so(measures, away, words):
    assert words in state(measures, away)
    assert words not in state()
