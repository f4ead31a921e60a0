"""Walking through arrays of shape (time, unit) block by block."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MapBlocks = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Applies a function to every block and returns the results in order, like `map`.

The function may be called in other processes: it and the blocks can be pickled, and hold arrays
by reference, as those opened from a store are.
"""

TIME_BLOCK = 32_768
"""Time bins or frames in a block, and in a stored chunk."""

UNIT_BLOCK = 64
"""Units in a block, and in a stored chunk."""


class TimeUnitArray(Protocol):
    """An array of shape (time, unit), in memory or on disk, that is read by slicing."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, region: Any, /) -> Any: ...


def split(length: int, size: int) -> list[slice]:
    """Return the slices of at most `size` that cover ``range(length)``.

    Examples
    --------
    >>> split(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def padded_blocks(
    read: Callable[[slice], NDArray[np.float32]],
    length: int,
    before: int = 0,
    after: int = 0,
    size: int = TIME_BLOCK,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield blocks along time with rows of their neighbours around them; each row is read once.

    Parameters
    ----------
    read
        Returns the rows of a slice, shape (rows, n_units).
    length
        Number of rows in all.
    before, after
        Rows of padding. Beyond the ends of the array the outermost row is repeated.
    size
        Rows in a block, without the padding.

    Yields
    ------
    block : slice
        The rows that the block covers.
    values : (before + rows + after, n_units)
    """
    have, first, read_to = np.empty((0, 0), np.float32), 0, 0
    for block in split(length, size):
        until = min(block.stop + after, length)
        fresh = [
            read(slice(start, min(start + size, length))) for start in range(read_to, until, size)
        ]
        have = (
            np.concatenate([have[: read_to - first], *fresh]) if read_to else np.concatenate(fresh)
        )
        read_to = max(read_to, min(read_to + size * len(fresh), length))
        low, high = block.start - before, block.stop + after
        rows = np.clip(np.arange(low, high), 0, length - 1) - first
        inside = low >= 0 and high <= length
        yield block, have[rows[0] : rows[-1] + 1] if inside else have[rows]
        keep = max(0, block.stop - before)
        have, first = have[keep - first :], keep
