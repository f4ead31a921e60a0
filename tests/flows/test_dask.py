"""Steps on Dask workers: what they need, how long they may run, and what their upstream did."""

import time
from typing import Literal

import pytest
import yaml
from prefect import flow

from connflow.errors import InvalidInputError, StepTimeLimitError
from connflow.params import StepParams
from connflow.store import ArtifactRef
from flows.running import step_runner
from flows.running.runner import run_on
from tasks._step import step

LIMIT_S = 10
"""Longer than a worker takes to import Prefect on a busy machine."""


class ActParams(StepParams):
    """What the step of these tests does."""

    index: int = 0
    act: Literal["end", "sleep", "refuse"] = "end"


@step("act", 1, package="connflow.params")
def act(store, artifact, after: ArtifactRef | None = None, params: ActParams = ActParams()) -> None:
    if params.act == "sleep":
        time.sleep(600)
    if params.act == "refuse":
        raise InvalidInputError("these values do not do")
    artifact.write_file("done.txt", b"done")


@flow(name="act", persist_result=False)
def chain(acts, profile, store):
    """Do one act after the other; return name, message and result of their final states."""
    with run_on(profile, store):
        futures = []
        for index, name in enumerate(acts):
            upstream = futures[-1] if futures else None
            futures.append(act.submit(upstream, ActParams(index=index, act=name)))
        for future in futures:
            future.wait()
        states = [future.state for future in futures]
        return [
            (s.name, s.message, s.result(raise_on_failure=False) if s.is_final() else None)
            for s in states
        ]


@pytest.fixture
def profile_of(tmp_path):
    def write(**more):
        content = {
            "task_runner": "dask",
            "cluster_class": "distributed.LocalCluster",
            "cluster_kwargs": {
                "n_workers": 1,
                "threads_per_worker": 1,
                "dashboard_address": ":0",
                **more.pop("cluster_kwargs", {}),
            },
            **more,
        }
        path = tmp_path / "profile.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return write


@pytest.mark.usefixtures("prefect_server")
def test_a_step_past_its_time_limit_ends_with_a_message_and_the_worker_is_free_again(
    profile_of, tmp_path
):
    profile = profile_of(steps={"act": {"time_limit_s": LIMIT_S}})
    began = time.monotonic()
    states = chain(["end", "sleep", "end"], profile, str(tmp_path / "store"))
    assert time.monotonic() - began < 90
    assert [name for name, _, _ in states] == ["Completed", "TimedOut", "NotReady"]
    assert "act exceeded its time limit of 10 s on" in states[1][1]
    assert isinstance(states[1][2], StepTimeLimitError)
    assert "Raise steps.act.time_limit_s" in str(states[1][2])


@pytest.mark.usefixtures("prefect_server")
def test_bad_input_is_not_retried_and_what_follows_does_not_run(profile_of, tmp_path):
    began = time.monotonic()
    states = chain(
        ["refuse", "end"],
        profile_of(
            cluster_kwargs={"resources": {"gpu": 1}}, steps={"act": {"resources": {"gpu": 1}}}
        ),
        str(tmp_path / "store"),
    )
    assert time.monotonic() - began < 30
    assert [name for name, _, _ in states] == ["Failed", "NotReady"]
    assert isinstance(states[0][2], InvalidInputError)
    assert "these values do not do" in str(states[0][2])
    assert "Upstream task run" in states[1][1]


@flow(name="abreast", persist_result=False)
def abreast(n_acts, profile, store):
    """Do acts beside each other; return the names of their final states."""
    with run_on(profile, store):
        futures = [act.submit(None, ActParams(index=index)) for index in range(n_acts)]
        for future in futures:
            future.wait()
        return [future.state.name for future in futures]


@pytest.mark.usefixtures("prefect_server")
def test_a_look_at_one_step_takes_nothing_from_those_that_end_beside_it(
    profile_of, tmp_path, monkeypatch
):
    monkeypatch.setattr(step_runner, "WATCH_S", 0.002)  # a look in the midst of every fetch
    workers = {"n_workers": 2, "threads_per_worker": 4}
    profile = profile_of(cluster_kwargs=workers, steps_per_worker=4)
    assert set(abreast(60, profile, str(tmp_path / "store"))) == {"Completed"}
