"""What a run shows in the UI: one artifact a step, one table a run, and no failure over it."""

import json
import logging

import httpx
import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from connflow.store import ArtifactRef, Provenance, Store, derive_key
from flows.running.publish import publish_steps
from tasks._publish import best_effort, publish_artifact

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "my store")


def make(store, word):
    """Make an artifact of 3 bytes."""
    ref = ArtifactRef(step=word, key=derive_key(word, 1, {}, {}))
    with store.create(ref, Provenance(version=1, params={}, inputs={})) as artifact:
        artifact.write_file("numbers.txt", b"123")
    return ref


def published(run_id):
    """Return the artifacts of a flow run, by key."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    with get_client(sync_client=True) as client:
        return {item.key: item for item in client.read_artifacts(artifact_filter=of_run)}


def test_steps_and_run_show_what_they_made(store):
    ref = make(store, "spike_sorting")

    @task
    def show():
        publish_artifact(store, ref)

    @flow
    def run():
        show()
        publish_steps(store, {"spike_sorting": ref, "given": ref}, {"spike_sorting": "Cached"})
        return flow_run.id

    shown = published(run())
    page = shown["spike-sorting"]
    assert page.task_run_id is not None
    assert store.path(ref) in page.data
    assert f"connflow store show {ref.step}/{ref.short} --store '{store.root}'" in page.data
    assert "3 B" in page.data
    rows = json.loads(shown["steps"].data)
    assert [(row["step"], row["state"]) for row in rows] == [
        ("spike_sorting", "cached"),
        ("given", "given"),
    ]


@pytest.fixture
def heard(caplog, monkeypatch):
    """The log, whatever runs before this test have made of Prefect's loggers."""
    logger = logging.getLogger("prefect.connflow")
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    caplog.set_level(logging.WARNING, logger="prefect.connflow")
    return caplog


def test_only_a_server_that_is_gone_is_put_up_with(heard):
    with best_effort():
        httpx.get("http://127.0.0.1:9/api/health")
    assert "not shown in the UI" in heard.text
    with pytest.raises(FileNotFoundError), best_effort():
        raise FileNotFoundError
