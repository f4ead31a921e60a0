"""Cleaning up: what is needed stays, leftovers go, provenance outlives the bytes."""

import importlib.util
import json
import multiprocessing
import os
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connflow.errors import ArtifactDamagedError, ArtifactNotFoundError, InvalidInputError
from connflow.store import Provenance, Store, collect, collect_garbage, drop_bytes
from connflow.store.staging import is_abandoned, staging_name

_spec = importlib.util.spec_from_file_location("store_lab", Path(__file__).with_name("lab.py"))
lab = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab)

LONG_AGO = time.time() - 8 * 24 * 3600


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def names(removed):
    return {item.name for item in removed}


def dead_pid():
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    return process.pid


def name_of_dead_writer():
    return staging_name("binning", "1" * 8).replace(f"-{os.getpid()}-", f"-{dead_pid()}-")


def leave_file(store, *parts, is_old=False):
    """Leave a file of four bytes; on a folder, as old as no writer is."""
    path = store.files.join(*parts)
    store.files.write(path, b"left")
    if is_old:
        for item in (Path(path), *Path(path).parents):
            if item.is_relative_to(store.root) and item != Path(store.root):
                os.utime(item, (LONG_AGO, LONG_AGO))


# ------------------------------------------------------------------------- leftovers


def test_store_without_leftovers_is_left_alone(store):
    lab.make_chain(store)
    before = lab.files_of(store)
    assert collect_garbage(store) == []
    assert lab.files_of(store) == before


def test_leftovers_of_dead_writers_of_this_host_go_at_once(local_store):
    dead, live = name_of_dead_writer(), staging_name("binning", "1" * 8)
    for name in (dead, f"{dead}-remnant", live):
        leave_file(local_store, ".staging", name, "data.zarr", "x")
    removed = collect_garbage(local_store)
    assert names(removed) == {f".staging/{dead}", f".staging/{dead}-remnant"}
    assert [item.bytes for item in removed] == [4, 4]
    assert lab.files_of(local_store) == [f".staging/{live}/data.zarr/x"]


def test_claims_of_dead_processes_go_and_others_stay(local_store):
    for name, claim in {
        "dead": {"host": os.uname().nodename, "pid": dead_pid(), "id": "a"},
        "live": {"host": os.uname().nodename, "pid": os.getppid(), "id": "b"},
        "elsewhere": {"host": "another-host", "pid": 1, "id": "c"},
    }.items():
        local_store.files.write(local_store.files.join(".claims", name), json.dumps(claim).encode())
    assert names(collect_garbage(local_store)) == {".claims/dead"}
    assert lab.files_of(local_store) == [".claims/elsewhere", ".claims/live"]


@pytest.mark.parametrize(
    "parts",
    [
        (".staging", "binning-11111111-another-12-" + "0" * 32, "x"),
        (".staging", "probe-1"),
        (".claims", "binning-x"),
        ("binning", "a" * 64, "result.json"),
        ("binning", "a" * 64, "data.zarr", "x"),
    ],
)
def test_leftovers_of_unknown_writers_wait_until_nobody_can_be_writing(local_store, parts):
    leave_file(local_store, *parts)
    assert collect_garbage(local_store) == []
    leave_file(local_store, *parts, is_old=True)
    (removed,) = collect_garbage(local_store, dry_run=True)
    assert (removed.name, removed.bytes) == ("/".join(parts[:2]), 4)
    assert lab.files_of(local_store) == ["/".join(parts)]
    assert collect_garbage(local_store) == [removed]
    assert lab.files_of(local_store) == []


def test_folder_in_which_one_file_is_young_is_somebodys_work(local_store):
    name = "binning-11111111-another-12-" + "0" * 32
    leave_file(local_store, ".staging", name, "old", is_old=True)
    leave_file(local_store, ".staging", name, "data.zarr", "young")
    assert collect_garbage(local_store) == []


def test_empty_folder_of_a_key_goes(local_store):
    folder = Path(local_store.root) / "binning" / ("a" * 64)
    folder.mkdir(parents=True)
    os.utime(folder, (LONG_AGO, LONG_AGO))
    assert names(collect_garbage(local_store)) == {f"binning/{'a' * 64}"}
    assert not folder.exists()


def test_attempts_that_the_manifest_does_not_name_go(store, monkeypatch):
    if store.is_local:
        pytest.skip("only object stores hold attempts beside the manifest")
    ref = lab.make(store, "binning")
    before = lab.files_of(store)
    dead, unknown = name_of_dead_writer(), "binning-1-another"
    for name in (dead, unknown):
        leave_file(store, "binning", ref.key, name, "data.bin")
    assert names(collect_garbage(store)) == {f"binning/{ref.key}/{dead}"}
    monkeypatch.setattr(collect, "LONGEST_WRITER", timedelta(0))
    assert names(collect_garbage(store)) == {f"binning/{ref.key}/{unknown}"}
    assert lab.files_of(store) == before
    assert store.verify(ref) == []


def test_uploads_that_never_became_an_artifact_go(store, monkeypatch):
    leave_file(store, "binning", "a" * 64, name_of_dead_writer(), "data.bin")
    leave_file(store, "binning", "b" * 64, "result.json")
    monkeypatch.setattr(collect, "LONGEST_WRITER", timedelta(0))
    collect_garbage(store)
    assert lab.files_of(store) == []


def test_local_folders_of_writers_to_object_stores_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in (name_of_dead_writer(), staging_name("binning", "1" * 8), "mine"):
        (tmp_path / name).mkdir()
    store = Store(f"memory://connflow-{tmp_path.name}")
    assert len(collect_garbage(store)) == 1
    assert len([path for path in tmp_path.iterdir() if not is_abandoned(path.name)]) == 2
    assert not any(is_abandoned(path.name) for path in tmp_path.iterdir())


def test_unreadable_manifest_protects_its_folder(store, monkeypatch):
    ref = lab.make(store, "binning")
    store.files.write(lab.manifest_path(store, ref), b"{")
    before = lab.files_of(store)
    monkeypatch.setattr(collect, "LONGEST_WRITER", timedelta(0))
    assert collect_garbage(store) == []
    with pytest.raises(ArtifactDamagedError, match="--repair"):
        collect_garbage(store, keep_last=0)
    assert lab.files_of(store) == before


# ------------------------------------------------------------------------- selected artifacts


@st.composite
def graphs(draw):
    """Artifacts by age in days, step, and which earlier ones they were made from."""
    n = draw(st.integers(1, 8))
    return [
        (
            draw(st.sampled_from(["binning", "calcium", "report"])),
            draw(st.integers(0, 60)),
            draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set(),
            draw(st.booleans()),
        )
        for index in range(n)
    ]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    graph=graphs(),
    keep_last=st.none() | st.integers(0, 3),
    days=st.none() | st.integers(0, 60),
    step=st.none() | st.sampled_from(["binning", "report"]),
)
def test_what_a_kept_artifact_was_made_from_is_kept(tmp_path, graph, keep_last, days, step):
    store = Store(tempfile.mkdtemp(dir=tmp_path))
    refs = []
    for index, (word, age, made_from, is_dropped) in enumerate(graph):
        inputs = {f"input{number}": refs[number] for number in made_from}
        refs.append(lab.make(store, word, {"index": index}, inputs))
        lab.set_age(store, refs[-1], age + 0.5)
        if is_dropped:
            drop_bytes(store, refs[-1])
    older_than = None if days is None else timedelta(days=days)
    before = set(store.find()["ref"])
    planned = collect_garbage(store, keep_last, older_than, step, dry_run=True)
    assert set(store.find()["ref"]) == before

    removed = collect_garbage(store, keep_last, older_than, step)

    assert removed == planned
    table = store.find()
    kept = set(table["ref"])
    assert kept == before - names(removed)
    assert {ref for inputs in table["inputs"] for ref in inputs.values()} <= kept
    for index, (word, age, _, is_dropped) in enumerate(graph):
        newer = [
            other
            for other in graph
            if other[0] == word and other[3] == is_dropped and other[1] < age
        ]
        if str(refs[index]) in names(removed):
            assert step in (None, word)
            assert days is None or age + 0.5 > days
            assert (
                keep_last is None
                or len(newer)
                + len(
                    [
                        item
                        for item in graph
                        if (item[0], item[1], item[3]) == (word, age, is_dropped)
                    ]
                )
                > keep_last
            )
    if (keep_last, days, step) == (None, None, None):
        assert removed == []
    assert all(store.verify(ref) == [] for ref in store.list_refs())


def test_the_newest_of_each_step_stay(store):
    chains = [lab.make_chain(store, ridge=ridge) for ridge in (0.1, 0.2, 0.3)]
    for days, chain in zip((30, 20, 10), chains, strict=True):
        for ref in chain[2:]:
            lab.set_age(store, ref, days)
    removed = collect_garbage(store, keep_last=1)
    assert names(removed) == {str(ref) for chain in chains[:2] for ref in chain[2:]}
    assert set(store.find()["ref"]) == {str(ref) for ref in chains[2]}
    assert [item.bytes for item in removed] == [5] * 4


def test_artifacts_go_before_what_they_were_made_from(local_store):
    lab.make_chain(local_store)
    steps = [item.name.partition("/")[0] for item in collect_garbage(local_store, keep_last=0)]
    assert steps == ["evaluation", "connectivity", "binning", "recording"]
    assert lab.files_of(local_store) == []


def test_young_artifacts_stay_while_somebody_is_making_one(local_store):
    _, binning, *_ = lab.make_chain(local_store)
    old = lab.make(local_store, "binning", {"bin_size_s": 9})
    lab.set_age(local_store, old, 8)
    with local_store.claim(binning.model_copy(update={"key": "a" * 64})):
        assert names(collect_garbage(local_store, keep_last=0)) == {str(old)}
    assert len(collect_garbage(local_store, keep_last=0)) == 4


def test_negative_counts_are_refused(local_store):
    with pytest.raises(InvalidInputError, match="-1"):
        collect_garbage(local_store, keep_last=-1)


# ------------------------------------------------------------------------- dropping


def test_dropped_artifact_is_gone_but_known(store):
    *_, connectivity, _ = lab.make_chain(store)
    manifest = store.manifest(connectivity)
    assert drop_bytes(store, connectivity) == 5
    assert drop_bytes(store, connectivity) == 0
    assert not store.exists(connectivity)
    assert connectivity not in store.list_refs()
    assert [name for name in lab.files_of(store) if connectivity.key in name] == [
        f"{connectivity}/dropped.json"
    ]
    row = store.find("connectivity").iloc[0]
    assert row["is_dropped"]
    assert row["params"] == manifest.params
    assert collect_garbage(store) == []
    with pytest.raises(ArtifactNotFoundError):
        drop_bytes(store, connectivity.model_copy(update={"key": "a" * 64}))


def test_dropped_artifact_is_made_again(store):
    ref = lab.make(store, "binning", {"n": 1})
    drop_bytes(store, ref)
    assert lab.make(store, "binning", {"n": 1}, content=b"again") == ref
    assert store.read_file(ref, "data.bin") == b"again"
    assert store.verify(ref) == []
    assert store.find()["is_dropped"].tolist() == [False]


class CrashError(Exception):
    pass


def test_crash_while_dropping_leaves_the_artifact_or_none(store, monkeypatch):
    """Whatever removal is the last, no cache record stays behind without its artifact."""
    remove = collect.remove
    for n_removed in range(4):
        ref = lab.make(store, "binning", {"n": n_removed})
        left = iter([remove] * n_removed)

        def remove_some(files, path, left=left):
            try:
                next(left)(files, path)
            except StopIteration:
                raise CrashError from None

        monkeypatch.setattr(collect, "remove", remove_some)
        with suppress(CrashError):
            drop_bytes(store, ref)
        monkeypatch.setattr(collect, "remove", remove)
        record = lab.manifest_path(store, ref, "result.json")
        assert store.exists(ref) or not store.files.exists(record)
        assert len(store.find()) == n_removed + 1
        if store.exists(ref):
            assert store.verify(ref) == []
        lab.make(store, "binning", {"n": n_removed})
        assert store.verify(ref) == []


def test_rest_of_a_drop_is_collected(store, monkeypatch):
    ref = lab.make(store, "binning")
    drop_bytes(store, ref)
    leave_file(store, "binning", ref.key, "data.bin")
    monkeypatch.setattr(collect, "LONGEST_WRITER", timedelta(0))
    assert names(collect_garbage(store)) == {f"{ref}/data.bin"}
    assert lab.files_of(store) == [f"{ref}/dropped.json"]


def test_dropping_waits_for_who_makes_it(local_store):
    """A run that makes the artifact anew meanwhile would lose its files otherwise."""
    ref = lab.make(local_store, "binning")
    seen = []
    original = local_store.files.write

    def write(path, content):
        if path.endswith("dropped.json"):
            seen.append(local_store.files.children(local_store.files.join(".claims")))
        original(path, content)

    local_store.files.write = write
    drop_bytes(local_store, ref)
    assert seen == [[f"binning-{ref.key}"]]
    assert local_store.files.children(local_store.files.join(".claims")) == []


def test_provenance_is_not_a_pickle(local_store):
    ref = lab.make(local_store, "binning", {"n": 1})
    drop_bytes(local_store, ref)
    record = json.loads(local_store.files.read(lab.manifest_path(local_store, ref, "dropped.json")))
    assert Provenance(**{name: record[name] for name in Provenance.model_fields}).params == {"n": 1}
