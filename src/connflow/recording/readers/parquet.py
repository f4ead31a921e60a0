"""Read Parquet tables: a row for each spike, or a row for each frame.

What is not a column stands as JSON in the schema's metadata (`t_start`, `t_stop`, `unit_ids`,
`frame_rate_hz`, `weights`), under the same names.
"""

import json
import re
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from connflow.recording.params import RecordingParams
from connflow.recording.readers._contents import Contents, reading, refuse, take_fields
from connflow.recording.readers._source import Source

_TRACES = "fluorescence"
_UNIT_ID = re.compile(r"[+-]?\d+")


def read_parquet(source: Source, params: RecordingParams) -> Contents:
    """Find the columns of a recording in a Parquet file.

    Parameters
    ----------
    source : Source
        The file. Spikes: columns ``spike_times`` and ``spike_units``. Fluorescence: one column
        a unit, named by its integer id, and ``frame_times`` or ``frame_rate_hz``.
    params : RecordingParams
        Its `names` and `signal`.
    """
    with reading(source.name, "Parquet"), pq.ParquetFile(source.path) as file:
        return _Table(source.name, file).contents(params)


class _Table:
    def __init__(self, name: str, file: Any) -> None:
        self.name = name
        self.file = file
        self.columns: list[str] = file.schema_arrow.names
        metadata = file.schema_arrow.metadata or {}
        self.metadata = {key.decode(errors="replace"): text for key, text in metadata.items()}
        self.traces = [column for column in self.columns if _UNIT_ID.fullmatch(column)]

    def contents(self, params: RecordingParams) -> Contents:
        extra = {_TRACES, "unit_ids"} if self.traces else set[str]()
        hidden = {"ARROW:schema", "pandas"}
        found = {*self.columns, *self.metadata, *extra} - set(self.traces) - hidden
        contents = take_fields(self.name, found, params, self.load)
        if contents.signal == "fluorescence":
            self._refuse_other_columns(params)
        return contents

    def load(self, name: str) -> NDArray[Any]:
        if name in self.columns:
            return self._column(name)
        if self.traces and name == _TRACES:
            return np.column_stack([self._column(column) for column in self.traces])
        if self.traces and name == "unit_ids":
            return np.array([int(column) for column in self.traces])
        return self._metadata(name)

    def _column(self, name: str) -> NDArray[Any]:
        column: NDArray[Any] = self.file.read(columns=[name]).column(name).to_numpy()
        return column

    def _metadata(self, name: str) -> NDArray[Any]:
        try:
            return np.asarray(json.loads(self.metadata[name]))
        except ValueError as error:
            raise refuse(
                self.name,
                name,
                f"its text in the schema's metadata is not JSON ({error})",
                "Write a number or a list of numbers there",
            ) from error

    def _refuse_other_columns(self, params: RecordingParams) -> None:
        ours = {params.names.get("frame_times", "frame_times"), *self.traces}
        if other := [column for column in self.columns if column not in ours]:
            raise refuse(
                self.name,
                _TRACES,
                f"columns {', '.join(map(repr, other))} are neither frame times nor traces, whose "
                "columns are named by integer unit ids",
                "Rename the columns, or write the table without them (pandas: index=False)",
            )
