"""Lineage: the whole way, in order, whatever of it is dropped or deleted; and where two differ."""

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from connflow.errors import ArtifactNotFoundError, StoreError
from connflow.store import ArtifactRef, diff, downstream, drop_bytes, upstream
from connflow.store.drawing import as_html, as_svg, as_text, trace
from connflow.store.graph import in_order_of_the_way

_spec = importlib.util.spec_from_file_location("store_lab", Path(__file__).with_name("lab.py"))
lab = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def refs_of(manifests):
    return [ArtifactRef(step=item.step, key=item.key) for item in manifests]


def changes(table):
    return {(row.via, row.step, row.what): (row.a, row.b) for row in table.itertuples()}


def test_the_way_up_and_down(store):
    recording, binning, connectivity, evaluation = lab.make_chain(store)
    other = lab.make_chain(store, ridge=0.2)[2:]
    assert refs_of(upstream(store, evaluation)) == [recording, binning, connectivity, evaluation]
    assert refs_of(upstream(store, recording)) == [recording]
    down = refs_of(downstream(store, recording))
    assert down[:2] == [recording, binning]
    assert set(down) == {recording, binning, connectivity, evaluation, *other}
    assert refs_of(downstream(store, evaluation)) == [evaluation]


def test_diamonds_are_walked_once(local_store):
    """A ladder of 60 diamonds has 2**60 ways through it."""
    top = lab.make(local_store, "step", {"n": -1})
    for n in range(60):
        sides = [lab.make(local_store, "side", {"n": n, "s": s}, {"top": top}) for s in "ab"]
        top = lab.make(local_store, "step", {"n": n}, dict(zip("ab", sides, strict=True)))
    assert len(upstream(local_store, top)) == 181
    assert len(as_text(trace(local_store, top)).splitlines()) < 400
    assert changes(diff(local_store, top, top)) == {}


def test_dropped_artifacts_stay_on_the_way_and_deleted_ones_are_named(local_store):
    _, binning, _, evaluation = lab.make_chain(local_store)
    drop_bytes(local_store, binning)
    assert refs_of(upstream(local_store, evaluation))[1] == binning
    assert "(dropped)" in as_text(trace(local_store, evaluation))
    local_store.delete(binning)
    assert binning not in refs_of(upstream(local_store, evaluation))
    text = as_text(trace(local_store, evaluation))
    assert f"activity: binning/{binning.short} (deleted)" in text
    with pytest.raises(ArtifactNotFoundError, match=binning.key):
        upstream(local_store, binning)
    with pytest.raises(ArtifactNotFoundError):
        trace(local_store, binning, is_downstream=True)


def test_tree_reads_from_the_artifact_to_what_it_was_made_from(local_store):
    recording, binning, connectivity, evaluation = lab.make_chain(local_store)
    assert as_text(trace(local_store, evaluation)).splitlines() == [
        f"evaluation/{evaluation.short}",
        f"├── connectivity: connectivity/{connectivity.short}  lags=[1], ridge=0.1",
        f"│   └── activity: binning/{binning.short}  bin_size_s=0.01",
        f"│       └── recording: recording/{recording.short}  seed=1",
        f"└── recording: recording/{recording.short}  seed=1",
    ]
    assert as_text(trace(local_store, binning, is_downstream=True)).splitlines() == [
        f"binning/{binning.short}  bin_size_s=0.01",
        f"└── connectivity/{connectivity.short}  lags=[1], ridge=0.1",
        f"    └── evaluation/{evaluation.short}",
    ]


def boxes(svg):
    """Return the corners of each box by its ref, and the number of edges."""
    root = ET.fromstring(svg)
    name = "{http://www.w3.org/2000/svg}"
    corners = {}
    for group in root.iter(f"{name}g"):
        rect = group.find(f"{name}rect").attrib
        x, y, width, height = (float(rect[side]) for side in ("x", "y", "width", "height"))
        corners[group.find(f"{name}title").text] = (x, y, x + width, y + height)
    size = (float(root.attrib["width"]), float(root.attrib["height"]))
    n_edges = sum(path.get("class") == "edge" for path in root.iter(f"{name}path"))
    return corners, n_edges, size


def test_graph_shows_each_artifact_once_and_the_way_from_left_to_right(local_store):
    refs = lab.make_chain(local_store)
    for ridge in (0.2, 0.3):
        lab.make_chain(local_store, ridge=ridge)
    corners, n_edges, (width, height) = boxes(as_svg(trace(local_store, refs[0], True)))
    assert set(corners) == {str(ref) for ref in refs_of(downstream(local_store, refs[0]))}
    assert n_edges == 1 + 3 * 3
    lefts = [corners[str(ref)][0] for ref in refs]
    assert lefts == sorted(set(lefts))
    assert all(0 <= x < right <= width for x, _, right, _ in corners.values())
    assert all(0 <= y < bottom <= height for _, y, _, bottom in corners.values())
    boxes_there = list(corners.values())
    for index, (x, y, right, bottom) in enumerate(boxes_there):
        for other in boxes_there[:index]:
            apart = other[0] >= right or other[2] <= x or other[1] >= bottom or other[3] <= y
            assert apart


def test_drawings_are_self_contained_and_escaped(local_store):
    ref = lab.make(local_store, "binning", {"note": '<script>&"'})
    for text in (as_svg(trace(local_store, ref)), as_html(trace(local_store, ref))):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "src=" not in text
        assert "href=" not in text


def test_artifacts_made_in_a_circle_are_refused():
    with pytest.raises(StoreError, match="circle"):
        in_order_of_the_way({"a": ["b"], "b": ["a"]})


def test_difference_names_the_upstream_parameter(store):
    first = lab.make_chain(store, bin_size_s=0.01)
    second = lab.make_chain(store, bin_size_s=0.02)
    assert changes(diff(store, first[3], second[3])) == {
        ("connectivity.activity", "binning", "params.bin_size_s"): (0.01, 0.02)
    }
    assert changes(diff(store, first[3], first[3])) == {}


def test_difference_names_all_that_enters(local_store):
    a = lab.make(local_store, "binning", {"n": 1, "p": {"q": 1}}, {"source": "0" * 64}, digest="1")
    b = lab.make(local_store, "binning", {"n": 1, "p": {"q": 2}}, {"source": "1" * 64}, version=2)
    lab.edit_manifest(local_store, a, packages={"numpy": "1", "scipy": "1"}, git={"commit": "x"})
    lab.edit_manifest(local_store, b, packages={"numpy": "2"}, git=None)
    assert changes(diff(local_store, a, b)) == {
        ("", "binning", "version"): (1, 2),
        ("", "binning", "source_digest"): ("1", ""),
        ("", "binning", "params.p.q"): (1, 2),
        ("", "binning", "packages.numpy"): ("1", "2"),
        ("", "binning", "packages.scipy"): ("1", "(absent)"),
        ("", "binning", "git.commit"): ("x", "(absent)"),
        ("", "binning", "inputs.source"): ("0" * 64, "1" * 64),
    }


def test_difference_knows_dropped_artifacts_and_names_deleted_ones(local_store):
    first, second = (lab.make_chain(local_store, bin_size_s=size) for size in (0.01, 0.02))
    drop_bytes(local_store, first[1])
    via = ("activity", "binning", "params.bin_size_s")
    assert changes(diff(local_store, first[2], second[2])) == {via: (0.01, 0.02)}
    local_store.delete(first[1])
    assert changes(diff(local_store, first[2], second[2])) == {
        ("", "connectivity", "inputs.activity"): (str(first[1]), str(second[1]))
    }
