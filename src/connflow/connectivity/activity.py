"""What connectivity is inferred from: spike trains as events, or traces as an array.

Both may come in several *segments*: stretches of uninterrupted observation, such as trials, files
or sessions. No method relates two samples of different segments.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from connflow.blocks import TIME_BLOCK, TimeUnitArray, split
from connflow.errors import InvalidInputError
from connflow.recording.model import SpikeRecording

Segments = NDArray[np.int64]
"""(n_segments, 2) first and one past the last sample of each segment, ascending, disjoint."""

RESOLUTIONS_S = (0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001, 0.00005, 0.00002, 0.00001)
"""Grids that spike times are compared with, from coarse to fine; else the finest is 1 µs."""

FINEST_RESOLUTION_S = 1e-6

_GRID_TOLERANCE = 1e-3  # share of a step by which a time on the grid may miss it
_SAMPLE_RATES_HZ = (20_000, 24_000, 24_414.0625, 25_000, 30_000, 32_000, 32_552.0, 40_000, 48_000)


@dataclass(frozen=True, eq=False)
class SpikeTrains:
    """Spikes of a population on a grid of time, event by event.

    Parameters
    ----------
    ticks : (n_spikes,) int64
        When, in steps of `interval_s`; ascending, each inside a segment.
    units : (n_spikes,) int32
        Row of the unit that fired.
    n_units : int
    interval_s : float
        Length of one tick in seconds.
    segments : (n_segments, 2) int64
        First and one past the last tick of each stretch of observation; ascending, disjoint.
    """

    ticks: NDArray[np.int64]
    units: NDArray[np.int32]
    n_units: int
    interval_s: float
    segments: Segments

    @property
    def n_samples(self) -> int:
        """Ticks that were observed."""
        return int(np.diff(self.segments).sum())

    def select(self, units: NDArray[np.intp]) -> Self:
        """Return the trains of some units, numbered anew in the given order."""
        row = np.full(self.n_units, -1, np.int32)
        row[units] = np.arange(len(units), dtype=np.int32)
        kept = row[self.units] >= 0
        return replace(
            self, ticks=self.ticks[kept], units=row[self.units[kept]], n_units=len(units)
        )

    def within(self, segments: Segments) -> Self:
        """Return what happened in these segments only; each lies in one of ours."""
        bounds = np.searchsorted(self.ticks, segments)
        index = np.concatenate([np.empty(0, np.intp), *(np.arange(*bound) for bound in bounds)])
        return replace(self, ticks=self.ticks[index], units=self.units[index], segments=segments)

    def coarsened(self, interval_s: float) -> Self:
        """Return the trains on a coarser grid; a bin cut short by a segment's end is dropped."""
        factor = max(1, round(interval_s / self.interval_s))
        if factor == 1:
            return self
        n_bins = np.diff(self.segments)[:, 0] // factor
        # one empty bin between segments, so that they stay apart
        starts = np.concatenate(([0], np.cumsum(n_bins + 1)))[:-1]
        home = np.searchsorted(self.segments[:, 0], self.ticks, side="right") - 1
        inside = (self.ticks - self.segments[home, 0]) // factor
        kept = inside < n_bins[home]
        return replace(
            self,
            ticks=(starts[home] + inside)[kept],
            units=self.units[kept],
            interval_s=self.interval_s * factor,
            segments=np.stack([starts, starts + n_bins], axis=1),
        )


@dataclass(frozen=True, eq=False)
class Traces:
    """Samples of a population at a constant rate: spike counts, fluorescence, or a feed signal.

    Parameters
    ----------
    values : (n_rows, n_units) array-like
        Numpy, zarr, anything that slices.
    interval_s : float
        Seconds from one row to the next.
    segments : (n_segments, 2) int64
        First and one past the last row of each stretch of observation; ascending, disjoint.
    """

    values: TimeUnitArray
    interval_s: float
    segments: Segments

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.values.shape[1])

    @property
    def n_samples(self) -> int:
        """Rows inside segments."""
        return int(np.diff(self.segments).sum())

    def select(self, units: NDArray[np.intp]) -> Self:
        """Return the traces of some units."""
        if len(units) == self.n_units and np.array_equal(units, np.arange(self.n_units)):
            return self
        return replace(self, values=_Columns(self.values, units))

    def read(self, rows: slice) -> NDArray[np.generic]:
        """Read some rows of all units."""
        return np.asarray(self.values[rows.start : rows.stop])

    def within(self, segments: Segments) -> Self:
        """Return the same traces with other segments; each lies in one of ours."""
        return replace(self, segments=segments)


Activity = SpikeTrains | Traces


@dataclass(frozen=True, eq=False)
class _Columns:
    """Some columns of an array that is read by slices of rows."""

    values: TimeUnitArray
    columns: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], len(self.columns)

    def __getitem__(self, rows: slice, /) -> NDArray[np.generic]:
        return np.asarray(self.values[rows, :])[:, self.columns]


def spike_trains(
    recordings: SpikeRecording | Sequence[SpikeRecording], resolution_s: float | None = None
) -> SpikeTrains:
    """Put the spikes of recordings of the same units on one grid, each stretch a segment.

    Parameters
    ----------
    recordings : SpikeRecording, or several
        Files or sessions of the same units, laid one after the other. No method sees a pair of
        spikes of two of them, or across a gap inside one.
    resolution_s : float, optional
        Step of the grid, s. The coarsest on which all spike times lie if None, so that times
        are compared exactly as they were recorded.

    Returns
    -------
    SpikeTrains

    Raises
    ------
    InvalidInputError
        If the recordings differ in their units.
    """
    several = [recordings] if isinstance(recordings, SpikeRecording) else list(recordings)
    first = several[0]
    for other in several[1:]:
        if not np.array_equal(other.unit_ids, first.unit_ids):
            raise InvalidInputError(
                "connectivity: the recordings do not have the same units in the same order; "
                "infer each by itself, or leave out the units that are not in all of them"
            )
    step_s = resolution_s or find_resolution(several)
    parts = [part for recording in several for part in _stretches(recording, step_s)]
    lengths = np.array([length for _, length in parts])
    starts = np.concatenate(([0], np.cumsum(lengths + 1)))[:-1]  # a tick apart
    return SpikeTrains(
        ticks=np.concatenate(
            [part + start for (part, _), start in zip(parts, starts, strict=True)]
        ),
        units=np.concatenate([recording.spike_units for recording in several]),
        n_units=first.n_units,
        interval_s=step_s,
        segments=np.stack([starts, starts + lengths], axis=1),
    )


def _stretches(recording: SpikeRecording, step_s: float) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the ticks of the spikes in each stretch without a gap, and its length in ticks."""
    for start, stop in recording.intervals:
        times = recording.spike_times[slice(*np.searchsorted(recording.spike_times, (start, stop)))]
        ticks = np.floor((times - _origin(times, start, step_s)) / step_s + _GRID_TOLERANCE)
        last = int(ticks[-1]) if len(ticks) else 0
        yield ticks.astype(np.int64), max(round((stop - start) / step_s), last + 1)


def find_resolution(recordings: Iterable[SpikeRecording]) -> float:
    """Return the coarsest usual grid on which all spike times lie, in seconds.

    Decimal steps from 10 ms to 10 µs and the common sampling rates are tried; times on none of
    them are compared to 1 µs.
    """
    several = [recording.spike_times for recording in recordings]
    times = [spikes - spikes[:1] for spikes in several]
    for step_s in (*RESOLUTIONS_S, *(1 / rate for rate in _SAMPLE_RATES_HZ)):
        if all(_is_on_grid(some, step_s) for some in times):
            return step_s
    return FINEST_RESOLUTION_S


def traces(values: TimeUnitArray, interval_s: float, segments: Segments | None = None) -> Traces:
    """Describe an array of shape (time, unit); one segment if none are given."""
    whole = np.array([[0, values.shape[0]]], np.int64)
    return Traces(values, interval_s, whole if segments is None else segments)


def counts_events(activity: Activity) -> bool:
    """Whether these are spikes, or counts of them: traces of an integer type."""
    return isinstance(activity, SpikeTrains) or _is_integer(activity.read(slice(0, 1)))


def as_spike_trains(activity: Activity) -> SpikeTrains:
    """Return spike counts as events, a row of the array being a tick; spike trains as they are.

    Raises
    ------
    InvalidInputError
        If the traces are no counts: not of an integer type, or negative.
    """
    if isinstance(activity, SpikeTrains):
        return activity
    parts = [
        slice(int(start) + part.start, int(start) + part.stop)
        for start, stop in activity.segments
        for part in split(int(stop - start), TIME_BLOCK)
    ]
    events = [_events_of(activity.read(rows), rows.start) for rows in parts]
    ticks, units = (np.concatenate(several) for several in zip(*events, strict=True))
    return SpikeTrains(ticks, units, activity.n_units, activity.interval_s, activity.segments)


def _is_integer(values: NDArray[np.generic]) -> bool:
    return values.dtype.kind in "bui"


def _events_of(
    counts: NDArray[np.generic], start: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    if not _is_integer(counts) or bool(np.any(counts.astype(np.int64) < 0)):
        raise InvalidInputError(
            f"connectivity: this method reads spikes, or counts of spikes as integers of at least "
            f"0; these traces are {counts.dtype}. Choose a method that reads traces"
        )
    rows, columns = np.nonzero(counts)
    times = counts[rows, columns].astype(np.int64)
    return np.repeat(rows + start, times), np.repeat(columns.astype(np.int32), times)


def split_time(activity: Activity, n_parts: int) -> list[Segments]:
    """Cut the observed time into parts of equal length, in order; a part is a list of segments."""
    edges = np.linspace(0, activity.n_samples, n_parts + 1).round().astype(np.int64)
    lengths = np.diff(activity.segments)[:, 0]
    before = np.concatenate(([0], np.cumsum(lengths)))[:-1]
    parts = []
    for low, high in pairwise(edges):
        start = np.clip(low - before, 0, lengths)
        stop = np.clip(high - before, 0, lengths)
        here = stop > start
        parts.append((activity.segments[:, :1] + np.stack([start, stop], axis=1))[here])
    return parts


def check_length(activity: Activity, past: int, n_kernels: int) -> None:
    """Refuse a recording that is too short for its delays, or for so many kernels a unit (or 0)."""
    lengths = np.diff(activity.segments)[:, 0]
    usable = int(np.maximum(lengths - past, 0).sum())
    step_s = activity.interval_s
    if usable == 0:
        raise InvalidInputError(
            f"connectivity: the delays reach {past} samples back ({past * step_s:g} s), but "
            f"the longest stretch without a gap has {lengths.max()} ({lengths.max() * step_s:g} "
            "s); record longer, or shorten connectivity.delay_max_s, connectivity.kernel_stop_s "
            "or connectivity.lags"
        )
    n_features = n_kernels * activity.n_units
    if n_kernels and usable <= n_features + 1:
        raise InvalidInputError(
            f"connectivity: {usable} samples are too few to tell {n_features} influences on each "
            "unit apart; record longer, use smaller bins, fewer lags or fewer units, or "
            "connectivity.method=correlation"
        )


def _origin(times: NDArray[np.float64], start: float, step_s: float) -> float:
    """Return the last point of the grid through the first spike that is not after the start."""
    if len(times) == 0:
        return start
    n_steps = np.ceil((times[0] - start) / step_s - _GRID_TOLERANCE)
    return float(times[0] - n_steps * step_s)


def _is_on_grid(times: NDArray[np.float64], step_s: float) -> bool:
    head = times[:1000] / step_s  # most grids are refused by a few spikes
    if np.any(np.abs(head - np.round(head)) > _GRID_TOLERANCE):
        return False
    position = times / step_s
    return not np.any(np.abs(position - np.round(position)) > _GRID_TOLERANCE)
