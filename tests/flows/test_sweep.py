"""The sweep flow: what it runs, how often, what it refuses, and how it goes on."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from prefect import flow
from pydantic import Field, model_validator
from typer.testing import CliRunner

from connflow.errors import InvalidInputError
from connflow.params import StepParams
from connflow.recording.network import NetworkParams
from connflow.store import ArtifactRef, Store, upstream
from connflow.sweep import (
    Range,
    SweepParams,
    SweepRecord,
    TrialRecord,
    draw_points,
    draw_sweep,
    render_page,
    tabulate,
)
from flows.cli import app
from flows.running.result import FlowResult
from flows.running.runner import run_on
from flows.sweep import sweep
from flows.sweeping.trials import SweepError
from tasks._step import step

NETWORK = NetworkParams(n_units=20, duration_s=20)
AUROC = "evaluation.auroc"
CALLS = []


class TailParams(StepParams):
    x: float = Field(1.0, le=10)
    kind: Literal["round", "flat"] = "round"
    lags: tuple[int, ...] = (1,)

    @model_validator(mode="after")
    def _check_together(self):
        if self.kind == "flat" and self.x < 0:
            raise ValueError("flat goes with x from 0 on")
        return self


class ToyParams(StepParams):
    head: StepParams = StepParams()
    tail: TailParams = TailParams()


@step("head", 1, package="connflow.binning")
def head(store, artifact, params: StepParams):
    """Take a while."""
    CALLS.append("head")
    time.sleep(0.3)
    artifact.write_file("done", b"")


@step("tail", 1, package="connflow.binning")
def tail(store, artifact, source: ArtifactRef, params: TailParams):
    """Score x: best at 3; 9 is none."""
    CALLS.append(params.x)
    if params.x == 9:
        raise InvalidInputError("x: 9 will not do")
    artifact.write_table(pd.DataFrame({"score": ["fit"], "value": [10 - (params.x - 3) ** 2]}))


@flow(name="toy", persist_result=False)
def toy(
    params: ToyParams = ToyParams(), profile: str = "local", store: str | None = None
) -> FlowResult:
    """Two steps, of which all trials share the first."""
    with run_on(profile, store) as run:
        first = run.wait("head", head.submit(params.head))
        return FlowResult(
            {"head": first, "tail": run.wait("tail", tail.submit(first, params.tail))}, run.store
        )


X, TOY = "params.tail.x", f"{__name__}.toy"


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


def sweep_toy(store, over, arguments=None, **params):
    wanted = SweepParams(flow=TOY, over=over, score="tail.fit", **params)
    return sweep(wanted, arguments or {}, store=store)


@pytest.mark.usefixtures("prefect_server")
class TestRunning:
    def test_what_trials_share_is_computed_once(self, store):
        result = sweep_toy(store, {X: [1, 2, 3, 4]}, max_parallel=4)
        assert CALLS.count("head") == 1
        assert sorted(CALLS[1:]) == [1, 2, 3, 4]
        assert result.table[X].tolist() == [1, 2, 3, 4]
        assert result.table["score"].tolist() == [6, 9, 10, 9]
        assert set(result.table["state"]) == {"Completed"}
        assert (result.best.number, result.best.point) == (2, {X: 3})
        assert result.best.open("tail")["value"].tolist() == [10]

    def test_no_more_trials_at_a_time_than_allowed(self, store):
        flying, most = set(), []

        def watch(number, point, record):
            (flying.discard if record else flying.add)(number)
            most.append(len(flying))

        from flows.sweeping.trials import watching_trials

        with watching_trials(watch):
            sweep_toy(store, {X: [1, 2, 3, 4, 5]}, max_parallel=2)
        assert max(most) == 2

    def test_same_sweep_again_runs_nothing(self, store):
        first = sweep_toy(store, {X: [1, 2]})
        CALLS.clear()
        again = sweep_toy(store, {X: [1, 2]}, max_parallel=1)
        assert CALLS == []
        assert again.table["state"].tolist() == ["Cached", "Cached"]
        assert again.refs == first.refs
        assert [trial.refs for trial in again.trials] == [trial.refs for trial in first.trials]

    def test_deleted_artifact_of_a_trial_is_made_again(self, store):
        first = sweep_toy(store, {X: [1, 2]})
        first.store.delete(first.trials[1].refs["tail"])
        CALLS.clear()
        again = sweep_toy(store, {X: [1, 2]})
        assert CALLS == [2]
        assert again.table["state"].tolist() == ["Cached", "Completed"]

    def test_failed_trials_are_recorded_and_the_others_go_on(self, store):
        over = {X: [9, -1, 2], "params.tail.kind": ["round", "flat"]}
        result = sweep_toy(store, over)
        failed = result.table[result.table["state"] == "Failed"]
        assert failed["trial"].tolist() == [0, 1, 3]
        assert "x: 9 will not do" in failed["reason"].iloc[0]
        assert "flat goes with x from 0 on" in failed["reason"].iloc[2]
        assert failed["score"].isna().all()
        assert result.best.number == 4
        assert result.open("sweep")["reason"].tolist() == result.table["reason"].tolist()

    def test_sweep_fails_where_all_trials_do(self, store):
        with pytest.raises(SweepError, match=r"all 2 trials failed; the first: .*9 will not do"):
            sweep_toy(store, {X: [9, 9]})

    def test_sweep_stops_at_a_failure_if_told_to(self, store):
        with pytest.raises(SweepError, match="trial 0 failed: x: 9 will not do"):
            sweep_toy(store, {X: [9, 1, 2]}, on_failure="stop", max_parallel=1)
        assert CALLS == ["head", 9]

    @pytest.mark.parametrize("score", ["tail.fat", "tale.fit"])
    def test_score_that_is_not_there_ends_the_sweep_early(self, store, score):
        wanted = SweepParams(flow=TOY, over={X: [1, 2, 3]}, score=score, max_parallel=1)
        with pytest.raises(SweepError, match=f"{score}: .* it (holds|has) "):
            sweep(wanted, store=store)
        assert CALLS == ["head", 1]

    def test_without_a_score_it_runs_every_point(self, store):
        result = sweep(SweepParams(flow=TOY, over={X: [1, 2]}), store=store)
        assert result.table["score"].isna().all()
        assert len(result.trials) == 2
        with pytest.raises(FileNotFoundError, match="no score"):
            _ = result.best

    def test_artifact_leads_back_to_the_trials(self, store):
        result = sweep_toy(store, {X: [1, 2], "params.tail.lags": [[1], [1, 2]]})
        kept = result.open("sweep")
        assert kept["params.tail.lags"].tolist() == ["[1]", "[1,2]"] * 2
        made = {f"{item.step}/{item.key}" for item in upstream(result.store, result.refs["sweep"])}
        assert {str(trial.refs["tail"]) for trial in result.trials} <= made
        with Image.open(result.plot) as image:
            assert image.width > 500
        assert "best: trial" in Path(result.report).read_text().lower()
        assert [path for path in Path(store).iterdir() if path.is_file()] == []


@pytest.mark.usefixtures("prefect_server")
def test_connectivity_over_a_ridge_and_over_networks(store):
    from prefect.client.orchestration import get_client

    over = {"params.connectivity.ridge": [0.001, 0.1], "recording.seed": [0, 1]}
    arguments = {"recording": NETWORK, "params": {"connectivity": {"resolution_s": 0.002}}}
    result = sweep(SweepParams(over=over, score=AUROC), arguments, store=store)
    assert len(result.store.list_refs("recording")) == 2
    assert len(result.store.list_refs("connectivity")) == 4
    assert (
        result.best.open("connectivity").attrs["ridge"]
        == result.best.point["params.connectivity.ridge"]
    )
    scores = result.best.open("evaluation").set_index("score")["value"]
    assert result.best.score == scores["auroc"] == result.table["score"].max()
    with get_client(sync_client=True) as client:
        newest = {"sort": "START_TIME_DESC", "limit": 5}
        runs = client.request("POST", "/flow_runs/filter", json=newest).json()
        (parent,) = [run for run in runs if run["name"] == "sweep of infer-connectivity"]
        of_parent = {"flow_runs": {"parent_flow_run_id": {"any_": [parent["id"]]}}}
        children = client.request("POST", "/flow_runs/filter", json=of_parent).json()
        mine = {"flow_runs": {"id": {"any_": [parent["id"]]}}}
        shown = client.request("POST", "/artifacts/filter", json=mine).json()
    assert len(children) == 4
    assert len({child["parent_task_run_id"] for child in children}) == 4
    assert {item["key"] for item in shown} >= {"trials", "figures", "report-page"}


REFUSED = [
    ({"params.tail.y": [1]}, {}, ["params.tail.y", "no such parameter", "kind, lags, x"]),
    ({"params.tial.x": [1]}, {}, ["tial", "no such parameter", "head, tail"]),
    ({"param.tail.x": [1]}, {}, ["no argument 'param'", "params"]),
    ({"params.tail.x.y": [1]}, {}, ["tail.x"]),
    ({X: [1, "much"]}, {}, [f"{X} cannot be 'much'", "valid number"]),
    ({X: [1, 11]}, {}, [f"{X} cannot be 11", "less than or equal to 10"]),
    ({X: Range(low=0, high=11, step=1)}, {}, [f"{X} cannot be 11"]),
    ({"params.tail.lags": [[1], [0.5]]}, {}, ["params.tail.lags cannot be [0.5]"]),
    ({"store": ["a", "b"]}, {}, ["no argument 'store'"]),
    ({X: [1]}, {"recording": "a.npz"}, ["recording: there is no such parameter"]),
    ({X: [1]}, {"params": {"tail": {"kind": "flat", "x": -1}}}, ["flat goes with x"]),
]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("over", "arguments", "words"), REFUSED)
def test_what_the_flow_does_not_take_is_refused_before_anything_runs(store, over, arguments, words):
    with pytest.raises(InvalidInputError) as caught:
        sweep_toy(store, over, arguments)
    assert [word for word in words if word not in str(caught.value)] == []
    assert CALLS == []
    assert not Path(store).exists()


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("name", ["no-such-flow", "flows.connectivity.no_such", "json.dumps"])
def test_unknown_flow_is_refused(store, name):
    with pytest.raises(InvalidInputError, match="there is no flow"):
        sweep(SweepParams(flow=name, over={X: [1]}), store=store)


@pytest.mark.usefixtures("prefect_server")
def test_trials_may_not_take_away_what_they_share(store):
    wanted = SweepParams(over={"params.connectivity.ridge": [0.1]}, score=AUROC)
    with pytest.raises(InvalidInputError, match="drop_intermediate is not for a sweep"):
        sweep(wanted, {"drop_intermediate": True}, store=store)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"method": "optuna"}, "needs a score"),
        ({"n_trials": 3}, "leave n_trials out"),
        ({"over": {X: {"low": 0, "high": 1}}}, "needs a list of values, or a step"),
        ({"over": {X: {"low": 1, "high": 0, "step": 1}}}, "must be below"),
        ({"over": {X: {"low": 0, "high": 1, "log": True}}}, "log needs low above 0"),
        ({"over": {X: {"low": 0.5, "high": 2, "integer": True}}}, "integers"),
        ({"over": {X: []}}, "at least 1"),
        ({"over": {}}, "at least 1"),
        ({"score": "auroc"}, "score"),
        ({"max_parallel": 0}, "max_parallel"),
    ],
)
def test_bad_sweeps_are_refused(params, words):
    with pytest.raises(InvalidInputError, match=words):
        SweepParams.parse({"over": {X: [1]}} | params)


SPACE = {
    "a": {"low": 1e-3, "high": 10, "log": True},
    "b": {"low": 1, "high": 4, "integer": True},
    "c": {"low": 0, "high": 0.3, "step": 0.1},
    "d": [True, None, "x", [1, 2]],
}


def test_random_draws_depend_on_the_seed_alone():
    few, more, other = (
        draw_points(SweepParams(over=SPACE, method="random", n_trials=n, seed=seed))
        for n, seed in ((5, 3), (400, 3), (5, 4))
    )
    assert few == more[:5]
    assert few != other
    drawn = pd.DataFrame(more)
    assert drawn["a"].between(1e-3, 10).all()
    assert 0.35 < (drawn["a"] < 0.1).mean() < 0.65  # half of them below the middle, in logarithms
    assert drawn["b"].value_counts().between(70, 130).all()
    assert sorted(set(drawn["c"])) == [0, 0.1, 0.2, 0.3]
    assert {json.dumps(value) for value in drawn["d"]} == {"true", "null", '"x"', "[1, 2]"}


@pytest.mark.parametrize("score", [AUROC, None])
def test_table_figure_and_page_of_any_values(tmp_path, score):
    params = SweepParams(over=SPACE, method="random", n_trials=12, score=score)
    trials = tuple(
        TrialRecord(
            trial=number,
            point=dict(point),
            state="Failed" if number == 4 else "Completed",
            score=None if score is None or number == 4 else -abs(np.log10(point["a"])),
            reason="<b>no</b>" if number == 4 else "",
        )
        for number, point in enumerate(draw_points(params))
    )
    table = tabulate(SweepRecord(params=params, trials=trials))
    table.to_parquet(tmp_path / "table.parquet")
    assert pd.read_parquet(tmp_path / "table.parquet")["d"].tolist() == table["d"].tolist()
    figure = draw_sweep(table, params)
    image = np.asarray(Image.open(io.BytesIO(figure)).convert("L"))
    assert 0.005 < (image < 128).mean() < 0.2
    page = render_page(table, figure, params)
    assert page.count("<tr>") == 13
    assert "&lt;b&gt;no&lt;/b&gt;" in page


KILLED = """
import json, sys
from connflow.sweep import SweepParams
from flows.sweep import sweep
sweep(SweepParams.parse(json.loads(sys.argv[1])), store=sys.argv[2])
"""


def study_states(store):
    """Return the states of the trials in the one study that a store keeps."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    files = list(Path(store).glob(".studies/*.log"))
    if not files:
        return []
    storage = JournalStorage(JournalFileBackend(str(files[0])))
    names = optuna.get_all_study_names(storage)
    return [
        trial.state.name
        for name in names
        for trial in optuna.load_study(study_name=name, storage=storage).trials
    ]


@pytest.mark.usefixtures("prefect_server")
def test_killed_study_goes_on_as_if_nothing_had_happened(store, tmp_path, monkeypatch):
    from prefect.settings import PREFECT_API_URL

    folder = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(folder)  # here and in the other process the flow has one name
    params = SweepParams(
        flow="test_sweep.toy",
        over={X: Range(low=1e-3, high=8, log=True), "params.tail.lags": [[1], [1, 2]]},
        method="optuna",
        n_trials=6,
        score="tail.fit",
        max_parallel=1,
    )
    whole = sweep(params, store=str(tmp_path / "other"))

    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, params.model_dump_json(), store],
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "PYTHONPATH": folder},
        stderr=subprocess.DEVNULL,
    )
    began, states = time.monotonic(), []
    while states.count("COMPLETE") < 2 or states[-1] != "RUNNING":
        assert process.poll() is None
        assert time.monotonic() - began < 200
        time.sleep(0.02)
        states = study_states(store)
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_done = study_states(store).count("COMPLETE")
    assert n_done < 6

    result = sweep(params, store=store)
    assert result.table["state"].tolist()[:n_done] == ["Cached"] * n_done
    assert [state for state in study_states(store) if state != "FAIL"] == ["COMPLETE"] * 6
    columns = ["trial", *params.over, "score"]
    pd.testing.assert_frame_equal(result.table[columns], whole.table[columns])
    assert result.refs == whole.refs

    more = sweep(params.model_copy(update={"n_trials": 7}), store=store)
    assert more.table["state"].tolist() == ["Cached"] * 6 + ["Completed"]


@pytest.mark.usefixtures("prefect_server")
def test_optuna_learns_and_keeps_failures(store, tmp_path):
    file = tmp_path / "studies" / "mine.log"
    how = {"method": "optuna", "n_trials": 18, "max_parallel": 1, "study": str(file)}
    result = sweep_toy(store, {X: [2, 3, 9, 10]}, **how)
    assert result.best.point[X] == 3
    assert (result.table["state"] == "Failed").sum() == (result.table[X] == 9).sum() > 0
    learnt = result.table[X][10:]  # Optuna draws ten at random
    assert (learnt == 3).mean() > 0.5 > 0.1 > (learnt == 9).mean()
    assert file.is_file()
    assert not (Path(store) / ".studies").exists()


def test_study_takes_up_what_was_interrupted_in_any_moment():
    import optuna

    from flows.sweeping.study import StudyTrials

    over = {"a": {"low": 0, "high": 1}, "b": ["x", "y"]}
    params = SweepParams.parse(
        {"over": over, "method": "optuna", "score": "tail.fit", "n_trials": 4}
    )
    study, whole = optuna.create_study(), optuna.create_study()

    def go_on(study, n_trials):
        trials, asked = StudyTrials(study, params), []
        for _ in range(n_trials):
            number, point = trials.ask()
            asked.append(point)
            trials.tell(TrialRecord(trial=number, point=point, state="Cached", score=point["a"]))
        return trials, asked

    trials, first = go_on(study, 1)
    running = trials.ask()
    study.ask({"a": optuna.distributions.FloatDistribution(0, 1)})  # killed before b was drawn
    trials, asked = go_on(study, 4)
    assert asked[:2] == [*first, running[1]]
    assert asked == go_on(whole, 4)[1]
    assert trials.ask() is None
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_study_of_a_store_elsewhere_needs_a_file():
    from flows.sweeping.study import _study_file

    params = SweepParams(over={X: [1]}, method="optuna", score="tail.fit")
    ref = ArtifactRef(step="study", key="0" * 64)
    with pytest.raises(InvalidInputError, match="name a file"):
        _study_file(params, ref, Store("memory://lab"))


def call(*arguments):
    return CliRunner().invoke(app, ["run", "sweep", *arguments])


@pytest.mark.usefixtures("prefect_server")
def test_command_prints_trials_best_and_page(store):
    done = call(
        "--flow", TOY, "--over", "tail.x=[1, 3, 9]", "--score", "tail.fit", "--store", store
    )
    assert done.exit_code == 0, done.output
    page = Path(done.stdout.strip().splitlines()[-1])
    assert page.name == "report.html"
    assert page.is_file()
    assert "best: trial 1, 10, at tail.x=3" in done.stderr
    assert "Failed     tail.x=9" in done.stderr
    assert "3/3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--over", "connectivity.rigde=[1]"], ["params.connectivity.rigde", "ridge"]),
        (["--over", "network.n_unit=[1]"], ["recording.n_unit", "n_units"]),
        (["--over", "connectivity.ridge"], ["NAME=VALUES"]),
        (["--over", "connectivity.ridge=[1"], ["not YAML"]),
        (["--over", "connectivity.ridge=0.1"], ["over.params.connectivity.ridge"]),
        (["--over", "connectivity.ridge=[1]", "--method", "guess"], ["method"]),
    ],
)
def test_bad_input_ends_in_a_message(store, arguments, words):
    done = call(*arguments, "--store", store)
    assert done.exit_code == 2
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr
