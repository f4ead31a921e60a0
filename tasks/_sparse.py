"""Tiles of very many units: each process that computes them opens the spikes by itself, once.

Sorted, the spikes of an hour of a hundred thousand units are some 20 GB, too many to send.
"""

import threading

from connflow import connectivity
from connflow.connectivity import ConnectivityParams
from connflow.store import ArtifactRef, Store
from tasks._inputs import open_activity


class HeldPlan:
    """The plan of a recording's tiles, opened where and when it is first wanted.

    It travels without the spikes, and is let go with the function of `map_blocks` it is bound to.
    """

    def __init__(self, store: Store, activity: ArtifactRef, params: ConnectivityParams) -> None:
        self._source = store, activity, params
        self._lock = threading.Lock()
        self._plan: connectivity.EdgePlan | None = None

    def __reduce__(self) -> "tuple[type[HeldPlan], tuple[Store, ArtifactRef, ConnectivityParams]]":
        return HeldPlan, self._source

    def open(self) -> "connectivity.EdgePlan":
        """Return the plan; the threads of a process share it."""
        with self._lock:
            if self._plan is None:
                store, ref, params = self._source
                unit_ids, trains = open_activity(store, ref, params.resolution_s)
                assert isinstance(trains, connectivity.SpikeTrains)
                self._plan = connectivity.plan_edges(trains, unit_ids, params)
            return self._plan


def find_in_tile(
    plan: HeldPlan, params: ConnectivityParams, targets: slice
) -> "connectivity.SparseEdges":
    """Infer the strong edges onto some of the units that fire."""
    return connectivity.infer_tile(plan.open().tiles, params, targets)
