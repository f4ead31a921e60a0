"""Spike trains in the form that loops over pairs of spikes walk along."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connflow.connectivity import _sweeps
from connflow.connectivity.activity import SpikeTrains
from connflow.errors import InvalidInputError

Ints = NDArray[np.integer]
Walk = tuple[Ints, NDArray[np.unsignedinteger], NDArray[np.uint32], Ints, Ints, Ints, int]

_SPIKES_A_STEP = 4  # of the coarse table of times, at least


@dataclass(frozen=True, eq=False)
class SpikeIndex:
    """Spike trains in the form that the loops over pairs walk along.

    Parameters
    ----------
    ticks : (n_spikes,) int32 or int64
        Ascending, counted from the start of the first segment.
    units : (n_spikes,) uint16 or uint32
    order : (n_spikes,) uint32
        The spikes in the order of units, then of time.
    starts : (n_units + 1,) int64
        Where each unit starts in `order`.
    segments : (n_segments, 2) int64
        Ticks, as in `SpikeTrains`, counted like `ticks`.
    bounds : (n_segments + 1,) int64
        Where each segment starts in `ticks`.
    coarse : (n_steps,) int64
        The first spike at or after every ``2**shift``-th tick.
    shift : int
    """

    ticks: NDArray[np.integer]
    units: NDArray[np.unsignedinteger]
    order: NDArray[np.uint32]
    starts: NDArray[np.int64]
    segments: NDArray[np.int64]
    bounds: NDArray[np.int64]
    coarse: NDArray[np.int64]
    shift: int

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.starts) - 1

    def own(self, unit: int) -> NDArray[np.uint32]:
        """Return the places of a unit's spikes."""
        return self.order[self.starts[unit] : self.starts[unit + 1]]

    def walk(self, unit: int) -> Walk:
        """Return what a loop over a unit's spikes and their neighbours needs, in its order."""
        spikes = self.ticks, self.units, self.own(unit)
        return *spikes, self.segments, self.bounds, self.coarse, self.shift


def index_spikes(trains: SpikeTrains) -> SpikeIndex:
    """Sort spike trains for loops over pairs, in the narrowest types that hold them.

    Raises
    ------
    InvalidInputError
        With 2**32 spikes or more.
    """
    if len(trains.ticks) >= 2**32:
        raise InvalidInputError(
            f"connectivity: {len(trains.ticks)} spikes are more than the {2**32 - 1} that are "
            "numbered at a time; infer from parts of the recording, whose moments add up"
        )
    origin, stop = int(trains.segments[0, 0]), int(trains.segments[-1, 1])
    narrow = stop - origin < 2**30  # room for sums with a window
    tick_type: type[np.integer] = np.int32 if narrow else np.int64
    unit_type: type[np.unsignedinteger] = np.uint16 if trains.n_units <= 2**16 else np.uint32
    ticks = (trains.ticks - origin).astype(tick_type)
    units = trains.units.astype(unit_type)
    order, starts = _sweeps.sort_by_unit(units, trains.n_units)
    segments = trains.segments - origin
    shift = int(max(1, _SPIKES_A_STEP * (stop - origin) // max(1, len(ticks)))).bit_length() - 1
    steps = np.arange(0, stop - origin + 1, 1 << shift, dtype=ticks.dtype)
    return SpikeIndex(
        ticks,
        units,
        order,
        starts,
        segments,
        np.append(np.searchsorted(ticks, segments[:, 0].astype(ticks.dtype)), len(ticks)),
        np.searchsorted(ticks, steps),
        shift,
    )


def select_units(index: SpikeIndex, units: NDArray[np.intp]) -> SpikeIndex:
    """Return the index of some units' spikes, numbered anew in the given order."""
    row = np.zeros(index.n_units, np.int32)
    row[units] = np.arange(len(units))
    places = np.sort(np.concatenate([index.own(unit) for unit in units]))
    return index_spikes(
        SpikeTrains(index.ticks[places], row[index.units[places]], len(units), 0.0, index.segments)
    )
