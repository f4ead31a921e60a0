"""What the tests start and talk to: a Prefect server, flows in processes of their own, SLURM."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from connflow.store import Store

HERE = Path(__file__).parent
TESTBED = HERE / "slurm_testbed.py"
NOTES = "executions.jsonl"
FLOWS_ARE_HERE = {"PYTHONPATH": str(HERE)}
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_COLORS": "false",
    "PREFECT_LOGGING_COLORS": "false",
    "PREFECT_LOGGING_LEVEL": "INFO",
}

T = TypeVar("T")


def wait_until(
    what: str,
    found: Callable[[], T],
    limit_s: float,
    tell: Callable[[], Any] = lambda: "",
) -> T:
    """Return what `found` returns as soon as that is true; fail, and tell why, after a while."""
    end = time.monotonic() + limit_s
    while not (result := found()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s:g} s: {what}\n{tell()}")
        time.sleep(0.1)
    return result


def install(part: str) -> None:
    """Install a part of the system, as far as that can be done here."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run([HERE / "install_system_parts", part], check=False, timeout=400)


class Server:
    """A Prefect server process on a port of its own, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = QUIET | {
            "PREFECT_HOME": str(folder),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_UI_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_UI_V2_ENABLED": "false",
        }
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, limit_s: float = 200.0) -> None:
        """Start the server, and wait until it answers."""
        command = [sys.executable, "-m", "prefect", "server", "start"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
            )
        wait_until("the Prefect server answers", self._answers, limit_s, self._log.read_text)

    def kill(self) -> None:
        """Kill the server: connections are refused from now on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flow_run(self, name: str) -> dict[str, Any]:
        """Return the flow run of this name; nothing if there is none."""
        found = self.post("flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
        return found[0] if found else {}

    def state(self, name: str) -> str:
        """Return the state that a flow run is in."""
        return str((self.flow_run(name).get("state") or {}).get("type", ""))

    def task_states(self, name: str) -> dict[str, tuple[str, str]]:
        """Return type and message of the states that the tasks of a flow run are in."""
        wanted = {"flow_runs": {"name": {"any_": [name]}}, "limit": 200}
        runs = self.post("task_runs/filter", wanted)
        states = {run["name"]: run["state"] or {} for run in runs}
        return {
            name: (state.get("type", "none"), state.get("message") or "")
            for name, state in states.items()
        }

    def run_deployment(self, flow: str, deployment: str, name: str, **parameters: Any) -> str:
        """Have a worker run a deployment, under a name; return the flow run's id."""
        found = httpx.get(f"{self.url}/api/deployments/name/{flow}/{deployment}", timeout=30)
        place = f"deployments/{found.json()['id']}/create_flow_run"
        content = {"name": name, "parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.post(place, content)["id"])

    def post(self, path: str, content: dict[str, Any]) -> Any:
        """Ask the server's API."""
        answer = httpx.post(f"{self.url}/api/{path}", json=content, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"the Prefect server ended: {self._log.read_text()}")
        try:
            return httpx.get(f"{self.url}/api/health", timeout=5).is_success
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class Job:
    """A job in SLURM's queue."""

    id: str
    name: str
    state: str
    node: str


class Slurm:
    """The SLURM of the testbed, as a user and as its administrator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]),
        }
        self.names_memory_deaths = "task/cgroup" in (folder / "slurm.conf").read_text()

    def run(self, *command: str) -> str:
        """Run a command of SLURM."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def testbed(self, command: str, *arguments: str) -> str:
        """Have the testbed do something."""
        return self.run(sys.executable, str(TESTBED), command, str(self.folder), *arguments)

    def jobs(self, state: str = "") -> list[Job]:
        """Return the jobs in the queue, or those in one state."""
        lines = self.run("squeue", "-h", "-o", "%A|%j|%T|%N").splitlines()
        jobs = [Job(*line.split("|")) for line in lines]
        return [job for job in jobs if state in ("", job.state)]

    def verdict(self, job_id: str) -> str:
        """Return the state that SLURM says a job ended in."""
        words = self.run("scontrol", "show", "job", job_id).split()
        return next(word.partition("=")[2] for word in words if word.startswith("JobState="))

    def fail_node(self, name: str) -> None:
        """Let a node's machine die, have SLURM notice at once, and start it again."""
        self.testbed("kill-node", name)
        self.run("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=test")
        self.testbed("start-node", name)

    def preempt(self, node: str) -> None:
        """Let a job of more weight take a node for three seconds."""
        what = ["--exclusive", f"--nodelist={node}", "--output=/dev/null", "--wrap=sleep 3"]
        self.run("sbatch", "--partition=urgent", *what)

    def end_time_of_all(self) -> None:
        """Make the time limit of every job end now, which SLURM notices within 30 s."""
        for job in self.jobs("RUNNING"):
            self.run("scontrol", "update", f"JobId={job.id}", "EndTime=now+1")

    def clear(self) -> None:
        """Cancel all jobs and bring all nodes back: the next test finds an empty cluster."""
        self.run("scancel", "-u", "root")
        for name in self._nodes_down():
            self.testbed("start-node", name)
        wait_until("all nodes are back", lambda: not self._nodes_down(), 30, self.status)
        wait_until("the queue is empty", lambda: not self.jobs(), 30, self.status)

    def _nodes_down(self) -> list[str]:
        return self.run("sinfo", "-h", "-N", "-t", "down", "-p", "main", "-o", "%N").split()

    def status(self) -> str:
        """Return nodes and jobs, for people to read."""
        return self.testbed("status")


@dataclass
class Execution:
    """Once that a step was executed, as it noted itself."""

    step: str
    node: str
    job: str
    pid: int
    parent: int
    ended: bool = False


@dataclass
class Ground:
    """Where one test runs its flows: a store, profiles, and the notes of the steps."""

    folder: Path
    environment: dict[str, str]
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The store of the flows."""
        return Store(str(self.folder / "store"))

    def write_profile(self, name: str, content: dict[str, Any]) -> str:
        """Write a profile and return its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    def dask_profile(self) -> str:
        """Write the profile of a Dask cluster on this machine."""
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
        content = {
            "task_runner": "dask",
            "cluster_class": "distributed.LocalCluster",
            "cluster_kwargs": options | {"memory_limit": "700MB"},
        }
        return self.write_profile("dask", content)

    def slurm_profile(
        self, slurm: Slurm, jobs: int, adapt: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        """Write a profile of workers in SLURM jobs, one to a job, changed as a test wants it."""
        self.environment |= slurm.environment
        options = {
            "cores": 1,
            "processes": 1,
            "memory": "1GB",
            "walltime": "00:30:00",
            "queue": "main",
            "interface": "lo",
            "log_directory": str(self.folder / "jobs"),
            "local_directory": str(self.folder / "scratch"),
            "scheduler_options": {"dashboard_address": ":0", "interface": "lo"},
        }
        content = {
            "task_runner": "dask",
            "cluster_class": "dask_jobqueue.SLURMCluster",
            "cluster_kwargs": options | changes,
            "poll_s": 1.0,
            **({"adapt_kwargs": adapt} if adapt else {"workers": {"main": {"jobs": jobs}}}),
        }
        return self.write_profile("slurm", content)

    def start_flow(self, name: str, profile: str, **arguments: Any) -> "FlowProcess":
        """Start the fault flow under a name, in a process of its own."""
        given = {"profile": profile, "store": str(self.folder / "store"), **arguments}
        command = [sys.executable, "-m", "fault_flows", name, json.dumps(given)]
        return FlowProcess(name, *self.start(name, command))

    def hurry(self) -> None:
        """Let the steps that are still to come sleep no more."""
        (self.folder / "hurry").touch()

    def start(self, name: str, command: Sequence[str]) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a process that is ended with the test, and all that it starts with it."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=os.environ | self.environment,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)
        return process, log

    def output_of(self, name: str, command: Sequence[str]) -> str:
        """Run a process to its end and return what it wrote."""
        process, log = self.start(name, command)
        assert process.wait(60) == 0, log.read_text()
        return log.read_text()

    def executions(self) -> list[Execution]:
        """Return what the steps noted, in the order they began."""
        notes = self.folder / NOTES
        found: list[Execution] = []
        for line in notes.read_text().splitlines() if notes.exists() else ():
            note = json.loads(line)
            event = note.pop("event")
            note.pop("time")
            if event == "began":
                found.append(Execution(**note))
            else:
                next(
                    item
                    for item in found
                    if (item.step, item.pid, item.ended) == (note["step"], note["pid"], False)
                ).ended = True
        return found

    def running(self) -> list[Execution]:
        """Return the executions under way, those of dead processes not among them."""
        return [item for item in self.executions() if not item.ended and is_alive(item.pid)]

    def n_ended(self) -> Counter[str]:
        """Return how often each step was executed to its end."""
        return Counter(item.step for item in self.executions() if item.ended)

    def logs(self) -> str:
        """Return what the processes wrote, for people to read."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}"
            for log in sorted(self.folder.glob("*.log"))
        )

    def clear(self) -> None:
        """End the processes that are left."""
        for process in self._processes:
            _kill_group(process.pid)
            process.wait()


@dataclass
class FlowProcess:
    """A flow run in a process of its own."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, limit_s: float) -> bool:
        """Wait for the end of the process; return whether the flow completed."""
        try:
            return self.process.wait(limit_s) == 0
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end within {limit_s:g} s\n{self.output()}"
            ) from None

    def must_go_on(self) -> None:
        """Fail if the flow has ended."""
        assert self.process.poll() is None, f"{self.name} has ended\n{self.output()}"

    def kill(self) -> None:
        """Kill the flow's process, and nothing else."""
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        """Return what the flow wrote."""
        return self.log.read_text(errors="replace")


@dataclass(frozen=True)
class Place:
    """A ground with the profile of a backend."""

    backend: str
    ground: Ground
    profile: str

    def start(self, name: str, **arguments: Any) -> tuple[FlowProcess, Ground]:
        """Start the fault flow here, under a name that tells the backend."""
        told = f"{name} on {self.backend}"
        return self.ground.start_flow(told, self.profile, **arguments), self.ground


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
