"""Very many units: the flow finds their edges tile by tile, and gives those of the dense way."""

from pathlib import Path

import numpy as np
import pytest
from distributed.protocol import deserialize, serialize
from scipy.stats import false_discovery_control, norm

from connflow.connectivity import ConnectivityParams, inference
from connflow.connectivity.coincidences import centre, score_coincidences
from connflow.connectivity.kernels import flat_kernels
from connflow.connectivity.moments import accumulate_moments
from connflow.recording.network import NetworkParams
from flows.connectivity import ConnectivityFlowParams, infer_connectivity
from tasks._inputs import open_activity
from tasks._sparse import HeldPlan, find_in_tile

pytestmark = pytest.mark.usefixtures("prefect_server")

NETWORK = NetworkParams(n_units=60, duration_s=120, connection_probability=0.05, seed=2)
FLAT = {"kernel_start_s": 0.001, "kernel_stop_s": 0.006}


@pytest.fixture
def run(store, monkeypatch):
    """Return a run of the flow in which more units than some go tile by tile."""

    def run(most_units, **connectivity):
        monkeypatch.setattr(inference, "MOST_UNITS", most_units)
        sections = {"connectivity": connectivity, "expectation": {"when": "never"}}
        params = ConnectivityFlowParams.parse(sections)
        return infer_connectivity(NETWORK, params, store=f"{store}-{most_units}")

    return run


def significant(score):
    """Call what stands out of a normal law with the scores' quartiles, and of the standard one."""
    low, middle, high = np.quantile(score, (0.25, 0.5, 0.75))
    spread = max((high - low) / 2 / norm.ppf(0.75), 1)
    p = np.maximum(2 * norm.sf(np.abs(score - middle) / spread), 2 * norm.sf(np.abs(score)))
    return false_discovery_control(p) <= 0.05


def scores_of(result, z):
    """Return the normal scores of the z of a result, by the moments of its recording."""
    _, trains = open_activity(result.store, result.refs["recording"])
    kernels = flat_kernels(ConnectivityParams(**FLAT), trains.interval_s)
    sums = accumulate_moments(trains, kernels, with_gram=False)
    width = kernels[0][1] - kernels[0][0] + 1
    return score_coincidences(z, centre(trains, sums, np.ones((width, 1)))[1])


def test_the_edges_are_those_of_the_dense_way(run):
    dense = run(100, **FLAT)
    sparse = run(50, **FLAT)
    found, z = sparse.open("connectivity"), dense.open("connectivity")["z"].to_numpy()
    edges = sparse.store.read_table(sparse.refs["connectivity"], "edges")
    assert found["n_pairs"].sum() == 60 * 59
    assert found.attrs["n_edges"] == found["out_degree"].sum() == len(edges)
    np.testing.assert_allclose(edges["z"], z[edges["source"], edges["target"]], rtol=1e-4)
    called = np.zeros_like(z, bool)
    called[edges["source"], edges["target"]] = True
    off = ~np.eye(60, dtype=bool)
    np.testing.assert_array_equal(called[off], significant(scores_of(dense, z)[off]))
    scores, dense_scores = (
        one.open("evaluation").set_index("score")["value"] for one in (sparse, dense)
    )
    # what is no edge is not ranked
    assert 0.3 < scores["average_precision"] < dense_scores["average_precision"]
    assert_plan_is_opened_where_it_is_sent(sparse)
    page = Path(sparse.report).read_text()
    assert "no matrices of all pairs" in page
    assert "figure-degrees" in page
    assert "figure-weights" not in page


def assert_plan_is_opened_where_it_is_sent(result):
    params = ConnectivityParams(**FLAT)
    plan = HeldPlan(result.store, result.refs["recording"], params)
    here = find_in_tile(plan, params, slice(32, 60))
    header, frames = serialize(plan)  # as Dask does
    assert sum(map(len, frames)) < 10_000
    there = find_in_tile(deserialize(header, frames), params, slice(32, 60))
    np.testing.assert_array_equal(there.z, here.z)
    assert there.target.min() >= 32


def test_what_needs_matrices_of_all_pairs_is_refused(run):
    with pytest.raises(Exception, match=r"tile by tile.*dale"):
        run(50, dale=True)
