"""From the spikes of very many units to a labelled table of edges; see `tiles`.

In: `SpikeTrains`. Out: the significant edges, and a dataset of what is known of all pairs: how z is
distributed, how many edges each unit has. Nothing of the size of all pairs is formed. Whoever
computes the tiles may open the spikes by itself (`find_edges`), so that they need not be sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from connflow.blocks import MapBlocks, split
from connflow.connectivity import inference
from connflow.connectivity.activity import Activity, SpikeTrains, check_length
from connflow.connectivity.kernels import flat_kernels
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.tiles import (
    TARGETS_A_TILE,
    Z_EDGES,
    SparseEdges,
    TilePlan,
    call_significant,
    concatenate,
    infer_tile,
    plan_tiles,
)
from connflow.errors import InvalidInputError
from connflow.progress import track


@dataclass(frozen=True, eq=False)
class EdgePlan:
    """What all tiles share, and what labels their result.

    Parameters
    ----------
    tiles : TilePlan
        Of the units that fire.
    firing : (n_firing,) int
        Their rows.
    unit_ids : (n_units,) int64
        Of all.
    interval_s : float
        Length of a tick.
    """

    tiles: TilePlan
    firing: NDArray[np.intp]
    unit_ids: NDArray[np.int64]
    interval_s: float


def is_for_tiles(activity: Activity) -> bool:
    """Whether these are spikes of so many units that their edges are found tile by tile."""
    return isinstance(activity, SpikeTrains) and activity.n_units > inference.MOST_UNITS


def plan_edges(
    trains: SpikeTrains, unit_ids: NDArray[np.int64], params: ConnectivityParams
) -> EdgePlan:
    """Sort the spikes for tiles; see `infer_edges`.

    Raises
    ------
    InvalidInputError
        If the parameters ask for what there is only with matrices of all pairs, or the recording
        is too short, or fewer than two units fire.
    """
    _check(params, trains.n_units)
    firing = np.flatnonzero(np.bincount(trains.units, minlength=trains.n_units))
    if len(firing) < 2:
        raise InvalidInputError(
            f"connectivity needs at least two units that fire; {len(firing)} of {trains.n_units} do"
        )
    kernels = flat_kernels(params, trains.interval_s)
    some = trains.select(firing)
    check_length(some, kernels[-1][1], 1)
    return EdgePlan(plan_tiles(some, kernels), firing, unit_ids, trains.interval_s)


def _check(params: ConnectivityParams, n_units: int) -> None:
    asked = {
        f"method={params.method}": params.method not in ("auto", "kernel_regression"),
        "dale": params.dale,
        f"null_law={params.null_law}": params.null_law != "empirical",
        "n_bootstrap": params.n_bootstrap > 0,
        "kernel_heights": params.kernel_heights is not None,
    }
    wrong = [name for name, is_asked in asked.items() if is_asked]
    if wrong:
        raise InvalidInputError(
            f"connectivity: the edges of {n_units} units are found tile by tile, by kernel "
            f"regression with a flat kernel, without {', '.join(wrong)}; leave that out, or some "
            "units, with recording.exclude_units"
        )


def find_edges(
    plan: EdgePlan,
    params: ConnectivityParams,
    find: Callable[[slice], SparseEdges],
    map_blocks: MapBlocks,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Find the significant edges among all units, tile by tile of targets.

    Parameters
    ----------
    plan : EdgePlan
    params : ConnectivityParams
    find
        Returns the edges onto the firing units of a tile.
    map_blocks
        Who computes the tiles.

    Returns
    -------
    found : Dataset
        ``n_pairs`` over z (how many pairs have it as a normal score, see `to_normal`; bins of .01,
        the outermost hold what is beyond)
        and, over source and target, ``out_degree`` and ``in_degree``. The attributes say how it
        was inferred, and ``n_edges``.
    edges : DataFrame
        ``source`` and ``target`` (unit ids), ``weight``, ``z``, ``p``, the surest first.
    """
    tiles = split(len(plan.firing), TARGETS_A_TILE)
    strong = concatenate(list(track(map_blocks(find, tiles), len(tiles))))
    p, mask = call_significant(strong, params.false_discovery_rate)
    order = np.flatnonzero(mask)[np.argsort(-np.abs(strong.z[mask]), kind="stable")]
    source, target = (plan.firing[some[order]] for some in (strong.source, strong.target))
    edges = pd.DataFrame(
        {
            "source": plan.unit_ids[source],
            "target": plan.unit_ids[target],
            "weight": strong.weight[order],
            "z": strong.z[order],
            "p": p[order],
        }
    )
    return _summarise(plan, params, strong.z_counts, source, target), edges


def infer_edges(
    trains: SpikeTrains,
    unit_ids: NDArray[np.int64],
    params: ConnectivityParams,
    map_blocks: MapBlocks = map,
) -> pd.DataFrame:
    """Infer the significant edges among very many units; no matrix of all pairs is formed.

    Parameters
    ----------
    trains : SpikeTrains
        Units that never fire have no edges.
    unit_ids : (n_units,) int64
    params : ConnectivityParams
        Delays, `n_candidates`, `ridge` and `false_discovery_rate`. The kernel is flat, over
        `kernel_start_s` to `kernel_stop_s` or else the synaptic delays, with a control behind it.
    map_blocks
        Who computes the tiles.

    Returns
    -------
    DataFrame
        ``source`` and ``target`` (unit ids), ``weight``, ``z``, ``p``, the surest first.
    """
    plan = plan_edges(trains, unit_ids, params)
    return find_edges(plan, params, partial(infer_tile, plan.tiles, params), map_blocks)[1]


def _summarise(
    plan: EdgePlan,
    params: ConnectivityParams,
    z_counts: NDArray[np.int64],
    source: NDArray[np.intp],
    target: NDArray[np.intp],
) -> xr.Dataset:
    n_units, segments = len(plan.unit_ids), plan.tiles.index.segments
    attrs = {
        **params.model_dump(mode="json", exclude_none=True),
        "method": "kernel_regression",
        "kernel": "flat",
        "weight_units": "spikes of the target added by one of the source",
        "interval_s": plan.interval_s,
        "n_samples": int(np.diff(segments).sum()),
        "n_segments": len(segments),
        "n_edges": len(source),
        "n_constant_units": n_units - len(plan.firing),
        "null": "empirical",
    }
    degrees = {
        "out_degree": ("source", np.bincount(source, minlength=n_units)),
        "in_degree": ("target", np.bincount(target, minlength=n_units)),
    }
    coords = {
        "source": plan.unit_ids,
        "target": plan.unit_ids,
        "z": ("z", (Z_EDGES[1:] + Z_EDGES[:-1]) / 2, {"long_name": "influence over its error"}),
    }
    return xr.Dataset({"n_pairs": ("z", z_counts), **degrees}, coords, attrs)


def scatter_edges(found: xr.Dataset, edges: pd.DataFrame) -> xr.Dataset:
    """Return edges as matrices of all pairs, for comparison with a wiring that is one.

    Parameters
    ----------
    found, edges
        As `find_edges` returns them.

    Returns
    -------
    Dataset
        ``weight``, ``z`` and ``mask`` over (source, target); 0 and False for all other pairs,
        among which a ranking by z does not tell.
    """
    ids = found["source"].to_numpy()
    order = np.argsort(ids)
    pairs = tuple(
        order[np.searchsorted(ids, edges[end], sorter=order)] for end in ("source", "target")
    )
    matrices = {}
    for name, values in (("weight", edges["weight"]), ("z", edges["z"]), ("mask", True)):
        matrix = np.zeros((len(ids), len(ids)), bool if name == "mask" else np.float32)
        matrix[pairs] = values
        matrices[name] = (("source", "target"), matrix)
    return xr.Dataset(matrices, {"source": ids, "target": ids}, found.attrs)
