"""Changepoints end to end: one fit, many fits, the catalogue, the console script."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from connflow.errors import InvalidInputError
from connflow.store import Store
from flows.changepoint import ChangepointFlowParams, infer_changepoints
from flows.changepoint_batch import ChangepointBatchParams, infer_changepoint_batch
from flows.cli import app
from flows.running.fits import find_fits
from flows.running.plan import plan_flow
from flows.running.run import listening
from flows.trials import Session
from tests.connflow.changepoint.lab import simulate

pytestmark = pytest.mark.usefixtures("prefect_server")

ROUGH = {"n_folds": 2, "n_draws": 20, "n_restarts": 2}
QUICK = ROUGH | {"n_states": 3}


@pytest.fixture
def trials_file(tmp_path):
    return write_trials(tmp_path / "monday.npz", seed=0)


def write_trials(path, seed):
    values, cuts, _ = simulate(seed, n_trials=16)
    np.savez(
        path,
        spike_counts=values.astype(np.uint8),
        bin_size_s=0.05,
        region=np.array(["GC"] * 7 + ["BLA"] * 5),
        cuts=cuts,
    )
    return str(path)


def run(store, params=None, **arguments):
    states = {}
    parsed = ChangepointFlowParams.parse({"changepoint": QUICK} | (params or {}))
    with listening(lambda step, state: states.update({step: state})):
        result = infer_changepoints(params=parsed, store=store, **arguments)
    return result, states


def test_trials_become_changepoints_and_a_page_and_are_cached(store, trials_file):
    result, states = run(store, trials=trials_file)
    assert states == dict.fromkeys(("trials", "changepoint", "report"), "Completed")
    found = result.open("changepoint")["changepoint_mean"].to_numpy()
    with np.load(trials_file) as file:
        assert np.abs(found - file["cuts"] * 0.05).mean() < 0.06
    page = Path(result.report).read_text()
    assert "Changepoints" in page
    assert "bits" in page
    _, again = run(store, trials=trials_file)
    assert set(again.values()) == {"Cached"}
    other = {"changepoint": QUICK | {"region": "GC"}}
    part, again = run(store, other, trials=result.refs["trials"])
    assert again["changepoint"] == "Completed"
    assert part.open("changepoint").sizes["unit"] == 7


def test_a_recording_is_cut_around_its_events(store, tmp_path):
    values, cuts, _ = simulate(0, n_trials=16)
    trial, at, unit = np.repeat(np.argwhere(values > 0), values[values > 0].astype(int), axis=0).T
    times = 10.0 * (trial + 1) + 0.05 * (at + np.linspace(0.01, 0.99, len(at)))
    order = np.argsort(times, kind="stable")
    np.savez(
        tmp_path / "spikes.npz",
        spike_times=times[order],
        spike_units=unit[order],
        t_start=0.0,
        t_stop=200.0,
    )
    onsets = pd.DataFrame({"time_s": 10.0 * np.arange(1, 17), "condition": ["a", "b"] * 8})
    onsets.to_csv(tmp_path / "events.csv", index=False)
    cut = {"bin_size_s": 0.05, "t_stop": 1.5}
    result, states = run(
        store,
        {"trials": cut, "changepoint": QUICK},
        recording=str(tmp_path / "spikes.npz"),
        events=str(tmp_path / "events.csv"),
    )
    assert set(states.values()) == {"Completed"}
    np.testing.assert_array_equal(result.open("trials")["values"], values)
    found = result.open("changepoint")
    assert found.attrs["groups"] == ["a", "b"]
    assert np.abs(found["changepoint_mean"].to_numpy() - cuts * 0.05).mean() < 0.07
    onsets.assign(time_s=onsets["time_s"] + 0.5).to_csv(tmp_path / "events.csv", index=False)
    _, states = run(
        store,
        {"trials": cut, "changepoint": QUICK},
        recording=str(tmp_path / "spikes.npz"),
        events=str(tmp_path / "events.csv"),
    )
    assert states["recording"] == "Cached"
    assert states["trials"] == "Completed", "other events make other trials"


def test_what_would_run_is_told_beforehand(store, trials_file):
    params = ChangepointFlowParams.parse({"changepoint": QUICK})
    plan = plan_flow(infer_changepoints, trials=trials_file, params=params, store=store)
    assert [step.ref.step for step in plan.steps] == ["trials", "changepoint", "report"]
    assert all(step.foresight.reason for step in plan.steps)


@pytest.mark.parametrize(
    "arguments", [{}, {"recording": "x.npz"}, {"trials": "x.npz", "events": "e.csv"}]
)
def test_trials_come_from_one_place(store, arguments):
    with pytest.raises(InvalidInputError, match="either a file of trials, or a recording together"):
        run(store, **arguments)


def batch(store, sessions, **grid):
    params = {
        "grid": {"n_states": [2, 3], "regions": [None, "GC", "PFC"], **grid},
        "changepoint": ROUGH,
        "fits_per_task": 4,
    }
    return infer_changepoint_batch(
        [Session(trials=str(path)) for path in sessions],
        ChangepointBatchParams.parse(params),
        store=store,
    )


def test_many_fits_go_on_where_some_fail_and_are_found_again(store, tmp_path):
    files = [
        write_trials(tmp_path / f"{day}.npz", n) for n, day in enumerate(("monday", "tuesday"))
    ]
    result = batch(store, [*files, tmp_path / "lost.npz"])
    table = result.store.read_table(result.refs["report"])
    assert len(table) == 2 * 2 * 3 + 1
    failed = table[table["state"] == "Failed"]
    assert len(failed) == 2 * 2 + 1
    assert failed[failed["source"] == "lost"]["reason"].str.contains("no file or folder").all()
    assert failed[failed["region"] == "PFC"]["reason"].str.contains("known: BLA, GC").all()
    page = Path(result.report).read_text()
    assert "PFC" in page
    assert "lost" in page
    everything = find_fits(Store(store))
    assert len(everything) == 12
    best = everything["evidence"].max()
    few = find_fits(Store(store), f"n_states == 3 and region == 'GC' and evidence > {best - 1e5}")
    assert len(few) == 2
    assert set(few["source"]) == {"monday", "tuesday"}
    with pytest.raises(InvalidInputError, match="cannot be read"):
        find_fits(Store(store), "n_statez == 3")
    before = set(Store(store).list_refs("changepoint_batch"))
    batch(store, [*files, write_trials(tmp_path / "wednesday.npz", 2)])
    after = Store(store).list_refs("changepoint_batch")
    assert before < set(after), "fits that were made stay, new ones are added"
    assert len(after) - len(before) <= 2


def test_a_batch_of_nothing_says_so(store, tmp_path):
    with pytest.raises(InvalidInputError, match="no trials could be read"):
        batch(store, [tmp_path / "lost.npz"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"changepoint": {"region": "GC"}, "grid": {"regions": ["BLA"]}}, "changepoint.region is"),
        ({"changepoint": {"n_states": 3}}, "changepoint.n_states is set"),
        ({"changepoint": {"transition": "gradual"}, "grid": {"emissions": ["bernoulli"]}}, "only"),
        ({"changepoint": {"n_shuffles": 100}}, "without tests of responses"),
        ({"bin_sizes_s": [0.05, 0.0]}, "greater than 0"),
    ],
)
def test_a_grid_that_cannot_be_meant_is_refused_at_once(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        ChangepointBatchParams.parse(changes)


def test_what_a_grid_does_not_vary_is_as_it_was_set():
    params = ChangepointBatchParams.parse(
        {
            "grid": {"n_states": [2, 3]},
            "changepoint": {"region": "GC", "surrogate": "trial_shuffled", "emission": "bernoulli"},
        }
    )
    two, three = params.grid.settings(params.changepoint)
    assert (two.n_states, three.n_states) == (2, 3)
    for one in (two, three):
        assert (one.region, one.surrogate, one.emission) == ("GC", "trial_shuffled", "bernoulli")


def test_sessions_of_one_name_are_refused(store, tmp_path):
    files = []
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        files.append(write_trials(tmp_path / day / "counts.npz", 0))
    with pytest.raises(InvalidInputError, match="2 sessions are called counts"):
        batch(store, files)


def test_a_batch_agrees_with_single_fits(store, trials_file):
    result = batch(store, [trials_file], n_states=[3], regions=["GC"])
    row = result.store.read_table(result.refs["changepoint_batch"]).iloc[0]
    single, _ = run(store, {"changepoint": QUICK | {"region": "GC"}}, trials=trials_file)
    assert single.open("changepoint").attrs["evidence"] == pytest.approx(row["evidence"])
    times = result.store.read_table(result.refs["changepoint_batch"], "changepoints")
    np.testing.assert_allclose(
        times["mean_s"], single.open("changepoint")["changepoint_mean"].to_numpy().ravel()
    )


def test_console_script_fits_lists_and_refuses(store, trials_file, tmp_path):
    def call(*arguments):
        return CliRunner().invoke(app, [*arguments, "--store", store])

    quick = [f"--set=changepoint.{name}={value}" for name, value in ROUGH.items()]
    three = "--set=changepoint.n_states=3"
    done = call("run", "changepoint", "--trials", trials_file, three, *quick)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().endswith("report.html")
    grid = ["--set=grid.n_states=[2]", *quick]
    done = call("run", "changepoint-batch", "--trials", trials_file, *grid)
    assert done.exit_code == 0, done.output
    listed = tmp_path / "fits.csv"
    assert call("fits", "--where", "n_states > 2", "--csv", str(listed)).exit_code == 0
    table = pd.read_csv(listed)
    assert table["n_states"].tolist() == [3]
    assert call("fits").exit_code == 0
    for arguments, word in (
        (["run", "changepoint", "--trials", "nowhere.npz"], "nowhere.npz"),
        (
            ["run", "changepoint", "--trials", trials_file, "--set=changepoint.n_state=3"],
            "n_states",
        ),
        (["run", "changepoint-batch"], "at least one session"),
        (["fits", "--where", "n_states ="], "cannot be read"),
        (["fits", "--by", "beauty"], "no such column"),
    ):
        refused = call(*arguments)
        assert refused.exit_code == 2
        assert word in refused.stderr


def test_real_trials_have_states(store, shared_data, tmp_path):
    """Mouse visual cortex: states foretell held-out trials better than rates that never change."""
    folder = shared_data / "steinmetz-visual-cortex"
    with np.load(folder / "session3_Cori_2016-12-18.npz") as file:
        counts = file["counts"].transpose(0, 2, 1)
        side = np.sign(file["contrast_left"] - file["contrast_right"]).astype(int)
    path = tmp_path / "visual.npz"
    names = np.array(["right", "equal", "left"])[side + 1]
    np.savez(path, spike_counts=counts, bin_size_s=0.01, condition=names)
    result, _ = run(store, trials=str(path))
    found = result.open("changepoint")
    assert found.attrs["held_out_bits_per_spike"] > 0
    assert found.sizes["group"] == 3
