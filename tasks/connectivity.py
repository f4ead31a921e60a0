"""Connectivity: signed weights and their significance, from spikes, feed signals or traces."""

from connflow import connectivity
from connflow.connectivity import CONNECTIVITY_VERSION, ConnectivityParams
from connflow.store import ArtifactRef, ArtifactWriter, Store
from tasks._blocks import map_blocks
from tasks._inputs import open_activity
from tasks._step import step

EDGES = "edges"


@step("connectivity", CONNECTIVITY_VERSION, run_name="{params.method}")
def infer_connectivity(
    store: Store,
    artifact: ArtifactWriter,
    activity: ArtifactRef,
    params: ConnectivityParams,
) -> None:
    """Infer the influence of every unit on every other one."""
    unit_ids, samples = open_activity(store, activity, params.resolution_s)
    found = connectivity.infer_connectivity(samples, unit_ids, params, map_blocks)
    artifact.write_dataset(found)
    artifact.write_table(connectivity.list_edges(found), EDGES)
