"""Connectivity: signed weights and their significance, from spikes, feed signals or traces."""

from functools import partial

from connflow import connectivity
from connflow.connectivity import CONNECTIVITY_VERSION, ConnectivityParams
from connflow.store import ArtifactRef, ArtifactWriter, Store
from tasks._blocks import map_blocks
from tasks._inputs import open_activity
from tasks._sparse import HeldPlan, find_in_tile
from tasks._step import step

EDGES = "edges"


@step("connectivity", CONNECTIVITY_VERSION, run_name="{params.method}")
def infer_connectivity(
    store: Store,
    artifact: ArtifactWriter,
    activity: ArtifactRef,
    params: ConnectivityParams,
) -> None:
    """Infer the influence of every unit on every other one; of very many, the edges only."""
    unit_ids, samples = open_activity(store, activity, params.resolution_s)
    if connectivity.is_for_tiles(samples):
        del samples
        plan = HeldPlan(store, activity, params)
        find = partial(find_in_tile, plan, params)
        found, edges = connectivity.find_edges(plan.open(), params, find, map_blocks)
    else:
        found = connectivity.infer_connectivity(samples, unit_ids, params, map_blocks)
        edges = connectivity.list_edges(found)
    artifact.write_dataset(found)
    artifact.write_table(edges, EDGES)
