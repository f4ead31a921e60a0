"""Connectivity in the files of other tools: what is read back is what was inferred."""

from datetime import UTC, datetime

import networkx as nx
import numpy as np
import pandas as pd
import pynwb
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from connflow.connectivity import ConnectivityParams, infer_connectivity, traces
from connflow.errors import InvalidInputError
from connflow.exchange import (
    ENDINGS,
    to_edges,
    write_connectivity,
    write_csv,
    write_graphml,
    write_nwb,
)

IDS = [7, 3, 12, 40]


def dataset(weight, z=None, ids=IDS, **attrs):
    weight = np.asarray(weight, np.float32)
    z = weight * 10 if z is None else np.asarray(z, np.float32)
    dims = ("source", "target")
    return xr.Dataset(
        {"weight": (dims, weight), "z": (dims, z)}, {"source": ids, "target": ids}, attrs
    )


@pytest.fixture
def wiring():
    """7 excites 3, 3 inhibits 12; 40 has no edge."""
    weight = np.zeros((4, 4))
    weight[0, 1], weight[1, 2] = 0.5, -0.25
    return dataset(weight, method="correlation", kernels=[[1, 1]], ridge=0.1, constant_units=[40])


def read_csv(path):
    return pd.read_csv(path).astype({"weight": np.float32, "z": np.float32})


def read_graphml(path):
    graph = nx.read_graphml(path, node_type=int)
    assert graph.is_directed()
    edges = [(source, target, *held.values()) for source, target, held in graph.edges(data=True)]
    return pd.DataFrame(edges, columns=["source", "target", "weight", "z"])


def read_nwb(path):
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        table = io.read().processing["connectivity"]["inferred_connectivity"].to_dataframe()
    return table.rename(columns={"source_id": "source", "target_id": "target"})


READERS = {".csv": read_csv, ".graphml": read_graphml, ".nwb": read_nwb}


def as_set(edges):
    columns = (edges[name].astype(float) for name in ("source", "target", "weight", "z"))
    return set(zip(*columns, strict=True))


def test_every_format_is_tested():
    assert set(READERS) == set(ENDINGS)


@pytest.mark.parametrize("ending", READERS)
def test_edges_go_from_source_to_target(wiring, tmp_path, ending):
    """Fails when transposed: there is an edge from 7 to 3, and none from 3 to 7."""
    path = tmp_path / f"edges{ending}"
    write_connectivity(wiring, path)
    assert as_set(READERS[ending](path)) == {(7, 3, 0.5, 5.0), (3, 12, -0.25, -2.5)}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", READERS)
def test_what_is_read_back_is_exact(tmp_path, ending):
    rng = np.random.default_rng(0)
    weight, z = rng.normal(size=(2, 4, 4)).astype(np.float32)
    held = dataset(weight, z)
    path = tmp_path / f"edges{ending}"
    write_connectivity(held, path)
    assert as_set(READERS[ending](path)) == as_set(to_edges(held))


@pytest.mark.parametrize("ending", READERS)
def test_network_without_edges(tmp_path, ending):
    path = tmp_path / f"edges{ending}"
    write_connectivity(dataset(np.zeros((4, 4))), path)
    assert len(READERS[ending](path)) == 0


@pytest.mark.parametrize("ending", READERS)
def test_threshold_leaves_out_weak_edges(wiring, tmp_path, ending):
    path = tmp_path / f"edges{ending}"
    write_connectivity(wiring, path, 3)
    assert as_set(READERS[ending](path)) == {(7, 3, 0.5, 5.0)}


@given(
    st.integers(0, 6).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(-3, 3), min_size=n, max_size=n), min_size=n, max_size=n
        )
    ),
    st.none() | st.integers(0, 4),
)
def test_edges_are_the_pairs_above_the_threshold(values, threshold):
    n = len(values)
    matrix = np.array(values, np.float32).reshape(n, n)
    edges = to_edges(dataset(matrix, matrix, ids=np.arange(n) * 3 + 5), threshold)
    rebuilt = np.zeros((n, n), np.float32)
    rebuilt[(edges["source"] - 5) // 3, (edges["target"] - 5) // 3] = edges["weight"]
    np.testing.assert_array_equal(rebuilt, np.where(np.abs(matrix) >= (threshold or 0), matrix, 0))
    assert (edges["weight"] != 0).all()


def test_axes_may_come_in_any_order(wiring):
    pd.testing.assert_frame_equal(to_edges(wiring.transpose("target", "source")), to_edges(wiring))


def test_inferred_wiring_keeps_its_direction():
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.1, (20_000, 3)).astype(np.uint8)
    counts[1:, 2] += counts[:-1, 0]
    params = ConnectivityParams(method="lagged_regression", lags=(1,))
    edges = to_edges(infer_connectivity(traces(counts, 0.001), np.array([50, 20, 30]), params), 20)
    assert edges[["source", "target"]].to_numpy().tolist() == [[50, 30]]
    assert edges["source"].dtype == edges["target"].dtype == np.int64


def test_graphml_names_all_units_and_the_method(wiring, tmp_path):
    write_graphml(wiring, tmp_path / "edges.graphml", 3)
    graph = nx.read_graphml(tmp_path / "edges.graphml", node_type=int)
    assert list(graph) == IDS
    assert graph.graph["method"] == "correlation"
    assert (graph.graph["ridge"], graph.graph["kernels"]) == (0.1, "[[1, 1]]")
    assert graph.graph["threshold_z"] == 3


def test_graphml_escapes_what_is_said_about_it(tmp_path):
    said = "a < b & \"c\" > 'd'"
    write_graphml(dataset(np.eye(4), method=said, **{'"<&': said}), tmp_path / "edges.graphml")
    graph = nx.read_graphml(tmp_path / "edges.graphml")
    assert graph.graph["method"] == graph.graph['"<&'] == said


def test_nwb_names_all_units_and_the_method(wiring, tmp_path):
    path, start = tmp_path / "edges.nwb", datetime(2020, 5, 1, 12, tzinfo=UTC)
    write_nwb(
        wiring, path, identifier="me", session_description="a mouse", session_start_time=start
    )
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        file = io.read()
        assert file.units.id[:].tolist() == IDS
        table = file.processing["connectivity"]["inferred_connectivity"]
        assert '"method": "correlation"' in table.description
        assert (file.identifier, file.session_description) == ("me", "a mouse")
        assert file.session_start_time == start
    assert pynwb.validate(path=str(path)) == []


def test_nwb_says_that_its_start_is_not_known(wiring, tmp_path):
    write_nwb(wiring, tmp_path / "edges.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "edges.nwb"), "r") as io:
        file = io.read()
        assert file.session_start_time == datetime(1970, 1, 1, tzinfo=UTC)
        assert "start of the session is unknown" in file.session_description


def test_nwb_refuses_a_start_without_time_zone(wiring, tmp_path):
    start = datetime(2020, 5, 1)  # noqa: DTZ001
    with pytest.raises(InvalidInputError, match="time zone"):
        write_nwb(wiring, tmp_path / "edges.nwb", session_start_time=start)


def test_csv_is_written_in_full_or_not_at_all(wiring, tmp_path, monkeypatch):
    path = tmp_path / "edges.csv"
    write_csv(wiring, path)
    before = path.read_text()
    assert before.splitlines()[0] == "source,target,weight,z"

    def fail_half_way(self, file, **options):
        file.write_text("source,")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail_half_way)
    with pytest.raises(InvalidInputError, match=r"edges\.csv cannot be written: disk full"):
        write_csv(wiring, path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("held", "name", "threshold", "words"),
    [
        (dataset(np.eye(4)), "edges.txt", None, r"\.csv, \.graphml, \.nwb"),
        (dataset(np.eye(4)), "nowhere/edges.csv", None, "no folder"),
        (dataset(np.eye(4)), "edges.csv", -1, "0 or more"),
        (dataset(np.eye(4)), "edges.csv", np.nan, "0 or more"),
        (dataset(np.full((4, 4), np.nan)), "edges.csv", None, "16 of 16 values of weight are NaN"),
        (dataset(np.eye(4)).drop_vars("z"), "edges.csv", None, "expected connectivity"),
        (xr.Dataset({"weight": ("time", [1.0])}), "edges.csv", None, r"weight\('time',\)"),
        (dataset(np.eye(4)).drop_vars("source"), "edges.nwb", None, "no unit ids"),
    ],
)
def test_what_is_no_connectivity_is_refused(tmp_path, held, name, threshold, words):
    with pytest.raises(InvalidInputError, match=words):
        write_connectivity(held, tmp_path / name, threshold)
    assert list(tmp_path.iterdir()) == []
