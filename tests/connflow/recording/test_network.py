"""The simulated network: what it draws, what it computes, and that NEST computes the same."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata

from connflow.errors import InvalidInputError
from connflow.progress import reporting_to
from connflow.recording._lif import (
    Drive,
    Membrane,
    Synapses,
    advance,
    initial_state,
    most_spikes,
)
from connflow.recording.model import SpikeRecording
from connflow.recording.network import (
    TIME_STEP_S,
    NetworkParams,
    draw_synapses,
    generate_drive,
    membrane_of,
    simulate_network,
    weight_matrix,
)

SMALL = NetworkParams(n_units=60, duration_s=3.0)
Spikes = list[tuple[int, int]]


# --- randomness ---------------------------------------------------------------------------------


def test_same_seed_gives_same_bytes() -> None:
    one, two = simulate_network(SMALL), simulate_network(SMALL)
    assert one.spike_times.tobytes() == two.spike_times.tobytes()
    assert one.spike_units.tobytes() == two.spike_units.tobytes()
    assert weights_of(one).tobytes() == weights_of(two).tobytes()


def test_other_seed_gives_other_wiring_and_other_spikes() -> None:
    one, two = simulate_network(SMALL), simulate_network(SMALL.model_copy(update={"seed": 1}))
    assert not np.array_equal(weights_of(one), weights_of(two))
    assert not np.array_equal(one.spike_times[:50], two.spike_times[:50])


@pytest.mark.parametrize("duration_s", [0.0001, 0.5, 1.0, 2.3456])
def test_shorter_run_is_the_first_part_of_a_longer_one(duration_s: float) -> None:
    long = simulate_network(SMALL)
    short = simulate_network(SMALL.model_copy(update={"duration_s": duration_s}))
    n_spikes = np.searchsorted(long.spike_times, duration_s)
    np.testing.assert_array_equal(short.spike_times, long.spike_times[:n_spikes])
    np.testing.assert_array_equal(short.spike_units, long.spike_units[:n_spikes])
    np.testing.assert_array_equal(weights_of(short), weights_of(long))


def test_warmup_only_moves_the_start() -> None:
    whole = simulate_network(SMALL.model_copy(update={"warmup_s": 0.0}))
    late = simulate_network(SMALL.model_copy(update={"warmup_s": 1.2, "duration_s": 1.8}))
    after = whole.spike_times >= 1.2
    steps = np.round(whole.spike_times[after] / TIME_STEP_S).astype(int) - 12_000
    np.testing.assert_array_equal(late.spike_times, steps / 10_000)
    np.testing.assert_array_equal(late.spike_units, whole.spike_units[after])


def test_delays_are_drawn_apart_from_the_wiring() -> None:
    one = draw_synapses(SMALL)
    two = draw_synapses(SMALL.model_copy(update={"delay_max_s": 0.01}))
    np.testing.assert_array_equal(weight_matrix(one), weight_matrix(two))


# --- the recording ------------------------------------------------------------------------------


def test_recording_is_on_the_grid_in_order_and_inside_its_interval() -> None:
    recording = simulate_network(SMALL)
    steps = np.round(recording.spike_times * 10_000).astype(np.int64)
    np.testing.assert_array_equal(recording.spike_times, steps / 10_000)
    assert (np.diff(recording.spike_times) >= 0).all()
    assert (recording.t_start, recording.t_stop) == (0.0, 3.0)
    assert recording.spike_times[0] >= 0
    assert recording.spike_times[-1] < 3.0
    assert recording.spike_times.dtype == np.float64
    assert recording.spike_units.dtype == np.int32


def test_no_unit_fires_within_its_refractory_time() -> None:
    recording = simulate_network(SMALL)
    for unit in range(SMALL.n_units):
        steps = np.round(recording.spike_times[recording.spike_units == unit] * 10_000)
        assert np.diff(steps).min() > 20


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    with reporting_to(seen.append):
        simulate_network(SMALL)
    assert seen == [0.25, 0.5, 0.75, 1.0]


# --- the wiring ---------------------------------------------------------------------------------


def test_weights_obey_dale_and_leave_out_the_diagonal() -> None:
    recording = simulate_network(NetworkParams(n_units=100, duration_s=0.1))
    weights, excitatory = weights_of(recording), recording.units["cell_type"] == "excitatory"
    assert excitatory.sum() == 80
    assert (weights[excitatory] >= 0).all()
    assert (weights[~excitatory] <= 0).all()
    assert not weights.diagonal().any()


def test_wiring_has_the_density_weights_and_delays_that_were_asked_for() -> None:
    params = NetworkParams(n_units=600, connection_probability=0.2, weight_log_sd=0.5)
    synapses = draw_synapses(params)
    n_pairs, n_synapses = 600 * 599, len(synapses.targets)
    assert n_synapses == pytest.approx(0.2 * n_pairs, abs=4 * np.sqrt(n_pairs * 0.16))
    positive = synapses.weights[synapses.weights > 0]
    assert positive.mean() == pytest.approx(0.8, rel=0.02)
    assert np.log(positive).std() == pytest.approx(0.5, rel=0.02)
    assert synapses.weights[synapses.weights < 0].mean() == pytest.approx(-5.6, rel=0.02)
    delays, counts = np.unique(synapses.delay_steps, return_counts=True)
    np.testing.assert_array_equal(delays, np.arange(10, 31))
    assert abs(counts / n_synapses * 21 - 1).max() < 0.08


def test_weight_matrix_holds_the_simulated_weights_by_source_and_target() -> None:
    synapses = Synapses(
        np.array([0, 1, 1, 3]), np.array([2, 0, 1], np.int32), np.array([0.5, -1.0, -2.0]),
        np.array([1, 2, 3], np.int32),
    )  # fmt: skip
    expected = [[0, 0, 0.5], [0, 0, 0], [-1.0, -2.0, 0]]
    np.testing.assert_array_equal(weight_matrix(synapses), np.array(expected, np.float32))


# --- the arithmetic -----------------------------------------------------------------------------


def simulate_plainly(
    membrane: Membrane, synapses: Synapses, events: list[NDArray[np.int32]], event_mv: float
) -> Spikes:
    """Simulate the same model without ring buffer, vectors or numba: the oracle of these tests."""
    n_units = len(synapses.starts) - 1
    arriving: dict[tuple[int, int], float] = defaultdict(float)
    potential, last_spike = [0.0] * n_units, [-(10**9)] * n_units
    spikes: Spikes = []
    for step, targets in enumerate(events):
        for target in targets:
            arriving[step, int(target)] += event_mv
        for i in range(n_units):
            potential[i] = potential[i] * membrane.decay + arriving[step, i]
            if step - last_spike[i] <= membrane.refractory_steps:
                potential[i] = membrane.reset
            if potential[i] < membrane.threshold:
                continue
            potential[i], last_spike[i] = membrane.reset, step
            spikes.append((step, i))
            for s in range(synapses.starts[i], synapses.starts[i + 1]):
                at = step + int(synapses.delay_steps[s])
                arriving[at, int(synapses.targets[s])] += synapses.weights[s]
    return spikes


def run_kernel(params: NetworkParams, synapses: Synapses, pieces: list[Drive]) -> Spikes:
    """Run the kernel over these pieces of drive."""
    membrane = membrane_of(params)
    state = initial_state(params.n_units, int(synapses.delay_steps.max(initial=1)))
    spikes, step = [], 0
    for drive in pieces:
        room = most_spikes(params.n_units, len(drive.counts), membrane.refractory_steps)
        steps, units = np.empty(room, np.int64), np.empty(room, np.int32)
        n_spikes = advance(membrane, synapses, state, drive, step, steps, units)
        spikes += list(zip(steps[:n_spikes].tolist(), units[:n_spikes].tolist(), strict=True))
        step += len(drive.counts)
    return spikes


def events_by_step(drive: Drive) -> list[NDArray[np.int32]]:
    """Return the units that the external events of each step meet."""
    return np.split(drive.targets, np.cumsum(drive.counts)[:-1])


@pytest.mark.parametrize(
    "changes",
    [
        {"n_units": 2, "connection_probability": 1.0, "excitatory_fraction": 0.5},
        {"n_units": 3, "connection_probability": 1.0, "weight_mean_mv": 3.0},
        {"n_units": 3, "connection_probability": 1.0, "weight_mean_mv": 11.0, "reset_mv": 0.0},
        {"n_units": 8, "connection_probability": 0.5, "delay_min_s": 0.0001, "delay_max_s": 0.001},
        {"n_units": 5, "refractory_s": 0.0001, "connection_probability": 0.8, "delay_max_s": 0.05},
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_kernel_equals_plain_python(changes: dict[str, Any], seed: int) -> None:
    params = NetworkParams(
        seed=seed, duration_s=0.5, warmup_s=0.0, external_rate_hz=400, external_weight_mv=4.0
    ).model_copy(update=changes)
    synapses, pieces = draw_synapses(params), list(generate_drive(params))
    expected = simulate_plainly(membrane_of(params), synapses, events_by_step(pieces[0]), 4.0)
    assert len(expected) > 20
    assert run_kernel(params, synapses, pieces) == expected


def test_pieces_of_any_length_give_the_same_spikes() -> None:
    params = SMALL.model_copy(update={"warmup_s": 0.0, "duration_s": 1.0})
    synapses, (whole,) = draw_synapses(params), generate_drive(params)
    events = np.concatenate(([0], np.cumsum(whole.counts)))
    edges = [0, 1, 8, 500, 501, 9_000, 10_000]
    pieces = [
        Drive(whole.counts[a:b], whole.targets[events[a] : events[b]], whole.weight)
        for a, b in pairwise(edges)
    ]
    expected = run_kernel(params, synapses, [whole])
    assert len(expected) > 100
    assert run_kernel(params, synapses, pieces) == expected


def test_potential_below_threshold_has_the_mean_and_variance_of_shot_noise() -> None:
    """``mean = rate dt w / (1 - P)``, ``variance = rate dt w^2 / (1 - P^2)``, P the decay."""
    params = NetworkParams(
        n_units=2_000, duration_s=4.0, warmup_s=0.0, connection_probability=0.0, threshold_mv=1e6
    )
    membrane, synapses = membrane_of(params), draw_synapses(params)
    state, samples = initial_state(params.n_units, 30), []
    for drive in generate_drive(params):
        none = np.empty(0, np.int64)
        assert advance(membrane, synapses, state, drive, 0, none, none.astype(np.int32)) == 0
        samples.append(state.potential.copy())
    potential, rate, w, p = np.concatenate(samples), 500 * TIME_STEP_S, 1.4, membrane.decay
    sd = w * np.sqrt(rate / (1 - p**2))
    assert potential.mean() == pytest.approx(rate * w / (1 - p), abs=4 * sd / np.sqrt(8_000))
    assert potential.std() == pytest.approx(sd, rel=4 / np.sqrt(2 * 8_000))


# --- the state of the network -------------------------------------------------------------------


def describe(recording: SpikeRecording) -> dict[str, float]:
    """Return mean rate, its spread over units, mean CV of intervals, mean correlation (5 ms)."""
    n_units, n_bins = recording.n_units, int(recording.duration_s / 0.005)
    rates = np.bincount(recording.spike_units, minlength=n_units) / recording.duration_s
    trains = [recording.spike_times[recording.spike_units == i] for i in range(n_units)]
    intervals = [np.diff(train) for train in trains if len(train) > 20]
    bins = np.round(recording.spike_times * 10_000).astype(np.int64) // 50
    counts = np.zeros((n_bins, n_units), np.float32)
    np.add.at(counts, (bins, recording.spike_units), 1)
    correlation = np.asarray(np.corrcoef(counts[:, rates > 0.5].T))
    return {
        "rate": float(rates.mean()),
        "spread": float(rates.std()),
        "cv": float(np.mean([d.std() / d.mean() for d in intervals])),
        "correlation": float(correlation[np.triu_indices_from(correlation, 1)].mean()),
    }


@pytest.mark.parametrize(("n_units", "duration_s"), [(100, 30.0), (300, 30.0), (1000, 15.0)])
def test_defaults_fire_asynchronously_and_irregularly(n_units: int, duration_s: float) -> None:
    found = describe(simulate_network(NetworkParams(n_units=n_units, duration_s=duration_s)))
    assert 4 < found["rate"] < 8
    assert found["spread"] > 0.15 * found["rate"]
    assert 0.7 < found["cv"] < 1.1
    assert abs(found["correlation"]) < (0.01 if n_units < 1000 else 0.035)


def test_synapses_can_be_read_back_from_the_spikes() -> None:
    recording = simulate_network(NetworkParams(n_units=100, duration_s=300.0))
    n_bins, pairs = 300_000, ~np.eye(100, dtype=bool)
    bins = np.round(recording.spike_times * 10_000).astype(np.int64) // 10
    spikes = np.zeros((n_bins, 100), np.float32)
    spikes[bins, recording.spike_units] = 1
    spikes -= spikes.mean(0)
    recent = np.sum([spikes[10 - lag : -lag] for lag in range(1, 11)], axis=0)
    inverse = np.linalg.inv(recent.T @ recent)
    z = (inverse @ (recent.T @ spikes[10:])) / np.sqrt(np.outer(inverse.diagonal(), spikes.var(0)))
    connected = weights_of(recording)[pairs] != 0
    assert area_under_roc(abs(z)[pairs], connected) > 0.95
    assert area_under_roc(abs(z.T)[pairs], connected) == pytest.approx(0.5, abs=0.05)


def area_under_roc(score: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Return the probability that a true pair scores above a false one."""
    n_true = truth.sum()
    excess = rankdata(score)[truth].sum() - n_true * (n_true + 1) / 2
    return float(excess / n_true / (~truth).sum())


# --- NEST ---------------------------------------------------------------------------------------


def import_nest() -> Any:
    """Import NEST, fresh and quiet, or skip."""
    nest = pytest.importorskip(
        "nest", reason="NEST is absent: the comparison of our simulator with NEST is NOT made"
    )
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = 0.1
    return nest


def build_nest_network(nest: Any, params: NetworkParams) -> tuple[Any, Any]:
    """Build the network of `params` in NEST, without drive; return its units and recorder."""
    membrane, synapses = membrane_of(params), draw_synapses(params)
    model = {"tau_m": 20.0, "C_m": 1.0, "E_L": 0.0, "V_m": 0.0, "t_ref": 2.0}
    model |= {"V_th": membrane.threshold, "V_reset": membrane.reset}
    units = nest.Create("iaf_psc_delta", params.n_units, model)
    sources = np.repeat(np.arange(params.n_units), np.diff(synapses.starts)) + 1
    connection = {"weight": synapses.weights, "delay": np.round(synapses.delay_steps * 0.1, 1)}
    nest.Connect(sources, synapses.targets + 1, "one_to_one", connection)
    recorder = nest.Create("spike_recorder")
    nest.Connect(units, recorder)
    return units, recorder


def read_nest_spikes(recorder: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return steps (NEST's own count) and units of the spikes, by step, then by unit."""
    events = recorder.events
    steps, units = np.round(events["times"] * 10).astype(np.int64), events["senders"] - 1
    order = np.lexsort((units, steps))
    return steps[order], units[order]


def test_nest_with_the_same_drive_gives_the_same_spikes() -> None:
    nest = import_nest()
    params = NetworkParams(n_units=200, duration_s=3.0, warmup_s=0.0)
    units, recorder = build_nest_network(nest, params)
    drive = [targets for piece in generate_drive(params) for targets in events_by_step(piece)]
    steps = np.repeat(np.arange(len(drive)), [len(targets) for targets in drive])
    hit = np.concatenate(drive)
    for i in range(params.n_units):
        at, how_often = np.unique(steps[hit == i], return_counts=True)
        # NEST counts steps from 1, and its generator needs one step to reach the unit
        events = {"spike_times": np.round((at + 1) * 0.1, 1), "spike_multiplicities": how_often}
        generator = nest.Create("spike_generator", params=events)
        nest.Connect(generator, units[i], syn_spec={"weight": 1.4, "delay": 0.1})
    nest.Simulate(3_000.1)  # our last step is number 30 001 there
    nest_steps, nest_units = read_nest_spikes(recorder)
    ours = simulate_network(params)
    assert len(nest_steps) > 2_000
    np.testing.assert_array_equal(ours.spike_times, (nest_steps - 2) / 10_000)
    np.testing.assert_array_equal(ours.spike_units, nest_units)


def test_nest_with_its_own_drive_gives_the_same_statistics() -> None:
    nest = import_nest()
    params = NetworkParams(n_units=250, duration_s=25.0)
    units, recorder = build_nest_network(nest, params)
    drive = nest.Create("poisson_generator", params={"rate": params.external_rate_hz})
    nest.Connect(drive, units, syn_spec={"weight": params.external_weight_mv, "delay": 0.1})
    nest.Simulate(26_000.0)
    steps, nest_units = read_nest_spikes(recorder)
    late = steps > 10_000
    ours = simulate_network(params)
    theirs = SpikeRecording(
        (steps[late] - 10_001) / 10_000, nest_units[late].astype(np.int32), ours.units, 0.0, 25.0
    )
    a, b = describe(ours), describe(theirs)
    assert a["rate"] == pytest.approx(b["rate"], rel=0.03)
    assert a["spread"] == pytest.approx(b["spread"], rel=0.1)
    assert a["cv"] == pytest.approx(b["cv"], abs=0.03)
    assert a["correlation"] == pytest.approx(b["correlation"], abs=0.0015)


# --- validation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_units": 1}, "n_units"),
        ({"excitatory_fraction": 1.5}, "excitatory_fraction"),
        ({"connection_probability": -0.1}, "connection_probability"),
        ({"delay_min_s": 0.00005}, "delay_min_s"),
        ({"delay_min_s": 0.00105}, "delay_min_s must be a multiple"),
        ({"delay_min_s": 0.004}, "delay_max_s must be at least"),
        ({"reset_mv": 20.0}, "reset_mv must be below"),
        ({"duration_s": 0.0}, "duration_s"),
        ({"duration_s": 1.00003}, "duration_s must be a multiple"),
        ({"refractory_s": 0.0}, "refractory_s"),
        ({"weight_mv": 1.0}, "there is no such parameter"),
    ],
)
def test_impossible_parameters_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        NetworkParams.parse(changes)


def weights_of(recording: SpikeRecording) -> NDArray[np.float32]:
    """Return the true weights, which a simulated recording always has."""
    assert recording.weights is not None
    return recording.weights
