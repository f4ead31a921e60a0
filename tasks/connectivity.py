"""Connectivity: signed weights and z-scores from binned spikes or deconvolved activity."""

from connflow.connectivity import CONNECTIVITY_VERSION, ConnectivityParams
from connflow.connectivity import infer_connectivity as run_inference
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
    artifact.write_dataset(run_inference(traces, bin_size_s, unit_ids, params, map_blocks))
