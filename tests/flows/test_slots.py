"""Slots: served in order; no worker has more than it can take, or lacks what is asked for."""

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from flows.running.slots import Slots, Worker


class Cluster:
    """Workers that a test lets come and go."""

    def __init__(self, **resources):
        self.there = {
            name: Worker(name, name, offered or {}) for name, offered in resources.items()
        }

    def __call__(self):
        return dict(self.there)


@pytest.fixture
def slots_of():
    made = []

    def make(cluster, steps_per_worker=1):
        made.append(Slots(cluster, steps_per_worker))
        return made[-1]

    yield make
    for slots in made:
        slots.close()


def test_no_worker_ever_has_more_steps_than_slots(slots_of):
    slots = slots_of(Cluster(a=None, b=None), steps_per_worker=2)
    lock, now, most = threading.Lock(), {"a": 0, "b": 0}, {"a": 0, "b": 0}
    pause = threading.Event()

    def work(_):
        worker = slots.take({})
        with lock:
            now[worker.name] += 1
            most[worker.name] = max(most[worker.name], now[worker.name])
        pause.wait(0.01)
        with lock:
            now[worker.name] -= 1
        slots.give_back(worker, {})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(100)))
    assert most == {"a": 2, "b": 2}
    assert now == {"a": 0, "b": 0}


def test_what_is_asked_for_is_there_and_nobody_else_has_it(slots_of):
    slots = slots_of(Cluster(cpu=None, gpu={"gpu": 1}), steps_per_worker=3)
    first = slots.take({"gpu": 1})
    assert first.name == "gpu"
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(slots.take, {"gpu": 1})
        assert slots.take({}).name == "cpu"  # the one that needs nothing does not stand in line
        with pytest.raises(TimeoutError):
            second.result(timeout=0.6)
        slots.give_back(first, {"gpu": 1})
        assert second.result(timeout=5).name == "gpu"


def test_those_who_wait_are_served_in_order(slots_of):
    cluster = Cluster()
    slots, served = slots_of(cluster), []

    def work(index):
        worker = slots.take({})
        served.append(index)
        slots.give_back(worker, {})

    threads = [threading.Thread(target=work, args=(index,)) for index in range(5)]
    for index, thread in enumerate(threads):
        thread.start()
        while len(slots._waiting) <= index:
            thread.join(0.01)
    cluster.there["late"] = Worker("late", "late")
    for thread in threads:
        thread.join(10)
    assert served == [0, 1, 2, 3, 4]


def test_a_worker_that_retires_gets_no_step(slots_of):
    cluster = Cluster(old=None, new=None)
    cluster.there["old"] = Worker("old", "old", takes_steps=False)
    assert slots_of(cluster).take({}).name == "new"


def test_closing_sends_all_away(slots_of):
    slots = slots_of(Cluster())
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(slots.take, {}) for _ in range(2)]
        while len(slots._waiting) < 2:
            pass
        slots.close()
        for request in waiting:
            with pytest.raises(CancelledError):
                request.result(timeout=5)
    with pytest.raises(CancelledError):
        slots.take({})
