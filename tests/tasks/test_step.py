"""The step decorator: what enters the key, what is kept, what is tried again."""

import json
from pathlib import Path

import pytest
from prefect import flow
from pydantic import Field

from connflow.errors import InputChangedError, InvalidInputError
from connflow.params import StepParams
from connflow.store import ArtifactRef, Store
from flows.running.runner import run_on
from tasks._step import RETRIES, step

pytestmark = pytest.mark.usefixtures("prefect_server")


class ToyParams(StepParams):
    size: int = Field(1, ge=0)


CALLS = []


@step("toy", 1, run_name="of {params.size}", package="connflow.binning")
def toy(store, artifact, source: str, params: ToyParams):
    """Copy the source."""
    CALLS.append(params.size)
    artifact.write_file("copy.txt", Path(source).read_bytes() * params.size)


@step("tail", 1, package="connflow.binning")
def tail(store, artifact, head: ArtifactRef, other: ArtifactRef | None, params: ToyParams):
    """Copy from another artifact."""
    artifact.write_file("copy.txt", store.read_file(head, "copy.txt"))


@step("chorus", 1, package="connflow.binning")
def chorus(store, artifact, heads: tuple[ArtifactRef, ...], params: ToyParams):
    """Copy from several artifacts."""
    artifact.write_file("copy.txt", b"|".join(store.read_file(ref, "copy.txt") for ref in heads))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.txt"
    path.write_text("abc")
    return str(path)


@pytest.fixture
def root(tmp_path):
    CALLS.clear()
    return str(tmp_path / "store")


def run(root, work):
    """Run what submits tasks inside a flow; return the states that the tasks end in."""
    states = []

    @flow(persist_result=False)
    def toy_flow():
        with run_on("local", root):
            for future in work():
                future.wait()
                states.append(future.state)
        return "done"

    toy_flow()
    return states


def files(root):
    folder = Path(root)
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_second_run_is_cached(root, source):
    submit = lambda: [toy.submit(source, ToyParams(size=2))]  # noqa: E731
    (first,), (second,) = run(root, submit), run(root, submit)
    assert (first.name, second.name) == ("Completed", "Cached")
    assert CALLS == [2]
    ref = Store(root).list_refs("toy")[0]
    assert Store(root).read_file(ref, "copy.txt") == b"abcabc"


def test_cache_record_lies_in_the_artifact_and_holds_the_ref(root, source):
    run(root, lambda: [toy.submit(source, ToyParams())])
    store = Store(root)
    (ref,) = store.list_refs()
    record = json.loads(Path(store.path(ref, "result.json")).read_text())
    assert ref.key in record["result"]
    assert "connflow.store.ArtifactRef" in record["result"]
    assert {name.split("/")[0] for name in files(root)} == {"toy"}


def test_provenance_names_params_inputs_and_sources(root, source):
    def work():
        head = toy.submit(source, ToyParams())
        return [head, tail.submit(head, None, ToyParams(size=5))]

    run(root, work)
    store = Store(root)
    (head,), (end,) = store.list_refs("toy"), store.list_refs("tail")
    manifest = store.manifest(end)
    assert manifest.inputs == {"head": str(head)}
    assert manifest.params == {"size": 5}
    assert store.manifest(head).sources == {"source": source}
    assert len(manifest.source_digest) == 64


def test_several_refs_enter_one_by_one_in_their_order(root, source):
    def work(sizes):
        heads = tuple(toy.submit(source, ToyParams(size=size)) for size in sizes)
        return [*heads, chorus.submit(heads, ToyParams())]

    run(root, lambda: work((2, 1)))
    store = Store(root)
    (end,) = store.list_refs("chorus")
    heads = {store.manifest(ref).params["size"]: str(ref) for ref in store.list_refs("toy")}
    assert store.read_file(end, "copy.txt") == b"abcabc|abc"
    assert store.manifest(end).inputs == {"heads.0": heads[2], "heads.1": heads[1]}
    assert [state.name for state in run(root, lambda: work([2, 1]))] == ["Cached"] * 3
    assert run(root, lambda: work((1, 2)))[-1].name == "Completed"


def test_changed_content_under_the_same_name_is_computed_again(root, source):
    submit = lambda: [toy.submit(source, ToyParams())]  # noqa: E731
    run(root, submit)
    Path(source).write_text("xyz")
    (state,) = run(root, submit)
    assert state.name == "Completed"
    assert len(Store(root).list_refs("toy")) == 2


def test_input_that_changes_while_it_is_read_is_not_committed(root, source):
    @step("toy", 1, package="connflow.binning")
    def meddle(store, artifact, source: str, params: ToyParams):
        CALLS.append("meddle")
        artifact.write_file("copy.txt", b"")
        Path(source).write_text(f"changed {len(CALLS)}")

    (state,) = run(root, lambda: [meddle.submit(source, ToyParams())])
    assert state.is_failed()
    with pytest.raises(InputChangedError, match=r"source\.txt changed while it was read"):
        state.result()
    assert CALLS == ["meddle"]
    assert files(root) == []


def test_bad_input_is_not_tried_again_and_leaves_nothing(root):
    @step("bad", 1, package="connflow.binning")
    def bad(store, artifact, params: ToyParams):
        CALLS.append("bad")
        artifact.write_file("half.txt", b"")
        raise InvalidInputError("size: no")

    (state,) = run(root, lambda: [bad.submit(ToyParams())])
    assert state.is_failed()
    assert CALLS == ["bad"]
    assert files(root) == []


@pytest.mark.parametrize(("n_faults", "name"), [(RETRIES, "Completed"), (RETRIES + 1, "Failed")])
def test_passing_fault_is_tried_again(root, n_faults, name):
    @step("flaky", 1, package="connflow.binning")
    def flaky(store, artifact, params: ToyParams):
        CALLS.append("flaky")
        if len(CALLS) <= n_faults:
            raise ConnectionResetError("the network went away")
        artifact.write_file("whole.txt", b"")

    quick = flaky.with_options(retry_delay_seconds=0)
    (state,) = run(root, lambda: [quick.submit(ToyParams())])
    assert state.name == name
    assert len(CALLS) == RETRIES + 1
    assert bool(files(root)) == (name == "Completed")


def test_only_refs_params_and_places_are_inputs(root):
    @step("odd", 1, package="connflow.binning")
    def odd(store, artifact, values):
        CALLS.append("odd")

    with pytest.raises(TypeError, match="pass a ref"):
        odd.fn([1, 2])
    assert CALLS == []


def test_task_is_a_function_too(monkeypatch, root, source):
    monkeypatch.setenv("CONNFLOW_STORE", root)
    ref = toy.fn(source, ToyParams(size=3))
    assert Store(root).read_file(ref, "copy.txt") == b"abc" * 3
    assert toy.fn(source, ToyParams(size=3)) == ref
    assert CALLS == [3]


def test_progress_reaches_the_ui(root, monkeypatch):
    from prefect.client.orchestration import get_client

    from connflow.progress import track

    monkeypatch.setattr("tasks._step.PROGRESS_EVERY_S", 0.0)

    @step("slow", 1, package="connflow.binning")
    def slow(store, artifact, params: ToyParams):
        for _ in track(range(4), 4):
            pass

    run(root, lambda: [slow.submit(ToyParams())])
    with get_client(sync_client=True) as client:
        newest = {"sort": "CREATED_DESC", "artifacts": {"type": {"any_": ["progress"]}}}
        shown = client.request("POST", "/artifacts/filter", json=newest).json()
    assert [item["data"] for item in shown if item["description"] == "slow"] == [100.0]
