"""`connflow server`: up with all its parts, down without a trace, and no stranger harmed."""

import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest

from connflow.errors import InvalidInputError, ServerError
from flows.serving.server import (
    HOST,
    TOKEN,
    Process,
    Server,
    read_server,
    start_server,
    stop_server,
)

HEAVY = {"source": "network", "n_units": 2000, "duration_s": 3000}
"""A network that takes minutes."""


def test_starting_again_says_that_it_runs(own_server):
    before = read_server(own_server.home)
    printed = own_server.site.connflow("server", "start", "--home", str(own_server.home))
    assert "is running already" in printed
    assert f"export PREFECT_API_URL={own_server.url}/api" in printed
    assert read_server(own_server.home) == before
    assert own_server.url in own_server.site.connflow(
        "server", "status", "--home", str(own_server.home)
    )


def test_stopping_ends_runs_too_and_the_next_start_knows_of_it(own_server):
    home, site = str(own_server.home), own_server.site
    heavy = f"recording={json.dumps(HEAVY)}"
    site.prefect("deployment", "run", "infer-connectivity/local", "--param", heavy)
    run_id = own_server.wait_for_run(
        lambda run: own_server.steps(run["id"]) == {"recording": "Running"}
    )["id"]
    processes = read_server(own_server.home).living()
    assert len(processes) > 2  # server, worker, and the run

    began = time.monotonic()
    assert "stopped" in site.connflow("server", "stop", "--home", home)
    assert time.monotonic() - began < 30
    assert not [item for item in processes if item.is_running() and item.status() != "zombie"]
    assert "not running" in site.connflow("server", "status", "--home", home, ok=False)

    port = own_server.url.rpartition(":")[2]
    assert "started" in site.connflow("server", "start", "--home", home, "--port", port)
    assert own_server.api(f"flow_runs/{run_id}")["state_name"] == "Crashed"


def test_a_start_that_fails_shows_why_and_leaves_nothing(wheel_site, tmp_path):
    (tmp_path / "prefect.db").write_text("this is no database")
    printed = wheel_site.connflow("server", "start", "--home", str(tmp_path), ok=False)
    assert "server ended with exit code 3" in printed
    assert "file is not a database" in printed  # the log's end
    assert read_server(tmp_path) is None
    assert str(tmp_path) not in " ".join(
        item.info["environ"].get("PREFECT_HOME", "")
        for item in psutil.process_iter(["environ"])
        if item.info["environ"]
    )


def test_a_taken_port_and_an_unknown_pool_are_refused(tmp_path):
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        with pytest.raises(ServerError, match="is taken; name another"):
            start_server(tmp_path, ["connflow"], other.getsockname()[1])
    with pytest.raises(InvalidInputError, match="no work pool 'conflow'; take of connflow"):
        start_server(tmp_path, ["conflow"])
    assert read_server(tmp_path) is None


@pytest.fixture
def sleeper():
    """Start processes that wait, with a token in their environment or without."""
    started = []

    def sleep(token=None):
        environment = os.environ | ({TOKEN: token} if token else {})
        command = [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        process.stdout.readline()
        started.append(process)
        return process

    yield sleep
    for process in started:
        process.kill()
        process.communicate()


def test_a_recycled_process_number_is_nobody_we_know(sleeper, tmp_path):
    stranger = sleeper()
    started = psutil.Process(stranger.pid).create_time()
    old = Process(role="server", pid=stranger.pid, started=started - 3600)
    write_server(tmp_path, Server(url="", token="t", work_pools=(), processes=(old,)))
    assert stop_server(tmp_path)
    assert stranger.poll() is None
    assert read_server(tmp_path) is None


def test_what_a_killed_start_left_behind_is_found(sleeper, tmp_path):
    orphan, stranger = sleeper("ours"), sleeper("another's")
    write_server(tmp_path, Server(url="", token="ours", work_pools=()))
    assert stop_server(tmp_path)
    assert orphan.wait(10) != 0
    assert stranger.poll() is None


def write_server(home, server):
    (home / "server.json").write_text(server.model_dump_json())


def test_an_unreadable_state_is_named(tmp_path):
    (tmp_path / "server.json").write_text("{")
    with pytest.raises(ServerError, match=r"server\.json cannot be read"):
        read_server(tmp_path)
