"""Connectivity: signed weights and z-scores from binned spikes or deconvolved activity."""

from connflow import connectivity
from connflow.connectivity import CONNECTIVITY_VERSION, ConnectivityParams
from connflow.store import ArtifactRef, ArtifactWriter, Store
from tasks._blocks import map_blocks
from tasks._inputs import open_activity
from tasks._step import step


@step("connectivity", CONNECTIVITY_VERSION, run_name="{params.method}")
def infer_connectivity(
    store: Store,
    artifact: ArtifactWriter,
    activity: ArtifactRef,
    params: ConnectivityParams,
) -> None:
    """Infer the influence of every unit on every other one."""
    traces, bin_size_s = open_activity(store, activity)
    unit_ids = traces["unit"].to_numpy()
    weights = connectivity.infer_connectivity(
        traces.variable, bin_size_s, unit_ids, params, map_blocks
    )
    artifact.write_dataset(weights)
