"""Faults of real workers, jobs, servers and flow processes: what was promised still holds.

Flows run in processes of their own, harm is done to them, and executions are counted. Where it is
honest, the flows of several backends go on at once, and several faults meet one of them.
"""

import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.system._checks import (
    a_busy_worker,
    all_is_done_once,
    cluster_is_back,
    completes,
    is_cancelled_without_a_trace,
    nothing_stays_running,
    only_culprits_are_blamed,
    steps_have_ended,
)
from tests.system._processes import HERE, Ground, is_alive, wait_until
from tests.system._table import BACKENDS

STEP_S = 1.5
"""Seconds that a step sleeps where workers are taken away: long enough to be hit while busy."""

EXCLUSIVE = {"job_extra_directives": ["--exclusive"]}  # a job a node
NO_WORKERS = "threads have no workers"
NO_JOBS = "there are no jobs"
POOL = "faults"


def on_each(name: str, backends: Sequence[str], elsewhere: str = "") -> pytest.MarkDecorator:
    """Make one test of a fault for each backend."""
    marks = [pytest.mark.fault(name, backend=item, elsewhere=elsewhere) for item in backends]
    cases = [pytest.param(item, marks=mark) for item, mark in zip(backends, marks, strict=True)]
    return pytest.mark.parametrize("backend", cases, indirect=True)


@pytest.fixture
def backend(request):
    """The backend that a test is about; SLURM skips where it cannot be."""
    if request.param == "SLURM":
        request.getfixturevalue("slurm")
    return request.param


# --- jobs and workers are taken away -------------------------------------------------------------


@pytest.fixture(scope="module")
def battered(server, slurm, make_ground):
    """A run of four jobs that loses workers in every way, one after another."""
    slurm.clear()
    ground = make_ground("battered")
    run = ground.start_flow(
        "battered", ground.slurm_profile(slurm, 4, **EXCLUSIVE), chains=4, length=40, seconds=STEP_S
    )
    hit = {}

    def hits(fault, harm, number=1):
        victims = hit.setdefault(fault, [])
        for _ in range(number):
            lost = [item.job for items in hit.values() for item in items]
            victims.append(a_busy_worker(run, ground, lost))
            harm(victims[-1])
            time.sleep(1)
        if fault != "worker":  # whose nanny starts another one in the same job
            cluster_is_back(slurm, run, ground, 4, without=[item.job for item in victims])

    hits("worker", lambda victim: os.kill(victim.pid, signal.SIGKILL))
    hits("nanny", lambda victim: os.kill(victim.parent, signal.SIGKILL))
    hits("CANCELLED", lambda victim: slurm.run("scancel", victim.job), number=3)
    hits("PREEMPTED", lambda victim: slurm.preempt(victim.node))
    hits("NODE_FAIL", lambda victim: slurm.fail_node(victim.node))
    hits("TIMEOUT", lambda victim: slurm.end_time_of_all(), number=1)
    ground.hurry()
    run.wait(120)
    return run, ground, hit


@pytest.mark.parametrize(
    ("fault", "n_hits"),
    [
        pytest.param(
            fault, number, marks=pytest.mark.fault(name, backend="SLURM", elsewhere=elsewhere)
        )
        for fault, number, name, elsewhere in [
            ("CANCELLED", 3, "scancel of busy workers, 3 of 4, one after another", NO_JOBS),
            ("TIMEOUT", 1, "time limit reached by every worker", NO_JOBS),
            ("NODE_FAIL", 1, "a node fails", NO_JOBS),
            ("PREEMPTED", 1, "a job is preempted", NO_JOBS),
            ("worker", 1, "kill -9 of a worker process", NO_WORKERS),
            ("nanny", 1, "kill -9 of a nanny", "its death is that of the flow's process"),
        ]
    ],
)
def test_lost_workers_are_replaced(server, slurm, battered, fault, n_hits):
    run, ground, hit = battered
    n_lost = sum(len(victims) for victims in hit.values()) + 3  # the time is up for all four
    completes(run, ground, 160, n_lost, limit_s=1)
    assert len(hit[fault]) == n_hits
    for victim in hit[fault] if fault.isupper() else ():  # SLURM's verdict, in its own word
        assert re.search(rf"SLURM job {victim.job} .*\({fault}\)", run.output()), run.output()
    nothing_stays_running(server, run.name)


@pytest.mark.fault("kill -9 of a worker process", backend="local Dask")
def test_killed_local_worker(server, ground):
    run = ground.start_flow("dask-killed", ground.dask_profile(), chains=2, length=3)
    os.kill(a_busy_worker(run, ground).pid, signal.SIGKILL)
    completes(run, ground, 6, n_lost=1, limit_s=60)
    nothing_stays_running(server, "dask-killed")


@pytest.mark.fault(
    "workers retire before their time limit, in turn", backend="SLURM", elsewhere=NO_JOBS
)
def test_retiring_workers_are_replaced(server, slurm, ground):
    """Each worker retires after 12 to 18 seconds, of which it is busy most of the time."""
    slurm.clear()
    lifetime = ["--lifetime", "15s", "--lifetime-stagger", "3s"]
    profile = ground.slurm_profile(slurm, 3, worker_extra_args=lifetime)
    run = ground.start_flow("lifetime", profile, chains=3, length=12, seconds=STEP_S)
    completes(run, ground, 36, n_lost=36, limit_s=180)
    assert len({item.job for item in ground.executions()}) > 3
    nothing_stays_running(server, "lifetime")


# --- steps, nodes and services that are bad ------------------------------------------------------


@pytest.fixture(scope="module")
def killer_runs(make_backends):
    """Runs with a step that kills its worker, and one that takes all memory, each time."""
    culprits = {"die": 1, "exhaust": 1}
    return {
        name: place.start("killer", chains=2, length=3, culprits=culprits)
        for name, place in make_backends("killer", BACKENDS[1:]).items()
    }


@on_each("a step kills its worker each time, another takes all memory", BACKENDS[1:], NO_WORKERS)
def test_killer_steps(server, killer_runs, backend):
    run, ground = killer_runs[backend]
    only_culprits_are_blamed(server, run, ground, {"die", "exhaust"}, 6, "lost its worker 4 times")


@pytest.mark.fault("a step exceeds the memory of its job", backend="SLURM", elsewhere=NO_JOBS)
def test_memory_of_a_job_is_exceeded(server, slurm, ground):
    """Without a nanny that starts another worker, the job is over, and SLURM says why."""
    slurm.clear()
    run = ground.start_flow(
        "memory",
        ground.slurm_profile(slurm, 2, nanny=False),
        chains=1,
        length=2,
        culprits={"exhaust": 1},
    )
    verdict = "(OUT_OF_MEMORY)" if slurm.names_memory_deaths else "(FAILED)"
    only_culprits_are_blamed(server, run, ground, {"exhaust"}, 2, verdict)


@pytest.mark.fault(
    "a node with a full disk, a node without the environment",
    backend="SLURM",
    elsewhere="there is one node",
)
def test_bad_nodes_are_named_and_left_out(server, slurm, ground, bad_nodes):
    slurm.clear()
    profile = ground.slurm_profile(slurm, 4, **EXCLUSIVE, **bad_nodes.cluster_kwargs)
    run = ground.start_flow("bad-nodes", profile, chains=4, length=6)
    completes(run, ground, 24, n_lost=0, limit_s=120)
    for node, words in bad_nodes.problems.items():
        assert f"node {node} is left out" in run.output()
        assert words in run.output()
    assert not {item.node for item in ground.executions()} & set(bad_nodes.problems)


@pytest.mark.fault("a local disk fills up", backend="SLURM", elsewhere="there is one node")
def test_a_step_moves_away_from_a_full_disk(server, slurm, ground, small_disk):
    slurm.clear()
    profile = ground.slurm_profile(slurm, 2, **EXCLUSIVE)
    run = ground.start_flow("full-disk", profile, chains=0, culprits={"fill": 2})
    assert run.wait(90), ground.logs()
    assert f"node {small_disk} is left out of this run: its disk is full" in run.output()
    executions = Counter(item.step for item in ground.executions())
    assert sorted(executions.values()) == [1, 2]  # once in vain, and not tried again there
    assert all(item.ended == (item.node != small_disk) for item in ground.executions())


@pytest.mark.fault("no worker can start anywhere", backend="SLURM", elsewhere=NO_JOBS)
def test_a_run_without_any_worker_ends_and_says_why(server, slurm, ground):
    slurm.clear()
    profile = ground.slurm_profile(slurm, 2, python="/nowhere/bin/python")
    run = ground.start_flow("no-worker", profile, chains=2, length=1)
    assert not run.wait(60), "a flow without workers has completed"
    assert "no worker of kind main joins this run" in run.output()
    assert "/nowhere/bin/python: No such file or directory" in run.output()
    wait_until("no job is left", lambda: not slurm.jobs(), 20, slurm.status)


@pytest.mark.fault("SLURM refuses the jobs", backend="SLURM", elsewhere=NO_JOBS)
def test_refused_jobs_end_the_run_with_what_slurm_says(server, slurm, ground):
    run = ground.start_flow("refused", ground.slurm_profile(slurm, 2, queue="nosuch"), chains=1)
    assert not run.wait(60), "a flow without workers has completed"
    assert "SLURM did not take a job: sbatch: error" in run.output()
    assert "invalid partition specified: nosuch" in run.output()


def test_jobs_come_and_go_with_the_steps(server, slurm, ground):
    slurm.clear()
    for index in range(1, 5):
        (ground.folder / "disks" / f"n{index}").mkdir(parents=True)
    profile = ground.slurm_profile(slurm, 3, adapt={"minimum": 0, "maximum": 3, "idle_s": 1})
    run = ground.start_flow("adapts", profile, chains=1, length=12, culprits={"fill": 3})
    wait_until("there are three jobs", lambda: len(slurm.jobs()) == 3, 40, ground.logs)
    wait_until("there is one job", lambda: len(slurm.jobs()) == 1, 40, ground.logs)
    assert run.process.poll() is None, "the flow was too short to see the cluster shrink"
    completes(run, ground, 15, n_lost=0, limit_s=60)


@pytest.fixture(scope="module")
def runs_without_server(server, make_backends):
    """Runs that were in their midst when the server went away for 60 s."""
    places = make_backends("outage", BACKENDS)
    work = {"chains": 2, "length": 15, "seconds": 5.0}
    runs = {name: place.start("outage", **work) for name, place in places.items()}
    for run, ground in runs.values():
        steps_have_ended(run, ground, 1)
    server.kill()
    time.sleep(60)
    assert all(len(ground.n_ended()) < 30 for _, ground in runs.values()), "they were too short"
    server.start()
    for place in places.values():
        place.ground.hurry()
    return {name: (places[name], *runs[name]) for name in places}


@on_each("the Prefect server is away for 60 s", BACKENDS)
def test_server_is_away(server, runs_without_server, backend):
    place, run, ground = runs_without_server[backend]
    if not run.wait(90):
        run, _ = place.start("outage-again", chains=2, length=15, seconds=5.0)
        assert run.wait(90), ground.logs()
    all_is_done_once(ground, 30)
    nothing_stays_running(server, run.name)


# --- flows that are killed, doubled, cancelled ---------------------------------------------------


@pytest.fixture(scope="module")
def continued_runs(make_backends):
    """Runs that were killed in their midst, and those that were started in their place."""
    places = make_backends("again", BACKENDS)
    work = {"chains": 2, "length": 5, "seconds": STEP_S}
    first = {name: place.start("killed", **work) for name, place in places.items()}
    for run, ground in first.values():
        steps_have_ended(run, ground, 2)
        run.kill()
    return {name: (*place.start("again", **work), first[name][0]) for name, place in places.items()}


@on_each("kill -9 of the flow's process, run again", BACKENDS)
def test_killed_flow_is_continued(continued_runs, backend):
    run, ground, _ = continued_runs[backend]
    completes(run, ground, 10, n_lost=2, limit_s=90)
    wait_until(
        "no worker is left",
        lambda: not any(is_alive(item.pid) for item in ground.executions()),
        10,
    )


@pytest.mark.fault("jobs of a run that was killed", backend="SLURM", elsewhere=NO_JOBS)
def test_jobs_of_a_killed_flow_are_found_and_cancelled(slurm, ground):
    slurm.clear()
    work = {"profile": ground.slurm_profile(slurm, 2), "chains": 2, "length": 9}
    first = ground.start_flow("orphaning", **work)
    a_busy_worker(first, ground)
    jobs = {job.id for job in slurm.jobs()}
    first.kill()
    cli = [sys.executable, "-m", "flows.cli", "slurm", "orphans"]
    listed = ground.output_of("orphans", cli)
    assert all(job in listed for job in jobs)
    second = ground.start_flow("adopting", **work)
    wait_until("the second has jobs", lambda: "Register worker" in second.output(), 60, ground.logs)
    assert not jobs & {job.id for job in slurm.jobs()}
    ground.hurry()
    completes(second, ground, 18, n_lost=2, limit_s=60)
    assert not slurm.jobs()


@pytest.fixture(scope="module")
def twin_runs(make_backends):
    """Two runs of the same at once."""
    places = make_backends("twins", BACKENDS)
    work = {"chains": 2, "length": 4}
    return {
        name: [place.start(twin, **work) for twin in ("one", "other")]
        for name, place in places.items()
    }


@on_each("two identical runs at once", BACKENDS)
def test_twins_share_the_work(twin_runs, backend):
    (one, ground), (other, _) = twin_runs[backend]
    assert one.wait(120), ground.logs()
    completes(other, ground, 8, n_lost=0, limit_s=60)


@pytest.fixture(scope="module")
def worker(server, slurm, make_ground) -> Ground:
    """A process worker that has the flow deployed, with steps in SLURM jobs."""
    slurm.clear()
    ground = make_ground("worker")
    ground.environment |= {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    ground.slurm_profile(slurm, 2)
    prefect = [sys.executable, "-m", "prefect"]
    ground.output_of("pool", [*prefect, "work-pool", "create", POOL, "--type", "process"])
    ground.output_of("deploy", [sys.executable, HERE / "fault_flows.py", POOL])
    ground.start("worker", [*prefect, "worker", "start", "--pool", POOL])
    return ground


@pytest.fixture
def run_to_cancel(request, server, slurm, worker):
    """A run of the deployment with busy workers: its name and its id."""
    name = request.node.name
    place = {"profile": str(worker.folder / "slurm.yaml"), "store": worker.store.root}
    others = {
        "seconds": STEP_S + len(worker.store.list_refs()) / 1000
    }  # than those of the run before
    run_id = server.run_deployment("fault-flow", POOL, name, chains=2, length=30, **place, **others)
    n_ended = len(worker.n_ended())
    wait_until("a step has ended", lambda: len(worker.n_ended()) > n_ended, 60, worker.logs)
    wait_until("workers are busy", lambda: len(worker.running()) == 2, 60, worker.logs)
    return name, run_id


@pytest.mark.fault("cancel from the command line", backend="SLURM", elsewhere=NO_JOBS)
def test_cancel_from_the_cli(server, slurm, worker, run_to_cancel):
    name, run_id = run_to_cancel
    worker.output_of("cancel", [sys.executable, "-m", "prefect", "flow-run", "cancel", run_id])
    is_cancelled_without_a_trace(server, slurm, worker, name)


@pytest.mark.fault("cancel from the UI", backend="SLURM", elsewhere=NO_JOBS)
def test_cancel_from_the_ui(server, slurm, worker, run_to_cancel, page):
    name, run_id = run_to_cancel
    page.goto(f"{server.url}/runs/flow-run/{run_id}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    is_cancelled_without_a_trace(server, slurm, worker, name)
