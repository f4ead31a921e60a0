"""What SLURM says of jobs: who they belong to, how they go, and why they ended."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from connflow.errors import ClusterError

_WORDS = {
    "BOOT_FAIL": "its node did not boot",
    "CANCELLED": "was cancelled",
    "COMPLETED": "ended",
    "DEADLINE": "reached its deadline",
    "FAILED": "failed",
    "NODE_FAIL": "lost its node",
    "OUT_OF_MEMORY": "ran out of memory",
    "PREEMPTED": "was preempted",
    "REVOKED": "was revoked",
    "TIMEOUT": "reached its time limit",
}
ENDED = frozenset(_WORDS)
BEGUN_AGAIN = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
"""States of a job that had a worker and waits for a node again: a site has requeued it."""

FROM_OUTSIDE = ENDED - {"FAILED", "OUT_OF_MEMORY"}
"""States that are nobody's fault here. Jobs are completed when their workers have retired."""

TAKEN_AWAY = frozenset({"CANCELLED", "DEADLINE", "NODE_FAIL", "PREEMPTED", "REVOKED"})
"""States that say nothing against the node of a job that had not begun."""
_TELLING = re.compile(
    r"killed by signal|memory budget|oom|out of memory|error:|Error|No space|not found|No such file"
    r"|cannot|denied",
    re.IGNORECASE,
)
_ANSWER_S = 30  # a SLURM command that takes longer counts as silent


@dataclass(frozen=True)
class Job:
    """A SLURM job, as `scontrol` and `squeue` show it."""

    id: str
    state: str
    node: str = ""
    exit_code: str = ""
    time_limit: str = ""
    log: str = ""
    comment: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether the job has come to one of SLURM's final states."""
        return self.state in ENDED

    def __str__(self) -> str:
        """Say how the job ended, or that it goes on."""
        words = _WORDS.get(self.state, f"is {self.state.lower()}")
        if self.state == "TIMEOUT" and self.time_limit:
            words += f" of {self.time_limit}"
        if self.state == "FAILED" and self.exit_code:
            words += f" with exit status {self.exit_code.partition(':')[0]}"
        place = f" on {self.node}" if self.node else ""
        return f"SLURM job {self.id}{place} {words} ({self.state})"


@dataclass(frozen=True)
class Loss:
    """Why a worker was lost."""

    reason: str
    is_from_outside: bool = False

    def __str__(self) -> str:
        return self.reason


class Owner(NamedTuple):
    """The flow's process that a job works for, as written in the job's comment."""

    flow_run: str
    host: str
    pid: int
    started: str

    @classmethod
    def here(cls, flow_run: str) -> Self:
        """Return this process as owner."""
        return cls(flow_run, _machine(), os.getpid(), _start_of(os.getpid()))

    @classmethod
    def parse(cls, comment: str) -> Self | None:
        """Read an owner from a job's comment; None if the job is not one of ours."""
        found = re.fullmatch(r"connflow/([^/]+)/([^/]+)/(\d+)/(\w*)", comment)
        return cls(found[1], found[2], int(found[3]), found[4]) if found else None

    def __str__(self) -> str:
        return f"connflow/{self.flow_run}/{self.host}/{self.pid}/{self.started}"

    @property
    def is_here(self) -> bool:
        """Whether the owner is, or was, a process of this machine."""
        return self.host == _machine()

    @property
    def is_gone(self) -> bool:
        """Whether the owner was a process of this machine and has ended."""
        return self.is_here and _start_of(self.pid) != self.started


def _machine() -> str:
    """Name this machine since its start, and the container in which process numbers hold."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{platform.node()}-{boot}-{Path('/proc/self/ns/pid').readlink().name[5:-1]}"
    except OSError:
        return platform.node()


def _start_of(pid: int) -> str:
    """Return when a process began, in clock ticks since boot; empty if there is none.

    A zombie is one that has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def show_job(job_id: str) -> Job | None:
    """Ask SLURM about one job; None if it has forgotten it."""
    said = _ask("scontrol", "--oneliner", "show", "job", job_id)
    if said is None or "JobState=" not in said:
        return _accounted_job(job_id)
    fields = dict(re.findall(r"(?:^|\s)(\w+(?:/\w+)?)=(.*?)(?=\s+\w+(?:/\w+)?=|\s*$)", said))
    return Job(
        id=job_id,
        state=fields.get("JobState", ""),
        node=fields.get("NodeList", "").replace("(null)", ""),
        exit_code=fields.get("ExitCode", ""),
        time_limit=fields.get("TimeLimit", ""),
        log=re.sub("%[Jj]", job_id, fields.get("StdErr", "")),  # SLURM leaves %J as it is
        comment=fields.get("Comment", ""),
    )


def _accounted_job(job_id: str) -> Job | None:
    """Ask the accounting, where a site has one, about a job that the controller has forgotten."""
    said = _ask("sacct", "-X", "-n", "-P", "-j", job_id, "-o", "State,NodeList,ExitCode,Timelimit")
    if not said or not said.strip():
        return None
    state, node, exit_code, time_limit = said.strip().splitlines()[0].split("|")
    return Job(job_id, state.split()[0], node, exit_code=exit_code, time_limit=time_limit)


def queued_jobs() -> list[Job]:
    """Return this user's jobs that wait or run, and those that have ended a moment ago.

    Raises
    ------
    ClusterError
        If SLURM does not answer.
    """
    said = _ask("squeue", "--me", "--all", "--noheader", "--states=all", "--format=%i|%T|%N|%k")
    if said is None:
        raise ClusterError(
            "SLURM does not answer: squeue failed. Run connflow where squeue and sbatch work, on a "
            "login node."
        )
    lines = [line.split("|", 3) for line in said.splitlines()]
    return [
        Job(job_id, state, node, comment=comment.strip())
        for job_id, state, node, comment in (parts for parts in lines if len(parts) == 4)
    ]  # what is shorter is the rest of a comment of several lines


def owned_jobs() -> list[tuple[Job, Owner]]:
    """Return this user's jobs of connflow that wait or run, with their owners."""
    jobs = [(job, Owner.parse(job.comment)) for job in queued_jobs() if not job.has_ended]
    return [(job, owner) for job, owner in jobs if owner is not None]


def cancel_jobs(jobs: Iterable[Job]) -> None:
    """Cancel jobs; one that has ended meanwhile is no error."""
    ids = [job.id for job in jobs]
    if ids:
        _ask("scancel", *ids)


def telling_lines(log: str, n_lines: int = 3) -> str:
    """Return the last lines of a job's log that say what went wrong."""
    try:
        lines = [line.strip() for line in Path(log).read_text(errors="replace").splitlines()]
    except OSError:
        return ""
    return "\n".join([line for line in lines if _TELLING.search(line)][-n_lines:])


def _ask(*command: str) -> str | None:
    """Run a SLURM command; None if it is not there, fails, or does not answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_ANSWER_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
