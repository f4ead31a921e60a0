"""Moments of traces: brute force, segments, whoever multiplies."""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connflow.connectivity import dense
from connflow.connectivity.activity import Traces
from connflow.connectivity.dense import TorchProducts
from connflow.connectivity.moments import Kernel, Moments, accumulate_moments
from connflow.errors import InvalidInputError

NAMES = ("feature_sum", "target_sum", "target_square", "feature_square", "gram", "cross")


def covariances(traces: Traces, kernels: list[Kernel]) -> dict[str, Any]:
    """Form all features and targets in double precision, centre, and multiply."""
    values, past = np.asarray(traces.values, np.float64), max(last for _, last in kernels)
    whole = [t for start, stop in traces.segments for t in range(start + past, stop)]
    features = np.hstack(
        [
            np.array([values[t - last : t - first + 1].sum(axis=0) for t in whole])
            for first, last in kernels
        ]
    )
    targets = values[whole]
    features -= features.mean(axis=0)
    targets -= targets.mean(axis=0)
    return {
        "n_bins": len(whole),
        "gram": features.T @ features,
        "cross": (features.T @ targets).reshape(len(kernels), values.shape[1], -1),
        "feature_square": (features**2).sum(axis=0).reshape(len(kernels), -1),
        "target_square": (targets**2).sum(axis=0),
    }


def noise(n_rows: int, n_units: int = 6, level: float = 0.0) -> np.ndarray:
    values = np.random.default_rng(0).normal(level, 1, (n_rows, n_units))
    values[1:] += 0.5 * values[:-1, ::-1]
    return values.astype(np.float32)


def in_segments(values: np.ndarray, lengths: list[int]) -> Traces:
    stops = np.cumsum(lengths)
    return Traces(values, 0.02, np.stack([stops - lengths, stops], axis=1))


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=3),
    st.integers(3, 80),
)
@settings(max_examples=60, deadline=None)
def test_traces_in_segments_have_the_covariances_of_their_rows(
    lengths: list[int], pairs: list[tuple[int, int]], block_samples: int
) -> None:
    kernels = [(min(pair), max(pair)) for pair in pairs]
    traces = in_segments(noise(sum(lengths) + 20, 3, level=5), [*lengths, 20])
    moments = accumulate_moments(traces, kernels, with_gram=True, block_samples=block_samples)
    for name, value in covariances(traces, kernels).items():
        found = getattr(moments.centred(), name)
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("block_samples", [700, 7_777, 1 << 20])
@pytest.mark.parametrize("step_rows", [64, 1_000, 4_096])
def test_counts_are_summed_exactly_however_they_are_cut(
    block_samples: int, step_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = np.random.default_rng(0).poisson(0.3, (12_000, 5)).astype(np.uint8)
    traces, kernels = in_segments(counts, [5_000, 30, 3, 6_967]), [(1, 3), (5, 5)]
    whole = accumulate_moments(traces, kernels, with_gram=True)
    monkeypatch.setattr(dense, "STEP_ROWS", step_rows)
    cut = accumulate_moments(traces, kernels, with_gram=True, block_samples=block_samples)
    assert cut.n_bins == whole.n_bins == 4_995 + 25 + 6_962
    for name in NAMES:
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name), err_msg=name)


def on_threads(function: Callable[[Any], Any], blocks: Iterable[Any]) -> Iterator[Any]:
    with ThreadPoolExecutor(3) as pool:
        yield from pool.map(function, blocks)


def test_same_bits_whoever_computes_the_blocks() -> None:
    traces = in_segments(noise(9_000, level=3), [4_000, 5_000])
    alone, together = (
        accumulate_moments(
            traces, [(1, 4)], with_gram=True, block_samples=1_000, map_blocks=map_blocks
        )
        for map_blocks in (map, on_threads)
    )
    for name in NAMES:
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name))


def test_added_in_place_or_not_moments_are_the_same() -> None:
    traces, kernels = in_segments(noise(300), [300]), [(1, 2)]
    one, other = (accumulate_moments(traces, kernels, with_gram=True) for _ in range(2))
    both = one + other
    one += other
    assert both.n_bins == one.n_bins == 2 * other.n_bins
    for name in NAMES:
        np.testing.assert_array_equal(getattr(both, name), getattr(one, name))
        np.testing.assert_array_equal(getattr(both, name), 2 * getattr(other, name))


def test_torch_finds_the_same_as_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'connflow[train]'")
    traces, kernels = in_segments(noise(9_000, 40, level=2), [4_000, 5_000]), [(1, 1), (2, 6)]
    ours = accumulate_moments(traces, kernels, with_gram=True, device="numpy").centred()
    monkeypatch.setenv("CONNFLOW_DEVICE", "cpu")
    products = dense.choose_products(1, 1, True, "cpu")
    assert isinstance(products, TorchProducts)
    theirs = accumulate_moments(traces, kernels, with_gram=True).centred()
    scale = float(ours.target_square.max())
    for name in NAMES:
        found, expected = getattr(theirs, name), getattr(ours, name)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale, err_msg=name)


def test_without_torch_other_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InvalidInputError, match="CONNFLOW_DEVICE"):
        accumulate_moments(in_segments(noise(50), [50]), [(1, 1)], with_gram=True, device="cuda")


def test_pairwise_methods_get_no_gram_matrix() -> None:
    moments: Moments = accumulate_moments(
        in_segments(noise(50), [50]), [(1, 1)], with_gram=False
    ).centred()
    assert moments.gram is None
