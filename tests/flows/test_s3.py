"""The flow with its store, artifacts and cache records, on S3."""

import pytest

from connflow.recording.network import NetworkParams
from connflow.store import Store
from flows.connectivity import ConnectivityFlowParams, infer_connectivity
from flows.running.run import listening

pytestmark = pytest.mark.usefixtures("prefect_server")

NETWORK = NetworkParams(n_units=20, duration_s=20, connection_probability=0.25, seed=1)
PARAMS = ConnectivityFlowParams.parse({"path": "calcium", "binning": {"bin_size_s": 0.002}})
STEPS = [
    "recording",
    "binning",
    "calcium",
    "regime",
    "deconvolution",
    "connectivity",
    "evaluation",
    "report",
]


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


def make_again_what_is_deleted(root, profile):
    """Run the flow, delete an artifact, run again: that one is made, the same, others cached."""
    first, states = run(root, profile)
    assert states == dict.fromkeys(STEPS, "Completed")
    before = first.open("calcium").load()
    Store(root).delete(first.refs["calcium"])
    second, states = run(root, profile)
    assert states == dict.fromkeys(STEPS, "Cached") | {"calcium": "Completed"}
    assert second.open("calcium").load().identical(before)


def test_threads(s3_store):
    make_again_what_is_deleted(s3_store, "local")
    assert run(s3_store)[1] == dict.fromkeys(STEPS, "Cached")


def test_dask_workers(enter_s3):
    make_again_what_is_deleted(enter_s3("rclone"), "dask")


def test_what_is_stored_and_told(s3_store, s3_environment):
    """Cache records lie in the artifacts, nothing else is left, and credentials are nowhere."""
    result, _ = run(s3_store)
    found = objects(s3_store)
    homes = tuple(f"{ref}/" for ref in result.refs.values())
    assert [name for name in found if not name.startswith(homes)] == []
    assert {f"{home}result.json" for home in homes} <= set(found)
    assert result.report.startswith(f"{s3_store}/report/")
    told = [*told_to_the_server(), *(content.decode("latin-1") for content in found.values())]
    assert any(s3_store in text for text in told)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert not any(s3_environment[name] in text for text in told)


def told_to_the_server():
    """Return all that the Prefect server keeps of the latest runs."""
    from prefect.client.orchestration import get_client

    newest = {
        "block_documents": {},
        "flow_runs": {"sort": "START_TIME_DESC"},
        "task_runs": {"sort": "END_TIME_DESC"},
        "logs": {"sort": "TIMESTAMP_DESC"},
        "artifacts": {"sort": "CREATED_DESC"},
    }
    with get_client(sync_client=True) as client:
        return [
            client.request("POST", f"/{what}/filter", json={"limit": 200} | order).text
            for what, order in newest.items()
        ]
