"""Runs in MLflow: what is logged, once, and that its failures are not the run's."""

import logging
import sys
from pathlib import Path

import pytest

from connflow.recording.network import NetworkParams
from connflow.sweep import SweepParams
from flows.connectivity import ConnectivityFlowParams, infer_connectivity
from flows.sweep import sweep

pytest.importorskip("mlflow", reason="MLFLOW NOT TESTED: pip install 'connflow[mlflow]'")

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    # MLflow with sqlite configures all of SQLAlchemy's mappers, its own and Prefect's
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]

NETWORK = NetworkParams(n_units=20, duration_s=20)


@pytest.fixture
def client(tmp_path, monkeypatch):
    """A client of an MLflow store of our own, in which runs are logged."""
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)  # files go below the working folder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return MlflowClient()


def logged(client, experiment="connflow"):
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id]) if found else []


def test_run_is_logged_once_with_params_scores_refs_and_page(client, store, monkeypatch):
    params = ConnectivityFlowParams.parse({"connectivity": {"ridge": 0.02, "lags": [1, 2]}})
    result = infer_connectivity(NETWORK, params, store=store)
    (run,) = logged(client)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "network of 20"
    assert run.data.params["params.connectivity.ridge"] == "0.02"
    assert run.data.params["params.connectivity.lags"] == "[1, 2]"
    assert run.data.params["recording.n_units"] == "20"
    scores = result.open("evaluation").set_index("score")["value"].dropna()
    assert run.data.metrics == pytest.approx({f"evaluation.{k}": v for k, v in scores.items()})
    refs = {step: run.data.tags[f"connflow.artifact.{step}"] for step in result.refs}
    assert refs == {step: str(ref) for step, ref in result.refs.items()}
    page = Path(client.download_artifacts(run.info.run_id, "report.html"))
    assert page.read_text() == Path(result.report).read_text()

    infer_connectivity(NETWORK, params, store=store)
    assert len(logged(client)) == 1
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    infer_connectivity(NETWORK, params, store=store)
    assert len(logged(client, "another")) == 1


def test_trials_of_a_sweep_are_logged_though_they_were_made_before(client, store, monkeypatch):
    wanted = SweepParams(over={"params.connectivity.ridge": [0.1, 1]}, score="evaluation.auroc")
    with monkeypatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI")
        sweep(wanted, {"recording": NETWORK}, store=store)
    for _ in range(2):
        result = sweep(wanted, {"recording": NETWORK}, store=store)
    runs = logged(client)
    assert {run.data.params["params.connectivity.ridge"] for run in runs} == {"0.1", "1.0"}
    assert len(runs) == 2
    assert len({run.data.tags["prefect.parent_flow_run_id"] for run in runs}) == 1
    best = max(runs, key=lambda run: run.data.metrics["evaluation.auroc"])
    assert best.data.tags["connflow.artifact.report"] == str(result.best.refs["report"])


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if "MLflow" in record.getMessage()]


def test_run_that_was_cut_short_while_it_was_logged_is_logged_again(client, store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("flows.running.tracking.PAGE", "no-such-file")
        infer_connectivity(NETWORK, store=store)
    infer_connectivity(NETWORK, store=store)
    assert sorted(run.info.status for run in logged(client)) == ["FINISHED", "RUNNING"]


def test_server_that_is_away_costs_a_warning(store, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with caplog.at_level(logging.WARNING, "prefect"):
        result = infer_connectivity(NETWORK, store=store)
    assert result.open("evaluation") is not None
    (warning,) = warnings_of(caplog)
    assert "this run is not in MLflow" in warning
    assert "127.0.0.1:9" in warning
    assert "secret" not in warning


def test_mlflow_that_is_not_installed_costs_a_warning(store, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING, "prefect"):
        infer_connectivity(NETWORK, store=store)
    assert warnings_of(caplog) == [
        "this run is not in MLflow: it is not installed; pip install 'connflow[mlflow]'"
    ]
