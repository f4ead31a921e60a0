"""Parameters of the recording step when it reads a file."""

from typing import Literal

from pydantic import Field

from connflow.params import StepParams

RECORDING_VERSION = 2


class RecordingParams(StepParams):
    """How to read a recording. Which one is the flow's `recording` argument."""

    format: Literal["auto", "nwb", "suite2p", "npz", "parquet", "zarr"] = Field(
        "auto",
        description="File format; auto goes by the name's ending and the folder's content.",
    )
    signal: Literal["auto", "spikes", "fluorescence"] = Field(
        "auto", description="What to read where a file holds both; auto prefers spikes."
    )
    names: dict[str, str] = Field(
        {},
        description="Names in the file where they differ: our name to the file's, "
        "e.g. {spike_times: times, spike_units: ids}.",
    )
    time_unit_s: float = Field(
        1.0,
        gt=0,
        description="Seconds in one unit of the file's times: 0.001 for milliseconds.",
    )
    t_start: float | None = Field(
        None,
        description="Start of the interval to use, s; what lies before is left out.",
    )
    t_stop: float | None = Field(
        None,
        description="End of the interval to use, s; what lies from there on is left out.",
    )
    exclude_units: tuple[int, ...] = Field(
        (), description="Unit ids to leave out; each must be in the recording."
    )
    frame_rate_hz: float | None = Field(
        None,
        gt=0,
        description="Frame rate, Hz, where a fluorescence file does not say it.",
    )
    neuropil_coefficient: float = Field(
        0.7,
        ge=0,
        le=2,
        description="Share of the neuropil trace that is subtracted (Suite2p).",
    )
    on_unsorted: Literal["raise", "sort"] = Field(
        "raise",
        description="Spike times that are not ascending: refuse the file, or sort them.",
    )
    on_duplicate: Literal["raise", "drop"] = Field(
        "raise",
        description="Two spikes of one unit at one time: refuse the file, or keep one.",
    )
    max_nan_gap_s: float = Field(
        0.2,
        ge=0,
        description="Longest run of missing fluorescence that is interpolated, s; a longer one "
        "is refused.",
    )
