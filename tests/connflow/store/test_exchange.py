"""Bring and take: copies are whole, checked, and nothing that a stranger made up."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from connflow.errors import ArtifactDamagedError, ArtifactNotFoundError, StoreError
from connflow.store import ArtifactRef, Provenance, Store, derive_key
from connflow.store.collect import drop_bytes
from connflow.store.environment import checksum_bytes
from connflow.store.exchange import export_artifacts, import_artifacts
from connflow.store.lineage import upstream
from connflow.store.manifest import SCHEMA_VERSION

DIGEST = "sha256:" + "5" * 64


def record_of(ref, **serializer):
    """Return a cache record as Prefect writes it."""
    value = {"__class__": "connflow.store.ArtifactRef", "data": ref.model_dump()}
    metadata = {"storage_key": "/home/me/result.json", "serializer": {"type": "json"} | serializer}
    return json.dumps({"metadata": metadata, "result": json.dumps(value)})


def make(store, step, params=None, **inputs):
    """Make an artifact with a dataset, a table in a folder, and a cache record."""
    held = {name: str(value) for name, value in inputs.items()}
    ref = ArtifactRef(step=step, key=derive_key(step, 1, params or {}, held))
    with store.create(ref, Provenance(version=1, params=params or {}, inputs=held)) as artifact:
        artifact.write_dataset(xr.Dataset({"x": ("unit", np.arange(5.0))}, {"unit": range(5)}))
        artifact.write_file("page/a.txt", step.encode())
    store.files.write(store.files.join(str(ref), "result.json"), record_of(ref).encode())
    return ref


@pytest.fixture
def here(tmp_path):
    return Store(tmp_path / "here")


@pytest.fixture
def there(tmp_path):
    return Store(tmp_path / "there")


@pytest.fixture
def chain(here):
    """A diamond: one recording, its counts and its traces, the weights from both."""
    recording = make(here, "recording", file=DIGEST)
    counts = make(here, "binning", {"bin_size_s": 0.1}, recording=recording)
    traces = make(here, "calcium", recording=recording)
    weights = make(here, "connectivity", counts=counts, traces=traces)
    make(here, "binning", {"bin_size_s": 0.2}, recording=recording)  # nobody asks for it
    return recording, counts, traces, weights


def states(transfers):
    return {transfer.ref: transfer.state for transfer in transfers}


def files_below(folder):
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_export_takes_everything_upstream_and_nothing_else(here, there, chain):
    done = export_artifacts(here, [chain[-1]], there.root)
    assert states(done) == dict.fromkeys(chain, "copied")
    assert set(there.list_refs()) == set(chain)
    assert [transfer.bytes for transfer in done] == [
        here.manifest(transfer.ref).size_bytes for transfer in done
    ]


def test_inputs_come_before_what_was_made_from_them(here, there, chain):
    order = [transfer.ref for transfer in export_artifacts(here, reversed(chain), there.root)]
    recording, counts, traces, weights = chain
    assert (order[0], order[-1]) == (recording, weights)
    assert set(order[1:3]) == {counts, traces}


def test_round_trip_over_every_file_system(here, store, tmp_path, chain):
    export_artifacts(here, [chain[-1]], store.root)
    back = Store(tmp_path / "back")
    assert states(import_artifacts(back, store.root)) == dict.fromkeys(chain, "copied")
    for ref in chain:
        assert back.verify(ref) == store.verify(ref) == []
        assert store.open(ref).load().identical(here.open(ref).load())
        before, after = (files_below(place.path(ref)) for place in (here, back))
        assert before.pop("result.json") != after.pop("result.json")
        assert before == after


def test_what_is_there_is_left_as_it_is(here, there, chain):
    export_artifacts(here, [chain[1]], there.root)
    before = {path: path.stat().st_mtime_ns for path in Path(there.root).rglob("*.json")}
    done = states(export_artifacts(here, [chain[-1]], there.root))
    recording, counts, traces, weights = chain
    present, copied = dict.fromkeys([recording, counts], "present"), [traces, weights]
    assert done == present | dict.fromkeys(copied, "copied")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_import_of_some(here, there, chain):
    import_artifacts(there, here.root, [chain[1]])
    assert set(there.list_refs()) == set(chain[:2])


def test_files_that_no_manifest_names_stay_behind(here, there, chain):
    Path(here.path(chain[0]), "notes.txt").write_text("mine")
    export_artifacts(here, [chain[0]], there.root)
    assert not Path(there.path(chain[0]), "notes.txt").exists()


def test_upstream_that_is_gone_is_reported(here, there, chain):
    here.delete(chain[0])
    done = export_artifacts(here, [chain[-1]], there.root)
    assert states(done) == dict.fromkeys(chain, "copied") | {chain[0]: "absent"}
    assert set(there.list_refs()) == set(chain[1:])


def test_dropped_upstream_keeps_its_provenance(here, there, chain):
    recording, counts, traces, weights = chain
    drop_bytes(here, counts)
    drop_bytes(here, traces)
    done = export_artifacts(here, [weights], there.root)
    assert states(done) == dict.fromkeys(chain, "copied") | {counts: "dropped", traces: "dropped"}
    assert set(there.list_refs()) == {recording, weights}
    assert [manifest.key for manifest in upstream(there, weights)] == [
        manifest.key for manifest in upstream(here, weights)
    ]
    with pytest.raises(ArtifactNotFoundError):
        export_artifacts(here, [counts], there.root)


def test_forged_provenance_of_a_dropped_artifact_is_refused(here, there, chain):
    drop_bytes(here, chain[1])
    forge(here, chain[1], name="dropped.json", version=2)
    assert_refused(here, there, "key was derived from")


def test_artifact_without_a_cache_record_gets_none(here, there, chain):
    Path(here.path(chain[0], "result.json")).unlink()
    export_artifacts(here, [chain[0]], there.root)
    assert not Path(there.path(chain[0], "result.json")).exists()


def test_cache_record_is_never_the_strangers(here, there, chain):
    """Prefect would unpickle, or call, whatever a record's serializer names."""
    path = Path(here.path(chain[0], "result.json"))
    path.write_text(record_of(chain[0], type="pickle", object_decoder="os.system"))
    import_artifacts(there, here.root, [chain[0]])
    copied = Path(there.path(chain[0], "result.json"))
    record = json.loads(copied.read_text())
    assert record["metadata"] == {"storage_key": str(copied), "serializer": {"type": "json"}}
    assert record["result"] == json.loads(record_of(chain[0]))["result"]


@pytest.mark.parametrize("missing", [ArtifactRef(step="binning", key="0" * 64), None])
def test_nothing_to_copy(here, there, missing):
    with pytest.raises(ArtifactNotFoundError, match="holds no artifact"):
        import_artifacts(there, here.root, [missing] if missing else None)
    assert not Path(there.root).exists()


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
@pytest.mark.parametrize("name", ["data.zarr/x/c/0", "page/a.txt", "data.zarr/zarr.json"])
def test_damage_is_found_while_copying(here, there, chain, harm, name):
    harm(Path(here.path(chain[1], name)))
    with pytest.raises(ArtifactDamagedError, match=f"{chain[1]} .*{name}"):
        export_artifacts(here, [chain[-1]], there.root)
    assert chain[1] not in there.list_refs()
    assert chain[-1] not in there.list_refs()
    assert all(there.verify(ref) == [] for ref in there.list_refs())
    assert list(Path(there.root, ".staging").iterdir()) == []


def test_damage_leaves_nothing_on_an_object_store(here, chain):
    target = Store("memory://exchange-damage")
    flip(Path(here.path(chain[0], "page/a.txt")))
    with pytest.raises(ArtifactDamagedError):
        export_artifacts(here, [chain[-1]], target.root)
    assert target.files.sizes(target.files.root) == {}


def test_failing_commit_leaves_nothing(here, there, chain, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(Store, "_commit", fail)
    with pytest.raises(StoreError, match=f"{chain[0]} cannot be copied.*disk full"):
        export_artifacts(here, [chain[0]], there.root)
    assert files_below(there.root) == {}


def forge(store, ref, name="manifest.json", **changes):
    path = Path(store.path(ref, name))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def add_file(store, ref, name, content):
    """Add a file that its manifest names, with the right checksum."""
    files = store.manifest(ref).model_dump()["files"]
    path = Path(store.path(ref, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    forge(
        store,
        ref,
        files=files | {name: {"bytes": len(content), "checksum": checksum_bytes(content)}},
    )


def assert_refused(here, there, words):
    """Nothing at all is copied if any manifest among them is forged."""
    before = files_below(Path(there.root).parent)
    with pytest.raises(ArtifactDamagedError, match=words):
        import_artifacts(there, here.root)
    assert there.list_refs() == []
    assert files_below(Path(there.root).parent) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params": {"bin_size_s": 0.3}}, "key was derived from"),
        ({"params": {"bin_size_s": float("nan")}}, "key was derived from"),
        ({"version": 2}, "key was derived from"),
        ({"inputs": {}}, "key was derived from"),
        ({"step": "calcium"}, "key was derived from"),
        ({"key": "0" * 64}, "key was derived from"),
        ({"schema_version": SCHEMA_VERSION + 1}, "newer connflow"),
        ({"surprise": 1}, "cannot be read"),
        ({"files": {"a": {"bytes": "many"}}}, "cannot be read"),
        ({"folder": "../" + "0" * 64}, "outside of it"),
        ({"folder": ".."}, "outside of it"),
        ({"folder": "/etc"}, "outside of it"),
    ],
)
def test_forged_manifest_is_refused(here, there, chain, changes, words):
    forge(here, chain[1], **changes)
    assert_refused(here, there, words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../escape.txt", "outside"),
        ("page/../../escape.txt", "outside"),
        ("page/./b.txt", "outside"),
        ("page//b.txt", "outside"),
        ("page\\..\\b.txt", "outside"),
        ("C:/b.txt", "outside"),
        ("page/b\n.txt", "outside"),
        ("model.PKL", "pickle"),
        ("page/model.joblib", "pickle"),
        ("weights.pt", "pickle"),
        ("old.zarr/x/.zarray", "pickle"),
        ("result.json", "listed among its files"),
        ("manifest.json/x", "listed among its files"),
    ],
)
def test_files_that_must_not_be_are_refused(here, there, chain, name, words):
    if not name.startswith("manifest.json"):
        add_file(here, chain[1], name, pickle.dumps(1))
    else:
        files = here.manifest(chain[1]).model_dump()["files"]
        forge(here, chain[1], files=files | {name: {"bytes": 4, "checksum": ""}})
    assert_refused(here, there, words)


def test_absolute_name_is_refused(here, there, chain, tmp_path):
    files = here.manifest(chain[1]).model_dump()["files"]
    name = str(tmp_path / "escape.txt")
    forge(here, chain[1], files=files | {name: next(iter(files.values()))})
    assert_refused(here, there, "outside")
    assert not Path(name).exists()


def test_place_of_files_may_bear_the_name_of_a_host(here, there, chain):
    folder = "binning-0123abcd-node01.cluster-77-" + "0" * 32
    home = Path(here.path(chain[0]))
    files = here.manifest(chain[0]).files
    for name in files:
        (home / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).rename(home / folder / name)
    forge(here, chain[0], folder=folder)
    import_artifacts(there, here.root, [chain[0]])
    assert there.manifest(chain[0]).folder == ""
    assert there.verify(chain[0]) == []


@pytest.mark.parametrize("name", ["manifest.json", "page/a.txt", "page", "."])
def test_links_are_refused(here, there, chain, tmp_path, name):
    path = Path(here.path(chain[1], name))
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises((ArtifactDamagedError, StoreError), match="link"):
        import_artifacts(there, here.root)
    assert chain[1] not in there.list_refs()


def test_link_to_a_file_inside_is_refused(here, there, chain):
    path = Path(here.path(chain[1], "page/a.txt"))
    path.rename(path.with_name("b.txt"))
    path.symlink_to("b.txt")
    with pytest.raises(ArtifactDamagedError, match="link"):
        import_artifacts(there, here.root)


@pytest.mark.parametrize("name", ["page/a.txt", "manifest.json"])
def test_pipe_is_refused_and_not_waited_for(here, there, chain, name):
    path = Path(here.path(chain[1], name))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ArtifactDamagedError, match="not a file"):
        import_artifacts(there, here.root)


def test_folder_that_is_no_store(there, tmp_path):
    (tmp_path / "other" / "photos" / ("Z" * 64)).mkdir(parents=True)
    with pytest.raises(ArtifactNotFoundError, match="no artifacts"):
        import_artifacts(there, str(tmp_path / "other"))


def test_credentials_in_the_url_are_refused_and_not_repeated(here, chain):
    with pytest.raises(StoreError) as caught:
        export_artifacts(here, [chain[0]], "s3://key:secret@host/bucket")
    assert "secret@" not in str(caught.value)
