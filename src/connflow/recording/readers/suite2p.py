"""Read a Suite2p output folder: F.npy, Fneu.npy and iscell.npy.

``ops.npy`` is a pickle and never loaded, so the frame rate comes from the parameters. The file
names may share a prefix, as in ``mouse3_F.npy``.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import (
    Contents,
    check_names,
    choose_signal,
    reading,
    refuse,
)
from connflow.recording.readers._fluorescence import refuse_constant
from connflow.recording.readers._source import Source

_REMEDIES = {
    "Fneu.npy": "Copy it from the Suite2p output, or set recording.neuropil_coefficient to 0"
}


def is_suite2p(folder: Path) -> bool:
    """Say whether a folder holds the traces of a Suite2p run."""
    return bool(_prefixes(folder))


def read_suite2p(source: Source, params: RecordingParams) -> Contents:
    """Take the neuropil-corrected traces of the accepted ROIs; unit ids are ROI row numbers.

    Parameters
    ----------
    source : Source
        The folder (``suite2p/plane0``). F and Fneu are (n_rois, n_frames); ``iscell[:, 0] > 0``
        marks the accepted ROIs.
    params : RecordingParams
        Its `neuropil_coefficient` and `frame_rate_hz`.

    Notes
    -----
    ``fluorescence = F - neuropil_coefficient * Fneu``, turned to (time, unit).

    References
    ----------
    Pachitariu et al. 2017, bioRxiv 061507.
    """
    check_names(source.name, params.names, ())
    choose_signal(source.name, ["fluorescence"], params, ["F.npy"])
    folder = _Folder(source)
    roi_ids = folder.accepted_rois()
    traces = folder.traces("F.npy", roi_ids)
    refuse_constant(source.name, "F.npy", traces.T, roi_ids, params.exclude_units)
    if params.neuropil_coefficient > 0:
        neuropil = folder.traces("Fneu.npy", roi_ids)
        traces = traces - np.float32(params.neuropil_coefficient) * neuropil
    arrays: dict[str, NDArray[Any]] = {"fluorescence": traces.T, "unit_ids": roi_ids}
    return Contents(source.name, "fluorescence", arrays)


class _Folder:
    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.path = source.path
        self.prefix = _only_prefix(source)
        self.shape = self._load("F.npy").shape
        if len(self.shape) != 2:
            raise self._wrong_shape("F.npy", self.shape, "(n_rois, n_frames)")

    def accepted_rois(self) -> NDArray[np.int64]:
        is_cell = self._load("iscell.npy")
        if is_cell.ndim != 2 or len(is_cell) != self.shape[0]:
            raise self._wrong_shape("iscell.npy", is_cell.shape, f"({self.shape[0]}, 2)")
        accepted = np.flatnonzero(is_cell[:, 0] > 0)
        if accepted.size == 0:
            raise refuse(
                self.name,
                "iscell.npy",
                f"none of the {self.shape[0]} ROIs is marked as a cell",
                "Accept cells in the Suite2p window and save",
            )
        return accepted

    def traces(self, file: str, roi_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the rows of these ROIs, shape (n_units, n_frames)."""
        traces = self._load(file)
        if traces.shape != self.shape:
            raise self._wrong_shape(file, traces.shape, f"{self.shape} as in F.npy")
        return np.asarray(traces[roi_ids], np.float32)

    def _load(self, file: str) -> NDArray[Any]:
        path = self.path / f"{self.prefix}{file}"
        if not path.is_file():
            raise refuse(
                self.name,
                file,
                f"there is no {path.name} in the folder",
                _REMEDIES.get(file, "Copy it from the Suite2p output"),
            )
        with reading(str(path), "npy"):
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array

    def _wrong_shape(self, file: str, shape: tuple[int, ...], expected: str) -> Exception:
        return refuse(
            self.name,
            file,
            f"its shape is {shape}, expected {expected}",
            "Take all files from one run of Suite2p",
        )


def _prefixes(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix("F.npy") for path in folder.glob("*F.npy"))


def _only_prefix(source: Source) -> str:
    prefixes = _prefixes(source.path) if source.path.is_dir() else []
    if len(prefixes) != 1:
        found = ", ".join(f"{prefix}F.npy" for prefix in prefixes) or "no F.npy"
        raise refuse(
            source.name,
            "F.npy",
            f"expected a folder with one file *F.npy, found {found}",
            "Name the folder of one plane, such as suite2p/plane0",
        )
    return prefixes[0]
