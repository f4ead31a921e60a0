"""The connectivity flow: its paths, its cache, its answer to bad input."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from connflow.binning import BinningParams
from connflow.connectivity import ConnectivityParams
from connflow.errors import ConnflowError, StoreError
from connflow.recording.network import NetworkParams
from connflow.store import Store
from flows.connectivity import ConnectivityFlowParams, infer_connectivity
from flows.running.run import listening

pytestmark = pytest.mark.usefixtures("prefect_server")

NETWORK = NetworkParams(n_units=40, duration_s=30, connection_probability=0.25, seed=1)
DIRECT = ["recording", "connectivity", "evaluation", "report"]
IMAGED = ["recording", "binning", "calcium", "regime", "deconvolution", *DIRECT[1:]]
QUIET = {"expectation": {"when": "never"}}


def run(recording, store, params=None, **options):
    """Run the flow; return its result and the state each step ended in."""
    states = {}
    with listening(lambda step, state: states.update({step: state})):
        result = infer_connectivity(
            recording, ConnectivityFlowParams.parse(QUIET | (params or {})), store=store, **options
        )
    return result, states


def everything(steps, state):
    return dict.fromkeys(steps, state)


@pytest.mark.parametrize(("path", "steps"), [("spikes", DIRECT), ("calcium", IMAGED)])
def test_simulated_network(store, path, steps):
    result, states = run(NETWORK, store, {"path": path, "binning": {"bin_size_s": 0.002}})
    assert states == everything(steps, "Completed")
    assert list(result.refs) == steps
    connectivity = result.open("connectivity")
    assert isinstance(connectivity, xr.Dataset)
    assert connectivity["weight"].dims == connectivity["z"].dims == ("source", "target")
    scores = result.open("evaluation")
    assert isinstance(scores, pd.DataFrame)
    assert scores.set_index("score").loc["auroc", "value"] > 0.65
    page = Path(result.report).read_text()
    assert page.lower().startswith("<!doctype html>")
    assert result.refs["connectivity"].key in page


def test_second_run_is_cached_and_a_change_recomputes_what_follows(store):
    run(NETWORK, store)
    assert run(NETWORK, store)[1] == everything(DIRECT, "Cached")
    result, states = run(NETWORK, store, {"connectivity": {"ridge": 0.1}})
    assert states == {
        "recording": "Cached",
        "connectivity": "Completed",
        "evaluation": "Completed",
        "report": "Completed",
    }
    assert result.open("connectivity").attrs["ridge"] == 0.1


def test_deleted_artifact_is_made_again(store):
    first, _ = run(NETWORK, store)
    before = first.open("connectivity").load()
    shutil.rmtree(first.path("connectivity"))
    second, states = run(NETWORK, store)
    assert states == everything(DIRECT, "Cached") | {"connectivity": "Completed"}
    assert second.open("connectivity").load().identical(before)


def test_moved_store_is_still_cached(store, tmp_path):
    run(NETWORK, store)
    moved = str(tmp_path / "elsewhere")
    Path(store).rename(moved)
    result, states = run(NETWORK, moved)
    assert states == everything(DIRECT, "Cached")
    assert result.report.startswith(moved)


def test_recording_can_be_an_artifact(store):
    first, _ = run(NETWORK, store)
    result, states = run(first.refs["recording"], store)
    assert states == everything(DIRECT[1:], "Cached")
    assert result.refs == first.refs


def checksums(result):
    """Return the checksums of all files but the report, whose page tells host and times."""
    return {
        step: {name: record.checksum for name, record in result.store.manifest(ref).files.items()}
        for step, ref in result.refs.items()
        if step != "report"
    }


def test_dask_makes_the_same_bytes_as_threads(store, tmp_path):
    params = {"path": "calcium", "binning": {"bin_size_s": 0.002}}
    local, _ = run(NETWORK, store, params)
    dask, states = run(NETWORK, str(tmp_path / "dask"), params, profile="dask")
    assert states == everything(IMAGED, "Completed")
    assert checksums(local) == checksums(dask)
    assert run(NETWORK, str(tmp_path / "dask"), params, profile="dask")[1] == everything(
        IMAGED, "Cached"
    )


def test_spike_file_with_its_own_unit_ids(store, spike_file):
    result, states = run(spike_file, store, QUIET)
    assert states == everything(["recording", "connectivity", "report"], "Completed")
    z = result.open("connectivity")["z"]
    assert z["source"].to_numpy().tolist() == list(range(5, 15))
    strongest = z.where(z == z.max(), drop=True)
    assert (int(strongest["source"].item()), int(strongest["target"].item())) == (5, 9)
    with pytest.raises(ConnflowError, match="no step 'evaluation'"):
        result.open("evaluation")


def test_fluorescence_file(store, tmp_path):
    rng = np.random.default_rng(0)
    traces = rng.normal(size=(3000, 5)).cumsum(axis=0) * 0.02 + rng.normal(size=(3000, 5))
    path = tmp_path / "traces.npz"
    np.savez(path, fluorescence=traces.astype(np.float32), frame_rate_hz=30.0)
    params = {"deconvolution": {"tau_s": 0.3, "method": "savgol"}, **QUIET}
    params["connectivity"] = {"method": "kernel_regression"}
    result, states = run(str(path), store, params)
    steps = ["recording", "deconvolution", "connectivity", "report"]
    assert states == everything(steps, "Completed")
    activity = result.open("deconvolution")
    assert activity["activity"].shape == (3000, 5)
    assert activity["tau"].to_numpy() == pytest.approx(0.3)


def test_recording_that_changed_under_the_same_name_is_read_anew(store, spike_file):
    first, _ = run(spike_file, store, QUIET)
    with np.load(spike_file) as file:
        arrays = dict(file)
    keep = arrays["spike_units"] != 14
    arrays |= {name: arrays[name][keep] for name in ("spike_times", "spike_units")}
    np.savez(spike_file, **arrays)
    second, states = run(spike_file, store, QUIET)
    assert set(states.values()) == {"Completed"}
    assert second.refs["recording"] != first.refs["recording"]
    assert second.open("connectivity").sizes["source"] == 9


def test_tables_and_images_are_on_the_run(store):
    from prefect.client.orchestration import get_client

    run(NETWORK, store)
    with get_client(sync_client=True) as client:
        sort = {"sort": "CREATED_DESC", "limit": 20}
        found = client.request("POST", "/artifacts/filter", json=sort).json()
        newest = {item["type"]: item for item in reversed(found)}
        sort = {"sort": "START_TIME_DESC"}
        flow_run = client.request("POST", "/flow_runs/filter", json=sort).json()[0]
    for kind in ("table", "markdown"):
        assert newest[kind]["flow_run_id"] == flow_run["id"]
    assert "average_precision" in newest["table"]["data"]
    assert "data:image/png;base64," in newest["markdown"]["data"]
    assert flow_run["name"] == "network of 40"


def write(tmp_path, **arrays):
    path = tmp_path / "bad.npz"
    defaults = {"spike_times": np.linspace(0.1, 9.9, 50), "spike_units": np.arange(50) % 3}
    np.savez(path, **(defaults | arrays))
    return str(path)


@pytest.mark.parametrize(
    ("arrays", "params", "words"),
    [
        ({"spike_times": np.linspace(9.9, 0.1, 50)}, {}, ["bad.npz", "spike_times", "sort"]),
        ({"spike_times": np.linspace(-1, 9, 50)}, {}, ["bad.npz", "spike_times", "t_start"]),
        ({"spike_units": np.full(50, 4)}, {}, ["at least two units"]),
        ({"weights": np.ones((3, 4))}, {}, ["bad.npz", "weights"]),
        ({}, {"recording": {"t_start": 0.0, "t_stop": 0.009}}, ["bad.npz"]),
        ({}, {"connectivity": {"kernel_stop_s": 60}}, ["kernel_stop_s", "record longer"]),
        ({}, {"connectivity": {"method": "correlation", "lags": [10_000]}}, ["connectivity.lags"]),
        ({}, {"path": "calcium", "binning": {"bin_size_s": 50}}, ["binning.bin_size_s"]),
        ({}, {"path": "fluorescence"}, ["holds spikes", "path=spikes"]),
    ],
)
def test_bad_input_is_refused_by_the_step_that_sees_it(store, tmp_path, arrays, params, words):
    with pytest.raises(ConnflowError) as caught:
        run(write(tmp_path, **arrays), store, params | QUIET)
    assert [word for word in words if word not in str(caught.value)] == []
    reached = {ref.step for ref in Store(store).list_refs()}
    assert reached <= {"recording", "binning"}
    assert not any((Path(store) / ".staging").iterdir())
    assert [path for path in Path(store).iterdir() if path.is_file()] == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"wiring": {}}, "wiring: there is no such parameter"),
        ({"connectivity": {"lag": 1}}, "connectivity.lag: there is no such parameter"),
        ({"binning": {"bin_size_s": 0}}, "binning.bin_size_s"),
        ({"binning": {"bin_size_s": -0.001}}, "binning.bin_size_s"),
    ],
)
def test_bad_params_are_refused_before_anything_runs(params, words):
    with pytest.raises(ConnflowError, match=words):
        ConnectivityFlowParams.parse(params)


def test_missing_recording(store):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        run("nowhere.npz", store)


def test_missing_artifact_as_recording(store):
    ref = run(NETWORK, store)[0].refs["recording"]
    with pytest.raises(ConnflowError, match="holds no artifact"):
        run(ref.model_copy(update={"key": "0" * 64}), store)


def test_unwritable_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        run(NETWORK, str(tmp_path / "file" / "store"))


def test_unknown_profile(store):
    with pytest.raises(ConnflowError, match="take one of dask, local"):
        run(NETWORK, store, profile="cluster")


def test_params_of_other_models_are_not_taken():
    with pytest.raises(ConnflowError):
        ConnectivityFlowParams.parse({"binning": ConnectivityParams()})
    assert ConnectivityFlowParams.parse({"binning": BinningParams()}).binning == BinningParams()
