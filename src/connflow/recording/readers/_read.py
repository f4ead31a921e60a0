"""Choosing the reader of a format, and checking what it found."""

from collections.abc import Callable
from pathlib import Path

from connflow.errors import RecordingError
from connflow.recording.model import FluorescenceRecording, SpikeRecording
from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import Contents
from connflow.recording.readers._fluorescence import build_fluorescence
from connflow.recording.readers._source import Source, open_source
from connflow.recording.readers._spikes import build_spikes
from connflow.recording.readers.npz import read_npz
from connflow.recording.readers.nwb import read_nwb
from connflow.recording.readers.parquet import read_parquet
from connflow.recording.readers.suite2p import is_suite2p, read_suite2p
from connflow.recording.readers.zarr_group import is_zarr, read_zarr

_READERS: dict[str, Callable[[Source, RecordingParams], Contents]] = {
    "nwb": read_nwb,
    "suite2p": read_suite2p,
    "npz": read_npz,
    "parquet": read_parquet,
    "zarr": read_zarr,
}
_ENDINGS = {
    ".nwb": "nwb",
    ".npz": "npz",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".zarr": "zarr",
}


def read_recording(uri: str, params: RecordingParams) -> SpikeRecording | FluorescenceRecording:
    """Read and check a recording.

    Parameters
    ----------
    uri : str
        A local path or ``file://`` URL; for formats of a single file (NWB, npz, Parquet) any
        URL that fsspec reads.
    params : RecordingParams
        Format, names in the file, interval, and what to do with flaws.

    Returns
    -------
    SpikeRecording or FluorescenceRecording
        Times in seconds, arrays time first; `notes` counts what was left out or changed.

    Raises
    ------
    RecordingNotFoundError
        There is nothing at `uri`.
    RecordingError
        It cannot be used as it is; the message names the file, the field and the remedy.

    Notes
    -----
    The observed interval is half open, ``[t_start, t_stop)``. Each edge of a spike recording
    comes from `params`, else from the file, else from the spikes: the whole second at or
    before the first spike (a recording that starts at 4397 s does not get 4397 s of silence),
    and the smallest float above the last spike. Spikes outside edges from `params` are left
    out and counted; outside edges from the file they are an error.
    """
    with open_source(uri) as source:
        contents = _READERS[_format_of(source, params)](source, params)
    if contents.signal == "spikes":
        return build_spikes(contents, params)
    return build_fluorescence(contents, params)


def _format_of(source: Source, params: RecordingParams) -> str:
    if params.format != "auto":
        return params.format
    ending = source.path.suffix.lower()
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    found = _folder_format(source.path) if source.path.is_dir() else None
    if found is None:
        raise RecordingError(
            f"{source.name}: format: neither the name's ending ({', '.join(_ENDINGS)}) nor the "
            "content tells the format (a Suite2p folder is the one that holds F.npy, often "
            "suite2p/plane0). Name the right place, or set recording.format."
        )
    return found


def _folder_format(folder: Path) -> str | None:
    if is_zarr(folder):
        return "zarr"
    return "suite2p" if is_suite2p(folder) else None
