"""Why a step would run, and what it would cost, judged by the artifacts that are there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connflow.store.manifest import Provenance
from connflow.store.ref import ArtifactRef
from connflow.store.summary import Summary, scan

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
    known = scan(store, ref.step).summaries  # the oldest first
    if store.exists(ref):
        own = next((summary for summary in known if summary.key == ref.key), None)
        return Foresight(None, *_cost(own))
    if not known:
        return Foresight(f"the store holds no {ref.step}", None, None)
    nearest = min(reversed(known), key=lambda summary: _distance(summary, provenance))
    return Foresight(_reason(nearest, provenance), *_cost(nearest))


def _cost(summary: Summary | None) -> tuple[float | None, float | None]:
    if summary is None:  # its manifest cannot be read
        return None, None
    return summary.wall_time_s, float(summary.size_bytes)


def _distance(summary: Summary, provenance: Provenance) -> int:
    return (
        (summary.version != provenance.version)
        + len(_changes(summary.params, provenance.params))
        + len(_changes(summary.inputs, provenance.inputs))
    )


def _reason(nearest: Summary, provenance: Provenance) -> str:
    differences = _differences(nearest, provenance)
    if not differences:
        return "its bytes were dropped"
    named = "; ".join(differences[:_MOST_NAMED])
    more = len(differences) - _MOST_NAMED
    return named + (f"; and {more} more" if more > 0 else "")


def _differences(nearest: Summary, provenance: Provenance) -> list[str]:
    """Say how the nearest artifact's work differs from this one's."""
    step = nearest.step
    found = []
    if nearest.version != provenance.version:
        found.append(f"the version of {step} is {provenance.version}, not {nearest.version}")
    found += [
        f"{step}.{name} is {_show(new)}, not {_show(old)}"
        for name, old, new in _changes(nearest.params, provenance.params)
    ]
    found += [
        _input_difference(name, old, new, provenance)
        for name, old, new in _changes(nearest.inputs, provenance.inputs)
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
