"""Parameter models: strict, frozen, readable in their complaints."""

from typing import ClassVar

import pytest
from pydantic import Field, ValidationError

from connflow.errors import InvalidInputError
from connflow.params import StepParams


class Inner(StepParams):
    presets: ClassVar = {"paper": {"size_s": 2.0, "count": 7}}

    size_s: float = Field(1.0, gt=0)
    count: int = 3


class Outer(StepParams):
    inner: Inner = Inner()


def test_defaults_are_spelled_out():
    assert Outer().model_dump() == {"inner": {"size_s": 1.0, "count": 3}}


def test_params_are_frozen():
    with pytest.raises(ValidationError):
        Inner().count = 4


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(InvalidInputError, match=r"inner\.sizes: .*known here: count, size_s"):
        Outer.parse({"inner": {"sizes": 1}})


def test_every_wrong_value_is_named():
    with pytest.raises(InvalidInputError) as caught:
        Outer.parse({"inner": {"size_s": 0, "count": "many"}})
    assert "inner.size_s" in str(caught.value)
    assert "inner.count" in str(caught.value)
    assert "'many'" in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_are_finite(bad):
    with pytest.raises(InvalidInputError, match="size_s"):
        Inner.parse({"size_s": bad})


def test_preset_is_a_start_that_fields_change():
    assert Inner.parse({"preset": "paper", "count": 1}) == Inner(size_s=2.0, count=1)
    assert Outer.parse({"inner": {"preset": "paper"}}).inner == Inner(size_s=2.0, count=7)


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(InvalidInputError, match="known here: paper"):
        Inner.parse({"preset": "other"})


def test_not_a_mapping_is_refused():
    with pytest.raises(InvalidInputError, match="Outer"):
        Outer.parse([1])
