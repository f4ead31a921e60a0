"""`connflow store export`, `import` and `edges`; flows on a store that was brought."""

from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from connflow.connectivity import ConnectivityParams, infer_connectivity, traces
from connflow.exchange import to_edges
from connflow.recording.network import NetworkParams
from connflow.store import ArtifactRef, Provenance, Store, derive_key
from connflow.store.exchange import export_artifacts, import_artifacts
from flows.commands.store import store_app

STEPS = ["recording", "connectivity", "evaluation", "report"]


@pytest.fixture(scope="module")
def cli():
    return store_app


@pytest.fixture
def weights(store):
    """Weights of three units, and the table that they were made from."""
    here = Store(store)
    source = ArtifactRef(step="recording", key=derive_key("recording", 1, {}, {}))
    with here.create(source, Provenance(version=1, params={}, inputs={})) as artifact:
        artifact.write_table(pd.DataFrame({"unit": [4, 8, 2]}))
    inputs = {"recording": str(source)}
    ref = ArtifactRef(step="connectivity", key=derive_key("connectivity", 1, {}, inputs))
    counts = np.random.default_rng(0).poisson(0.1, (5000, 3))
    counts[1:, 1] += counts[:-1, 0]
    params = ConnectivityParams(method="correlation", lags=(1,))
    with here.create(ref, Provenance(version=1, params={}, inputs=inputs)) as artifact:
        artifact.write_dataset(
            infer_connectivity(traces(counts, 0.01), np.array([4, 8, 2]), params)
        )
    return ref


def call(cli, *arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def upstream(store, ref):
    return ArtifactRef.parse(Store(store).manifest(ref).inputs["recording"])


def test_export_then_import(cli, store, weights, tmp_path):
    there, back = tmp_path / "there", tmp_path / "back"
    done = call(cli, "export", weights, there, "--store", store)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("copied", str(upstream(store, weights))),
        ("copied", str(weights)),
    ]
    assert "2 copied" in done.stderr
    again = call(cli, "export", upstream(store, weights), weights, there, "--store", store)
    assert "2 present; 0 bytes" in again.stderr
    assert call(cli, "import", there, "--store", back).exit_code == 0
    assert call(cli, "import", there, weights, "--store", tmp_path / "some").exit_code == 0
    for place in (there, back, tmp_path / "some"):
        assert Store(place).verify(weights) == []
        assert len(Store(place).list_refs()) == 2


def test_refs_may_be_abbreviated(cli, store, weights, tmp_path):
    short = str(weights)[:20]
    assert call(cli, "export", short, tmp_path / "there", "--store", store).exit_code == 0
    back = tmp_path / "back"
    assert call(cli, "import", tmp_path / "there", short, "--store", back).exit_code == 0
    assert call(cli, "edges", short, tmp_path / "edges.csv", "--store", back).exit_code == 0


@pytest.mark.parametrize("ending", [".csv", ".graphml", ".nwb"])
def test_edges(cli, store, weights, tmp_path, ending):
    file = tmp_path / f"edges{ending}"
    done = call(cli, "edges", weights, file, "--min-z", 20, "--store", store)
    assert (done.exit_code, done.stdout) == (0, f"{file}\n"), done.output
    assert file.stat().st_size > 0


def test_edges_name_their_artifact(cli, store, weights, tmp_path):
    call(cli, "edges", weights, tmp_path / "edges.graphml", "--min-z", 20, "--store", store)
    graph = nx.read_graphml(tmp_path / "edges.graphml", node_type=int)
    assert graph.graph["artifact"] == str(weights)
    assert list(graph) == [4, 8, 2]
    assert list(graph.edges) == [(4, 8)]


def test_edges_without_threshold_are_all(cli, store, weights, tmp_path):
    call(cli, "edges", weights, tmp_path / "edges.csv", "--store", store)
    expected = to_edges(Store(store).open_dataset(weights))
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "edges.csv"), expected, check_dtype=False, rtol=1e-6
    )
    assert len(expected) == 6


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["export", "binning/abc", "{tmp}/there"], "step/key"),
        (["export", "binning/" + "0" * 64, "{tmp}/there"], "holds no artifact"),
        (["import", "{tmp}/nowhere"], "holds no artifacts"),
        (["edges", "{weights}", "{tmp}/edges.txt"], ".graphml"),
        (["edges", "{recording}", "{tmp}/edges.csv"], "holds a table"),
        (["edges", "{weights}", "{tmp}/edges.csv", "--min-z", "-1"], "0 or more"),
    ],
)
def test_bad_input_ends_in_a_message(cli, store, weights, tmp_path, command, words):
    held = {"tmp": tmp_path, "weights": weights, "recording": upstream(store, weights)}
    done = call(cli, *(word.format(**held) for word in command), "--store", store)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


@pytest.mark.parametrize(
    "command", [["export", "{weights}", "{tmp}/there"], ["edges", "{weights}", "{tmp}/edges.csv"]]
)
def test_damage_ends_in_a_message(cli, store, weights, tmp_path, command):
    chunk = Path(Store(store).path(weights, "data.zarr", "weight", "c", "0", "0"))
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    held = {"tmp": tmp_path, "weights": weights}
    done = call(cli, *(word.format(**held) for word in command), "--store", store)
    assert done.exit_code == 2
    assert "ArtifactDamagedError" in done.stderr
    assert not (tmp_path / "edges.csv").exists()
    assert not Store(tmp_path / "there").exists(weights)


@pytest.mark.usefixtures("prefect_server")
def test_flow_on_a_brought_store_is_cached(store, tmp_path):
    """By way of an object store, so that neither place's own layout is what makes it work."""
    from flows.connectivity import infer_connectivity as infer_flow
    from flows.running.run import listening

    def run(place):
        states = {}
        with listening(lambda step, state: states.update({step: state})):
            result = infer_flow(NetworkParams(n_units=20, duration_s=20), store=str(place))
        return result, states

    first, states = run(store)
    assert states == dict.fromkeys(STEPS, "Completed")
    away, back = "memory://exchange-flow", Store(tmp_path / "back")
    export_artifacts(first.store, [first.refs["report"], first.refs["evaluation"]], away)
    import_artifacts(back, away)
    Path(store).rename(tmp_path / "gone")  # so that a record that names it would show
    second, states = run(back.root)
    assert states == dict.fromkeys(STEPS, "Cached")
    assert second.refs == first.refs
