"""Lineage as text, and as a graph in SVG or HTML that needs nothing else to be seen."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from connflow.store.graph import turned
from connflow.store.lineage import downstream, inputs_of, recorded, upstream
from connflow.store.manifest import Manifest
from connflow.store.ref import ArtifactRef

if TYPE_CHECKING:
    from connflow.store.store import Store

_N_PARAMS, _WIDEST = 4, 30
_NAME = ' class="name"'
_BOX_WIDTH, _LINE_HEIGHT, _PADDING = 232, 16, 10
_GAP_X, _GAP_Y, _MARGIN = 64, 24, 16

_STYLE = """
svg { font: 12px ui-monospace, Menlo, Consolas, monospace; background: #fff; }
.box rect { fill: #f4f6fa; stroke: #55637a; }
.asked rect { fill: #fff3d6; stroke: #8a5a00; stroke-width: 2.5; }
.dropped rect, .deleted rect { fill: #fff; stroke-dasharray: 5 4; }
.box text { fill: #1c2430; } .box .name { font-weight: bold; }
.edge { fill: none; stroke: #55637a; stroke-width: 1.3; marker-end: url(#arrow); }
"""
_PAGE_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #1c2430; background: #fff; }
.graph { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem; }
td { border-top: 1px solid #d5dae3; } code { overflow-wrap: anywhere; }
"""


@dataclass(frozen=True)
class Lineage:
    """The artifacts up- or downstream of one, and what was made from what.

    Parameters
    ----------
    asked : str
        The artifact that was asked for.
    is_downstream : bool
        Whether the others are made from it, or it from them.
    manifests : dict of str to Manifest
        By ref, in order of the way.
    made_from : dict of str to dict of str to str
        For each ref the refs of its inputs, by name.
    dropped : frozenset of str
        Those whose provenance alone is left. An input without manifest was deleted.
    """

    asked: str
    is_downstream: bool
    manifests: dict[str, Manifest]
    made_from: dict[str, dict[str, str]]
    dropped: frozenset[str]

    @property
    def refs(self) -> list[str]:
        """All refs, deleted ones first, the others in order of the way."""
        named = [ref for inputs in self.made_from.values() for ref in inputs.values()]
        return list(
            dict.fromkeys([*(r for r in named if r not in self.manifests), *self.manifests])
        )

    def status(self, ref: str) -> str:
        """Return ``deleted``, ``dropped``, or nothing."""
        if ref not in self.manifests:
            return "deleted"
        return "dropped" if ref in self.dropped else ""

    def notes(self, ref: str) -> list[str]:
        """Return the main parameters of an artifact, and where it was read from."""
        if ref not in self.manifests:
            return []
        manifest = self.manifests[ref]
        sources = [f"from {source.rsplit('/', 1)[-1]}" for source in manifest.sources.values()]
        return [*sources, *_main_params(manifest.params)]


def trace(store: "Store", ref: ArtifactRef, is_downstream: bool = False) -> Lineage:
    """Collect what is upstream or downstream of an artifact."""
    recorded(store, ref)
    found = downstream(store, ref) if is_downstream else upstream(store, ref)
    manifests = {f"{manifest.step}/{manifest.key}": manifest for manifest in found}
    made_from = {
        text: {
            name: str(item)
            for name, item in inputs_of(manifest).items()
            if str(item) in manifests or not is_downstream
        }
        for text, manifest in manifests.items()
    }
    dropped = frozenset(text for text in manifests if not store.exists(ArtifactRef.parse(text)))
    return Lineage(str(ref), is_downstream, manifests, made_from, dropped)


def as_text(lineage: Lineage) -> str:
    """Return the lineage as a tree, the artifact that was asked for at its root."""
    return "\n".join(_tree(lineage, lineage.asked, "", "", "", set()))


def _tree(
    lineage: Lineage, ref: str, role: str, first: str, others: str, shown: set[str]
) -> Iterator[str]:
    further = _neighbours(lineage, ref)
    is_repeated = ref in shown and bool(further)
    yield first + _line(lineage, ref, role) + (" (see above)" if is_repeated else "")
    shown.add(ref)
    for index, (name, neighbour) in enumerate([] if is_repeated else further):
        is_last = index == len(further) - 1
        branch, indent = ("└── ", "    ") if is_last else ("├── ", "│   ")
        yield from _tree(lineage, neighbour, name, others + branch, others + indent, shown)


def _line(lineage: Lineage, ref: str, role: str) -> str:
    status = lineage.status(ref)
    label = f"{role}: " * bool(role) + _short(ref) + f" ({status})" * bool(status)
    return "  ".join([label, ", ".join(lineage.notes(ref))]).rstrip()


def _neighbours(lineage: Lineage, ref: str) -> list[tuple[str, str]]:
    if not lineage.is_downstream:
        return list(lineage.made_from.get(ref, {}).items())
    return [("", other) for other, inputs in lineage.made_from.items() if ref in inputs.values()]


def as_svg(lineage: Lineage) -> str:
    """Return the lineage as a self-contained SVG: the way runs from left to right."""
    places = _places(lineage)
    width = max(x for x, _ in places.values()) + _BOX_WIDTH + _MARGIN
    height = max(y + _height(lineage, ref) for ref, (_, y) in places.items()) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        f"<title>Lineage of {escape(_short(lineage.asked))}</title><style>{_STYLE}</style>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#55637a"/></marker></defs>',
        *_edges(lineage, places),
        *(_box(lineage, ref, *place) for ref, place in places.items()),
        "</svg>",
    ]
    return "\n".join(parts)


def as_html(lineage: Lineage) -> str:
    """Return a page with the graph and a table of all parameters."""
    title = f"Lineage of {escape(_short(lineage.asked))}"
    rows = "\n".join(_row(ref, manifest) for ref, manifest in lineage.manifests.items())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_PAGE_STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        f'<div class="graph">{as_svg(lineage)}</div>\n<table><thead><tr><th>Artifact</th>'
        "<th>Version</th><th>Made</th><th>Host</th><th>Parameters</th></tr></thead>\n"
        f"<tbody>{rows}</tbody></table></body></html>\n"
    )


def _places(lineage: Lineage) -> dict[str, tuple[int, int]]:
    """Place each box: a column for each distance from the beginning of the way."""
    columns: dict[int, list[str]] = {}
    distance: dict[str, int] = {}
    for ref in lineage.refs:
        inputs = lineage.made_from.get(ref, {}).values()
        distance[ref] = max((distance[item] + 1 for item in inputs), default=0)
        columns.setdefault(distance[ref], []).append(ref)
    places: dict[str, tuple[int, int]] = {}
    for column, refs in sorted(columns.items()):
        y = _MARGIN
        for ref in sorted(refs, key=lambda ref: _mean_height(lineage, ref, places)):
            places[ref] = (_MARGIN + column * (_BOX_WIDTH + _GAP_X), y)
            y += _height(lineage, ref) + _GAP_Y
    return places


def _mean_height(lineage: Lineage, ref: str, places: dict[str, tuple[int, int]]) -> float:
    heights = [places[item][1] for item in lineage.made_from.get(ref, {}).values()]
    return sum(heights) / len(heights) if heights else 0.0


def _height(lineage: Lineage, ref: str) -> int:
    return 2 * _PADDING + _LINE_HEIGHT * (1 + len(lineage.notes(ref)))


def _edges(lineage: Lineage, places: dict[str, tuple[int, int]]) -> Iterator[str]:
    for source, targets in turned({r: i.values() for r, i in lineage.made_from.items()}).items():
        for target in targets:
            x, y = places[source][0] + _BOX_WIDTH, places[source][1] + _height(lineage, source) // 2
            end_x, end_y = places[target][0], places[target][1] + _height(lineage, target) // 2
            middle = (x + end_x) // 2
            yield f'<path class="edge" d="M{x} {y}C{middle} {y} {middle} {end_y} {end_x} {end_y}"/>'


def _box(lineage: Lineage, ref: str, x: int, y: int) -> str:
    classes = ["box", "asked" if ref == lineage.asked else "", lineage.status(ref)]
    status = lineage.status(ref)
    lines = [_short(ref) + f" ({status})" * bool(status), *lineage.notes(ref)]
    texts = "".join(
        f'<text x="{x + _PADDING}" y="{y + _PADDING + 12 + index * _LINE_HEIGHT}"'
        f"{_NAME * (index == 0)}>{escape(_cut(line))}</text>"
        for index, line in enumerate(lines)
    )
    return (
        f'<g class="{" ".join(filter(None, classes))}"><title>{escape(ref)}</title>'
        f'<rect x="{x}" y="{y}" width="{_BOX_WIDTH}" height="{_height(lineage, ref)}" rx="6"/>'
        f"{texts}</g>"
    )


def _row(ref: str, manifest: Manifest) -> str:
    cells = [
        f"<code>{escape(ref)}</code>",
        str(manifest.version),
        f"{manifest.created:%Y-%m-%d %H:%M} UTC",
        escape(manifest.host),
        f"<code>{escape(json.dumps(manifest.params))}</code>",
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _main_params(params: dict[str, Any]) -> list[str]:
    """Return the first parameters that have a value which fits on a line."""
    lines = (
        f"{name}={json.dumps(value)}"
        for name, value in params.items()
        if value is not None and not isinstance(value, dict)
    )
    return [line for line in lines if len(line) <= _WIDEST][:_N_PARAMS]


def _short(ref: str) -> str:
    step, _, key = ref.partition("/")
    return f"{step}/{key[:8]}"


def _cut(line: str) -> str:
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"
