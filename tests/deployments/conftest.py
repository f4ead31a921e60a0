"""A Prefect server with a worker, brought up by `connflow server` of an installed wheel."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Site:
    """A folder where somebody works, and the environment of their shell."""

    folder: Path
    environment: dict[str, str]

    def run(self, module: str, *arguments: str, ok: bool = True) -> str:
        """Run a module in the folder; return what it printed, on either stream."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def evaluate(self, expression: str, module: str) -> str:
        """Return the value of a Python expression there, as text."""
        command = [sys.executable, "-c", f"import {module}; print({expression})"]
        return subprocess.check_output(
            command, cwd=self.folder, env=self.environment, text=True
        ).strip()

    def connflow(self, *arguments: str, ok: bool = True) -> str:
        return self.run("flows.cli", *arguments, ok=ok)

    def prefect(self, *arguments: str) -> str:
        return self.run("prefect", "--no-prompt", *arguments)

    def using(self, folder: Path | None = None, **environment: str) -> "Site":
        return Site(folder or self.folder, self.environment | environment)


@dataclass(frozen=True)
class Running:
    """A server that runs, and who uses it."""

    site: Site
    home: Path
    url: str

    def api(self, path: str, **body: Any) -> Any:
        """Ask the server's API: POST with a body, GET without one."""
        request = urllib.request.Request(f"{self.url}/api/{path}")
        if body:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def deployment(self, name: str) -> Any:
        return self.api(f"deployments/name/infer-connectivity/{name}")

    def newest_run(self) -> Any:
        """Return the newest run of the deployment `local`."""
        local = {"name": {"any_": ["local"]}}
        runs = self.api(
            "flow_runs/filter", deployments=local, sort="EXPECTED_START_TIME_DESC", limit=1
        )
        return runs[0] if runs else None

    def wait_for_run(self, is_there: Callable[[Any], bool], limit_s: float = 120) -> Any:
        """Return the newest run as soon as it is as wanted."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            run = self.newest_run()
            if run is not None and is_there(run):
                return run
            time.sleep(0.3)
        raise AssertionError(f"after {limit_s} s the newest run is {run}")

    def steps(self, run_id: str) -> dict[str, str]:
        """State of each step of a flow run."""
        runs = self.api("task_runs/filter", flow_runs={"id": {"any_": [run_id]}})
        return {run["name"].split()[0]: run["state_name"] for run in runs}


@pytest.fixture(scope="session")
def wheel_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A folder far from the repository, where connflow is what a wheel has brought."""
    wheels, packages, folder = (tmp_path_factory.mktemp(name) for name in ("a", "b", "work"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT], check=True)
    (wheel,) = wheels.glob("connflow-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", packages, wheel], check=True)
    foreign = ("PREFECT_", "CONNFLOW_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    site = Site(folder, inherited | {"PYTHONPATH": str(packages), "COLUMNS": "200"})
    names = [site.evaluate(f"{name}.__file__", name) for name in ("flows", "tasks", "connflow")]
    assert all(name.startswith(str(packages)) for name in names)  # the wheel's files, not ours
    return site


@pytest.fixture(scope="session")
def own_server(wheel_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with worker, started as the docs say, in an environment that speaks of others."""
    home = tmp_path_factory.mktemp("server")
    elsewhere = wheel_site.using(
        PREFECT_API_URL="http://127.0.0.1:9/api",
        PREFECT_SERVER_DATABASE_CONNECTION_URL="sqlite+aiosqlite:////nowhere/prefect.db",
    )
    try:
        printed = elsewhere.connflow("server", "start", "--home", str(home))
        found = re.search(r"export PREFECT_API_URL=(http://127\.0\.0\.1:\d+)/api", printed)
        assert found, printed
        url = found.group(1)
        yield Running(wheel_site.using(PREFECT_API_URL=f"{url}/api"), home, url)
    finally:
        wheel_site.connflow("server", "stop", "--home", str(home))
