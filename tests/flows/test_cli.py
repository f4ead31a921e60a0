"""The console script."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from connflow.errors import InvalidInputError
from flows.changepoint import ChangepointFlowParams
from flows.cli import app
from flows.commands.arguments import read_params
from flows.connectivity import ConnectivityFlowParams

ROOT = Path(__file__).parents[2]
SMALL = ["--set", "network.n_units=20", "--set", "network.duration_s=20"]


def call(*arguments):
    return CliRunner().invoke(app, ["run", "connectivity", *arguments])


@pytest.mark.usefixtures("prefect_server")
def test_path_of_the_page_comes_last(store):
    done = call(*SMALL, "--store", store, "--set", "connectivity.method=correlation")
    assert done.exit_code == 0, done.output
    page = Path(done.stdout.strip().splitlines()[-1])
    assert page.name == "report.html"
    assert page.is_file()
    assert "Completed" in done.stderr
    again = call(*SMALL, "--store", store, "--set", "connectivity.method=correlation")
    assert "Cached" in again.stderr
    assert "Completed" not in again.stderr


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recording", "nowhere.npz"], ["nowhere.npz"]),
        (["--set", "connectivity.lag=[1]"], ["connectivity.lag", "known here", "lags"]),
        (["--set", "connectivity"], ["NAME=VALUE"]),
        (["--set", "path.x=1", "--set", "path=1"], ["path"]),
        (["--params", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--recording", "recording/" + "0" * 64], ["holds no artifact"]),
        (["--set", "network.n_units=0"], ["n_units"]),
        (["--profile", "nowhere"], ["take one of dask, local"]),
    ],
)
def test_bad_input_ends_in_a_message(store, arguments, words):
    done = call(*arguments, "--store", store)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert [word for word in words if word not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_assignments_change_the_file(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("path: spikes\nconnectivity: {ridge: 0.5, lags: [3]}\n")
    assert read_params(file, ["connectivity.lags=[1, 2]", "binning.bin_size_s=0.01"]) == {
        "path": "spikes",
        "connectivity": {"ridge": 0.5, "lags": [1, 2]},
        "binning": {"bin_size_s": 0.01},
    }


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "\x00"])
def test_file_that_holds_no_params_is_refused(tmp_path, content):
    file = tmp_path / "p.yaml"
    file.write_text(content)
    with pytest.raises(InvalidInputError, match=r"p\.yaml"):
        read_params(file, [])


def test_params_of_changepoints_spell_out_the_defaults():
    values = yaml.safe_load((ROOT / "params-changepoint.yaml").read_text())
    assert values == ChangepointFlowParams().model_dump(mode="json")


def test_params_yaml_spells_out_every_parameter():
    from connflow.recording.network import NetworkParams

    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    network = values.pop("network")
    assert list(values) == list(ConnectivityFlowParams.model_fields)
    for section, model in ConnectivityFlowParams.parse(values):
        if section != "path":
            assert set(values[section]) == set(type(model).model_fields)
    assert set(network) == set(NetworkParams.model_fields)


def test_works_with_no_server_anywhere(store, tmp_path):
    """As a newcomer's first call: Prefect starts a server of its own for the run."""
    environment = {name: value for name, value in os.environ.items() if "PREFECT" not in name}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect")}
    command = [sys.executable, "-m", "flows.cli", "run", "connectivity", *SMALL, "--store", store]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_file()
    assert re.search(r"done in \d+\.\d s", done.stderr)
