"""What was made from what: reaching along the edges of a graph of artifacts."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from connflow.errors import StoreError

Edges = Mapping[str, Iterable[str]]
"""For each ref, the refs it leads to: those it was made from, or those made from it."""


def reach(edges: Edges, starts: Iterable[str]) -> set[str]:
    """Return all that can be reached, the starts included.

    Examples
    --------
    >>> sorted(reach({"c": ["b"], "b": ["a"], "d": ["a"]}, ["c"]))
    ['a', 'b', 'c']
    """
    waiting = list(starts)
    found = set(waiting)
    while waiting:
        new = set(edges.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def turned(edges: Edges) -> dict[str, list[str]]:
    """Return the edges with their directions turned round.

    Examples
    --------
    >>> turned({"c": ["a", "b"], "d": ["a"]})
    {'a': ['c', 'd'], 'b': ['c']}
    """
    back: dict[str, list[str]] = {}
    for start, ends in edges.items():
        for end in ends:
            back.setdefault(end, []).append(start)
    return back


def in_order_of_the_way(made_from: Edges) -> list[str]:
    """Return all refs, each behind those it was made from.

    Raises
    ------
    StoreError
        If artifacts were made from each other, which no run can have done.
    """
    try:
        return list(TopologicalSorter(made_from).static_order())
    except CycleError as error:
        raise StoreError(
            f"manifests were forged: artifacts cannot be made in a circle: {error.args[1]}"
        ) from None
