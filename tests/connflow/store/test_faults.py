"""Faults: whatever stops a writer, the store holds whole artifacts only, and the next run works."""

import functools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import xarray as xr

from connflow.errors import StoreError
from connflow.store import Store, claim

sys.path.insert(0, str(Path(__file__).parent))  # where fresh processes find it, too

import faults

REF = faults.REF


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "store")


@pytest.fixture(scope="module")
def processes():
    """Fresh processes that fork from one in which everything is imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["faults"])
    return context


def start(processes, name, *arguments):
    process = processes.Process(target=getattr(faults, name), args=arguments)
    process.start()
    return process


def is_whole(store):
    """Whether the artifact is there, whole; False if the store says that it is not there."""
    refs = store.list_refs()
    assert refs in ([], [REF])
    if refs:
        assert store.verify(REF) == []
        xr.testing.assert_identical(store.open_dataset(REF).load(), faults.dataset())
    return bool(refs)


def leftovers(root):
    places = (Path(root) / ".staging", Path(root) / ".claims")
    return [path for place in places if place.is_dir() for path in place.iterdir()]


def count_operations(tmp_path):
    root = str(tmp_path / "count")
    with faults.fault(root, 10**9, "kill") as fault:
        faults.make(root)
    return fault.count


def test_killed_at_every_operation(processes, tmp_path):
    n_operations = count_operations(tmp_path)
    assert n_operations > 20
    outcomes = []
    for at in range(1, n_operations + 1):
        root = str(tmp_path / f"kill-{at}")
        process = start(processes, "make_and_die", root, at)
        process.join(60)
        assert process.exitcode == -9
        outcomes.append(is_whole(Store(root)))
        faults.make(root)
        assert is_whole(Store(root))
        shutil.rmtree(root)
    assert outcomes == sorted(outcomes), "whole from one operation on, and never before"
    assert outcomes[0] is False
    assert outcomes[-1] is True


@pytest.mark.parametrize("kind", ["full", "denied", "gone"])
def test_refused_at_every_operation(tmp_path, kind):
    for at in range(1, count_operations(tmp_path) + 1):
        root = str(tmp_path / f"{kind}-{at}")
        store = Store(root)
        with faults.fault(root, at, kind), suppress(StoreError):
            faults.make(root)
        is_whole(store)
        faults.make(root)
        assert is_whole(store)
        shutil.rmtree(root)


def test_sixteen_processes_make_it_once(processes, root, tmp_path):
    log = tmp_path / "log"
    racers = [start(processes, "make", root, str(log), 0.3) for _ in range(16)]
    for racer in racers:
        racer.join(120)
    assert [racer.exitcode for racer in racers] == [0] * 16
    assert len(log.read_text().split()) == 1
    assert is_whole(Store(root))
    assert leftovers(root) == []


def test_sixteen_processes_make_it_once_on_s3(enter_s3, tmp_path):
    """With conditional puts one computes; each has its own environment, so they are spawned."""
    root, log = enter_s3("moto"), tmp_path / "log"
    spawned = multiprocessing.get_context("spawn")
    racers = [start(spawned, "make", root, str(log), 0.3) for _ in range(16)]
    for racer in racers:
        racer.join(200)
    assert [racer.exitcode for racer in racers] == [0] * 16
    assert len(log.read_text().split()) == 1
    assert is_whole(Store(root))


@pytest.mark.parametrize("kind", ["lost before", "lost after"])
def test_endpoint_cut_at_every_request(enter_s3, monkeypatch, kind):
    """The connection breaks before or after a request has its effect, and stays away."""
    root = enter_s3("moto")
    for at in range(1, 40):
        store = Store(f"{root}/{at}")
        count = 0

        def cut(write, *arguments, limit=at, **options):
            nonlocal count
            count += 1
            if count > limit or (count == limit and kind == "lost before"):
                raise ConnectionResetError("the endpoint is gone")
            result = write(*arguments, **options)
            if count == limit:
                raise ConnectionResetError("the endpoint is gone")
            return result

        with monkeypatch.context() as patch:
            for name in ("put_file", "pipe_file", "rm"):
                write = getattr(store.files.fs, name)
                patch.setattr(store.files.fs, name, functools.partial(cut, write))
            with suppress(StoreError):
                make_in(store)
        is_whole(store)
        faults.make(store.root)
        assert is_whole(store)
        if count < at:
            return
    pytest.fail("the commit never came to an end")


def make_in(store):
    with store.create(REF, faults.PROVENANCE) as artifact:
        artifact.write_dataset(faults.dataset())
        artifact.write_file("page/a.txt", b"text")


def test_claim_of_a_dead_process_is_taken_over_at_once(processes, root):
    holder = start(processes, "hold_claim", root, 0.0)
    holder.join(60)
    assert len(leftovers(root)) == 1
    began = time.monotonic()
    faults.make(root)
    assert time.monotonic() - began < 10
    assert is_whole(Store(root))
    assert leftovers(root) == []


def foreign_claim(root):
    path = Path(root) / ".claims" / f"{REF.step}-{REF.key}"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "id": "x", "renewed": 0}))
    return path


def test_claim_of_another_host_goes_stale(root, monkeypatch):
    monkeypatch.setattr(claim, "STALE_AFTER_S", 1.0)
    foreign_claim(root)
    told = []
    with Store(root).claim(REF, told.append) as is_to_be_made:
        assert is_to_be_made
    assert told == ["process 1 on elsewhere"]


def test_renewed_claim_is_respected(root, monkeypatch):
    """The owner lives as long as it renews; when it has made the artifact, we use that."""
    monkeypatch.setattr(claim, "STALE_AFTER_S", 1.0)
    path = foreign_claim(root)
    script = (
        "import json, pathlib, sys, time\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "for k in range(12):\n"
        "    aside = path.with_suffix('.new')\n"
        "    aside.write_text(json.dumps({'host': 'elsewhere', 'pid': 1, 'id': 'x', 'k': k}))\n"
        "    aside.replace(path)\n"
        "    time.sleep(0.25)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(path)])
    try:
        began = time.monotonic()
        with Store(root).claim(REF) as is_to_be_made:
            assert is_to_be_made
        assert time.monotonic() - began > 2.5
    finally:
        owner.wait(30)


def test_owner_renews_its_claim(root, monkeypatch):
    monkeypatch.setattr(claim, "RENEW_EVERY_S", 0.05)
    path = Path(root) / ".claims" / f"{REF.step}-{REF.key}"
    with Store(root).claim(REF):
        seen = set()
        deadline = time.monotonic() + 10
        while len(seen) < 3 and time.monotonic() < deadline:
            seen.add(path.read_bytes())
            time.sleep(0.02)
    assert len(seen) >= 3
    assert not path.exists()


def test_small_disk_that_fills_up(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    mounted = shutil.which("mount") and os.geteuid() == 0
    if not mounted or subprocess.run(["mount", *options], check=False).returncode:
        pytest.skip("FULL DISK NOT TESTED: mounting a small tmpfs needs root and mount")
    try:
        store = Store(disk / "store")
        with (
            pytest.raises(StoreError, match="cannot be written"),
            store.create(REF, faults.PROVENANCE) as artifact,
        ):
            artifact.write_file("big.bin", os.urandom(1 << 20))
        assert not is_whole(store)
        assert leftovers(store.root) == []
        faults.make(store.root)
        assert is_whole(store)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
