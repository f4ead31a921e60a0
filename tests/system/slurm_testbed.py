"""A real SLURM of several nodes on this one machine, all of it in one folder.

It has a munge key, sockets, ports and state of its own, needs no systemd, and ends its processes by
their ids. Run as root, with nothing but the standard library:

    python3 tests/system/slurm_testbed.py start FOLDER [--nodes 3] [--cpus 4] [--memory-mb 8000]
    python3 tests/system/slurm_testbed.py env FOLDER            # eval "$(...)" for sbatch, squeue
    python3 tests/system/slurm_testbed.py status FOLDER
    python3 tests/system/slurm_testbed.py kill-node FOLDER n2   # as if its machine had died
    python3 tests/system/slurm_testbed.py start-node FOLDER n2
    python3 tests/system/slurm_testbed.py stop FOLDER           # leaves no process

Nodes are called n1, n2, ...; a job finds its node's name in SLURMD_NODENAME.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
NODE = (
    "NodeName=n{index} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Boards=1 "
    "Sockets=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory_mb} State=UNKNOWN"
)
MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")
BY_CGROUP = "TaskPlugin=task/cgroup"
"""The kernel kills what uses more memory than it asked for: the job ends OUT_OF_MEMORY."""
BY_ACCOUNTING = """TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill"""
"""SLURM looks once a second and kills: the job ends FAILED."""
CGROUP_CONF = f"""CgroupPlugin=cgroup/v1
CgroupMountpoint={MEMORY_CGROUPS.parent}
CgroupAutomount=no
ConstrainRAMSpace=yes
"""
SEARCHED = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


class Testbed:
    """The SLURM whose files lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.conf = self.folder / "slurm.conf"
        self.environment = os.environ | {"SLURM_CONF": str(self.conf), "PATH": SEARCHED}

    def start(self, n_nodes: int, cpus: int, memory_mb: int) -> None:
        """Start the daemons, and wait until every node takes jobs."""
        for name in ("state", "spool", "run", "log"):
            (self.folder / name).mkdir(parents=True)
        self._write_conf(n_nodes, cpus, memory_mb)
        self._start_munge()
        self._run("slurmctld", "-c", "-f", str(self.conf))
        for index in range(1, n_nodes + 1):
            self.start_node(f"n{index}")
        self._wait(lambda: self._idle_nodes() == n_nodes, 30, "nodes did not become idle")

    def start_node(self, name: str) -> None:
        """Start a node's daemon."""
        (self.folder / "spool" / name).mkdir(exist_ok=True)
        self._run("slurmd", "-c", "-N", name, "-f", str(self.conf))

    def kill_node(self, name: str) -> None:
        """Kill a node's daemon, then those that watch over its jobs, then the jobs."""
        jobs = self._processes_on(name)
        watchers = {pid for pid in map(_parent, jobs) if _name(pid) == "slurmstepd"}
        for pid in [self._daemon(name), *watchers, *jobs]:
            _kill(pid)

    def status(self) -> str:
        """Return nodes and jobs as SLURM lists them."""
        return self._run("sinfo", "-N", "-l") + self._run("squeue", "-a")

    def stop(self) -> None:
        """End the jobs, then the daemons."""
        with contextlib.suppress(subprocess.SubprocessError):
            self._run("scancel", "--state=PENDING", "-u", "root")
            self._run("scancel", "-u", "root")
            self._wait(lambda: not self._run("squeue", "-h"), 20, "jobs did not end")
        for file in sorted((self.folder / "run").glob("*.pid"), reverse=True):
            if file.stem.startswith("n"):
                self.kill_node(file.stem)
        for name in ("slurmctld", "munged"):
            _end(self._daemon(name))
        for folder in sorted(MEMORY_CGROUPS.glob("slurm_n*/**/"), reverse=True):
            with contextlib.suppress(OSError):  # another testbed's
                folder.rmdir()

    def _write_conf(self, n_nodes: int, cpus: int, memory_mb: int) -> None:
        host = socket.gethostname().partition(".")[0]
        has_cgroups = os.access(MEMORY_CGROUPS / "cgroup.procs", os.W_OK)
        (self.folder / "cgroup.conf").write_text(CGROUP_CONF)
        port, *node_ports = _free_ports(1 + n_nodes)
        nodes = [
            NODE.format(index=index, host=host, port=node_port, cpus=cpus, memory_mb=memory_mb)
            for index, node_port in enumerate(node_ports, 1)
        ]
        template = Path(__file__).with_name("slurm.conf.in").read_text()
        self.conf.write_text(
            template.format(
                folder=self.folder,
                host=host,
                port=port,
                memory_limit=BY_CGROUP if has_cgroups else BY_ACCOUNTING,
                nodes="\n".join(nodes),
            )
        )

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        self._run(
            "munged",
            "--force",  # the folders above are not ours to judge
            f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/run/munged.pid",
            f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )

    def _idle_nodes(self) -> int:
        return len(self._run("sinfo", "-h", "-N", "-t", "idle", "-p", "main").splitlines())

    def _daemon(self, name: str) -> int | None:
        try:
            return int((self.folder / "run" / f"{name}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _processes_on(self, name: str) -> list[int]:
        """Return the processes of a node's jobs, known by their environment."""
        marks = {f"SLURMD_NODENAME={name}".encode(), f"SLURM_CONF={self.conf}".encode()}
        return [pid for pid, environment in _environments() if marks <= environment]

    def _run(self, program: str, *arguments: str) -> str:
        path = shutil.which(program, path=SEARCHED)
        if path is None:
            raise FileNotFoundError(f"{program} is not installed; see install_system_parts")
        result = subprocess.run(
            [path, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        if result.returncode:
            raise subprocess.CalledProcessError(result.returncode, program, result.stdout)
        return result.stdout

    def _wait(self, is_so: Callable[[], bool], limit_s: float, problem: str) -> None:
        began = time.monotonic()
        while not is_so():
            if time.monotonic() - began > limit_s:
                logs = "\n".join(
                    f"{file.name}: {file.read_text()[-1500:]}"
                    for file in sorted((self.folder / "log").iterdir())
                )
                raise TimeoutError(f"{problem} within {limit_s} s\n{self.status()}\n{logs}")
            time.sleep(0.1)


def _free_ports(n_ports: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n_ports)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def _environments() -> Iterator[tuple[int, set[bytes]]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), set((folder / "environ").read_bytes().split(b"\0"))


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _kill(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _end(pid: int | None, limit_s: float = 10.0) -> None:
    """Ask a process to end; after a while, make it."""
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        while time.monotonic() - began < limit_s:
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = ["start", "env", "status", "stop", "kill-node", "start-node"]
    parser.add_argument("command", choices=commands)
    parser.add_argument("folder", type=Path)
    parser.add_argument("node", nargs="?", default="n1")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--memory-mb", type=int, default=8000)
    return parser.parse_args()


def main() -> int:
    """Do what the command line says."""
    given = _arguments()
    testbed = Testbed(given.folder)
    match given.command:
        case "start":
            testbed.start(given.nodes, given.cpus, given.memory_mb)
        case "env":
            sys.stdout.write(f"export SLURM_CONF={testbed.conf}\n")
        case "status":
            sys.stdout.write(testbed.status())
        case "stop":
            testbed.stop()
        case "kill-node":
            testbed.kill_node(given.node)
        case "start-node":
            testbed.start_node(given.node)
    return 0


if __name__ == "__main__":
    sys.exit(main())
