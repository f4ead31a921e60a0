"""The catalogue: a query over the manifests of a store, as a table."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connflow.errors import ArtifactNotFoundError, InvalidInputError
from connflow.store.environment import source_digest
from connflow.store.graph import reach, turned
from connflow.store.ref import ArtifactRef
from connflow.store.summary import Summary, scan

if TYPE_CHECKING:
    import pandas as pd

    from connflow.store.store import Store

STALE_ADVICE = (
    "made by other source code of the same step version. If the change alters results, raise the "
    "step's version; else run again with --repair, or free it with `connflow store drop`"
)
"""What to do about an artifact of stale code."""

_COLUMNS = {
    "ref": "str",
    "step": "str",
    "key": "str",
    "version": "int64",
    "created": "datetime64[us, UTC]",
    "wall_time_s": "float64",
    "bytes": "int64",
    "host": "str",
    "seed": "object",
    "git_commit": "object",
    "git_dirty": "boolean",
    "source_digest": "str",
    "is_stale_code": "bool",
    "is_dropped": "bool",
    "inputs": "object",
    "params": "object",
}
_LEAST_DIGITS = 4
_VERSION = re.compile(r"^[A-Z][A-Z_]*_VERSION\b[^=\n]*=\s*(\d+)", re.MULTILINE)


def find(
    store: "Store",
    step: str | None = None,
    params: Mapping[str, Any] | None = None,
    since: datetime | str | None = None,
) -> "pd.DataFrame":
    """Look artifacts up by what made them; see `Store.find`."""
    earliest = None if since is None else _instant(since)
    summaries = scan(store, None if params else step).summaries
    if params:
        matching = _downstream_of_params(summaries, params)
        summaries = [summary for summary in summaries if summary.ref in matching]
    table = _table([summary for summary in summaries if step in (None, summary.step)])
    return table if earliest is None else table[table["created"] >= earliest].reset_index(drop=True)


def resolve(store: "Store", text: str) -> ArtifactRef:
    """Return the artifact that ``step/key`` names, where the key may be cut short.

    Raises
    ------
    InvalidInputError
        If fewer than four digits are given, or if several artifacts begin with them.
    ArtifactNotFoundError
        If no artifact, dropped ones included, begins with them.
    """
    step, _, digits = text.partition("/")
    if len(digits) < _LEAST_DIGITS or digits.strip("0123456789abcdef"):
        raise InvalidInputError(
            f"an artifact is named step/key, by at least {_LEAST_DIGITS} digits of the key "
            f"(binning/ab12cd), not {text!r}"
        )
    there = scan(store, step)
    refs = [*(item.ref for item in there.summaries), *there.damaged]
    found = [ref for ref in refs if ref.startswith(text)]
    if len(found) > 1:
        raise InvalidInputError(f"{text} may be any of:\n" + "\n".join(sorted(found)))
    if not found:
        raise ArtifactNotFoundError(
            f"the store {store.root} holds no artifact {text}; see `connflow store ls`"
        )
    return ArtifactRef.parse(found[0])


@cache
def is_stale_code(step: str, version: int, digest: str) -> bool:
    """Whether an artifact was made by other source code than today's of the same step version.

    Parameters
    ----------
    step, version, digest
        Step word, step version and source digest that stand in its manifest.

    Notes
    -----
    An artifact of an earlier version is not stale: its key is another, and no run uses it. Nothing
    can be said of a step that is not a module of connflow.
    """
    module = f"connflow.{step}"
    today = source_digest(module)
    if not digest or not today or digest == today:
        return False
    versions = _versions(module)
    return not versions or version in versions


def _versions(module: str) -> set[int]:
    """Return the step versions that stand in a module's source, without importing it."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    files = origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
    return {int(text) for file in files for text in _VERSION.findall(file.read_text("utf-8"))}


def _table(summaries: Sequence[Summary]) -> "pd.DataFrame":
    import pandas as pd

    rows = [
        {
            **vars(summary),
            "ref": summary.ref,
            "bytes": summary.size_bytes,
            "is_stale_code": is_stale_code(summary.step, summary.version, summary.source_digest),
        }
        for summary in summaries
    ]
    table = pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)
    table["created"] = pd.to_datetime(table["created"], utc=True, format="ISO8601")
    return table.astype(_COLUMNS)


def _instant(since: datetime | str) -> "pd.Timestamp":
    """Return a point in time; one without a zone is meant in UTC, as ``created`` is."""
    import pandas as pd

    try:
        instant = pd.Timestamp(since)
    except ValueError:
        raise InvalidInputError(f"since takes a date such as 2026-01-31, not {since!r}") from None
    return instant.tz_localize("UTC") if instant.tzinfo is None else instant.tz_convert("UTC")


def _downstream_of_params(summaries: Sequence[Summary], params: Mapping[str, Any]) -> set[str]:
    """Return the refs of artifacts whose way went through steps of these parameters."""
    made_into = turned({summary.ref: summary.made_from for summary in summaries})
    found = {summary.ref for summary in summaries}
    for word, wanted in _by_step(params).items():
        own = [summary for summary in summaries if summary.step == word]
        _check_known(word, wanted, own)
        matching = [summary.ref for summary in own if _holds(summary.params, wanted)]
        found &= reach(made_into, matching)
    return found


def _by_step(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort ``{"binning.bin_size_s": 0.1}`` by step word, and put the values as JSON has them."""
    sorted_params: dict[str, dict[str, Any]] = {}
    for name, value in params.items():
        word, dot, path = name.partition(".")
        if not dot or not path:
            raise InvalidInputError(
                f"a parameter is named by step and name, such as connectivity.lags, not {name!r}"
            )
        sorted_params.setdefault(word, {})[path] = _as_json(name, value)
    return sorted_params


def _as_json(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=lambda item: item.tolist()))
    except (TypeError, ValueError, AttributeError):
        raise InvalidInputError(f"{name}: {value!r} is no value that a parameter has") from None


def _check_known(word: str, wanted: Iterable[str], summaries: Sequence[Summary]) -> None:
    """Refuse a name that no artifact of the step has; it is a slip, and would find nothing."""
    for path in wanted if summaries else ():
        if not any(_look_up(summary.params, path)[0] for summary in summaries):
            known = sorted({name for summary in summaries for name in summary.params})
            raise InvalidInputError(
                f"no {word} artifact has a parameter {path}; known here: {', '.join(known)}"
            )


def _holds(params: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(_look_up(params, path) == (True, value) for path, value in wanted.items())


def _look_up(params: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    """Return whether there is a parameter of this dotted name, and its value."""
    value: Any = params
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value
