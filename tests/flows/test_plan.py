"""Knowing before running, repairing, and dropping what is in between."""

import logging
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from connflow.errors import ArtifactDamagedError
from connflow.recording.network import NetworkParams
from connflow.store import Store
from flows.cli import app
from flows.connectivity import ConnectivityFlowParams, infer_connectivity
from flows.running.plan import plan_flow, remove_damaged
from flows.running.run import listening

pytestmark = pytest.mark.usefixtures("prefect_server")

NETWORK = NetworkParams(n_units=20, duration_s=20, connection_probability=0.25)
STEPS = ["recording", "binning", "calcium", "deconvolution", "connectivity", "evaluation", "report"]


def arguments(store, recording=NETWORK, **params):
    params = {"path": "calcium", "deconvolution": {"tau_s": 0.1}, "connectivity": {}} | params
    for step, method in (("deconvolution", "savgol"), ("connectivity", "kernel_regression")):
        params[step] = {"method": method} | params[step]
    values = {"recording": recording, "params": ConnectivityFlowParams.parse(params)}
    return values | {"store": store}


def run(store, **options):
    states = {}
    with listening(lambda step, state: states.update({step: state})):
        result = infer_connectivity(**arguments(store, **options))
    return result, states


def reasons(plan):
    return {step.ref.step: step.foresight.reason for step in plan.steps}


def test_plan_of_an_empty_store_runs_everything_and_makes_nothing(store):
    plan = plan_flow(infer_connectivity, **arguments(store))
    assert list(reasons(plan)) == STEPS
    assert reasons(plan)["binning"] == "the store holds no binning"
    assert not Path(store).exists()


def test_plan_ends_where_the_way_depends_on_what_a_step_finds(store):
    auto = arguments(store, connectivity={"method": "auto"})
    plan = plan_flow(infer_connectivity, **auto)
    assert list(reasons(plan)) == [*STEPS[:3], "regime"]
    assert plan.undecided == "regime"
    infer_connectivity(**auto)
    again = plan_flow(infer_connectivity, **auto)
    assert again.undecided is None
    assert reasons(again) == dict.fromkeys([*STEPS[:3], "regime", *STEPS[3:]])


def test_plan_names_exactly_what_the_run_then_makes(store):
    plan = plan_flow(infer_connectivity, **arguments(store))
    result, states = run(store)
    assert {step.ref.step: step.ref for step in plan.steps} == dict(result.refs)
    assert set(states.values()) == {"Completed"}
    again = plan_flow(infer_connectivity, **arguments(store))
    assert reasons(again) == dict.fromkeys(STEPS)
    assert again.wall_time_s == 0


def test_reason_is_the_changed_parameter_then_the_changed_input(store):
    run(store)
    plan = plan_flow(infer_connectivity, **arguments(store, connectivity={"ridge": 0.5}))
    found = reasons(plan)
    assert found["connectivity"] == "connectivity.ridge is 0.5, not 0.001"
    assert found["evaluation"] == "its connectivity is another"
    assert [step for step, reason in found.items() if reason is None] == STEPS[:4]
    (step,) = [step for step in plan.steps if step.ref.step == "connectivity"]
    assert step.foresight.wall_time_s > 0
    assert step.foresight.size_bytes > 1000
    assert plan.wall_time_s > 0


def test_reason_of_a_changed_or_removed_recording(store, spike_file):
    options = {"recording": spike_file, "path": "spikes", "expectation": {"when": "never"}}
    result, _ = run(store, **options)
    with np.load(spike_file) as file:
        arrays = dict(file)
    np.savez(spike_file, **arrays | {"t_stop": 21.0})
    found = reasons(plan_flow(infer_connectivity, **arguments(store, **options)))
    assert found["recording"] == f"the content of {spike_file} is another"
    np.savez(spike_file, **arrays)
    Store(store).delete(result.refs["connectivity"])
    found = reasons(plan_flow(infer_connectivity, **arguments(store, **options)))
    assert found["connectivity"] == "the store holds no connectivity"


def test_same_reason_stands_in_the_log(store, caplog):
    run(store)
    with caplog.at_level(logging.INFO, logger="prefect.task_runs"):
        run(store, connectivity={"ridge": 0.5})
    assert "running, because connectivity.ridge is 0.5, not 0.001" in caplog.text


def damage(store, ref):
    chunk = max(Path(Store(store).path(ref)).rglob("c/*/*"), key=lambda path: path.stat().st_size)
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)


def test_damaged_input_is_never_used_and_repair_makes_it_anew(store):
    result, _ = run(store)
    damage(store, result.refs["calcium"])
    with pytest.raises(ArtifactDamagedError, match="--repair"):
        run(store, deconvolution={"tau_s": 0.2})
    plan = plan_flow(infer_connectivity, **arguments(store, deconvolution={"tau_s": 0.2}))
    assert list(remove_damaged(plan)) == [result.refs["calcium"]]
    _, states = run(store, deconvolution={"tau_s": 0.2})
    assert states["binning"] == "Cached"
    assert states["calcium"] == states["deconvolution"] == "Completed"
    assert Store(store).verify(result.refs["calcium"]) == []


def test_dropped_bytes_leave_their_records(store):
    result = infer_connectivity(**arguments(store), drop_intermediate=True)
    kept = Store(store)
    assert {ref.step for ref in kept.list_refs()} == set(STEPS) - {
        "binning",
        "calcium",
        "deconvolution",
    }
    table = kept.find(step="calcium")
    assert table["is_dropped"].tolist() == [True]
    assert table["key"].tolist() == [result.refs["calcium"].key]
    plan = plan_flow(infer_connectivity, **arguments(store))
    assert reasons(plan)["calcium"] == "its bytes were dropped"
    _, states = run(store)
    assert states["calcium"] == "Completed"
    assert states["connectivity"] == "Cached"
    assert kept.exists(result.refs["calcium"])


def test_plan_and_repair_from_the_command_line(store):
    def call(*extra):
        small = ["--set", "network.n_units=20", "--set", "network.duration_s=20"]
        return CliRunner().invoke(app, ["run", "connectivity", "--store", store, *small, *extra])

    planned = call("--plan")
    assert planned.exit_code == 0
    assert "will run because" in planned.stdout
    assert not Path(store).exists()
    assert call().exit_code == 0
    assert "0 of 4 steps will run" in call("--plan").stdout
    (ref,) = Store(store).list_refs("connectivity")
    damage(store, ref)
    repaired = call("--repair")
    assert repaired.exit_code == 0, repaired.output
    assert "damaged, made anew" in repaired.stderr
    assert Store(store).verify(ref) == []
