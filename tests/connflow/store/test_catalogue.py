"""The catalogue: what is in the store, no more and no less, however old the cache is."""

import importlib.util
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from connflow.connectivity import CONNECTIVITY_VERSION
from connflow.errors import ArtifactNotFoundError, InvalidInputError
from connflow.recording import RECORDING_VERSION
from connflow.recording.network import NETWORK_VERSION
from connflow.store import Store, drop_bytes
from connflow.store import catalogue as catalogue_module
from connflow.store.catalogue import is_stale_code, resolve
from connflow.store.environment import source_digest
from connflow.store.summary import scan
from connflow.store.summary_cache import cache_folder

_spec = importlib.util.spec_from_file_location("store_lab", Path(__file__).with_name("lab.py"))
lab = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab)

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def cache_files(store):
    return sorted(cache_folder(store.root).glob("*.jsonl"))


def found(store, *arguments, **named):
    return set(store.find(*arguments, **named)["ref"])


def test_row_says_what_the_manifest_says(store):
    refs = lab.make_chain(store)
    table = store.find()
    assert table["ref"].tolist() == [str(ref) for ref in refs]
    row = table.set_index("step").loc["connectivity"]
    manifest = store.manifest(refs[2])
    assert row["created"] == manifest.created
    assert row["params"] == manifest.params
    assert row["inputs"] == manifest.inputs
    assert row["bytes"] == manifest.size_bytes == 5
    assert (row["key"], row["version"], row["host"]) == (refs[2].key, 1, manifest.host)
    assert row["wall_time_s"] == manifest.wall_time_s
    if manifest.git is not None:  # as in a checkout
        git = {"commit": row["git_commit"], "dirty": row["git_dirty"]}
        assert git == manifest.git
    assert not row["is_dropped"]
    assert table["seed"].tolist() == [1, None, None, None]


def test_empty_store_gives_a_table_of_the_same_columns(local_store):
    empty = local_store.find()
    lab.make_chain(local_store)
    full = local_store.find()
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_params_are_found_downstream_of_where_they_are_set(local_store):
    first = lab.make_chain(local_store, ridge=0.1)
    second = lab.make_chain(local_store, ridge=0.2)
    of_second = {str(second[2]), str(second[3])}
    assert found(local_store, params={"connectivity.ridge": 0.2}) == of_second
    assert found(local_store, "evaluation", {"connectivity.ridge": 0.2}) == {str(second[3])}
    assert found(local_store, params={"binning.bin_size_s": 0.01}) == {
        str(ref) for ref in (*first[1:], *second[1:])
    }
    assert found(local_store, "recording", {"connectivity.ridge": 0.2}) == set()


@pytest.mark.parametrize("value", [[1], (1,), np.array([1]), (1.0,)])
def test_sequences_compare_by_their_values(local_store, value):
    refs = lab.make_chain(local_store)
    assert found(local_store, "connectivity", {"connectivity.lags": value}) == {str(refs[2])}
    assert found(local_store, "connectivity", {"connectivity.lags": [1, 2]}) == set()


def test_conditions_on_one_step_hold_for_one_artifact(local_store):
    lab.make_chain(local_store, ridge=0.1, gain=1)
    lab.make_chain(local_store, ridge=0.2, gain=2)
    params = {"connectivity.ridge": 0.1, "connectivity.gain": 2}
    assert found(local_store, params=params) == set()
    params = {"connectivity.ridge": 0.1, "recording.seed": 1, "connectivity.prior.mean": 0.0}
    assert len(found(local_store, params=params)) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"params": {"connectivity.lag": 1}}, "known here: lags, prior, ridge"),
        ({"params": {"ridge": 1}}, "connectivity.lags"),
        ({"params": {"connectivity.lags": object()}}, "no value"),
        ({"since": "yesterday-ish"}, "2026-01-31"),
        ({"step": "../binning"}, "step word"),
    ],
)
def test_slips_are_refused(local_store, arguments, words):
    lab.make_chain(local_store)
    with pytest.raises(InvalidInputError, match=words):
        local_store.find(**arguments)


def test_unknown_step_is_no_slip(local_store):
    lab.make_chain(local_store)
    assert found(local_store, "snn") == found(local_store, params={"snn.size": 1}) == set()


def test_since_is_a_time_in_utc(local_store):
    old, new = lab.make(local_store, "binning", {"n": 1}), lab.make(local_store, "binning")
    lab.edit_manifest(local_store, old, created="2026-01-01T00:00:00Z")
    lab.edit_manifest(local_store, new, created="2026-01-02T00:00:00+01:00")
    both = {str(old), str(new)}
    assert found(local_store, since="2026-01-01") == both
    assert found(local_store, since="2026-01-01T22:00:00") == {str(new)}
    assert found(local_store, since=datetime(2026, 1, 1, 23, tzinfo=UTC)) == {str(new)}
    assert found(local_store, since=datetime(2026, 1, 1, 23, 0, 1, tzinfo=UTC)) == set()


def test_deleted_remade_and_dropped_artifacts_are_seen_through_the_cache(store):
    deleted, remade, dropped = (lab.make(store, "binning", {"n": n}) for n in range(3))
    assert len(store.find()) == 3
    store.delete(deleted)
    store.delete(remade)
    lab.make(store, "binning", {"n": 1}, content=b"more bytes")
    drop_bytes(store, dropped)
    table = store.find().set_index("key")
    assert set(table.index) == {remade.key, dropped.key}
    assert table.loc[remade.key, "bytes"] == 10
    assert table["is_dropped"].to_dict() == {remade.key: False, dropped.key: True}


def test_second_scan_opens_no_manifest(store, monkeypatch):
    lab.make_chain(store)
    before = store.find()

    def refuse(*arguments, **named):
        raise AssertionError("a manifest was opened")

    monkeypatch.setattr(store.files, "read", refuse)
    monkeypatch.setattr(store.files.fs, "cat", refuse)
    assert store.find().equals(before)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\x00", None])
def test_cache_that_is_not_as_written_is_built_anew(local_store, damage):
    lab.make_chain(local_store)
    before = local_store.find()
    for file in cache_files(local_store):
        file.write_bytes(file.read_bytes()[:-20] if damage is None else damage)
    assert local_store.find().equals(before)
    assert all(len(file.read_bytes()) > 100 for file in cache_files(local_store))


def test_folder_that_cannot_be_written_is_done_without(local_store, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    refs = lab.make_chain(local_store)
    assert found(local_store) == {str(ref) for ref in refs}


def test_stores_do_not_share_a_cache(tmp_path):
    stores = [Store(tmp_path / name) for name in "ab"]
    refs = [lab.make(store, "binning", {"n": n}) for n, store in enumerate(stores)]
    assert [found(store) for store in stores] == [{str(ref)} for ref in refs]
    assert cache_folder(stores[0].root) != cache_folder(stores[1].root)


def test_damaged_manifest_is_left_out_and_named(local_store, caplog):
    good, bad = (lab.make(local_store, "binning", {"n": n}) for n in range(2))
    local_store.files.write(lab.manifest_path(local_store, bad), b'{"version": []}')
    assert found(local_store) == {str(good)}
    assert bad.key in caplog.text
    assert scan(local_store).damaged == [str(bad)]


def test_what_is_no_artifact_is_not_listed(local_store):
    ref = lab.make(local_store, "binning")
    for name in ("binning/notes", "binning/" + "a" * 64, "Other/" + "b" * 64, ".staging/x"):
        Path(local_store.root, name).mkdir(parents=True)
    (Path(local_store.root) / "binning" / ("c" * 64)).symlink_to(local_store.path(ref))
    assert found(local_store) == {str(ref)}


def test_ref_is_resolved_by_its_first_digits(local_store):
    refs = [lab.make(local_store, "binning", {"n": n}) for n in range(300)]
    assert resolve(local_store, f"binning/{refs[7].key[:16]}") == refs[7]
    assert resolve(local_store, str(refs[8])) == refs[8]
    drop_bytes(local_store, refs[7])
    assert resolve(local_store, f"binning/{refs[7].key[:16]}") == refs[7]
    with pytest.raises(ArtifactNotFoundError, match="store ls"):
        resolve(local_store, f"calcium/{refs[7].key[:16]}")
    for text in ("binning/ab1", "binning", "binning/zzzz", "../binning/ab12cd"):
        with pytest.raises(InvalidInputError):
            resolve(local_store, text)
    began = time.perf_counter()
    assert len(local_store.find()) == 300
    assert time.perf_counter() - began < 1


def test_digits_of_several_artifacts_name_them_all(local_store, monkeypatch):
    monkeypatch.setattr(catalogue_module, "_LEAST_DIGITS", 0)
    refs = [lab.make(local_store, "binning", {"n": n}) for n in range(2)]
    with pytest.raises(InvalidInputError) as error:
        resolve(local_store, "binning/")
    assert all(str(ref) in str(error.value) for ref in refs)


def test_stale_code_is_another_digest_at_todays_version(local_store):
    today = source_digest("connflow.binning")
    lab.make(local_store, "binning", {"n": 0}, digest=today)
    stale = lab.make(local_store, "binning", {"n": 1}, digest="f" * 64)
    lab.make(local_store, "binning", {"n": 2}, version=999, digest="f" * 64)
    lab.make(local_store, "toy", {"n": 3}, digest="f" * 64)
    lab.make(local_store, "binning", {"n": 4}, digest="")
    table = local_store.find()
    assert table.loc[table["is_stale_code"], "ref"].tolist() == [str(stale)]


def test_a_step_of_two_versions_knows_both():
    for version in {NETWORK_VERSION, RECORDING_VERSION}:
        assert is_stale_code("recording", version, "f" * 64)
    assert is_stale_code("connectivity", CONNECTIVITY_VERSION, "f" * 64)
    assert not is_stale_code("connectivity", CONNECTIVITY_VERSION - 1, "f" * 64)


def test_rows_come_oldest_first(local_store):
    refs = [lab.make(local_store, step) for step in ("report", "binning", "recording")]
    for days, ref in zip((1, 3, 2), refs, strict=True):
        lab.edit_manifest(local_store, ref, created=str(lab.EPOCH - timedelta(days=days)))
    assert local_store.find()["step"].tolist() == ["binning", "recording", "report"]
