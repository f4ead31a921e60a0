"""Read ``.npz`` archives of plain numeric arrays. Pickled objects are never loaded."""

import zipfile

import numpy as np

from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import Contents, reading, refuse, take_fields
from connflow.recording.readers._source import Source


def read_npz(source: Source, params: RecordingParams) -> Contents:
    """Find the arrays of a recording in an npz archive.

    Parameters
    ----------
    source : Source
        The file. Spikes: ``spike_times`` and ``spike_units`` (n_spikes,), optionally
        ``unit_ids``, ``t_start``, ``t_stop``. Fluorescence: ``fluorescence`` (time, unit) with
        ``frame_rate_hz`` or ``frame_times``. Either: ``weights`` (source, target).
    params : RecordingParams
        Its `names` and `signal`.
    """
    if not zipfile.is_zipfile(source.path):
        raise refuse(
            source.name,
            "file",
            "is no npz archive: it is cut short, damaged, or of another format",
            "Copy it again from its source and compare the sizes, or set recording.format",
        )
    with (
        reading(source.name, "npz"),
        np.load(source.path, allow_pickle=False) as archive,
    ):
        return take_fields(source.name, archive.files, params, archive.__getitem__)
