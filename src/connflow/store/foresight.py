"""Why a step would run, and what it would cost, judged by the artifacts that are there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from connflow.store.manifest import Provenance
from connflow.store.ref import ArtifactRef

if TYPE_CHECKING:
    from connflow.store.store import Store

_MOST_NAMED = 3


@dataclass(frozen=True)
class Foresight:
    """What is to be expected of a step.

    Parameters
    ----------
    reason : str, optional
        Why it will run; None if its artifact is there.
    wall_time_s, size_bytes : float, optional
        Of its own artifact, or of the one nearest to it; None if the step was never run.
    """

    reason: str | None
    wall_time_s: float | None
    size_bytes: float | None


def foresee(store: "Store", ref: ArtifactRef, provenance: Provenance) -> Foresight:
    """Compare a step with the artifacts of the same step.

    The nearest artifact is the one that differs in the fewest parameters and inputs; of those, the
    newest.
    """
    known = store.find(step=ref.step)
    if store.exists(ref):
        return Foresight(None, *_cost(known[known["key"] == ref.key]))
    if len(known) == 0:
        return Foresight(f"the store holds no {ref.step}", None, None)
    nearest = _nearest(known, provenance)
    return Foresight(
        _reason(ref, nearest, provenance),
        float(nearest["wall_time_s"]),
        float(nearest["bytes"]),
    )


def _cost(rows: pd.DataFrame) -> tuple[float | None, float | None]:
    if len(rows) == 0:  # its manifest cannot be read
        return None, None
    return float(rows["wall_time_s"].iloc[0]), float(rows["bytes"].iloc[0])


def _nearest(known: pd.DataFrame, provenance: Provenance) -> pd.Series:
    distances = [len(_differences(row, provenance)) for _, row in known.iterrows()]
    order = known.assign(distance=distances).sort_values(
        ["distance", "created"], ascending=[True, False]
    )
    return order.iloc[0]


def _reason(ref: ArtifactRef, nearest: pd.Series, provenance: Provenance) -> str:
    differences = _differences(nearest, provenance)
    if not differences:
        return "its bytes were dropped"
    named = "; ".join(differences[:_MOST_NAMED])
    more = len(differences) - _MOST_NAMED
    return named + (f"; and {more} more" if more > 0 else "")


def _differences(row: pd.Series, provenance: Provenance) -> list[str]:
    """Say how the nearest artifact's work differs from this one's."""
    step = row["step"]
    found = []
    if row["version"] != provenance.version:
        found.append(f"the version of {step} is {provenance.version}, not {row['version']}")
    found += [
        f"{step}.{name} is {_show(new)}, not {_show(old)}"
        for name, old, new in _changes(row["params"], provenance.params)
    ]
    found += [
        _input_difference(name, old, new, provenance)
        for name, old, new in _changes(row["inputs"], provenance.inputs)
    ]
    return found


def _input_difference(name: str, old: Any, new: Any, provenance: Provenance) -> str:
    if name in provenance.sources:
        return f"the content of {provenance.sources[name]} is another"
    if new is None:
        return f"it has no {name} any more"
    return f"its {name} is another" if old is not None else f"it has a {name} now"


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    names = sorted({*old, *new})
    return [
        (name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)
    ]


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
