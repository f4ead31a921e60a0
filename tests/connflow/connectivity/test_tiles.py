"""Tiles of targets: the full regression where nothing is screened out, and the same edges else."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from connflow.connectivity import tiles
from connflow.connectivity.activity import SpikeTrains
from connflow.connectivity.coincidences import expected_coincidences, score_coincidences
from connflow.connectivity.inference import MOST_UNITS, infer_connectivity
from connflow.connectivity.least_squares import solve
from connflow.connectivity.moments import Kernel, accumulate_moments
from connflow.connectivity.params import ConnectivityParams
from connflow.connectivity.sparse import infer_edges
from connflow.connectivity.tiles import SparseEdges, call_significant, infer_tiled
from connflow.errors import InvalidInputError

N_UNITS, N_EDGES = 60, 40
KERNELS: list[list[Kernel]] = [[(1, 4)], [(1, 2), (5, 12)], [(0, 3)]]


@pytest.fixture(scope="module")
def planted() -> tuple[SpikeTrains, np.ndarray]:
    """Poisson trains in two segments; some spikes of 40 sources make a target fire 3 ticks on."""
    rng = np.random.default_rng(3)
    segments = np.array([[5, 60_005], [60_100, 130_000]])
    ticks = np.concatenate([rng.integers(*segment, 40_000) for segment in segments])
    units = rng.integers(0, N_UNITS, len(ticks))
    edges = np.stack([rng.permutation(N_UNITS)[:N_EDGES], rng.permutation(N_UNITS)[:N_EDGES]])
    edges = edges[:, edges[0] != edges[1]]
    caused_ticks, caused_units = [ticks], [units]
    for source, target in edges.T:
        own = ticks[units == source]
        caused_ticks.append(own[rng.random(len(own)) < 0.15] + 3)
        caused_units.append(np.full(len(caused_ticks[-1]), target))
    ticks, units = np.concatenate(caused_ticks), np.concatenate(caused_units)
    inside = ((ticks[:, None] >= segments[:, 0]) & (ticks[:, None] < segments[:, 1])).any(axis=1)
    order = np.argsort(ticks[inside], kind="stable")
    return SpikeTrains(
        ticks[inside][order], units[inside][order].astype(np.int32), N_UNITS, 0.001, segments
    ), edges


def params(n_candidates: int) -> ConnectivityParams:
    return ConnectivityParams(n_candidates=n_candidates, ridge=0.01)


def on_threads(function: Callable[[Any], Any], blocks: Iterable[Any]) -> Iterator[Any]:
    with ThreadPoolExecutor(3) as pool:
        yield from pool.map(function, blocks)


def assert_same(one: SparseEdges, other: SparseEdges) -> None:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("n_candidates", [N_UNITS, 2 * N_UNITS])
def test_with_all_as_candidates_it_is_the_full_regression(
    planted: tuple[SpikeTrains, np.ndarray],
    kernels: list[Kernel],
    n_candidates: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiles, "TARGETS_A_TILE", 7)
    trains, _ = planted
    sums = accumulate_moments(trains, kernels, with_gram=True)
    solution = solve(sums.centred(), 0.01)
    width = kernels[0][1] - kernels[0][0] + 1
    square = sums.centred().feature_square[0]
    by_chance = expected_coincidences(sums.target_sum, sums.n_bins, square, np.ones(width))
    weight, z = solution.b[0] * width, solution.z(0)
    score = score_coincidences(z, by_chance)
    np.fill_diagonal(score, 0)
    found = infer_tiled(trains, kernels, params(n_candidates))
    strong = np.abs(score) >= tiles.LEAST_Z
    sources, targets = np.nonzero(strong)
    order = np.lexsort((sources, targets))
    np.testing.assert_array_equal(found.source, sources[order])
    np.testing.assert_array_equal(found.target, targets[order])
    np.testing.assert_allclose(found.z, z[sources, targets][order], rtol=1e-6)
    np.testing.assert_allclose(found.score, score[sources, targets][order], rtol=1e-6)
    np.testing.assert_allclose(found.weight, weight[sources, targets][order], rtol=1e-6)
    off = score[~np.eye(N_UNITS, dtype=bool)]
    inside = np.clip(off, tiles.Z_EDGES[0], tiles.Z_EDGES[-1])
    expected = np.histogram(inside, tiles.Z_EDGES)[0]
    assert np.abs(np.cumsum(found.z_counts) - np.cumsum(expected)).max() <= 1  # at an edge


def test_few_candidates_find_the_planted_edges_and_hardly_others(
    planted: tuple[SpikeTrains, np.ndarray],
) -> None:
    trains, edges = planted
    found = infer_tiled(trains, [(1, 4)], params(8))
    p, mask = call_significant(found, 0.05)
    truth = set(map(tuple, edges.T))
    called = set(zip(found.source[mask], found.target[mask], strict=True))
    assert len(truth & called) == len(truth)
    assert len(called - truth) <= 0.2 * len(truth)
    assert p[mask].max() < 0.05
    assert (found.weight[mask] > 0).sum() >= len(truth)


def test_every_pair_is_counted_once(planted: tuple[SpikeTrains, np.ndarray]) -> None:
    trains, _ = planted
    found = infer_tiled(trains, [(1, 4)], params(8))
    assert found.z_counts.sum() == N_UNITS * (N_UNITS - 1)
    assert (found.source != found.target).all()
    assert np.abs(found.score).min() >= tiles.LEAST_Z


def test_the_same_whoever_computes_the_tiles(planted: tuple[SpikeTrains, np.ndarray]) -> None:
    trains, _ = planted
    alone = infer_tiled(trains, [(1, 4)], params(10))
    assert_same(alone, infer_tiled(trains, [(1, 4)], params(10), on_threads))


def test_from_unrelated_units_hardly_any_edge_is_called() -> None:
    rng = np.random.default_rng(0)
    ticks = np.sort(rng.integers(0, 100_000, 60_000))
    units = rng.integers(0, 80, 60_000, dtype=np.int32)
    trains = SpikeTrains(ticks, units, 80, 0.001, np.array([[0, 100_000]]))
    _, mask = call_significant(infer_tiled(trains, [(1, 10)], params(20)), 0.05)
    assert mask.sum() <= 2


def test_edges_are_found_under_their_ids_without_a_matrix(planted):
    trains, edges = planted
    ids = 100 + np.arange(N_UNITS)
    found = infer_edges(trains, ids, ConnectivityParams(n_candidates=20))
    pairs = set(zip(found["source"] - 100, found["target"] - 100, strict=True))
    wanted = set(map(tuple, edges.T.tolist()))
    assert len(pairs & wanted) >= 0.9 * len(wanted)
    assert len(pairs - wanted) <= 0.15 * len(pairs)
    assert found["z"].abs().is_monotonic_decreasing


def test_too_many_units_for_matrices_are_sent_to_the_edges():
    n_units = MOST_UNITS + 1
    trains = SpikeTrains(
        np.array([3, 4]), np.array([0, 1], np.int32), n_units, 0.001, np.array([[0, 99]])
    )
    with pytest.raises(InvalidInputError, match="infer_edges"):
        infer_connectivity(trains, np.arange(n_units), ConnectivityParams())
