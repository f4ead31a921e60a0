"""Connectivity of very many units, a block of targets at a time: nothing of size N² is formed.

In: `SpikeTrains`. Out: the strong edges as a sparse table, and a histogram of all z-scores, from
which a null and a threshold follow. Every target is first compared with every source by itself;
the sources that stand out are then regressed on together, as `solve` does with all.

References
----------
Fan & Lv 2008, Sure independence screening for ultrahigh dimensional feature space, Journal of the
Royal Statistical Society B 70: 849-911.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from connflow.blocks import MapBlocks, split
from connflow.connectivity import _sweeps
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.coincidences import expected_coincidences, to_normal
from connflow.connectivity.events import event_gram, row_type, sum_own
from connflow.connectivity.least_squares import solve
from connflow.connectivity.moments import Kernel, Moments
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.spike_index import SpikeIndex, index_spikes, select_units
from connflow.progress import track

TARGETS_A_TILE = 32
"""Targets in a block of work."""

Z_EDGES = np.linspace(-20, 20, 4001)
"""Edges of the histogram of scores; what lies beyond counts in the outermost bins."""

LEAST_Z = 3.0
"""Pairs below it are in the histogram, but not among the edges."""


@dataclass(frozen=True, eq=False)
class SparseEdges:
    """Pairs that stand out, and how z is distributed over all pairs.

    Parameters
    ----------
    source, target : (n_edges,) int64
        Rows of the units.
    weight, z, score : (n_edges,) float32
        The score is z as a normal one, see `to_normal`.
    z_counts : (n_bins,) int64
        Histogram of the scores of all pairs of different units, by `Z_EDGES`. A pair that was
        screened out has the score of the two units by themselves.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float32]
    z: NDArray[np.float32]
    score: NDArray[np.float32]
    z_counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TilePlan:
    """What all tiles share: the spikes in order, and every unit's own moments.

    Parameters
    ----------
    index : SpikeIndex
    kernels
        Windows of delays, in ticks.
    past, n_bins : int
        Longest delay, and ticks that have a whole past.
    feature_sum, feature_square : (n_kernels, n_units) int64
    target_sum, target_square : (n_units,) int64
    """

    index: SpikeIndex
    kernels: tuple[Kernel, ...]
    past: int
    n_bins: int
    feature_sum: NDArray[np.int64]
    feature_square: NDArray[np.int64]
    target_sum: NDArray[np.int64]
    target_square: NDArray[np.int64]


def plan_tiles(trains: SpikeTrains, kernels: Sequence[Kernel]) -> TilePlan:
    """Sort the spikes, and sum every unit's own moments."""
    index, past = index_spikes(trains), max(last for _, last in kernels)
    own = [sum_own(index, kernel, past) for kernel in kernels]
    return TilePlan(
        index,
        tuple(kernels),
        past,
        int(np.maximum(np.diff(index.segments) - past, 0).sum()),
        np.stack([total for total, _ in own]),
        np.stack([square for _, square in own]),
        *sum_own(index, (0, 0), past),
    )


def infer_tiled(
    trains: SpikeTrains,
    kernels: Sequence[Kernel],
    params: ConnectivityParams,
    map_blocks: MapBlocks = map,
) -> SparseEdges:
    """Infer the strong edges among all units, tile by tile of targets.

    Parameters
    ----------
    trains : SpikeTrains
        All units fire.
    kernels
        Windows of delays, in ticks. Weight and z are those of the first; others only control for
        what happened at their delays.
    params : ConnectivityParams
        `n_candidates` and `ridge`.
    map_blocks
        Who computes the tiles: threads, or the workers of a cluster, each of which gets the spikes
        once.

    Returns
    -------
    SparseEdges
        In the order of targets; the same whoever computes the tiles.
    """
    tiles = split(trains.n_units, TARGETS_A_TILE)
    compute = partial(infer_tile, plan_tiles(trains, kernels), params)
    return concatenate(list(track(map_blocks(compute, tiles), len(tiles))))


def concatenate(found: Sequence[SparseEdges]) -> SparseEdges:
    """Join the edges of several tiles."""
    return SparseEdges(
        source=np.concatenate([part.source for part in found]),
        target=np.concatenate([part.target for part in found]),
        weight=np.concatenate([part.weight for part in found]),
        z=np.concatenate([part.z for part in found]),
        score=np.concatenate([part.score for part in found]),
        z_counts=np.sum([part.z_counts for part in found], axis=0),
    )


def call_significant(
    edges: SparseEdges, false_discovery_rate: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Compare the edges with the bulk of all z, and call them significant.

    Parameters
    ----------
    edges : SparseEdges
        Of all tiles.
    false_discovery_rate : float
        Expected share of false edges among those called.

    Returns
    -------
    p : (n_edges,) float64
        Two-sided, from a normal null with the median and quartiles of all scores, but not narrower
        than the standard normal: too wide where many pairs are connected, which among so many
        units they are not.
    mask : (n_edges,) bool

    Notes
    -----
    An edge is called if ``p <= q k / m``, where k edges have no larger p and m pairs were looked
    at, or if one of larger p is.

    References
    ----------
    Benjamini & Hochberg 1995, Journal of the Royal Statistical Society B 57: 289-300.
    """
    n_pairs = edges.z_counts.sum()
    share = np.concatenate(([0], np.cumsum(edges.z_counts))) / n_pairs
    low, middle, high = np.interp((0.25, 0.5, 0.75), share, Z_EDGES)
    spread = (high - low) / (norm.ppf(0.75) - norm.ppf(0.25))
    far = np.minimum(np.abs(edges.score - middle) / max(spread, 1.0), np.abs(edges.score))
    p = 2 * norm.sf(far)
    ascending = np.sort(p)
    called = ascending <= false_discovery_rate * np.arange(1, len(p) + 1) / n_pairs
    return p, p <= ascending[called].max(initial=-1.0)


def infer_tile(plan: TilePlan, params: ConnectivityParams, targets: slice) -> SparseEdges:
    """Infer the strong edges onto some targets.

    Parameters
    ----------
    plan : TilePlan
    params : ConnectivityParams
        `n_candidates` and `ridge`.
    targets : slice
        Rows of the targets.

    Returns
    -------
    SparseEdges

    Notes
    -----
    With `n_candidates` not below the number of units every z is that of the full regression.
    The candidates of a target are the sources of largest pairwise ``|z|``, and the target itself.
    """
    rows = np.arange(targets.start, targets.stop)
    cross = _centred_cross(plan, rows)
    width = plan.kernels[0][1] - plan.kernels[0][0] + 1
    by_source, by_target = expected_coincidences(
        plan.target_sum, plan.n_bins, _feature_square(plan), np.ones(width)
    )
    z = _pairwise_z(plan, cross, rows)
    weight = np.zeros_like(z)
    for group, candidates in _group_by_candidates(np.abs(z), rows, params.n_candidates):
        moments = _candidate_moments(plan, cross[:, group], rows[group], candidates)
        with threadpool_limits(1, user_api="blas"):  # the tiles have the other cores
            solution = solve(moments, params.ridge, overwrite=True)
        pairs = np.ix_(group, candidates)
        weight[pairs], z[pairs] = solution.b[0].T * width, solution.z(0).T
    return _keep_strong(weight, z, to_normal(z, by_target[rows, None] * by_source), rows)


def _centred_cross(plan: TilePlan, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return covariances times `n_bins` of targets with all sources: (kernel, target, source)."""
    index = plan.index
    dtype = row_type(max(plan.feature_square.max(), plan.target_square.max()))
    sums = np.zeros((len(plan.kernels), len(rows), index.n_units), dtype)
    for f, (first, last) in enumerate(plan.kernels):
        for number, row in enumerate(rows):
            _sweeps.sweep_cross(*index.walk(row), (-last, -first), plan.past, sums[f, number])
    expected = plan.feature_sum[:, None] * (plan.target_sum[rows, None] / plan.n_bins)
    return np.asarray(sums - expected)


def _pairwise_z(
    plan: TilePlan, cross: NDArray[np.float64], rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return ``r sqrt(n)`` of every target with the first feature of every source."""
    target = (plan.target_square - plan.target_sum**2 / plan.n_bins)[rows]
    scale = np.sqrt(_feature_square(plan) * target[:, None] / plan.n_bins)
    return np.asarray(cross[0] / np.where(scale > 0, scale, np.inf))


def _feature_square(plan: TilePlan) -> NDArray[np.float64]:
    """Return the squares of the first feature summed over time, its mean taken off."""
    return np.asarray(plan.feature_square[0] - plan.feature_sum[0] ** 2 / plan.n_bins)


def _group_by_candidates(
    strength: NDArray[np.float64], rows: NDArray[np.intp], n_candidates: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return groups of targets, and the candidates of each; without a choice all are one group."""
    n_units = strength.shape[1]
    if n_candidates >= n_units:
        return [(np.arange(len(rows)), np.arange(n_units))]
    groups = []
    for number, row in enumerate(rows):
        strength[number, row] = np.inf
        strongest = np.argpartition(strength[number], -n_candidates)[-n_candidates:]
        groups.append((np.array([number]), np.sort(strongest)))
    return groups


def _candidate_moments(
    plan: TilePlan,
    cross: NDArray[np.float64],
    targets: NDArray[np.intp],
    candidates: NDArray[np.intp],
) -> Moments:
    """Return the centred moments of some targets and their candidates."""
    gram = event_gram(select_units(plan.index, candidates), plan.kernels, plan.past)
    feature = plan.feature_sum[:, candidates]
    gram -= np.outer(feature / plan.n_bins, feature)
    target_sum = plan.target_sum[targets]
    return Moments(
        n_bins=plan.n_bins,
        feature_sum=np.zeros(feature.shape),
        target_sum=np.zeros(len(targets)),
        target_square=plan.target_square[targets] - target_sum**2 / plan.n_bins,
        gram=gram,
        feature_square=plan.feature_square[:, candidates] - feature**2 / plan.n_bins,
        cross=np.ascontiguousarray(cross[:, :, candidates].transpose(0, 2, 1)),
    )


def _keep_strong(
    weight: NDArray[np.float64],
    z: NDArray[np.float64],
    score: NDArray[np.float64],
    rows: NDArray[np.intp],
) -> SparseEdges:
    """Count all scores, and keep the pairs that were regressed on and are not weak."""
    score[np.arange(len(rows)), rows] = np.nan
    centres = np.clip(score[np.isfinite(score)], Z_EDGES[0], Z_EDGES[-1])
    target, source = np.nonzero((np.abs(score) >= LEAST_Z) & (weight != 0))
    return SparseEdges(
        source.astype(np.int64),
        rows[target].astype(np.int64),
        weight[target, source].astype(np.float32),
        z[target, source].astype(np.float32),
        score[target, source].astype(np.float32),
        np.histogram(centres, Z_EDGES)[0],
    )
