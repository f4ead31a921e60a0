"""A Prefect server of one's own, with deployments and workers: started and stopped together.

All of it lies in one folder, its home: ``server.json`` says which processes there are, ``logs/``
holds what they print, ``prefect.db`` the runs. Every process carries a token in its environment.
So it is found again, with all that it has started, and nothing else is ever taken for it.
"""

import contextlib
import fcntl
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict

from connflow.errors import InvalidInputError, ServerError

HOST = "127.0.0.1"
PREFERRED_PORT = 4200
TOKEN = "CONNFLOW_SERVER_TOKEN"  # noqa: S105 - the name of a variable, and no secret

_NOT_INHERITED = (
    "PREFECT_HOME",
    "PREFECT_PROFILE",
    "PREFECT_API_",
    "PREFECT_SERVER_",
    "PREFECT_UI",
)
_INHERITED = ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")
_LOOK_EVERY_S = 0.1
_PATIENCE_S = 8.0
_REPORT_S = 1.0
_CLOCK_S = 2.0
_SHOWN_LINES = 25


class Process(BaseModel):
    """A process as it was started: a later one with the same number started at another time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    pid: int
    started: float

    def find(self) -> psutil.Process | None:
        """Return the process if it is alive."""
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(self.pid)
            if _is_alive(found) and abs(found.create_time() - self.started) < _CLOCK_S:
                return found
        return None


class Server(BaseModel):
    """What is known of a server that was started: where it is, and its processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    token: str
    work_pools: tuple[str, ...]
    processes: tuple[Process, ...] = ()

    @property
    def api_url(self) -> str:
        """Address of the API, for PREFECT_API_URL."""
        return f"{self.url}/api"

    def with_process(self, role: str, process: subprocess.Popen[bytes]) -> Self:
        """Return the server with one more process."""
        started = psutil.Process(process.pid).create_time()
        new = Process(role=role, pid=process.pid, started=started)
        return self.model_copy(update={"processes": (*self.processes, new)})

    def missing(self) -> list[str]:
        """Return the roles that no living process has."""
        alive = {process.role for process in self.processes if process.find()}
        return [role for role in ("server", *self.work_pools) if role not in alive]

    def living(self) -> list[psutil.Process]:
        """Return all living processes of the server, and of what they have started."""
        found = {item for process in self.processes if (item := process.find())}
        for process in list(found):
            with contextlib.suppress(psutil.Error):
                found |= set(process.children(recursive=True))
        return [*found | set(_carriers(self.token))]


def default_home() -> Path:
    """Return the folder where a server's state lies, if no other is named."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "connflow" / "server"


def read_server(home: Path) -> Server | None:
    """Return what is known of the server that was started last and not stopped."""
    try:
        return Server.model_validate_json((home / "server.json").read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ServerError(f"{home / 'server.json'} cannot be read: {error}") from None


def start_server(
    home: Path, work_pools: Sequence[str], port: int | None = None, limit_s: float = 180.0
) -> tuple[Server, bool]:
    """Start a Prefect server, deploy the flows to it, and start a worker for each work pool.

    Parameters
    ----------
    home
        Folder for the state.
    work_pools
        Names of the pools to serve.
    port
        4200 if that is free, else any, if None.
    limit_s
        How long to wait for each part, s.

    Returns
    -------
    Server
        The server, which answers.
    bool
        Whether it was started now; otherwise it was running.

    Raises
    ------
    ServerError
        If a part does not start; then all that was started is gone again.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(home):
        server = read_server(home)
        if server is not None and not server.missing():
            return server, False
        if server is not None:
            _end(server)  # what is left of a start that was cut short, or of a crash
        try:
            return _start(home, tuple(work_pools), _free_port(port), limit_s), True
        except BaseException:
            _stop(home)
            raise


def stop_server(home: Path) -> bool:
    """Stop the server and all that it has started; return whether there was one."""
    if not home.is_dir():
        return False
    with _locked(home):
        return _stop(home)


def _start(home: Path, work_pools: tuple[str, ...], port: int, limit_s: float) -> Server:
    _check_known(work_pools)
    server = Server(url=f"http://{HOST}:{port}", token=secrets.token_hex(16), work_pools=work_pools)
    _keep(home, server)  # before anything runs: what carries the token is found, come what may
    prefect = ("-m", "prefect")
    api = _spawn(home, server, "server", *prefect, "server", "start", "--port", str(port))
    server = server.with_process("server", api.process)
    _keep(home, server)
    api.wait_until(lambda: _answers(server.api_url), limit_s)

    _spawn(home, server, "deploy", "-m", "flows.cli", "deploy").wait_for_success(limit_s)
    for pool in work_pools:
        worker = _spawn(home, server, pool, *prefect, "worker", "start", "--pool", pool)
        server = server.with_process(pool, worker.process)
        _keep(home, server)
        worker.wait_until(worker.has_said("started!"), limit_s)
    return server


def _check_known(work_pools: Sequence[str]) -> None:
    """Refuse a pool that no deployment uses; Prefect would make one of that name, for nothing."""
    from flows.running.profile import deployments_folder
    from flows.serving.deploy import read_work_pools

    known = read_work_pools(deployments_folder())
    for name in work_pools:
        if name not in known:
            raise InvalidInputError(f"there is no work pool {name!r}; take of {', '.join(known)}")


@dataclass(frozen=True)
class _Part:
    """A part of a server on its way up, and the file that holds what it prints."""

    role: str
    process: subprocess.Popen[bytes]
    log: Path

    def has_said(self, word: str) -> Callable[[], bool]:
        return lambda: word in self.log.read_text(errors="replace")

    def wait_until(self, is_ready: Callable[[], bool], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while not is_ready():
            if self.process.poll() is not None:
                raise self._failure(f"ended with exit code {self.process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {limit_s:g} s")
            time.sleep(_LOOK_EVERY_S)

    def wait_for_success(self, limit_s: float) -> None:
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise self._failure(f"was not done after {limit_s:g} s") from None
        if code != 0:
            raise self._failure(f"ended with exit code {code}")

    def _failure(self, what: str) -> ServerError:
        lines = self.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
        end = "\n".join(f"  {line}" for line in lines)
        return ServerError(
            f"{self.role} {what}; nothing was left running. The end of {self.log}:\n{end}"
        )


def _spawn(home: Path, server: Server, role: str, *command: str) -> _Part:
    """Run Python with a command, apart from this terminal, in the folder where we are."""
    log = home / "logs" / f"{role}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=_environment(home, server),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Part(role, process, log)


def _environment(home: Path, server: Server) -> dict[str, str]:
    """Return our environment, without what it says of other servers and with this one."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_INHERITED) or name in _INHERITED
    }
    return {"PREFECT_WORKER_QUERY_SECONDS": "2", **kept} | {
        TOKEN: server.token,
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": server.api_url,
        "PREFECT_HOME": str(home.resolve()),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "connflow",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_UI_API_URL": server.api_url,
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PYTHONUNBUFFERED": "1",
    }


def _answers(api_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=5):  # noqa: S310 - ours
            return True
    except urllib.error.HTTPError:  # it asks for a password, so it is there
        return True
    except OSError:
        return False


def _free_port(wanted: int | None) -> int:
    for port in (wanted,) if wanted else (PREFERRED_PORT, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise ServerError(f"port {wanted} of {HOST} is taken; name another, or none for any free one")


def _keep(home: Path, server: Server) -> None:
    aside = home / "server.json.new"
    aside.write_text(server.model_dump_json(indent=2))
    aside.replace(home / "server.json")


def _stop(home: Path) -> bool:
    server = read_server(home)
    if server is None:
        return False
    _end(server)
    (home / "server.json").unlink()
    return True


def _end(server: Server) -> None:
    """End the runs while the workers can tell the server of it, then the workers, then all."""
    parts = {process.pid: process.role for process in server.processes}
    runs = [process for process in server.living() if process.pid not in parts]
    if runs:
        _terminate(runs)
        time.sleep(_REPORT_S)
    _terminate([p for p in server.living() if parts.get(p.pid) != "server"])
    _terminate(server.living())


def _terminate(processes: Sequence[psutil.Process]) -> None:
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                send(process)
        if _wait_for_end(processes):
            return


def _wait_for_end(processes: Sequence[psutil.Process]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    return not any(map(_is_alive, processes))


def _is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended may still be listed until somebody asks."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _carriers(token: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # gone meanwhile, or not ours to look into
            if process.environ().get(TOKEN) == token:
                yield process


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Start and stop one at a time; the lock goes with the process that holds it."""
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
