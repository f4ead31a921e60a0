"""Deployments, from an installed wheel and from the repository, on a real server."""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
NAMES = [
    item["name"]
    for item in yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
]
NETWORK = {"source": "network", "n_units": 12, "duration_s": 10}


def test_deploying_again_changes_nothing_and_leaves_paused_what_is_paused(own_server):
    before = {name: own_server.deployment(name)["id"] for name in ("local", "nightly", "slurm")}
    (schedule,) = own_server.deployment("nightly")["schedules"]
    nightly = "infer-connectivity/nightly"
    own_server.site.prefect("deployment", "schedule", "pause", nightly, schedule["id"])
    own_server.site.prefect("work-pool", "pause", "connflow-slurm")
    printed = own_server.site.connflow("deploy")
    assert set(NAMES) <= set(printed.split())
    assert {name: own_server.deployment(name)["id"] for name in before} == before
    assert not own_server.deployment("nightly")["schedules"][0]["active"]
    pools = {pool["name"]: pool for pool in own_server.api("work_pools/filter", limit=10)}
    assert pools["connflow-slurm"]["is_paused"]
    assert pools["connflow"]["concurrency_limit"] == 2


def test_prefect_deploys_from_the_repository(own_server):
    site = own_server.site.using(ROOT)
    site.environment.pop("PYTHONPATH")
    file = "deployments/prefect.yaml"
    printed = site.prefect("deploy", "--all", "--prefect-file", file)
    assert printed.count("successfully created") == len(NAMES)


def test_nightly_waits_for_the_night_before(own_server):
    nightly = own_server.deployment("nightly")
    (schedule,) = nightly["schedules"]
    assert schedule["schedule"]["timezone"] == "Europe/Berlin"
    assert nightly["global_concurrency_limit"]["limit"] == 1
    assert nightly["concurrency_options"]["collision_strategy"] == "ENQUEUE"


def test_a_deployed_run_leaves_its_store_where_the_worker_was_started(own_server):
    states = [run_local(own_server) for _ in range(2)]
    assert [set(steps.values()) for steps in states] == [{"Completed"}, {"Cached"}]
    assert set(states[0]) == {"recording", "connectivity", "evaluation", "report"}
    store = own_server.site.folder / "store"
    assert {folder.name for folder in store.iterdir() if folder.name[0] != "."} == set(states[0])


def run_local(own_server):
    """Run the deployment as the docs say; return the state of each step."""
    deployment = "infer-connectivity/local"
    network = f"recording={json.dumps(NETWORK)}"
    own_server.site.prefect("deployment", "run", deployment, "--param", network, "--watch")
    run = own_server.newest_run()
    assert (run["name"], run["state_name"]) == ("network of 12", "Completed")
    return own_server.steps(run["id"])


def test_a_wrong_value_is_refused_before_anything_runs(own_server):
    bad = json.dumps(NETWORK | {"n_units": -5})
    run = ("deployment", "run", "infer-connectivity/local", "--param", f"recording={bad}")
    printed = own_server.site.run("prefect", *run, ok=False)
    assert "recording.n_units" in printed
    assert "-5 is less than the minimum of 2" in printed


def test_deploying_to_no_server_says_so(wheel_site):
    assert "set PREFECT_API_URL" in wheel_site.connflow("deploy", ok=False)
    nowhere = wheel_site.using(PREFECT_API_URL="http://127.0.0.1:9/api")
    printed = nowhere.connflow("deploy", ok=False)
    assert "http://127.0.0.1:9/api does not answer" in printed
    assert "Traceback" not in printed
