"""What a format's reader hands over, and what all readers share: names, and damaged files.

A reader finds arrays and gives them our names, as they stand in the file. It checks nothing
about their values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from connflow.errors import ConnflowError, RecordingError, first_line
from connflow.recording.params import RecordingParams

Signal = Literal["spikes", "fluorescence"]
Notes = dict[str, int | float | str]

_SHARED = ("unit_ids", "t_start", "weights")
FIELDS: dict[Signal, tuple[str, ...]] = {
    "spikes": ("spike_times", "spike_units", "t_stop", "intervals", *_SHARED),
    "fluorescence": ("fluorescence", "frame_times", "frame_rate_hz", *_SHARED),
}


@dataclass(frozen=True, eq=False)
class Contents:
    """The arrays of one recording, unchecked and in the file's own time unit.

    Parameters
    ----------
    name : str
        What messages call the recording.
    signal : {"spikes", "fluorescence"}
        Which of the two it is; the keys of `arrays` are among ``FIELDS[signal]``.
    arrays : mapping of str to array
        Arrays by our names; scalars may be arrays of one value.
    columns : mapping of str to (n_units,) array
        Further columns of the unit table; needs `unit_ids`.
    by_unit : bool
        Spikes stand unit after unit, each train in ascending order, as NWB keeps them.
    """

    name: str
    signal: Signal
    arrays: Mapping[str, NDArray[Any]]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    by_unit: bool = False


def refuse(name: str, field: str, problem: str, remedy: str) -> RecordingError:
    """Return the error for a flaw: which file, which field, what is wrong, what to do."""
    return RecordingError(f"{name}: {field}: {problem}. {remedy}.")


def take_fields(
    name: str,
    found: Iterable[str],
    params: RecordingParams,
    load: Callable[[str], NDArray[Any]],
) -> Contents:
    """Choose the signal of a file and load what belongs to it.

    Parameters
    ----------
    name : str
        What messages call the file.
    found : iterable of str
        The names in the file.
    params : RecordingParams
        Its `names` and `signal`.
    load : callable
        Returns the array of one name in the file.
    """
    found = set(found)
    names = _names_in_file(name, found, params.names)
    signal = choose_signal(name, _signals(names), params, found)
    ours = [field for field in FIELDS[signal] if field in names]
    return Contents(name, signal, {field: load(names[field]) for field in ours})


def choose_signal(
    name: str, present: list[Signal], params: RecordingParams, found: Iterable[str]
) -> Signal:
    """Return the signal to read of those present: the one asked for, else spikes first."""
    for signal in present:
        if params.signal in ("auto", signal):
            return signal
    wanted = "spikes or fluorescence" if params.signal == "auto" else params.signal
    other = "fluorescence" if params.signal == "spikes" else "spikes"
    remedy = f"set recording.signal to {other}" if present else "name another file"
    raise refuse(
        name,
        "signal",
        f"no {wanted} in it; it holds {', '.join(sorted(found)) or 'nothing'}",
        f"Say in recording.names what they are called in this file, or {remedy}",
    )


def check_names(name: str, given: Mapping[str, str], known: Iterable[str]) -> None:
    """Refuse keys of ``recording.names`` that mean nothing for this format."""
    known = sorted(set(known))
    if unknown := sorted(set(given) - set(known)):
        raise refuse(
            name,
            "names",
            f"recording.names renames {', '.join(unknown)}, which this format does not have",
            f"Keep to {', '.join(known)}" if known else "Leave recording.names out",
        )


def _names_in_file(name: str, found: set[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the file's name for each of our names that the file has."""
    known = {field for fields in FIELDS.values() for field in fields}
    check_names(name, given, known)
    for ours, theirs in given.items():
        if theirs not in found:
            raise refuse(
                name,
                ours,
                f"recording.names calls it {theirs!r}, which is not in the file; it holds "
                f"{', '.join(sorted(found)) or 'nothing'}",
                f"Set recording.names[{ours!r}] to one of these, or leave it out",
            )
    names = {field: given.get(field, field) for field in known}
    return {ours: theirs for ours, theirs in names.items() if theirs in found}


def _signals(names: Mapping[str, str]) -> list[Signal]:
    spikes: list[Signal] = ["spikes"] if {"spike_times", "spike_units"} & set(names) else []
    return [*spikes, "fluorescence"] if "fluorescence" in names else spikes


@contextmanager
def reading(name: str, format_name: str) -> Iterator[None]:
    """Turn what a file library raises about a damaged or unsafe file into a `RecordingError`.

    Faults of the disk or network (an `OSError` with an error number) pass: they may heal.
    """
    try:
        yield
    except (ConnflowError, MemoryError):
        raise
    except Exception as error:
        if _may_heal(error):
            raise
        raise _damaged_or_unsafe(name, format_name, error) from error


def _may_heal(error: Exception) -> bool:
    missing = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
    has_number = isinstance(error, OSError) and error.errno is not None
    return has_number and not isinstance(error, missing)


def _damaged_or_unsafe(name: str, format_name: str, error: Exception) -> RecordingError:
    if any(word in str(error).lower() for word in ("pickle", "python object", "object array")):
        return refuse_pickle(name)
    return refuse(
        name,
        "file",
        f"cannot be read as {format_name} ({type(error).__name__}: {first_line(error)}): it is cut "
        "short, damaged, or of another format",
        "Copy it again from its source and compare the sizes, or set recording.format",
    )


def refuse_pickle(name: str, field: str = "file") -> RecordingError:
    """Return the error for content that only unpickling could read."""
    return refuse(
        name,
        field,
        "it holds pickled Python objects, and unpickling can run any code that the file's author "
        "wished",
        "Save plain arrays of numbers instead",
    )
