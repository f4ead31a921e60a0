"""The in-memory models that every reader returns: spikes and fluorescence.

Both carry a unit table whose index is the recording's own unit ids, and, where the wiring is
known, the true signed weights with `weights[i, j]` the synapse from unit i to unit j.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SpikeRecording:
    """Spike times of a population over one observed interval, or over several inside it.

    Parameters
    ----------
    spike_times : (n_spikes,) float64
        Seconds, ascending, inside ``[t_start, t_stop)``.
    spike_units : (n_spikes,) int32
        For each spike the row of its unit in `units` (not the unit id).
    units : DataFrame, n_units rows
        The unit table; its index, named ``unit``, holds the recording's own unit ids (int64).
    t_start, t_stop : float
        The observed interval in seconds.
    weights : (n_units, n_units) float32, optional
        True signed weights, ``[source, target]``; 0 where there is no synapse.
    notes : dict
        What the reader changed or counted, e.g. ``{"clipped_spikes": 12}``.
    gapless : (n_intervals, 2) float64, optional
        Start and stop of each stretch without a gap, such as a trial or a session, in seconds;
        ascending, disjoint, with every spike in one of them. The whole interval if None.
    """

    spike_times: NDArray[np.float64]
    spike_units: NDArray[np.int32]
    units: pd.DataFrame
    t_start: float
    t_stop: float
    weights: NDArray[np.float32] | None = None
    notes: dict[str, int | float | str] = field(default_factory=dict)
    gapless: NDArray[np.float64] | None = None

    @property
    def intervals(self) -> NDArray[np.float64]:
        """Start and stop of each stretch without a gap, shape (n_intervals, 2), s."""
        whole = np.array([[self.t_start, self.t_stop]])
        return whole if self.gapless is None else self.gapless

    @property
    def n_units(self) -> int:
        """Number of units, silent ones included."""
        return len(self.units)

    @property
    def unit_ids(self) -> NDArray[np.int64]:
        """The recording's own unit ids, shape (n_units,)."""
        return self.units.index.to_numpy(np.int64)

    @property
    def duration_s(self) -> float:
        """Length of the observed interval in seconds."""
        return self.t_stop - self.t_start


@dataclass(frozen=True, eq=False)
class FluorescenceRecording:
    """Fluorescence (or dF/F) of a population at a constant frame rate.

    Parameters
    ----------
    fluorescence : (n_frames, n_units) float32
        Time first, units last; finite everywhere.
    frame_rate_hz : float
        Frames a second.
    t_start : float
        Time of the first frame in seconds.
    units, weights, notes
        As in `SpikeRecording`.
    """

    fluorescence: NDArray[np.float32]
    frame_rate_hz: float
    units: pd.DataFrame
    t_start: float = 0.0
    weights: NDArray[np.float32] | None = None
    notes: dict[str, int | float | str] = field(default_factory=dict)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def unit_ids(self) -> NDArray[np.int64]:
        """The recording's own unit ids, shape (n_units,)."""
        return self.units.index.to_numpy(np.int64)

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds."""
        return len(self.fluorescence) / self.frame_rate_hz


Recording = SpikeRecording | FluorescenceRecording


def unit_table(unit_ids: NDArray[np.integer]) -> pd.DataFrame:
    """Return a unit table without columns for these ids."""
    return pd.DataFrame(index=pd.Index(np.asarray(unit_ids, np.int64), name="unit"))
