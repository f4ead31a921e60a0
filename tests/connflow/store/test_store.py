"""The store: whole artifacts or none, openable by xarray and pandas alone."""

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import xxhash

from connflow.errors import ArtifactNotFoundError, InvalidInputError, StoreError
from connflow.store import ArtifactRef, Block, Provenance, Store, Variable, default_store_root

REF = ArtifactRef(step="binning", key="1" * 64)
PROVENANCE = Provenance(version=1, params={"seed": 3}, inputs={})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def dataset(value=1.0):
    return xr.Dataset(
        {"x": (("time", "unit"), np.full((4, 2), value, np.float32), {"units": "dF/F"})},
        coords={"unit": [5, 9]},
    )


def make(store, value=1.0):
    with store.create(REF, PROVENANCE) as artifact:
        artifact.write_dataset(dataset(value))
        artifact.write_table(pd.DataFrame({"a": [1, 2]}), "extra")
        artifact.write_file("page/a.txt", b"text")


def files_below(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def test_artifact_opens_without_connflow(store):
    make(store)
    folder = Path(store.path(REF))
    xr.testing.assert_identical(xr.open_zarr(folder / "data.zarr").load(), dataset())
    assert pd.read_parquet(folder / "extra.parquet")["a"].tolist() == [1, 2]
    assert (folder / "page" / "a.txt").read_text() == "text"


def test_open_returns_the_dataset_or_else_the_table(store):
    make(store)
    xr.testing.assert_identical(store.open(REF).load(), dataset())
    other = ArtifactRef(step="evaluation", key="2" * 64)
    with store.create(other, PROVENANCE) as artifact:
        artifact.write_table(pd.DataFrame({"a": [1]}))
    assert store.open(other)["a"].tolist() == [1]


def test_manifest_describes_the_artifact(store):
    make(store)
    manifest = store.manifest(REF)
    assert (manifest.step, manifest.key, manifest.seed) == (REF.step, REF.key, 3)
    assert manifest.arrays["x"].model_dump() == {
        "dims": ("time", "unit"),
        "shape": (4, 2),
        "dtype": "float32",
        "units": "dF/F",
    }
    folder = Path(store.path(REF))
    on_disk = {
        path.relative_to(folder).as_posix(): xxhash.xxh3_128_hexdigest(path.read_bytes())
        for path in files_below(folder)
        if path.name != "manifest.json"
    }
    recorded = {name: record.checksum for name, record in manifest.files.items()}
    assert recorded == {name: f"xxh3_128:{digest}" for name, digest in on_disk.items()}
    assert manifest.size_bytes == sum((folder / name).stat().st_size for name in on_disk)
    assert manifest.packages["numpy"] == np.__version__


def test_error_while_writing_leaves_nothing(store):
    with pytest.raises(ZeroDivisionError), store.create(REF, PROVENANCE) as artifact:
        artifact.write_dataset(dataset())
        raise ZeroDivisionError
    assert not store.exists(REF)
    assert files_below(store.root) == []
    assert store.list_refs() == []


def test_unfinished_artifact_is_invisible_while_it_is_written(store):
    with store.create(REF, PROVENANCE) as artifact:
        artifact.write_dataset(dataset())
        assert not store.exists(REF)
        assert store.list_refs() == []
    assert store.list_refs() == [REF]
    assert store.list_refs("calcium") == []


def test_first_commit_wins(store):
    with store.create(REF, PROVENANCE) as artifact:
        artifact.write_dataset(dataset(2.0))
        make(store, 1.0)
    assert float(store.open(REF)["x"].max()) == 1.0


def test_many_writers_leave_one_whole_artifact(store):
    writers = [threading.Thread(target=make, args=(store, float(i))) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    values = np.unique(store.open(REF)["x"])
    assert len(values) == 1
    assert list((Path(store.root) / ".staging").iterdir()) == []


def test_remnant_without_manifest_gives_way(store):
    folder = Path(store.path(REF))
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    assert not store.exists(REF)
    make(store)
    assert not (folder / "result.json").exists()
    assert store.exists(REF)


def test_deleted_artifact_is_gone(store):
    make(store)
    store.delete(REF)
    with pytest.raises(ArtifactNotFoundError, match=REF.key):
        store.open(REF)
    with pytest.raises(FileNotFoundError):
        store.manifest(REF)


def blocks(width):
    for start in range(0, 10, width):
        part = slice(start, min(start + width, 10))
        yield Block({"time": part}, {"x": np.arange(10.0)[part]})


def test_blocks_make_the_same_dataset_as_the_whole(store):
    variables = {"x": Variable(("time",), (10,), (4,), np.dtype(np.float64), {"units": "s"})}
    with store.create(REF, PROVENANCE) as artifact:
        artifact.write_blocks(variables, [blocks(4)], attrs={"note": "hello"})
    opened = store.open(REF)
    assert opened["x"].to_numpy().tolist() == list(range(10))
    assert opened.attrs == {"note": "hello"}
    assert opened["x"].attrs == {"units": "s"}


def test_block_that_cuts_a_chunk_is_refused(store):
    variables = {"x": Variable(("time",), (10,), (4,), np.dtype(np.float64))}
    with pytest.raises(StoreError, match="cuts a chunk"), store.create(REF, PROVENANCE) as artifact:
        artifact.write_blocks(variables, [blocks(3)])
    assert not store.exists(REF)


@pytest.mark.parametrize("name", ["../escape", "/tmp/escape"])
def test_file_outside_of_the_artifact_is_refused(store, name):
    with pytest.raises(StoreError, match="outside"), store.create(REF, PROVENANCE) as artifact:
        artifact.write_file(name, b"")


def test_unwritable_store_says_so(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file" / "store")
    for attempt in (store.check_writable, lambda: make(store)):
        with pytest.raises(StoreError, match=r"cannot be written.*CONNFLOW_STORE"):
            attempt()


def test_root_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CONNFLOW_STORE", str(tmp_path / "here"))
    assert Store().root == str(tmp_path / "here")
    monkeypatch.delenv("CONNFLOW_STORE")
    assert default_store_root() == str(Path.cwd() / "store")


def test_only_refs_are_opened(store):
    with pytest.raises(InvalidInputError, match="ArtifactRef"):
        store.open("binning/abc")


def test_moved_store_is_the_same_store(store, tmp_path):
    make(store)
    Path(store.root).rename(tmp_path / "moved")
    xr.testing.assert_identical(Store(tmp_path / "moved").open(REF).load(), dataset())


def test_store_on_another_file_system():
    store = Store("memory://connflow-test")
    make(store)
    assert store.exists(REF)
    assert store.list_refs() == [REF]
    assert store.read_file(REF, "page/a.txt") == b"text"
    assert store.read_table(REF, "extra")["a"].tolist() == [1, 2]
    store.delete(REF)
    assert store.list_refs() == []
