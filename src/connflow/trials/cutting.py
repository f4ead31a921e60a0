"""Cutting: spike counts in bins around events."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from connflow.errors import InvalidInputError
from connflow.recording.model import SpikeRecording
from connflow.trials.model import Trials
from connflow.trials.params import TrialsParams

Floats = NDArray[np.float64]

BIN_SIZE_S = 0.01

_TOLERANCE = 1e-6  # share of a bin by which a spike may lie before an edge and still count as on it


def cut_trials(recording: SpikeRecording, events: pd.DataFrame, params: TrialsParams) -> Trials:
    """Count the spikes of each unit in bins around each event.

    Parameters
    ----------
    recording : SpikeRecording
    events : DataFrame
        From `read_events`: ``time_s`` and other columns, one row a trial.
    params : TrialsParams
        Bins of ``bin_size_s`` from ``t_start`` to ``t_stop`` around the event, half-open.

    Returns
    -------
    Trials
        NaN in bins that do not lie, as a whole, in a stretch of the recording without a gap.

    Raises
    ------
    InvalidInputError
        If no window is given, or a trial lies outside the recording.
    """
    if params.t_stop is None:
        raise InvalidInputError(
            "trials: how long a trial lasts must be said: set trials.t_stop, s after the event"
        )
    bin_size_s, t_start = params.bin_size_s or BIN_SIZE_S, params.t_start or 0.0
    n_bins = round((params.t_stop - t_start) / bin_size_s)
    if n_bins < 1:
        raise InvalidInputError(
            f"trials: a bin of {bin_size_s:g} s is longer than the trial, from {t_start:g} to "
            f"{params.t_stop:g} s; take smaller bins"
        )
    starts = events["time_s"].to_numpy(np.float64) + t_start
    values = _count(recording, starts, bin_size_s, n_bins)
    is_seen = _observed(recording.intervals, starts, bin_size_s, n_bins)
    outside = ~is_seen.any(axis=1)
    if outside.any():
        raise InvalidInputError(
            f"trials: {int(outside.sum())} of {len(starts)} trials lie outside the recording, "
            f"which goes from {recording.t_start:g} to {recording.t_stop:g} s; the first at "
            f"{starts[outside][0]:g} s. Take these events out, or check their time unit"
        )
    table = events.rename(columns={"time_s": "onset_s"})
    return Trials(
        np.where(is_seen[:, :, None], values, np.nan), bin_size_s, t_start, recording.units, table
    )


def _count(recording: SpikeRecording, starts: Floats, bin_size_s: float, n_bins: int) -> Floats:
    values = np.zeros((len(starts), n_bins, recording.n_units))
    times, slack = recording.spike_times, _TOLERANCE * bin_size_s
    first = np.searchsorted(times, starts - slack)
    last = np.searchsorted(times, starts + n_bins * bin_size_s - slack)
    trial = np.repeat(np.arange(len(starts)), last - first)
    spike = np.arange(len(trial)) + np.repeat(
        first - np.cumsum(last - first) + last - first, last - first
    )
    place = np.floor((times[spike] - starts[trial]) / bin_size_s + _TOLERANCE).astype(np.int64)
    np.add.at(values, (trial, np.clip(place, 0, n_bins - 1), recording.spike_units[spike]), 1)
    return values


def _observed(
    intervals: Floats, starts: Floats, bin_size_s: float, n_bins: int
) -> NDArray[np.bool_]:
    """Return whether each bin lies in one of the intervals, (n_trials, n_bins)."""
    slack = _TOLERANCE * bin_size_s
    begin = starts[:, None] + np.arange(n_bins) * bin_size_s
    home = np.searchsorted(intervals[:, 0], begin + slack, side="right") - 1
    end = np.where(home >= 0, intervals[np.maximum(home, 0), 1], -np.inf)
    return np.asarray(begin + bin_size_s <= end + slack)
