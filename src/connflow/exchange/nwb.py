"""Inferred connectivity as NWB: a table in a processing module, beside the table of units.

NWB has no type of its own for connectivity that was inferred from activity. A DynamicTable is what
the standard offers for tables that it does not foresee; matnwb and every HDF5 reader open it, too.
"""

import json
import uuid
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from connflow.errors import InvalidInputError
from connflow.exchange.edges import describe, to_edges, unit_ids, written_whole

MODULE = "connectivity"
TABLE = "inferred_connectivity"

_UNKNOWN_START = datetime(1970, 1, 1, tzinfo=UTC)
_START_IS_UNKNOWN = "The start of the session is unknown; 1970-01-01 UTC stands in its place."
_COLUMNS = {
    "source_id": ("source", "Id, in the units table, of the unit that influences."),
    "target_id": ("target", "Id, in the units table, of the unit that is influenced."),
    "weight": ("weight", "Influence of the source on the target, signed."),
    "z": ("z", "Influence over its standard error."),
}


def write_nwb(
    dataset: xr.Dataset,
    path: str | Path,
    threshold_z: float | None = None,
    *,
    identifier: str | None = None,
    session_description: str = "Connectivity inferred from neural activity by connflow.",
    session_start_time: datetime | None = None,
) -> None:
    """Write the units, and the table ``inferred_connectivity`` of their edges, as an NWB file.

    Parameters
    ----------
    dataset, threshold_z
        The connectivity, and the least ``|z|``; see `connflow.exchange.to_edges`.
    path : str or Path
        The file, which ends in ``.nwb``.
    identifier : str, optional
        What names this file in all the world; random if None.
    session_description : str
        What was recorded.
    session_start_time : datetime, optional
        Start of the recording, with its time zone. If None, 1970-01-01 UTC, and the description
        says that it is not known.

    Raises
    ------
    InvalidInputError
        If the start has no time zone, or the dataset is none of connectivity.
    """
    if session_start_time is None:
        session_start_time = _UNKNOWN_START
        session_description = f"{session_description} {_START_IS_UNKNOWN}"
    if session_start_time.tzinfo is None:
        raise InvalidInputError("session_start_time needs a time zone, e.g. tzinfo=datetime.UTC")
    pynwb = import_module("pynwb")  # takes a second
    file = pynwb.NWBFile(
        session_description=session_description,
        identifier=identifier or str(uuid.uuid4()),
        session_start_time=session_start_time,
    )
    file.units = _units(dataset)
    module = file.create_processing_module(MODULE, "Connectivity inferred from activity.")
    module.add(_table(to_edges(dataset, threshold_z), describe(dataset, threshold_z)))
    with written_whole(path) as aside, pynwb.NWBHDF5IO(str(aside), "w") as io:
        io.write(file)


def _units(dataset: xr.Dataset) -> Any:
    misc = import_module("pynwb.misc")
    return misc.Units(
        name="units",
        description="The units between which connectivity was inferred; ids as in the recording.",
        id=np.array(unit_ids(dataset)),
    )


def _table(edges: pd.DataFrame, description: dict[str, str | float]) -> Any:
    common = import_module("hdmf.common")
    columns = [
        common.VectorData(name=name, description=text, data=edges[column].to_numpy())
        for name, (column, text) in _COLUMNS.items()
    ]
    return common.DynamicTable(
        name=TABLE,
        description=f"Inferred connectivity, one row per edge from source to target; method "
        f"{description.get('method', 'unknown')}, parameters {json.dumps(description)}",
        columns=columns,
    )
