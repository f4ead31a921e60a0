"""Several recordings of the same units as one, with gaps between them."""

from collections.abc import Sequence

import numpy as np

from connflow.errors import InvalidInputError
from connflow.recording.model import Recording, SpikeRecording

GAP_S = 1.0
"""What lies between two recordings that are laid one after the other."""


def join_recordings(recordings: Sequence[Recording]) -> SpikeRecording:
    """Lay recordings of spikes one after the other, each a stretch without a gap.

    Parameters
    ----------
    recordings
        Files or sessions of the same units, in order. Their clocks do not matter: time runs on
        from the start of the first.

    Returns
    -------
    SpikeRecording
        With the unit table of the first, and the true wiring where all have the same.

    Raises
    ------
    InvalidInputError
        If one holds fluorescence, or if the units differ.
    """
    spikes = [_checked(recording, recordings[0]) for recording in recordings]
    lengths = np.array([recording.duration_s + GAP_S for recording in spikes])
    first = spikes[0]
    shifts = first.t_start + np.concatenate(([0.0], np.cumsum(lengths)[:-1]))
    moves = [shift - recording.t_start for shift, recording in zip(shifts, spikes, strict=True)]
    pairs = list(zip(spikes, moves, strict=True))
    return SpikeRecording(
        spike_times=np.concatenate([one.spike_times + move for one, move in pairs]),
        spike_units=np.concatenate([one.spike_units for one in spikes]),
        units=first.units,
        t_start=first.t_start,
        t_stop=first.t_start + float(lengths.sum()) - GAP_S,
        weights=first.weights if all(_same_wiring(one, first) for one in spikes) else None,
        notes={"joined_recordings": len(spikes)},
        gapless=np.concatenate([one.intervals + move for one, move in pairs]),
    )


def _checked(recording: Recording, first: Recording) -> SpikeRecording:
    if not isinstance(recording, SpikeRecording):
        raise InvalidInputError(
            "several recordings can be joined where they hold spikes; one of these holds "
            "fluorescence. Infer from each by itself"
        )
    if not np.array_equal(recording.unit_ids, first.unit_ids):
        ours, theirs = set(first.unit_ids.tolist()), set(recording.unit_ids.tolist())
        raise InvalidInputError(
            "recordings that are joined must have the same units in the same order; "
            f"{len(ours ^ theirs)} of {len(ours | theirs)} are not in both. Leave those out with "
            "recording.exclude_units"
        )
    return recording


def _same_wiring(one: SpikeRecording, other: SpikeRecording) -> bool:
    if one.weights is None or other.weights is None:
        return False
    return np.array_equal(one.weights, other.weights)
