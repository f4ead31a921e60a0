"""Refs and keys: the same work has the same key everywhere, other work another."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connflow.errors import InvalidInputError
from connflow.store import ArtifactRef, derive_key
from connflow.store.ref import canonical_json

names = st.text(min_size=1, max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, min_size=2, max_size=6))
def test_key_ignores_the_order_of_params(params):
    backwards = dict(reversed(params.items()))
    assert derive_key("binning", 1, params, {}) == derive_key("binning", 1, backwards, {})


@given(values)
def test_canonical_json_keeps_the_value(value):
    assert json.loads(canonical_json(value)) == value


def test_negative_zero_is_zero():
    assert canonical_json({"a": [-0.0]}) == canonical_json({"a": [0.0]})


@pytest.mark.parametrize(
    "other",
    [
        ("calcium", 1, {"a": 1.0}, {"recording": "x"}),
        ("binning", 2, {"a": 1.0}, {"recording": "x"}),
        ("binning", 1, {"a": 1.5}, {"recording": "x"}),
        ("binning", 1, {"a": 1.0, "b": None}, {"recording": "x"}),
        ("binning", 1, {"a": 1.0}, {"recording": "y"}),
        ("binning", 1, {"a": 1.0}, {"source": "x"}),
    ],
)
def test_any_change_of_the_work_changes_the_key(other):
    assert derive_key(*other) != derive_key("binning", 1, {"a": 1.0}, {"recording": "x"})


def test_key_is_pinned():
    key = derive_key("binning", 1, {"größe": 0.1, "n": [1, 2]}, {"recording": "recording/ab"})
    assert key == "0e7b8048506bb765ef49aad84ba9d2b8241f6928d3e78f6cf4a5ed4fa4a38e7c"


def test_ref_survives_text():
    ref = ArtifactRef(step="binning", key="a" * 64)
    assert ArtifactRef.parse(str(ref)) == ref


@pytest.mark.parametrize("text", ["binning", "../etc/" + "a" * 64, "binning/abc", "/" + "a" * 64])
def test_anything_else_is_no_ref(text):
    with pytest.raises(InvalidInputError, match="step/key"):
        ArtifactRef.parse(text)
