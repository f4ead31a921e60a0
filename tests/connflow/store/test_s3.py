"""The store on S3 endpoints, beyond what the common suite asks of every file system."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

from connflow.errors import StoreError
from connflow.store import ArtifactRef, Provenance, Store

REF = ArtifactRef(step="binning", key="1" * 64)
PROVENANCE = Provenance(version=1, params={"seed": 3}, inputs={})


def make(store, value=1.0):
    with store.create(REF, PROVENANCE) as artifact:
        write(artifact, value)


def write(artifact, value):
    artifact.write_dataset(xr.Dataset({"x": (("time",), np.full(8, value))}))
    artifact.write_file("value.txt", str(value).encode())


def objects(root):
    """Return name and content of every object below the root."""
    files = Store(root).files
    return {name: files.read(f"{files.root}/{name}") for name, _ in files.find(files.root)}


def together(n_threads, work):
    """Call `work(i)` in threads that begin at the same time; return what they return."""
    barrier = threading.Barrier(n_threads)

    def begin(i):
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(begin, range(n_threads)))


def make_under_claim(store, value, seconds=0.5):
    """Make the artifact as a step does; return whether it was ours to make."""
    with store.claim(REF) as is_ours:
        if is_ours:
            time.sleep(seconds)
            make(store, value)
        return is_ours


def test_root_is_an_url_and_files_open_by_their_own(s3_store):
    store = Store(s3_store)
    make(store)
    assert store.root == s3_store
    assert store.path(REF, "value.txt").startswith(f"{s3_store}/{REF}/")
    assert not store.is_local


def test_objects_are_one_attempt_and_its_manifest(s3_store):
    store = Store(s3_store)
    make(store)
    attempt = store.manifest(REF).folder
    names = set(objects(s3_store))
    assert f"{REF}/manifest.json" in names
    assert all(name.startswith(f"{REF}/{attempt}/") for name in names - {f"{REF}/manifest.json"})


def test_no_attempt_stays_behind_where_the_endpoint_arbitrates(enter_s3):
    root = enter_s3("moto")
    together(6, lambda i: make(Store(root), float(i)))
    assert len({name.split("/")[2] for name in objects(root)}) == 2  # one attempt, the manifest


def test_writers_never_mix_where_conditional_puts_are_ignored(enter_s3):
    store = Store(enter_s3("rclone"))
    together(6, lambda i: make(Store(store.root), float(i)))
    assert store.verify(REF) == []
    assert set(store.open(REF)["x"].to_numpy()) == {float(store.read_file(REF, "value.txt"))}


def test_conditional_put_is_won_once_on_moto(enter_s3):
    root = enter_s3("moto")

    def put(i):
        files = Store(root).files
        return files.write_new(files.join("one"), str(i).encode())

    won = together(8, put)
    assert won.count(True) == 1
    assert objects(root) == {"one": str(won.index(True)).encode()}


def test_put_on_what_is_there_is_refused(s3_store):
    files = Store(s3_store).files
    path = files.join("one")
    assert files.write_new(path, b"first")
    assert not files.write_new(path, b"second")
    assert files.read(path) == b"first"


def lose_answers(monkeypatch, store, name, error):
    """Let conditional puts of this name be done, and the answer be lost."""
    put = store.files.fs.pipe_file

    def lose(path, content, **options):
        put(path, content, **options)
        if name in path:
            raise error

    monkeypatch.setattr(store.files.fs, "pipe_file", lose)


REFUSED = FileExistsError("At least one of the pre-conditions you specified did not hold")


def test_commit_that_was_sent_twice_is_ours(s3_store, monkeypatch):
    store = Store(s3_store)
    lose_answers(monkeypatch, store, "manifest.json", REFUSED)
    make(store)
    assert store.verify(REF) == []


def test_commit_whose_answer_never_came_leaves_a_whole_artifact(s3_store, monkeypatch):
    store = Store(s3_store)
    lose_answers(monkeypatch, store, "manifest.json", ConnectionResetError("gone"))
    with pytest.raises(StoreError, match="gone"):
        make(store)
    assert store.verify(REF) == []


def test_claim_that_was_sent_twice_is_ours(s3_store, monkeypatch):
    store, told = Store(s3_store), []
    lose_answers(monkeypatch, store, ".claims", REFUSED)
    with store.claim(REF, told.append) as is_ours:
        assert is_ours
    assert told == []
    assert objects(s3_store) == {}


def conflict(monkeypatch, store, n_times):
    """Let the first conditional puts be answered as S3 does while the name is being removed."""
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    put, refused = store.files.fs.pipe_file, []
    answer = ClientError(
        {"Error": {"Code": "ConditionalRequestConflict", "Message": "Try again."}}, "PutObject"
    )

    def refuse(path, content, **options):
        if len(refused) < n_times:
            refused.append(path)
            raise translate_boto_error(answer)
        put(path, content, **options)

    monkeypatch.setattr(store.files.fs, "pipe_file", refuse)
    return refused


def test_put_that_s3_leaves_undecided_is_sent_again(s3_store, monkeypatch):
    store = Store(s3_store)
    refused = conflict(monkeypatch, store, 2)
    assert store.files.write_new(store.files.join("one"), b"first")
    assert len(refused) == 2
    assert objects(s3_store) == {"one": b"first"}


def test_put_that_stays_undecided_is_an_error(s3_store, monkeypatch):
    monkeypatch.setattr("connflow.store.files._CONFLICT_PAUSES_S", (0.0, 0.0))
    store = Store(s3_store)
    refused = conflict(monkeypatch, store, 99)
    with pytest.raises(OSError, match="ConditionalRequestConflict"):
        store.files.write_new(store.files.join("one"), b"first")
    assert len(refused) == 3
    assert objects(s3_store) == {}


def test_second_waits_for_the_first_and_reuses(s3_store):
    told, first_has_it = [], threading.Event()
    done = []

    def first():
        with Store(s3_store).claim(REF) as is_ours:
            first_has_it.set()
            time.sleep(1.0)
            make(Store(s3_store))
            done.append(is_ours)

    thread = threading.Thread(target=first)
    thread.start()
    first_has_it.wait()
    with Store(s3_store).claim(REF, told.append) as is_ours:
        done.append(is_ours)
    thread.join()
    assert done == [True, False]
    assert len(told) == 1
    assert not any(".claims" in name for name in objects(s3_store))


def test_one_of_many_computes_where_the_endpoint_arbitrates(enter_s3):
    root = enter_s3("moto")
    computed = together(4, lambda i: make_under_claim(Store(root), float(i)))
    assert computed.count(True) == 1


def test_claims_given_up_all_the_time_stop_nobody(s3_store):
    def claim_again_and_again(i):
        for _ in range(5):
            with Store(s3_store).claim(REF):  # nothing is made, so that the next has to try
                pass

    together(6, claim_again_and_again)
    with Store(s3_store).claim(REF) as is_ours:
        assert is_ours


def test_two_at_once_compute_at_most_twice_and_never_mix(s3_store):
    computed = together(2, lambda i: make_under_claim(Store(s3_store), float(i)))
    assert computed.count(True) in (1, 2)
    store = Store(s3_store)
    assert store.verify(REF) == []
    assert float(store.open(REF)["x"].max()) == float(store.read_file(REF, "value.txt"))
    assert not any(".claims" in name for name in objects(s3_store))


def chain(error):
    """Return the text of an error and of all that led to it."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    return " ".join(texts)


@pytest.fixture
def is_secret(s3_environment):
    keys = [s3_environment[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    return lambda text: any(key in text for key in keys)


def test_credentials_are_in_no_object_no_log_and_no_name(s3_store, is_secret, caplog):
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger="connflow")
    store = Store(s3_store)
    assert make_under_claim(store, 1.0, 0.0)
    store.open(REF).load()
    contents = [content.decode("latin-1") for content in objects(s3_store).values()]
    names = [repr(store), store.root, store.path(REF), repr(store.open(REF))]
    logged = [record.getMessage() for record in caplog.records]
    assert not any(is_secret(text) for text in [*contents, *names, *logged])


def test_refused_credentials_are_a_clear_error_without_them(enter_s3, monkeypatch, is_secret):
    root = enter_s3("rclone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wr0ng-secret")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        Store(root).check_writable()
    assert not is_secret(chain(caught.value))
    assert "wr0ng-secret" not in chain(caught.value)


def test_bucket_that_is_not_there_says_so_and_is_not_made(enter_s3):
    place = enter_s3("rclone").rpartition("/")[0]
    store = Store(f"{place}-nowhere/prefix")
    for attempt in (store.check_writable, lambda: make(store)):
        with pytest.raises(StoreError, match="cannot be written"):
            attempt()
    assert not store.files.fs.exists(f"{place}-nowhere")


def test_endpoint_out_of_reach_is_the_fault_that_it_is(enter_s3, monkeypatch, is_secret):
    root = enter_s3("moto")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # discard: nobody listens
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = Store(root)
    with pytest.raises(StoreError, match="out of reach") as caught:
        store.check_writable()
    assert isinstance(caught.value.__cause__, ConnectionError)  # which a task tries again
    with pytest.raises(ConnectionError):
        store.exists(REF)
    assert not is_secret(chain(caught.value))
