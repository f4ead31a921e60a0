"""Whether the accuracy that is foretold for a recording holds, on recordings whose truth is hidden.

Run ``python -m benchmarks.bench_expectation [n_recordings] [spikes|fluorescence] [first_seed]``.
Recordings are simulated with density, synaptic size and spread, inhibition, cell types, delays,
membranes and common drive drawn at random; the expectation knows none of it, only what it measures
of the recording, and which share of the units was observed. Then the truth is looked at: for each
score, how often the interval (90 %) holds the real one, how wide it is, and how far off its middle
lies; beside it, the interval of one that knows nothing but the networks. The second table is of
twice the duration.
"""

import math
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks._measure import measure, print_header, print_table
from connflow.binning import BinningParams, bin_spikes
from connflow.calcium import CalciumParams, simulate_calcium
from connflow.connectivity import (
    Activity,
    ConnectivityParams,
    infer_connectivity,
    spike_trains,
    traces,
)
from connflow.errors import InvalidInputError
from connflow.evaluation import EvaluationParams, evaluate
from connflow.expectation import (
    SCORES,
    ExpectationParams,
    Judged,
    Measures,
    StandIn,
    allow_for_regularity,
    choose_stand_ins,
    count_found,
    foretell,
    foretell_scores,
    judge,
    look_at,
    measure_fluorescence,
    measure_spikes,
)
from connflow.recording import SpikeRecording
from connflow.recording.network import NetworkParams, simulate_network

RATES_HZ = (0.3, 30.0)


def draw_hidden(seed: int, is_imaged: bool) -> StandIn:
    """Draw a recording that the expectation knows nothing of."""
    rng = np.random.default_rng(seed)
    n_seen, seen = int(rng.integers(60, 121)), float(rng.choice([1.0, 0.5, 0.25]))
    density = float(np.exp(rng.uniform(*np.log([0.05, 0.2]))))
    f = float(rng.uniform(0.7, 0.88))
    n_units = round(n_seen / seen)
    while True:
        network = NetworkParams(
            n_units=n_units,
            observed_fraction=seen,
            duration_s=round(float(rng.uniform(100, 300)), 1),
            seed=seed,
            excitatory_fraction=f,
            connection_probability=density,
            weight_mean_mv=0.8 * rng.uniform(0.5, 1.5) * math.sqrt(30 / (density * n_units)),
            weight_log_sd=float(rng.uniform(0.1, 0.9)),
            inhibition_factor=f / (1 - f) * float(rng.uniform(1.2, 2.3)),
            delay_min_s=0.0005,
            delay_max_s=round(float(rng.uniform(0.001, 0.006)), 4),
            tau_membrane_s=float(rng.uniform(0.012, 0.03)),
            external_rate_hz=float(rng.uniform(330, 700)),
            common_drive_sd=float(rng.choice([0, 0, rng.uniform(0.03, 0.15)])),
            common_drive_tau_s=float(np.exp(rng.uniform(*np.log([0.05, 1.0])))),
        )
        look = simulate_network(network.model_copy(update={"duration_s": 10.0}))
        if RATES_HZ[0] < len(look.spike_times) / look.n_units / 10 < RATES_HZ[1]:
            break
    if not is_imaged:
        return StandIn(network=network, duration_factor=1.0)
    return StandIn(
        network=network,
        duration_factor=1.0,
        frame_rate_hz=float(rng.choice([30.0, 50.0, 100.0])),
        tau_s=float(rng.uniform(0.15, 0.6)),
        noise_sd=float(rng.uniform(0.05, 0.5)),
    )


def image(recording: SpikeRecording, one: StandIn) -> np.ndarray[Any, Any]:
    """Return the fluorescence of spikes."""
    assert one.frame_rate_hz
    assert one.tau_s
    binning = BinningParams(bin_size_s=1 / one.frame_rate_hz)
    counts = np.concatenate([block for _, block in bin_spikes(recording, binning)])
    params = CalciumParams(tau_s=one.tau_s, noise_sd=one.noise_sd or 0.0, seed=one.network.seed)
    blocks = simulate_calcium(counts, binning.bin_size_s, params)
    return np.concatenate([block for _, block in blocks])


def observe(recording: SpikeRecording, one: StandIn) -> tuple[Measures, Activity]:
    """Measure a recording, and return what connectivity is inferred from."""
    if one.frame_rate_hz is None:
        return measure_spikes(recording), spike_trains(recording)
    fluorescence, rate_hz = image(recording, one), one.frame_rate_hz
    return measure_fluorescence(fluorescence, rate_hz), traces(fluorescence, 1 / rate_hz)


def infer(one: StandIn) -> tuple[Measures, xr.Dataset, Judged]:
    """Simulate a recording; measure it, infer its wiring, and judge that."""
    recording = simulate_network(one.network)
    measures, activity = observe(recording, one)
    method = "kernel_regression" if one.frame_rate_hz is None else "innovation_regression"
    params = ConnectivityParams.parse({"method": method})
    found = infer_connectivity(activity, recording.unit_ids, params)
    coords = {"source": recording.unit_ids, "target": recording.unit_ids}
    truth = xr.DataArray(recording.weights, coords, ("source", "target"))
    scores = evaluate(found, truth, EvaluationParams()).scores
    return measures, found, judge(one, found, truth, scores)


def check(seed: int, is_imaged: bool) -> pd.DataFrame:
    """Foretell the scores of one hidden recording, and compare them with the real ones."""
    hidden = draw_hidden(seed, is_imaged)
    network = hidden.network
    measures, found, real = infer(hidden)
    longer = network.model_copy(update={"duration_s": 2 * network.duration_s})
    truth = {1.0: real, 2.0: infer(hidden.model_copy(update={"network": longer}))[2]}
    params = ExpectationParams(observed_fraction=network.observed_fraction)
    measures = allow_for_regularity(measures, params)
    results = [result for one in choose_stand_ins(measures, params) for result in _judge(one)]
    table = foretell_scores(look_at(found), results, params.coverage, count_found(found))
    table["real"] = [truth[row.duration_factor].scores[row.score][0] for row in table.itertuples()]
    table[["low_unaware", "high_unaware"]] = [
        _unaware(results, row.duration_factor, row.score) for row in table.itertuples()
    ]
    print(
        f"{seed}: {measures.n_units} of {network.n_units} units, {measures.duration_s:.0f} s, "
        f"{measures.rate_hz:.2f} Hz, {100 * network.connection_probability:.0f} %: "
        + ", ".join(
            f"{row.score} {row.real:.3f} in [{row.low:.3f}, {row.high:.3f}]"
            for row in table.head(4).itertuples()
        ),
        flush=True,
    )
    return table


def _judge(one: StandIn) -> list[Judged]:
    """Judge the result on a stand-in; none where a step fails, as in the flow."""
    try:
        return [infer(one)[2]]
    except InvalidInputError as error:
        print(f"left out: {error}", flush=True)
        return []


def _unaware(results: list[Judged], factor: float, score: str) -> tuple[float, float]:
    values = [one.scores[score][0] for one in results if one.stand_in.duration_factor == factor]
    nothing = np.zeros((len(values), 0))
    _, low, high = foretell(nothing[0], nothing, np.array(values), ExpectationParams().coverage)
    return low, high


def main(n_recordings: int = 10, kind: str = "spikes", first_seed: int = 1000) -> None:
    """Check many recordings, and print a table for each duration."""
    print_header(f"expected accuracy of {n_recordings} hidden recordings of {kind}")
    seeds = range(first_seed, first_seed + n_recordings)
    tables, cost = measure(lambda: _check_all(seeds, kind == "fluorescence"))
    for factor, table in pd.concat(tables).groupby("duration_factor"):
        print(f"\n{factor:g} times the duration (all together took {cost.cpu_s:.0f} CPU s)")
        print_table(
            ("score", "holds", "width", "error of the mean", "unaware holds", "width"),
            [_row(name, table[table["score"] == name]) for name in SCORES],
        )


def _check_all(seeds: Sequence[int], is_imaged: bool) -> list[pd.DataFrame]:
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(partial(_check_if_possible, is_imaged=is_imaged), seeds))


def _check_if_possible(seed: int, is_imaged: bool) -> pd.DataFrame:
    """Check one recording; no row where its wiring cannot be inferred at all."""
    try:
        return check(seed, is_imaged)
    except InvalidInputError as error:
        print(f"{seed} is not counted: {error}", flush=True)
        return pd.DataFrame()


def _row(name: str, rows: pd.DataFrame) -> tuple[str, ...]:
    rows = rows.dropna(subset=["real", "low"])
    cells = []
    for suffix in ("", "_unaware"):
        low, high = rows[f"low{suffix}"], rows[f"high{suffix}"]
        held = ((low <= rows["real"]) & (rows["real"] <= high)).sum()
        cells += [f"{held} of {len(rows)}", f"{(high - low).median():.3f}"]
    error = (rows["mean"] - rows["real"]).abs().median()
    return (name, *cells[:2], f"{error:.3f}", *cells[2:])


if __name__ == "__main__":
    main(*(int(text) if text.isdigit() else text for text in sys.argv[1:]))
