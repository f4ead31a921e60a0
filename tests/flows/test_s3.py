"""The flow with its store, artifacts and cache records, on S3."""

import json

import pytest

from connflow.recording.network import NetworkParams
from connflow.store import Store
from flows._runner import listening
from flows.connectivity import ConnectivityFlowParams, infer_connectivity

pytestmark = pytest.mark.usefixtures("prefect_server")

NETWORK = NetworkParams(n_units=20, duration_s=20, connection_probability=0.25, seed=1)
PARAMS = ConnectivityFlowParams.parse({"path": "calcium", "binning": {"bin_size_s": 0.002}})
STEPS = (
    "recording binning calcium deconvolution connectivity evaluation report".split()  # noqa: SIM905
)


def run(store, profile="local"):
    """Run the flow; return its result and the state each step ended in."""
    states = {}
    with listening(lambda step, state: states.update({step: state})):
        result = infer_connectivity(NETWORK, PARAMS, profile=profile, store=store)
    return result, states


def everything(state):
    return dict.fromkeys(STEPS, state)


def objects(root):
    """Return name and content of every object below the root."""
    files = Store(root).files
    return {name: files.read(f"{files.root}/{name}") for name, _ in files.find(files.root)}


def assert_cached_and_made_again(root, profile):
    """Run the flow thrice: anew, cached, and with one artifact deleted in between."""
    first, states = run(root, profile)
    assert states == everything("Completed")
    assert run(root, profile)[1] == everything("Cached")
    before = first.open("calcium").load()
    Store(root).delete(first.refs["calcium"])
    second, states = run(root, profile)
    assert states == everything("Cached") | {"calcium": "Completed"}
    assert second.open("calcium").load().identical(before)


def test_threads(s3_store):
    assert_cached_and_made_again(s3_store, "local")


def test_dask_workers(enter_s3):
    assert_cached_and_made_again(enter_s3("rclone"), "dask")


def test_cache_records_lie_in_the_artifacts_and_nothing_else_is_left(s3_store):
    result, _ = run(s3_store)
    found = objects(s3_store)
    homes = {f"{ref}/" for ref in result.refs.values()}
    assert [name for name in found if not any(name.startswith(home) for home in homes)] == []
    records = [json.loads(found[f"{ref}/result.json"]) for ref in result.refs.values()]
    assert len(records) == len(STEPS)
    assert result.report.startswith(f"{s3_store}/report/")


def test_credentials_are_in_no_object_and_in_no_record_of_the_server(s3_store, s3_environment):
    from prefect.client.orchestration import get_client

    run(s3_store)
    with get_client(sync_client=True) as client:
        told = [
            client.request("POST", f"/{what}/filter", json={"limit": 200}).text
            for what in ("block_documents", "flow_runs", "task_runs", "logs", "artifacts")
        ]
    told += [content.decode("latin-1") for content in objects(s3_store).values()]
    assert any(s3_store in text for text in told)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert not any(s3_environment[name] in text for text in told)
