"""Tables of events: when a trial's event happened, and what it was."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from connflow.errors import RecordingError, first_line
from connflow.recording.readers import open_source
from connflow.trials.model import trial_table

ENDINGS = (".csv", ".tsv", ".parquet", ".npz")


def read_events(uri: str, names: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read a table of events.

    Parameters
    ----------
    uri : str
        CSV, TSV, Parquet or npz with a column ``time_s`` (s of the recording), perhaps
        ``condition``; other columns are kept.
    names
        What the file calls our columns.

    Returns
    -------
    DataFrame
        Index ``trial``; ``time_s``, ``condition`` (text) where there is one, and the rest.

    Raises
    ------
    RecordingError
        If it cannot be read, or has no times.
    """
    with open_source(uri) as source:
        ending = source.path.suffix.lower()
        if ending not in ENDINGS:
            raise RecordingError(
                f"{source.name}: events are read from {', '.join(ENDINGS)}, not {ending!r}"
            )
        try:
            table = _READERS[ending](source.path)
        except Exception as error:
            raise RecordingError(
                f"{source.name}: cannot be read as a table of events: {first_line(error)}"
            ) from error
        return _tidy(table.rename(columns={v: k for k, v in (names or {}).items()}), source.name)


def _read_npz(path: Path) -> pd.DataFrame:
    with np.load(path, allow_pickle=False) as archive:
        return pd.DataFrame({name: archive[name] for name in archive.files})


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".parquet": pd.read_parquet,
    ".npz": _read_npz,
}


def _tidy(table: pd.DataFrame, name: str) -> pd.DataFrame:
    if "time_s" not in table:
        raise RecordingError(
            f"{name}: there is no column time_s; it has {', '.join(map(str, table))}. Name the one "
            "that holds the times, s: trials.names={time_s: ...}"
        )
    times = pd.to_numeric(table["time_s"], errors="coerce").to_numpy(np.float64)
    if len(times) == 0 or not np.isfinite(times).all():
        raise RecordingError(
            f"{name}: time_s holds {int((~np.isfinite(times)).sum())} values that are no times "
            f"among {len(times)} events; take these rows out"
        )
    rest = {str(column): table[column].to_numpy() for column in table if column != "time_s"}
    if "condition" in rest:
        rest["condition"] = rest["condition"].astype(str)
    return trial_table(len(times), time_s=times, **rest)
