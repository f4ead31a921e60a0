"""Lineage: what an artifact was made from, what was made from it, and where two of them differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connflow.errors import ArtifactDamagedError, ArtifactNotFoundError, first_line
from connflow.store.graph import in_order_of_the_way, reach, turned
from connflow.store.manifest import Manifest
from connflow.store.ref import ArtifactRef
from connflow.store.summary import is_ref, read_record, scan

if TYPE_CHECKING:
    import pandas as pd

    from connflow.store.store import Store

ABSENT = "(absent)"
"""Stands in a difference for what one of the two does not have."""


def recorded(store: "Store", ref: ArtifactRef) -> Manifest:
    """Return the provenance of an artifact, also of one whose files were dropped.

    Raises
    ------
    ArtifactNotFoundError
        If the store knows no such artifact.
    ArtifactDamagedError
        If its manifest cannot be read.
    """
    content = read_record(store, ref)
    if content is None:
        raise ArtifactNotFoundError(f"the store {store.root} knows no artifact {ref}")
    try:
        return Manifest.model_validate_json(content)
    except ValueError as error:
        raise ArtifactDamagedError(
            f"{ref} is damaged: its manifest cannot be read ({first_line(error)}). "
            "Run again with --repair to make it anew."
        ) from None


def inputs_of(manifest: Manifest) -> dict[str, ArtifactRef]:
    """Return the inputs that are artifacts of the store, by name."""
    return {name: ArtifactRef.parse(text) for name, text in manifest.inputs.items() if is_ref(text)}


def upstream(store: "Store", ref: ArtifactRef) -> list[Manifest]:
    """Return the manifests of an artifact and of all it was made from, in order of the way.

    Dropped artifacts are among them; those that were deleted, and what only they knew of, are not.
    """
    found = {str(ref): recorded(store, ref)}
    waiting = [found[str(ref)]]
    while waiting:
        for made_from in inputs_of(waiting.pop()).values():
            if str(made_from) not in found and read_record(store, made_from) is not None:
                found[str(made_from)] = recorded(store, made_from)
                waiting.append(found[str(made_from)])
    return _in_order(found)


def downstream(store: "Store", ref: ArtifactRef) -> list[Manifest]:
    """Return the manifests of an artifact and of all made from it, in order of the way."""
    reached = [str(ref), *dependents(store, str(ref))]
    return _in_order({text: recorded(store, ArtifactRef.parse(text)) for text in reached})


def dependents(store: "Store", ref: str) -> list[str]:
    """Return the refs of all that was made from an artifact, its own manifest readable or not."""
    made_from = {item.ref: item.made_from for item in scan(store).summaries}
    return sorted(reach(turned(made_from), [ref]) - {ref})


def _in_order(found: Mapping[str, Manifest]) -> list[Manifest]:
    edges = {
        text: sorted({str(item) for item in inputs_of(manifest).values()} & found.keys())
        for text, manifest in sorted(found.items())
    }
    return [found[text] for text in in_order_of_the_way(edges)]


@dataclass(frozen=True)
class _Difference:
    """One row of `diff`."""

    via: str
    step: str
    what: str
    a: Any
    b: Any


def diff(store: "Store", a: ArtifactRef, b: ArtifactRef) -> "pd.DataFrame":
    """Say how two artifacts were derived differently.

    Inputs that differ are followed upstream to what made them differ.

    Returns
    -------
    pandas.DataFrame
        One row for each difference: ``via``, the names of the inputs that lead to it from the two
        artifacts; ``step``, the step where it is; ``what``, such as ``params.ridge`` or
        ``packages.numpy``; and the values ``a`` and ``b``.
    """
    import pandas as pd

    rows = list(_differences(store, a, b, "", set()))
    return pd.DataFrame(rows, columns=["via", "step", "what", "a", "b"], dtype=object)


def _differences(
    store: "Store", a: ArtifactRef, b: ArtifactRef, via: str, seen: set[tuple[str, str]]
) -> Iterator[_Difference]:
    if a == b or (str(a), str(b)) in seen:
        return
    seen.add((str(a), str(b)))
    ours, theirs = recorded(store, a), recorded(store, b)
    step = ours.step if ours.step == theirs.step else f"{ours.step} | {theirs.step}"
    for what, one, other in _changes(_facts(ours), _facts(theirs)):
        yield _Difference(via, step, what, one, other)
    for name, one, other in _changes(ours.inputs, theirs.inputs):
        if is_ref(one) and is_ref(other) and _are_known(store, one, other):
            further = ArtifactRef.parse(one), ArtifactRef.parse(other)
            yield from _differences(store, *further, f"{via}.{name}".lstrip("."), seen)
        else:
            yield _Difference(via, step, f"inputs.{name}", one, other)


def _are_known(store: "Store", *refs: str) -> bool:
    return all(read_record(store, ArtifactRef.parse(ref)) is not None for ref in refs)


def _facts(manifest: Manifest) -> dict[str, Any]:
    """Return all that enters the comparison, but for the inputs."""
    return {
        "step": manifest.step,
        "version": manifest.version,
        "source_digest": manifest.source_digest,
        **dict(flatten("params", manifest.params)),
        **dict(flatten("packages", manifest.packages)),
        **dict(flatten("git", manifest.git or {})),
    }


def flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values of nested mappings.

    Examples
    --------
    >>> dict(flatten("params", {"lags": [1], "prior": {"mean": 0}}))
    {'params.lags': [1], 'params.prior.mean': 0}
    """
    if not isinstance(value, Mapping):
        yield name, value
        return
    for part, inner in value.items():
        yield from flatten(f"{name}.{part}", inner)


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*a, *b]):
        one, other = a.get(name, ABSENT), b.get(name, ABSENT)
        if one != other:
            yield name, one, other
