"""Expected accuracy beside a real result: the same steps on networks that stand in for it."""

from pathlib import Path

import numpy as np
import pytest

from connflow.binning import BinningParams, bin_spikes
from connflow.calcium import CalciumParams, simulate_calcium
from connflow.errors import InvalidInputError
from connflow.expectation import SCORES
from connflow.recording.network import NetworkParams, simulate_network
from connflow.store import Store
from flows.connectivity import ConnectivityFlowParams, infer_connectivity
from flows.running.plan import plan_flow
from flows.running.run import listening

pytestmark = pytest.mark.usefixtures("prefect_server")

NETWORK = NetworkParams(n_units=30, duration_s=40, connection_probability=0.15, seed=50)
QUICK = {"n_networks": 5, "observed_fraction": 1.0}
STEPS = ["recording", "connectivity", "matching", "expectation", "report"]


@pytest.fixture(scope="module")
def recorded():
    return simulate_network(NETWORK)


@pytest.fixture
def hidden(recorded, tmp_path):
    """The spikes of a network, without its wiring."""
    path = tmp_path / "hidden.npz"
    np.savez(
        path,
        spike_times=recorded.spike_times,
        spike_units=recorded.spike_units,
        unit_ids=recorded.unit_ids,
        t_start=0.0,
        t_stop=recorded.t_stop,
    )
    return str(path)


@pytest.fixture
def imaged(recorded, tmp_path):
    """The fluorescence of the network, without its wiring."""
    blocks = bin_spikes(recorded, BinningParams(bin_size_s=0.02))
    counts = np.concatenate([block for _, block in blocks])
    params = CalciumParams(tau_s=0.3, noise_sd=0.1)
    traces = np.concatenate([block for _, block in simulate_calcium(counts, 0.02, params)])
    path = tmp_path / "imaged.npz"
    np.savez(path, fluorescence=traces, frame_rate_hz=50.0)
    return str(path)


def arguments(recording, store, params=None, **expectation):
    params = {"expectation": {**QUICK, **expectation}, **(params or {})}
    values = {"recording": recording, "params": ConnectivityFlowParams.parse(params)}
    return values | {"store": store}


def run(recording, store, params=None, *, drop_intermediate=False, **expectation):
    states = {}
    with listening(lambda step, state: states.update({step: state})):
        result = infer_connectivity(
            **arguments(recording, store, params, **expectation),
            drop_intermediate=drop_intermediate,
        )
    return result, states


def test_unknown_wiring_gets_an_expectation(store, hidden):
    params = {"connectivity": {"ridge": 0.01, "false_discovery_rate": 0.1}}
    result, states = run(hidden, store, params)
    assert list(result.refs) == STEPS
    assert states == dict.fromkeys(STEPS, "Completed")
    table = result.open("expectation")
    assert set(table["score"]) == set(SCORES)
    assert set(table["duration_factor"]) == {1.0, 2.0}
    told = table.dropna(subset=["mean"])
    assert (told["low"] <= told["mean"]).all()
    assert (told["mean"] <= told["high"]).all()
    page = Path(result.report).read_text()
    for words in (
        "What such a result is worth",
        "On data like yours",
        "Twice the duration",
        "100 %",
    ):
        assert words in page
    stand_ins = result.store.read_table(result.refs["expectation"], "stand_ins")
    assert len(stand_ins) == 10

    kept = Store(store)
    of_all = [kept.manifest(ref).params for ref in kept.list_refs("connectivity")]
    assert len(of_all) == 11
    assert all(one == of_all[0] for one in of_all)
    assert of_all[0]["ridge"] == 0.01

    again, states = run(hidden, store, params)
    assert states == dict.fromkeys(STEPS, "Cached")
    assert again.refs == result.refs


def test_known_wiring_needs_none_unless_it_is_asked_for(store):
    result, _ = run(NETWORK, store)
    assert "expectation" not in result.refs
    assert "What such a result" not in Path(result.report).read_text()
    asked = plan_flow(infer_connectivity, **arguments(NETWORK, store, when="always"))
    assert [step.ref.step for step in asked.steps][-2:] == ["evaluation", "matching"]
    never = plan_flow(infer_connectivity, **arguments(NETWORK, store, when="never"))
    assert [step.ref.step for step in never.steps][-1] == "report"


def test_what_auto_came_to_is_used_for_the_stand_ins(store, imaged):
    result, _ = run(imaged, store, duration_factors=[1.0], drop_intermediate=True)
    assert {"regime", "connectivity", "expectation"} <= set(result.refs)
    kept = Store(store)
    assert len(kept.list_refs("regime")) == 1
    keys = kept.find(step="connectivity")["key"]
    params = [kept_params(kept, "connectivity", key) for key in keys]
    assert len(params) == 6
    assert all(one == params[0] for one in params)
    assert params[0]["method"] != "auto"
    for step in ("binning", "calcium", "deconvolution"):
        assert kept.list_refs(step) == []
    dyes = [kept_params(kept, "calcium", key) for key in kept.find(step="calcium")["key"]]
    assert len(dyes) == 5
    assert dyes[0]["tau_s"] == pytest.approx(0.3, rel=0.2)
    assert dyes[0]["noise_sd"] == pytest.approx(0.1, rel=0.6)


def kept_params(store, step, key):
    from connflow.store import ArtifactRef
    from connflow.store.lineage import recorded as provenance

    return provenance(store, ArtifactRef(step=step, key=key)).params


def test_plan_ends_where_the_networks_are_not_known_yet(store, hidden):
    plan = plan_flow(infer_connectivity, **arguments(hidden, store))
    assert [step.ref.step for step in plan.steps] == ["recording", "connectivity", "matching"]
    assert plan.undecided == "matching"
    result, _ = run(hidden, store, duration_factors=[1.0])
    plan = plan_flow(infer_connectivity, **arguments(hidden, store, duration_factors=[1.0]))
    assert plan.undecided is None
    assert set(result.refs.values()) <= {step.ref for step in plan.steps}
    assert all(step.foresight.reason is None for step in plan.steps)


def test_network_on_which_a_step_fails_is_left_out(store, hidden, monkeypatch):
    from connflow import evaluation

    evaluate, calls = evaluation.evaluate, []

    def fail_once(*args):
        calls.append(args)
        if len(calls) == 1:
            raise InvalidInputError("no synapse among these units")
        return evaluate(*args)

    monkeypatch.setattr("connflow.evaluation.evaluate", fail_once, raising=False)
    result, states = run(hidden, store, duration_factors=[1.0])
    assert len(calls) == 5
    assert states["expectation"] == "Completed"
    assert len(result.store.read_table(result.refs["expectation"], "stand_ins")) == 4
    assert "On 1 of 5 networks a step failed" in Path(result.report).read_text()


def test_recording_that_no_network_is_like_has_no_expectation(store, tmp_path):
    path = tmp_path / "noise.npz"
    noise = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    np.savez(path, fluorescence=np.log(np.abs(noise) + 0.1), frame_rate_hz=30.0)
    params = {"deconvolution": {"method": "savgol", "tau_s": 0.3}}
    params["connectivity"] = {"method": "kernel_regression"}
    result, _ = run(str(path), store, params)
    assert "matching" in result.refs
    assert "expectation" not in result.refs
    assert Path(result.report).exists()
