"""Results in the files of other tools. Knows data, not where it is stored.

Outside of the steps' packages on purpose: another file format does not make an artifact stale.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import xarray as xr

from connflow.errors import InvalidInputError
from connflow.exchange.edges import to_edges, write_csv
from connflow.exchange.graphml import write_graphml
from connflow.exchange.nwb import write_nwb

__all__ = ["ENDINGS", "to_edges", "write_connectivity", "write_csv", "write_graphml", "write_nwb"]

ENDINGS: Mapping[str, Callable[[xr.Dataset, str | Path, float | None], None]] = {
    ".csv": write_csv,
    ".graphml": write_graphml,
    ".nwb": write_nwb,
}
"""Who writes a file of connectivity, by the ending of its name."""


def write_connectivity(
    dataset: xr.Dataset, path: str | Path, threshold_z: float | None = None
) -> None:
    """Write connectivity in the format that the file's ending names.

    Raises
    ------
    InvalidInputError
        If no format has this ending, or the dataset is none of connectivity.
    """
    write = ENDINGS.get(Path(path).suffix.lower())
    if write is None:
        raise InvalidInputError(
            f"{path}: the name must end in one of {', '.join(ENDINGS)}, which choose the format"
        )
    write(dataset, path, threshold_z)
