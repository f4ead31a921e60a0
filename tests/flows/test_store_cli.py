"""`connflow store`: what it prints, what it writes, and how it ends."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from connflow.store import Store, drop_bytes
from flows.cli import app

_path = Path(__file__).parents[1] / "connflow" / "store" / "lab.py"
_spec = importlib.util.spec_from_file_location("store_lab", _path)
lab = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab)


@pytest.fixture
def place(store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CONNFLOW_STORE", store)
    return Store(store)


def call(*arguments):
    return CliRunner().invoke(app, ["store", *map(str, arguments)])


def printed(*arguments, code=0):
    done = call(*arguments)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.stdout


def digits(ref, n=12):
    return f"{ref.step}/{ref.key[:n]}"


def test_ls_lists_artifacts_with_their_flags(place):
    refs = lab.make_chain(place)
    stale = lab.make(place, "binning", {"bin_size_s": 9}, digest="f" * 64)
    drop_bytes(place, refs[2])
    done = call("ls")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert set(lines) == {digits(ref) for ref in (*refs, stale)}
    assert "stale code" in lines[digits(stale)]
    assert "dropped" in lines[digits(refs[2])]
    assert "--repair" in done.stderr
    assert len(printed("ls", "--step", "binning").splitlines()) == 3


def test_find_takes_parameters_from_upstream(place):
    lab.make_chain(place, ridge=0.1)
    refs = lab.make_chain(place, ridge=0.2)
    out = printed(
        "find", "--param", "connectivity.ridge=0.2", "--param", "connectivity.lags=[1]",
        "--step", "evaluation", "--since", "2026-01-01",
    )  # fmt: skip
    assert [line.split()[0] for line in out.splitlines()[1:]] == [digits(refs[3])]
    assert len(printed("find", "--since", "2999-01-01").splitlines()) == 1


def test_show_prints_the_manifest_as_yaml(place):
    ref = lab.make(place, "binning", {"bin_size_s": 0.01}, digest="f" * 64)
    shown = yaml.safe_load(printed("show", digits(ref, 16)))
    assert shown["params"] == {"bin_size_s": 0.01}
    assert shown["key"] == ref.key
    assert "--repair" in shown["stale_code"]
    drop_bytes(place, ref)
    assert "makes it again" in yaml.safe_load(printed("show", ref))["dropped"]


def test_lineage_is_printed_or_written(place, tmp_path):
    refs = lab.make_chain(place)
    assert len(printed("lineage", refs[3]).splitlines()) == 5
    assert len(printed("lineage", refs[1], "--downstream").splitlines()) == 3
    page, graph = tmp_path / "a.html", tmp_path / "a.svg"
    out = printed("lineage", refs[3], "--html", page, "--svg", graph)
    assert out.splitlines() == [str(page), str(graph)]
    assert page.read_text().startswith("<!doctype html>")
    assert graph.read_text().startswith("<svg")
    assert call("lineage", refs[3], "--html", tmp_path / "none" / "a.html").exit_code == 2


def test_diff_names_what_differs_upstream(place):
    first, second = lab.make_chain(place), lab.make_chain(place, bin_size_s=0.02)
    (line,) = printed("diff", first[3], second[3]).splitlines()[1:]
    assert line.split() == [
        "connectivity.activity", "binning", "params.bin_size_s", "0.01", "0.02",
    ]  # fmt: skip


def test_verify_names_damage_and_what_depends_on_it(place):
    recording, binning, connectivity, evaluation = lab.make_chain(place)
    assert printed("verify") == "4 checked, 0 damaged\n"
    Path(place.path(binning, "data.bin")).write_bytes(b"bytEs")
    place.files.write(lab.manifest_path(place, evaluation), b"{")
    out = printed("verify", code=1)
    assert str(binning) in out
    assert f"made from it: {connectivity}" in out
    assert str(evaluation) in out
    assert str(recording) not in out
    assert out.endswith("4 checked, 2 damaged\n")
    assert printed("verify", digits(recording, 16)) == "1 checked, 0 damaged\n"
    assert "1 damaged" in printed("verify", digits(evaluation, 16), code=1)


def test_gc_lists_then_removes(place):
    refs = lab.make_chain(place)
    for ref in refs:
        lab.set_age(place, ref, 40)
    new = lab.make(place, "connectivity", {"ridge": 9}, {"activity": refs[1]})
    wish = ("gc", "--older-than", "30d", "--keep-last", "1")
    assert printed(*wish) == "0 removed, 0 B\n"  # the last evaluation needs all of it
    lab.make(place, "evaluation", {"other": 1})
    listed = printed(*wish, "--dry-run")
    assert listed.splitlines()[-1] == "2 would be removed, 10 B"
    assert len(place.list_refs()) == 6
    removed = printed(*wish)
    assert removed.splitlines()[:-1] == listed.splitlines()[:-1]
    assert str(refs[3]) in removed
    assert set(place.list_refs()) > {refs[0], refs[1], new}
    assert not place.exists(refs[2])
    assert printed("gc") == "0 removed, 0 B\n"


def test_drop_leaves_the_record(place):
    ref = lab.make(place, "binning")
    assert printed("drop", digits(ref, 16)) == f"dropped {ref}, 5 B\n"
    assert not place.exists(ref)
    assert len(printed("ls").splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "binning/ab1"], "at least 4 digits"),
        (["show", "binning/0123456789"], "holds no artifact"),
        (["verify", "binning/0123456789"], "holds no artifact"),
        (["find", "--param", "ridge"], "NAME=VALUE"),
        (["find", "--param", "binning.a=["], "no YAML value"),
        (["find", "--since", "some day"], "2026-01-31"),
        (["gc", "--older-than", "month"], "30d"),
    ],
)
def test_bad_input_ends_in_a_message(place, arguments, words):
    done = call(*arguments)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_help_imports_no_science():
    code = (
        "import sys; from flows.cli import app\n"
        "try: app(['store', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pandas', 'xarray', 'zarr', 'prefect', 'numba'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
