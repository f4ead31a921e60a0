"""Context variables that have a value for a block of code."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Value = TypeVar("Value")


@contextmanager
def set_inside(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    """Give a context variable a value inside the block, and its old one back afterwards.

    Examples
    --------
    >>> place = ContextVar("place", default="outside")
    >>> with set_inside(place, "inside"):
    ...     place.get()
    'inside'
    >>> place.get()
    'outside'
    """
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
