"""Second moments of traces: blocks of rows turned into features, and multiplied as matrices.

In: `Traces`, read block by block. Out: the `Moments` of each block. Products are formed in single
precision, a few thousand rows at a time, by BLAS or by torch on a device; their sums are kept in
double precision.
"""

import importlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from connflow.blocks import TimeUnitArray
from connflow.connectivity.moments import Moments
from connflow.errors import InvalidInputError

STEP_ROWS = 4096
"""Rows that are multiplied at a time: they fit in the last cache, and outweigh adding the sums."""

Rows = NDArray[np.float32]
Sums = NDArray[np.float64]


class Products(Protocol):
    """Who multiplies features and targets, and sums up."""

    def add(self, features: Rows, targets: Rows) -> None: ...  # noqa: D102

    def sums(self) -> tuple[Sums, Sums | None]:
        """Return cross (n_features, n_targets) and gram (n_features, n_features) so far."""
        ...


class BlasProducts:
    """Products by numpy's BLAS, which forms a Gram matrix by ``ssyrk``."""

    def __init__(self, n_features: int, n_targets: int, with_gram: bool) -> None:
        self._cross = np.zeros((n_features, n_targets))
        self._gram = np.zeros((n_features, n_features)) if with_gram else None

    def add(self, features: Rows, targets: Rows) -> None:
        """Add the products of some rows."""
        self._cross += features.T @ targets
        if self._gram is not None:
            self._gram += features.T @ features

    def sums(self) -> tuple[Sums, Sums | None]:
        """Return cross and gram so far."""
        return self._cross, self._gram


class TorchProducts:
    """Products by torch, on the device of that name."""

    def __init__(self, n_features: int, n_targets: int, with_gram: bool, device: str) -> None:
        self._torch, self._device = import_torch(), device
        double = {"dtype": self._torch.float64, "device": device}
        self._cross = self._torch.zeros((n_features, n_targets), **double)
        self._gram = self._torch.zeros((n_features, n_features), **double) if with_gram else None

    def add(self, features: Rows, targets: Rows) -> None:
        """Add the products of some rows."""
        here = self._torch.from_numpy(features).to(self._device).T
        self._cross += here @ self._torch.from_numpy(targets).to(self._device)
        if self._gram is not None:
            self._gram += here @ here.T

    def sums(self) -> tuple[Sums, Sums | None]:
        """Return cross and gram so far."""
        gram = None if self._gram is None else self._gram.cpu().numpy()
        return self._cross.cpu().numpy(), gram


def choose_products(n_features: int, n_targets: int, with_gram: bool, device: str) -> Products:
    """Return BLAS for the device ``numpy``, and torch for any other."""
    if device == "numpy":
        return BlasProducts(n_features, n_targets, with_gram)
    return TorchProducts(n_features, n_targets, with_gram, device)


def import_torch() -> Any:
    """Import torch, an optional extra."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise InvalidInputError(
            "connectivity: a device other than numpy needs torch, which is not installed; "
            "pip install 'connflow[train]', or leave CONNFLOW_DEVICE empty"
        ) from error


def sum_pieces(
    values: TimeUnitArray,
    reference: NDArray[np.float32],
    heights: NDArray[np.float32],
    with_gram: bool,
    device: str,
    pieces: Sequence[slice],
) -> Moments:
    """Sum the moments of some pieces of time, each read with its past.

    Parameters
    ----------
    values : (n_rows, n_units) array-like
    reference : (n_units,) float32
        Level that values are taken from.
    heights : (n_delays, n_kernels) float32
        What a value adds to the features of its unit 0, 1, ... rows later.
    with_gram
        See `accumulate_moments`.
    device : str
        ``numpy``, or a device of torch.
    pieces
        Rows whose targets are summed over, counted from the longest delay on.
    """
    n_kernels, n_units = heights.shape[1], len(reference)
    feature_sums, target_sums = np.zeros((2, n_kernels * n_units)), np.zeros((2, n_units))
    products = choose_products(n_kernels * n_units, n_units, with_gram, device)
    for features, targets in _fill_steps(values, reference, heights, pieces):
        add_columns(features, feature_sums)
        add_columns(targets, target_sums)
        products.add(features, targets)
    cross, gram = products.sums()
    return Moments(
        n_bins=sum(piece.stop - piece.start for piece in pieces),
        feature_sum=feature_sums[0].reshape(n_kernels, n_units),
        target_sum=target_sums[0],
        target_square=target_sums[1],
        gram=gram,
        feature_square=feature_sums[1].reshape(n_kernels, n_units),
        cross=cross.reshape(n_kernels, n_units, n_units),
    )


def _fill_steps(
    values: TimeUnitArray,
    reference: NDArray[np.float32],
    heights: NDArray[np.float32],
    pieces: Sequence[slice],
) -> Iterator[tuple[Rows, Rows]]:
    """Yield features and targets of `STEP_ROWS` rows; many short pieces share a step."""
    past, n_units = len(heights) - 1, len(reference)
    n_rows = min(STEP_ROWS, sum(piece.stop - piece.start for piece in pieces))
    features = np.empty((n_rows, heights.shape[1] * n_units), np.float32)
    targets = np.empty((n_rows, n_units), np.float32)
    filled = 0
    for piece in pieces:
        raw = np.asarray(values[piece.start : piece.stop + past])
        done = 0
        while done < len(raw) - past:
            n_more = min(n_rows - filled, len(raw) - past - done)
            rows = np.subtract(raw[done : done + past + n_more], reference, dtype=np.float32)
            place = slice(filled, filled + n_more)
            targets[place] = rows[past:]
            filter_rows(rows, heights, features[place])
            done, filled = done + n_more, filled + n_more
            if filled == n_rows:
                yield features, targets
                filled = 0
    if filled:
        yield features[:filled], targets[:filled]


@numba.njit(cache=True, nogil=True)
def filter_rows(rows: Rows, heights: Rows, features: Rows) -> None:
    """Sum every row that has a whole past and the ones before it under each kernel."""
    n_delays, n_kernels = heights.shape
    n_units = rows.shape[1]
    features[:] = 0
    for k in range(len(features)):
        for delay in range(n_delays):
            now = rows[k + n_delays - 1 - delay]
            for f in range(n_kernels):
                height = heights[delay, f]
                if height != 0:
                    for i in range(n_units):
                        features[k, f * n_units + i] += height * now[i]


@numba.njit(cache=True, nogil=True)
def add_columns(rows: Rows, sums: Sums) -> None:
    """Add the columns' sums, and the sums of their squares, in double precision."""
    for k in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            value = np.float64(rows[k, i])
            sums[0, i] += value
            sums[1, i] += value * value
