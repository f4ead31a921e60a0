"""The store: whole artifacts or none, openable by xarray and pandas alone."""

import threading
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import xxhash

from connflow.errors import (
    ArtifactDamagedError,
    ArtifactNotFoundError,
    InvalidInputError,
    StoreError,
)
from connflow.store import ArtifactRef, Block, Provenance, Store, Variable, default_store_root

REF = ArtifactRef(step="binning", key="1" * 64)
PROVENANCE = Provenance(version=1, params={"seed": 3}, inputs={})


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


def files_of(store):
    """Return every file below the root, attempts and claims included."""
    return [name for name, _ in store.files.find(store.files.root)]


def home(ref, *parts):
    return "/".join((ref.step, ref.key, *parts))


def test_artifact_opens_without_connflow(store):
    make(store)
    place = store.path(REF)
    xr.testing.assert_identical(xr.open_zarr(f"{place}/data.zarr").load(), dataset())
    assert pd.read_parquet(f"{place}/extra.parquet")["a"].tolist() == [1, 2]
    with fsspec.open(f"{place}/page/a.txt") as file:
        assert file.read() == b"text"


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
    folder = store.files.join(home(REF))
    place = f"{folder}/{manifest.folder}".rstrip("/")
    contents = {
        name: store.files.read(f"{place}/{name}")
        for name, _ in store.files.find(place)
        if name != "manifest.json"
    }
    recorded = {name: record.checksum for name, record in manifest.files.items()}
    assert recorded == {
        name: f"xxh3_128:{xxhash.xxh3_128_hexdigest(content)}" for name, content in contents.items()
    }
    assert manifest.size_bytes == sum(len(content) for content in contents.values())
    assert manifest.packages["numpy"] == np.__version__


def test_error_while_writing_leaves_nothing(store):
    with pytest.raises(ZeroDivisionError), store.create(REF, PROVENANCE) as artifact:
        artifact.write_dataset(dataset())
        raise ZeroDivisionError
    assert not store.exists(REF)
    assert files_of(store) == []
    assert store.list_refs() == []


def test_unfinished_artifact_is_invisible_while_it_is_written(store):
    with store.create(REF, PROVENANCE) as artifact:
        artifact.write_dataset(dataset())
        assert not store.exists(REF)
        assert store.list_refs() == []
    assert store.list_refs() == [REF]
    assert store.list_refs("calcium") == []


def test_first_commit_wins_and_the_second_leaves_nothing(store):
    make(store, 1.0)
    first = files_of(store)
    store.delete(REF)
    with store.create(REF, PROVENANCE) as artifact:
        artifact.write_dataset(dataset(2.0))
        make(store, 1.0)
    assert float(store.open(REF)["x"].max()) == 1.0
    assert len(files_of(store)) == len(first)


def test_many_writers_leave_one_whole_artifact(store):
    writers = [threading.Thread(target=make, args=(store, float(i))) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store.list_refs() == [REF]
    assert store.verify(REF) == []
    assert len(np.unique(store.open(REF)["x"])) == 1
    assert [name for name in files_of(store) if name.startswith(".")] == []


def test_remnant_without_manifest_gives_way(local_store):
    folder = Path(local_store.path(REF))
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    assert not local_store.exists(REF)
    make(local_store)
    assert not (folder / "result.json").exists()
    assert local_store.exists(REF)


def damage(store, name, content):
    """Put other content in the place of a file of the artifact; None removes it."""
    path = store.files.join(home(REF, store.manifest(REF).folder).rstrip("/"), name)
    if content is None:
        store.files.remove(path)
    else:
        store.files.write(path, content)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"tEXt", "checksum"), (b"tex", "3 bytes instead of 4|checksum"), (None, "missing")],
)
def test_damaged_file_is_found_and_not_served(store, content, words):
    make(store)
    assert store.verify(REF) == []
    damage(store, "page/a.txt", content)
    (problem,) = store.verify(REF)
    assert "page/a.txt" in problem
    with pytest.raises(ArtifactDamagedError, match=words):
        store.read_file(REF, "page/a.txt")


def test_missing_chunk_is_found_and_not_served(store):
    make(store)
    damage(store, "data.zarr/x/c/0/0", None)
    assert len(store.verify(REF)) == 1
    with pytest.raises(ArtifactDamagedError, match=r"data\.zarr/x/c/0/0 is missing"):
        store.open(REF)


def test_damaged_manifest_is_found(store):
    make(store)
    store.files.write(store.files.join(home(REF, "manifest.json")), b"{")
    assert len(store.verify(REF)) == 1
    with pytest.raises(ArtifactDamagedError, match="--repair"):
        store.open(REF)


def test_deleted_artifact_is_gone(store):
    make(store)
    store.files.write(store.files.join(home(REF, "result.json")), b"{}")
    store.delete(REF)
    assert files_of(store) == []
    assert store.list_refs() == []
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


def test_moved_store_is_the_same_store(local_store, tmp_path):
    make(local_store)
    Path(local_store.root).rename(tmp_path / "moved")
    xr.testing.assert_identical(Store(tmp_path / "moved").open(REF).load(), dataset())


@pytest.mark.parametrize("name", ["model.pkl", "MODEL.PICKLE", "a/b.joblib", "weights.pt"])
def test_pickles_are_neither_written_nor_read(store, name):
    with (
        pytest.raises(InvalidInputError, match="code it holds"),
        store.create(REF, PROVENANCE) as artifact,
    ):
        artifact.write_file(name, b"")
    make(store)
    with pytest.raises(InvalidInputError, match="code they hold"):
        store.read_file(REF, name)


def test_link_out_of_the_store_is_not_followed(local_store, tmp_path):
    other = Store(tmp_path / "other")
    make(other)
    Path(local_store.path(REF)).parent.mkdir(parents=True)
    Path(local_store.path(REF)).symlink_to(other.path(REF))
    with pytest.raises(StoreError, match="leads out of the store"):
        local_store.open(REF)


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/x", "s3://key@bucket"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    with pytest.raises(StoreError, match="must not hold credentials") as caught:
        Store(url)
    assert "secret" not in str(caught.value).replace("AWS_SECRET_ACCESS_KEY", "")


@pytest.mark.parametrize("shards", [None, (64, 4)])
def test_flipped_bit_in_a_chunk_is_found_when_it_is_read(local_store, shards):
    """Also in a shard, of which only the wanted chunks are read."""
    values = np.random.default_rng(0).integers(0, 200, (64, 4)).astype(np.uint8)
    variable = Variable(("time", "unit"), (64, 4), (64, 2), values.dtype, shards=shards)
    with local_store.create(REF, PROVENANCE) as artifact:
        artifact.write_blocks({"x": variable}, [[Block({}, {"x": values})]])
    chunk = Path(local_store.path(REF)) / "data.zarr" / "x" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[40] ^= 1
    chunk.write_bytes(content)
    with pytest.raises((ArtifactDamagedError, ValueError), match="checksum"):
        local_store.open_dataset(REF)["x"][:, :2].load()
    (problem,) = local_store.verify(REF)
    assert "does not have its checksum" in problem
