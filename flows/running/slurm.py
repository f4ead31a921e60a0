"""Dask workers as SLURM jobs: as many as the profile says, replaced when they end, and why."""

import os
import re
import shlex
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import dask
from dask_jobqueue.slurm import SLURMCluster
from distributed.core import Status
from distributed.diagnostics.plugin import SchedulerPlugin
from prefect.runtime import flow_run

from connflow.errors import ClusterError, InvalidInputError
from flows.running.profile import Profile, WorkerKind
from flows.running.slots import Slots, Worker
from flows.running.slurm_jobs import (
    BEGUN_AGAIN,
    FROM_OUTSIDE,
    TAKEN_AWAY,
    Job,
    Loss,
    Owner,
    cancel_jobs,
    owned_jobs,
    queued_jobs,
    show_job,
    telling_lines,
)

VERDICT_S = 15.0
"""Most seconds that a job with a dead worker gets to come to its end."""

FAILED_STARTS_OF_NODE = 2
"""So many jobs of a node that end before their worker joins, and the node is left out."""

MOST_REFUSALS = 20
"""So many times in a row SLURM may be silent, or refuse a job, before the run is given up."""


class SlurmWorkers:
    """The SLURM jobs of a run: started with it, kept at their number, and gone after it.

    Parameters
    ----------
    profile : Profile
        Kinds of workers, and what each job asks SLURM for.
    cluster_class : type of SLURMCluster
        The class that submits them.
    logger
        Is told how jobs come and go.
    on_failure : callable
        Is called when it is clear that no worker will ever join.
    """

    def __init__(
        self,
        profile: Profile,
        cluster_class: type[SLURMCluster],
        logger: Any,
        on_failure: Callable[[], None],
    ) -> None:
        self.failure: ClusterError | None = None
        self.slots: Slots | None = None
        self._profile, self._class = profile, cluster_class
        self._logger, self._on_failure = logger, on_failure
        self._kinds = kinds_of(profile)
        self._job_ids: dict[str, str] = {}  # by Dask worker name, of all jobs that there were
        self._joined = _Joined()
        self._failed_starts: Counter[str] = Counter()  # by node
        self._failed_kinds: Counter[str] = Counter()
        self._shunned: set[str] = set()
        self._leaving: set[str] = set()  # ids of jobs that are being cancelled
        self._idle_since: dict[str, float] = {}
        self._n_submitted = 0
        self._changing = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Start the scheduler here, and submit the first jobs."""
        job_scripts(self._profile, self._class)  # refuses what no job can be made of
        cancel_orphans(self._logger)
        cluster: Any = self._start_cluster()
        self._cluster, self._scheduler = cluster, cluster.scheduler
        try:
            self.address = str(cluster.scheduler_address)
            self._scheduler.add_plugin(self._joined, name="connflow-joined")
            self._fill_up_at_least_one()
        except BaseException:
            self._close()
            raise
        self._keeper = threading.Thread(target=self._keep, name="connflow-slurm", daemon=True)
        self._keeper.start()
        return self

    def __exit__(self, *error: Any) -> None:
        """Cancel all jobs."""
        self._over.set()
        self._keeper.join()
        self._close()

    def _close(self) -> None:
        """Take all jobs and the scheduler down."""
        self._note_jobs()
        cancel_jobs(Job(job_id, "") for job_id in self._job_ids.values())
        for job in list(self._cluster._created):
            job.status = Status.closed  # dask-jobqueue leaves it; Dask's own closing asserts it
        self._cluster.close()

    def workers(self, client: Any) -> Mapping[str, Worker]:
        """Return the workers that are there now, as the scheduler in this process knows them."""
        return {
            state.address: Worker(
                state.address, str(state.name), state.resources, self._takes_steps(state)
            )
            for state in _values(self._scheduler.workers)
        }

    def _takes_steps(self, state: Any) -> bool:
        job_id = self._job_ids.get(self._job_of(str(state.name)))
        return state.status == Status.running and job_id not in self._leaving

    def node_of(self, worker: str) -> str:
        """Return the SLURM node that a worker is on."""
        job_id = self._job_ids.get(self._job_of(worker))
        job = show_job(job_id) if job_id is not None else None
        return job.node if job is not None else "a node unknown"

    def why_lost(self, worker: str) -> Loss:
        """Return SLURM's verdict on the job of a lost worker, once there is one."""
        name = self._job_of(worker)
        job_id = self._job_ids.get(name)
        if job_id is None:
            return Loss(f"worker {worker} was lost; its job is not known", is_from_outside=True)
        until = time.monotonic() + VERDICT_S
        while (job := show_job(job_id)) is not None and not job.has_ended:
            is_back = job.state == "RUNNING" and self._is_here(worker)
            if is_back or job.state in BEGUN_AGAIN or time.monotonic() > until:
                break
            time.sleep(0.5)
        if job is None:
            return Loss(f"worker {worker} was lost; SLURM says nothing of its job {job_id}", True)
        lines = telling_lines(job.log)
        log = f"; its log says: {lines}" if lines and job.state not in FROM_OUTSIDE else ""
        if job.has_ended or job.state in BEGUN_AGAIN:
            return Loss(f"{job}{log}", job.state in FROM_OUTSIDE | BEGUN_AGAIN)
        return Loss(f"its process was killed, perhaps out of memory, while {job}{log}")

    def why_left(self, worker: str) -> Loss:
        """Return SLURM's verdict; a worker that left in peace has retired."""
        return replace(self.why_lost(worker), is_from_outside=True)

    def shun(self, node: str, why: str) -> bool:
        """Cancel the jobs of a node, and submit no more that could go there."""
        if not re.fullmatch(r"[\w.-]+", node):  # SLURM did not say which
            return False
        with self._changing:
            if node in self._shunned:
                return True
            self._shunned.add(node)
        self._logger.error(
            "node %s is left out of this run: %s. Mend it, or keep it out with --exclude=%s in the "
            "profile's job_extra_directives",
            node,
            why,
            node,
        )
        try:
            ours = [job for job in queued_jobs() if job.id in self._job_ids.values()]
        except ClusterError as error:
            self._logger.warning("the jobs of %s go on: %s", node, error)
        else:
            self._leaving |= {job.id for job in ours if job.node == node}
            cancel_jobs(job for job in ours if job.node == node)
        return True

    def _start_cluster(self) -> SLURMCluster:
        owner = Owner.here(str(flow_run.id or "none"))
        options = job_options(self._profile, owner)
        try:
            return self._class(**{"scheduler_options": {"dashboard_address": ":0"}} | options)
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(f"the Dask scheduler did not start: {error}") from error

    def _fill_up_at_least_one(self) -> None:
        """Submit the first jobs; SLURM may refuse some, but not all."""
        try:
            self._fill_up()
        except ClusterError as error:
            if not self._cluster.workers:
                raise
            self._logger.warning("%s The run goes on with fewer jobs.", error)

    def _keep(self) -> None:
        """Look at the queue again and again; replace what has ended."""
        n_refusals = 0
        while not self._over.wait(self._profile.poll_s):
            try:
                self._replace_ended()
                n_refusals = 0
            except Exception as error:
                n_refusals += 1
                failure = error if isinstance(error, ClusterError) else ClusterError(repr(error))
                if n_refusals > MOST_REFUSALS and not self._scheduler.workers:
                    self._fail(failure)
                    return
                self._logger.warning("%s Trying again in %g s", failure, self._profile.poll_s)

    def _replace_ended(self) -> None:
        self._note_jobs()
        workers = dict(self._cluster.workers)  # before the queue: what is not in it is gone
        states = {job.id: job for job in queued_jobs()}
        for name, worker in workers.items():
            job = states.get(worker.job_id)
            if worker.job_id is not None and (job is None or job.has_ended):
                job = show_job(worker.job_id) or job
                if job is None or job.has_ended:
                    self._bury(name, job, worker.job_id)
        if self.failure is None:
            self._fill_up()
            self._dismiss_idle()

    def _bury(self, name: str, job: Job | None, job_id: str) -> None:
        """Take an ended job off the list, and draw the conclusions."""
        words = str(job) if job is not None else f"SLURM job {job_id} is gone"
        self._cluster.worker_spec.pop(name, None)
        self._cluster.workers.pop(name, None)
        if name in self._joined.names:
            self._logger.info("%s; another takes its place", words)
            return
        if job is not None and job.state in TAKEN_AWAY:
            self._logger.info("%s before it had begun; another takes its place", words)
            return
        node, kind = job.node if job is not None else "", name.rpartition("-")[0]
        self._failed_starts[node] += 1
        self._failed_kinds[kind] += 1
        lines = telling_lines(job.log) if job is not None else ""
        problem = (
            f"{words} before its Dask worker joined the run. "
            f"Its log {job.log if job is not None else ''} says: {lines or 'nothing'}. "
            "Check that the environment and the local directory of the profile are there on "
            f"{node or 'the node'}, and that it reaches {self.address}"
        )
        self._logger.error(problem)
        most = max(4, 2 * self._n_wanted(self._kinds[kind]))
        if kind not in self._joined.kinds and self._failed_kinds[kind] >= most:
            self._fail(ClusterError(f"no worker of kind {kind} joins this run: {problem}"))
        elif node and self._failed_starts[node] >= FAILED_STARTS_OF_NODE:
            self.shun(node, "workers do not start there")

    def _fail(self, failure: ClusterError) -> None:
        self.failure = failure
        self._logger.error("%s", failure)
        self._on_failure()

    def _fill_up(self) -> None:
        """Submit as many jobs as are missing."""
        spec, workers = self._cluster.worker_spec, self._cluster.workers
        for name in set(spec) - set(workers):  # Dask has given them up
            del spec[name]
        for kind_name, kind in self._kinds.items():
            have = sum(name.rpartition("-")[0] == kind_name for name in spec)
            for _ in range(self._n_wanted(kind) - have):
                name = f"{kind_name}-{self._n_submitted}"
                self._n_submitted += 1
                spec[name] = {"cls": self._class.job_cls, "options": self._options(kind)}
        if set(spec) - set(workers):
            self._submit()

    def _n_wanted(self, kind: WorkerKind) -> int:
        """Return how many jobs of a kind there are to be now."""
        limits = self._profile.adapt_kwargs
        if limits is None:
            return kind.jobs
        n_steps = self.slots.n_steps if self.slots is not None else 0
        n_workers: int = self._cluster._dummy_job.worker_processes
        steps_per_job = self._profile.steps_per_worker * n_workers
        return min(max(-(-n_steps // steps_per_job), limits.minimum), limits.maximum)

    def _dismiss_idle(self) -> None:
        """End jobs that have had nothing to do for a while, where the profile adapts."""
        limits = self._profile.adapt_kwargs
        if limits is None:
            return
        (kind,) = self._kinds.values()
        states = _values(self._scheduler.workers)
        busy = {self._job_of(str(state.name)) for state in states if state.processing}
        now, names = time.monotonic(), list(self._cluster.workers)
        since = {name: self._idle_since.get(name, now) for name in names if name not in busy}
        idle = [name for name in since if now - since[name] > limits.idle_s]
        for name in idle[: max(0, len(names) - self._n_wanted(kind))]:
            self._cluster.worker_spec.pop(name, None)
        self._idle_since = since
        if set(self._cluster.workers) - set(self._cluster.worker_spec):
            self._submit()

    def _submit(self) -> None:
        try:
            self._cluster.sync(self._cluster._correct_state)
        except (RuntimeError, OSError, ValueError) as error:
            for name, worker in list(self._cluster.workers.items()):
                if worker.job_id is None:
                    del self._cluster.workers[name], self._cluster.worker_spec[name]
            said = str(error).partition("stderr:\n")[2].strip() or str(error)
            raise ClusterError(f"SLURM did not take a job: {said}.") from None
        finally:
            self._note_jobs()

    def _options(self, kind: WorkerKind) -> dict[str, Any]:
        options = kind_options(self._cluster._job_kwargs, kind)
        if self._shunned:
            exclude = f"--exclude={','.join(sorted(self._shunned))}"
            options["job_extra_directives"] = [*options["job_extra_directives"], exclude]
        return options

    def _note_jobs(self) -> None:
        for name, worker in list(self._cluster.workers.items()):
            if worker.job_id is not None:
                self._job_ids[name] = worker.job_id

    def _job_of(self, worker: str) -> str:
        """Return the name of a worker's job: its own, or without the number of its process."""
        self._note_jobs()
        return worker if worker in self._job_ids else worker.rpartition("-")[0]

    def _is_here(self, worker: str) -> bool:
        workers = _values(self._scheduler.workers)
        return any(state.name == worker for state in workers)


def _values(workers: Any) -> list[Any]:
    """Return the values of the scheduler's sorted dictionary, which changes in another thread."""
    return list(dict.values(workers))


class _Joined(SchedulerPlugin):
    """Remembers the names of the jobs, and their kinds, of which a worker has joined."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    @property
    def kinds(self) -> set[str]:
        """Kinds of the jobs."""
        return {name.rpartition("-")[0] for name in self.names}

    def add_worker(self, scheduler: Any, worker: str) -> None:
        name = str(scheduler.workers[worker].name)
        self.names |= {name, name.rpartition("-")[0]}


def kinds_of(profile: Profile) -> Mapping[str, WorkerKind]:
    """Return the kinds of workers of a profile; one without a word on them has one kind."""
    return profile.workers or {
        "worker": WorkerKind(jobs=profile.cluster_kwargs.get("n_workers", 1))
    }


def job_options(profile: Profile, owner: Owner) -> dict[str, Any]:
    """Return the arguments of the cluster class: what all jobs have in common."""
    given = {name: value for name, value in profile.cluster_kwargs.items() if name != "n_workers"}
    directives = list(given.get("job_extra_directives", ()))
    if not any("requeue" in directive for directive in directives):
        directives.append("--no-requeue")  # a job that lost its node is replaced here
    exports = [f"export {name}={shlex.quote(text)}" for name, text in profile.environment.items()]
    return {
        "log_directory": str(_log_folder()),
        **given,
        "job_name": f"connflow-{owner.flow_run}",
        "job_extra_directives": [*directives, f"--comment={owner}"],
        "job_script_prologue": [*given.get("job_script_prologue", ()), *exports],
    }


def kind_options(common: Mapping[str, Any], kind: WorkerKind) -> dict[str, Any]:
    """Return the arguments of a job of one kind; lists add to those of all jobs."""
    options = dict(common)
    for name, value in kind.cluster_kwargs.items():
        options[name] = [*options.get(name, ()), *value] if isinstance(value, list) else value
    offered = ",".join(f"{name}={amount:g}" for name, amount in kind.resources.items())
    options["worker_extra_args"] = [
        *options.get("worker_extra_args", ()),
        *(("--resources", offered) if offered else ()),
        *_lifetime(options),
    ]
    return options


def job_scripts(profile: Profile, cluster_class: type[SLURMCluster]) -> Mapping[str, str]:
    """Return the script of a job of each kind, as it would be submitted. No cluster is asked.

    Raises
    ------
    InvalidInputError
        If the profile has an argument that the cluster class does not take.
    """
    owner = Owner("FLOW_RUN_ID", "HOST", 0, "START")
    common = job_options(profile, owner)
    common.pop("scheduler_options", None)
    job_class: Any = cluster_class.job_cls
    try:
        return {
            name: job_class(
                scheduler="tcp://SCHEDULER:PORT",
                name=f"{name}-0",
                **kind_options(common, kind),
            ).job_script()
            for name, kind in kinds_of(profile).items()
        }
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"cluster_kwargs: {error}") from None


def cancel_orphans(logger: Any) -> None:
    """Cancel this user's jobs whose flow was a process of this machine that has ended."""
    orphans = [(job, owner) for job, owner in owned_jobs() if owner.is_gone]
    for job, owner in orphans:
        logger.warning("cancelling SLURM job %s of the dead run %s", job.id, owner.flow_run)
    cancel_jobs(job for job, _ in orphans)


def _lifetime(options: Mapping[str, Any]) -> list[str]:
    """Return arguments that make a worker retire before SLURM ends its job, not all at once."""
    walltime = options.get("walltime") or dask.config.get("jobqueue.slurm.walltime", None)
    given = options.get("worker_extra_args", ())
    if walltime is None or any("--lifetime" in str(arg) for arg in given):
        return []
    limit_s = seconds(walltime)
    margin_s = min(max(60.0, 0.05 * limit_s), limit_s / 4)
    return [
        "--lifetime",
        f"{limit_s - 2 * margin_s:.0f}s",
        "--lifetime-stagger",
        f"{margin_s:.0f}s",
    ]


def seconds(walltime: str) -> float:
    """Return the seconds of a SLURM time limit: ``minutes``, ``h:m:s``, ``days-h:m:s``, ...

    Examples
    --------
    >>> seconds("90"), seconds("01:30:00"), seconds("1-12"), seconds("2:30")
    (5400.0, 5400.0, 129600.0, 150.0)

    Raises
    ------
    InvalidInputError
        If it is none of these.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", str(walltime))
    if found is None or not isinstance(walltime, str):  # YAML reads 12:00:00 as 43200
        raise InvalidInputError(
            f"walltime {walltime!r} is not one of SLURM's forms; in YAML write it in quotes: "
            "'04:00:00', '1-12:00:00'"
        )
    days, *rest = found.groups()
    parts = [int(part) for part in rest if part is not None]
    if days is None and len(parts) < 3:  # minutes[:seconds], elsewhere hours[:minutes[:seconds]]
        parts.insert(0, 0)
    in_s = sum(weight * part for weight, part in zip((3600, 60, 1), parts, strict=False))
    return 86400.0 * int(days or 0) + in_s


def _log_folder() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "connflow" / "slurm"
