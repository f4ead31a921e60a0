"""What must hold after a fault, in the words of the tests."""

import re
from collections import Counter
from collections.abc import Callable, Iterable

from tests.system._processes import Execution, FlowProcess, Ground, Server, Slurm, wait_until


def completes(run: FlowProcess, ground: Ground, n_steps: int, n_lost: int, limit_s: float) -> None:
    """Check that a flow completes, and that nothing but what was lost was executed again."""
    assert run.wait(limit_s), ground.logs()
    all_is_done_once(ground, n_steps, n_lost)


def all_is_done_once(ground: Ground, n_steps: int, n_lost: int = 0) -> None:
    """Check that so many steps came to their end, each once, and how often one was cut off."""
    assert Counter(ground.n_ended().values()) == {1: n_steps}, ground.n_ended()
    assert len(ground.store.list_refs()) == n_steps
    lost = [item for item in ground.executions() if not item.ended]
    assert len(lost) <= n_lost, lost


def all_is_whole(ground: Ground) -> None:
    """Check that the store shows whole artifacts only."""
    store = ground.store
    assert [problem for ref in store.list_refs() for problem in store.verify(ref)] == []


def a_busy_worker(run: FlowProcess, ground: Ground, avoided: Iterable[str] = ()) -> Execution:
    """Wait for an execution, not in an avoided job; return the one that began last."""
    jobs = set(avoided)

    def find() -> Execution | None:
        run.must_go_on()
        places = [item for item in ground.running() if item.job not in jobs]
        return places[-1] if places else None

    found = wait_until("a worker is busy", find, 60, ground.logs)
    assert found is not None
    return found


def steps_have_ended(run: FlowProcess, ground: Ground, n_steps: int) -> None:
    """Wait until a flow that goes on has done so many steps, and is not about to finish another.

    A step that has noted its end and is killed before its artifact is there is not done.
    """

    def is_so() -> bool:
        run.must_go_on()
        n_ended = len(ground.n_ended())
        return n_ended >= n_steps and n_ended == len(ground.store.list_refs())

    wait_until(f"{n_steps} steps have ended", is_so, 90, ground.logs)


def cluster_is_back(
    slurm: Slurm, run: FlowProcess, ground: Ground, n_jobs: int, without: Iterable[str]
) -> None:
    """Wait until so many jobs of a flow that goes on are running, the lost ones not among them."""
    lost = set(without)

    def is_back() -> bool:
        run.must_go_on()
        running = {job.id for job in slurm.jobs("RUNNING")}
        return len(running) == n_jobs and not running & lost

    wait_until("the cluster is back at its size", is_back, 60, ground.logs)


def nothing_stays_running(server: Server, name: str) -> None:
    """Wait until the server believes of no task that it is still at work."""

    def is_over() -> bool:
        kinds = {kind for kind, _ in server.task_states(name).values()}
        return bool(kinds) and kinds <= {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

    wait_until("no task stays Running", is_over, 30, lambda: server.task_states(name))


def only_culprits_are_blamed(
    server: Server, run: FlowProcess, ground: Ground, words: set[str], n_pauses: int, reason: str
) -> None:
    """Check how a flow ends of which one step of each of these words kills its worker each time.

    Words are compared: the server never hears the full name of a step that dies at once.
    """
    assert not run.wait(150), "a flow with a step that never succeeds has completed"
    nothing_stays_running(server, run.name)
    states = [(_word(name), *state) for name, state in server.task_states(run.name).items()]
    assert {word for word, _, _ in states} == words | {"pause"}, f"the UI lacks some: {states}"
    for word, kind, message in states:
        if word in words:
            assert kind in ("FAILED", "CRASHED"), (word, kind, message)
            assert reason in message, (word, message)
            n_executions = sum(_word(item.step) == word for item in ground.executions())
            assert n_executions == 4, f"{word}: {n_executions} executions, not 1 and 3 retries"
    assert [kind for word, kind, _ in states if word == "pause"] == n_pauses * ["COMPLETED"]
    all_is_done_once(ground, n_pauses, n_lost=4 * len(words))
    assert server.state(run.name) == "FAILED"


def _word(step: str) -> str:
    return re.split("[ -]", step)[0]


def is_cancelled_without_a_trace(server: Server, slurm: Slurm, ground: Ground, name: str) -> None:
    """Check that a flow that was cancelled is over, its jobs are gone, and its store is whole."""
    is_empty: Callable[[], bool] = lambda: not slurm.jobs()  # noqa: E731
    wait_until("SLURM's queue is empty", is_empty, 30, ground.logs)
    is_cancelled: Callable[[], bool] = lambda: server.state(name) == "CANCELLED"  # noqa: E731
    wait_until("the flow is Cancelled", is_cancelled, 30, lambda: server.flow_run(name))
    wait_until("no step goes on", lambda: not ground.running(), 5, ground.running)
    assert ground.store.list_refs()
    all_is_whole(ground)
