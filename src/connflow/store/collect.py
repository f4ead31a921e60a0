"""Cleaning up: leftovers of writers that died, artifacts no longer wanted, and their bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from connflow.errors import ArtifactDamagedError, InvalidInputError
from connflow.store.graph import in_order_of_the_way, reach
from connflow.store.layout import CACHE_RECORD, DROPPED, MANIFEST
from connflow.store.leftovers import (
    find_leftovers,
    held,
    is_anything_being_made,
    remove,
    remove_leftover,
)
from connflow.store.ref import ArtifactRef
from connflow.store.summary import Summary, scan

if TYPE_CHECKING:
    from connflow.store.store import Store

LONGEST_WRITER = timedelta(days=7)
"""Nobody writes at one artifact for longer; what is younger may be somebody's work."""


@dataclass(frozen=True)
class Removed:
    """Something that was removed, or would be in a dry run.

    Parameters
    ----------
    name : str
        An artifact's ref, or the path of a leftover below the root.
    bytes : int
    reason : str
    """

    name: str
    bytes: int
    reason: str


def collect_garbage(
    store: "Store",
    keep_last: int | None = None,
    older_than: timedelta | None = None,
    step: str | None = None,
    dry_run: bool = False,
) -> list[Removed]:
    """Remove what writers left behind and, where asked to, artifacts that are not wanted any more.

    Parameters
    ----------
    store : Store
    keep_last : int, optional
        Select all artifacts of a step but the newest so many.
    older_than : timedelta, optional
        Select artifacts made longer ago.
    step : str, optional
        Select artifacts of this step. Of several conditions all must hold; without any, no artifact
        is selected.
    dry_run : bool
        Remove nothing.

    Returns
    -------
    list of Removed

    Notes
    -----
    An artifact that a kept one was made from, by however many steps, is kept. While somebody is
    making an artifact, those younger than `LONGEST_WRITER` are kept as well, since they may be its
    inputs. Should a run lose an input all the same, it fails, and the next one makes it anew.

    Leftovers go at once where their writer was a process of this host that is gone; others when
    they are older than `LONGEST_WRITER`.

    Raises
    ------
    ArtifactDamagedError
        If artifacts are selected, and what one of the store was made from cannot be read.
    """
    removed = _collect_leftovers(store, dry_run)
    if (keep_last, older_than, step) != (None, None, None):
        removed += _collect_artifacts(store, _Wish(keep_last, older_than, step), dry_run)
    return removed


def drop_bytes(store: "Store", ref: ArtifactRef) -> int:
    """Remove an artifact's files and cache record, and keep its provenance.

    From then on the artifact is not there, and a run that needs it makes it again; `Store.find`,
    lineage and differences still know how it was made.

    Returns
    -------
    int
        Bytes of the files that are gone.
    """
    home = store.files.join(ref.step, ref.key)
    if not store.exists(ref) and store.files.exists(f"{home}/{DROPPED}"):
        return 0
    size_bytes = store.manifest(ref).size_bytes
    with held(store, ref):
        # In this order a crash leaves the artifact or none, but never a cache record of none.
        store.files.write(f"{home}/{DROPPED}", store.files.read(f"{home}/{MANIFEST}"))
        remove(store.files, f"{home}/{CACHE_RECORD}")
        remove(store.files, f"{home}/{MANIFEST}")
        for name in store.files.children(home):
            if name != DROPPED:
                remove(store.files, f"{home}/{name}")
    return size_bytes


@dataclass(frozen=True)
class _Wish:
    """Which artifacts are not wanted any more: those for which all conditions hold."""

    keep_last: int | None
    older_than: timedelta | None
    step: str | None

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 0:
            raise InvalidInputError(f"keep_last counts artifacts; it cannot be {self.keep_last}")

    def select(self, summaries: Sequence[Summary]) -> set[str]:
        """Return the refs of the artifacts for which all conditions hold."""
        selected = {item.ref for item in summaries if self.step in (None, item.step)}
        if self.older_than is not None:
            selected &= _older(summaries, self.older_than)
        if self.keep_last is not None:
            selected -= _last(summaries, self.keep_last)
        return selected


def _collect_leftovers(store: "Store", dry_run: bool) -> list[Removed]:
    removed = []
    for item in find_leftovers(store):
        n_bytes, age = item.weigh()
        is_ripe = item.is_abandoned or age >= LONGEST_WRITER
        if is_ripe and (dry_run or remove_leftover(store, item)):
            removed.append(Removed(item.name, n_bytes, item.reason))
    return removed


def _collect_artifacts(store: "Store", wish: _Wish, dry_run: bool) -> list[Removed]:
    removed = []
    for item in _unwanted(store, wish):
        if not dry_run:
            _remove_artifact(store, ArtifactRef.parse(item.ref))
        n_bytes = 0 if item.is_dropped else item.size_bytes
        removed.append(Removed(item.ref, n_bytes, "artifact that was selected"))
    return removed


def _remove_artifact(store: "Store", ref: ArtifactRef) -> None:
    with held(store, ref):
        remove(store.files, store.files.join(ref.step, ref.key, CACHE_RECORD))
        store.delete(ref)


def _unwanted(store: "Store", wish: _Wish) -> list[Summary]:
    """Return the artifacts to remove: those made from others before these others."""
    found = scan(store)
    if found.damaged:
        raise ArtifactDamagedError(
            f"what {', '.join(found.damaged)} was made from cannot be read, so it might be removed "
            "under it. Run again with --repair to make it anew, or remove its folder."
        )
    selected = wish.select(found.summaries)
    if is_anything_being_made(store):
        selected &= _older(found.summaries, LONGEST_WRITER)
    made_from = {item.ref: item.made_from for item in found.summaries}
    doomed = selected - reach(made_from, made_from.keys() - selected)
    by_ref = {item.ref: item for item in found.summaries}
    return [by_ref[ref] for ref in reversed(in_order_of_the_way(made_from)) if ref in doomed]


def _older(summaries: Sequence[Summary], age: timedelta) -> set[str]:
    latest = datetime.now(UTC) - age
    return {item.ref for item in summaries if datetime.fromisoformat(item.created) <= latest}


def _last(summaries: Sequence[Summary], n_kept: int) -> set[str]:
    """Return the newest artifacts of each step; dropped ones take nobody's place."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for item in sorted(summaries, key=lambda item: item.created, reverse=True):
        groups.setdefault((item.step, item.is_dropped), []).append(item.ref)
    return {ref for group in groups.values() for ref in group[:n_kept]}
