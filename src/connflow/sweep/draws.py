"""The points of a search space: all of a grid, or independent draws."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from connflow.sweep.params import N_TRIALS, Choices, Range, Space, SweepParams

Point = Mapping[str, Any]
"""For each varied parameter its value."""


def draw_points(params: SweepParams) -> list[Point]:
    """Return the points of a grid or of a random draw, in order.

    The points of a draw do not depend on how many there are: more trials continue fewer.

    Examples
    --------
    >>> draw_points(SweepParams(over={"a": [1, 2], "b": ["x"]}))
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    if params.method == "grid":
        return list(_grid(params.over))
    n_trials = params.n_trials or N_TRIALS
    return [_draw(params.over, params.seed, number) for number in range(n_trials)]


def grid_values(values: Choices | Range) -> tuple[Any, ...]:
    """Return the values of one parameter in a grid.

    Examples
    --------
    >>> grid_values(Range(low=0, high=1, step=0.5)), grid_values((3, 5))
    ((0.0, 0.5, 1.0), (3, 5))
    """
    if not isinstance(values, Range):
        return values
    assert values.step is not None
    steps = range(_n_steps(values) + 1)
    return tuple(_stepped(values, step) for step in steps)


def _grid(space: Space) -> Iterator[Point]:
    for combination in itertools.product(*map(grid_values, space.values())):
        yield dict(zip(space, combination, strict=True))


def _draw(space: Space, seed: int, number: int) -> Point:
    rng = np.random.default_rng([seed, number])
    return {name: _draw_value(values, rng) for name, values in space.items()}


def _draw_value(values: Choices | Range, rng: np.random.Generator) -> Any:
    if not isinstance(values, Range):
        return values[rng.integers(len(values))]
    if values.step is not None:
        return _stepped(values, int(rng.integers(_n_steps(values) + 1)))
    margin = 0.5 if values.integer else 0.0  # so that the ends are as likely as the others
    low, high = values.low - margin, values.high + margin
    if not values.log:
        drawn = rng.uniform(low, high)
    else:
        drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
    return _number(values, min(max(drawn, values.low), values.high))


def _n_steps(values: Range) -> int:
    assert values.step is not None
    return math.floor((values.high - values.low) / values.step + 1e-9)


def _stepped(values: Range, step: int) -> int | float:
    assert values.step is not None
    return _number(values, float(f"{values.low + step * values.step:.12g}"))  # 0.3, not 0.1 * 3


def _number(values: Range, number: float) -> int | float:
    return round(number) if values.integer else float(number)
