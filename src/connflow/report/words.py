"""Numbers, durations, sizes and parameters as words that people read."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

NOTHING = "\N{EN DASH}"
MAX_ITEMS = 12


def say_number(value: Any, digits: int = 3) -> str:
    """Return a number with this many significant digits; a dash for nothing and NaN.

    Examples
    --------
    >>> say_number(0.98765), say_number(12345), say_number(float("nan"))
    ('0.988', '12,345', '–')
    """
    if value is None or (isinstance(value, float | np.floating) and not math.isfinite(value)):
        return NOTHING if value is None or math.isnan(value) else str(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:#.{digits}g}".rstrip(".")
    return str(value)


def say_score(value: Any) -> str:
    """Return a score with three decimals, a count as it is; a dash where there is none.

    Examples
    --------
    >>> say_score(0.98765), say_score(350.0), say_score(None)
    ('0.988', '350', '–')
    """
    number = float("nan") if value is None else float(value)
    if math.isfinite(number) and abs(number) >= 10:
        return f"{number:,.0f}"
    return f"{number:.3f}" if math.isfinite(number) else NOTHING


def say_duration(seconds: Any) -> str:
    """Return a duration in the unit that people would choose.

    Examples
    --------
    >>> say_duration(0.0123), say_duration(75.0), say_duration(3600.0)
    ('12.3 ms', '1 min 15 s', '1 h')
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    big, small = (minutes, rest) if minutes < 60 else divmod(minutes, 60)
    names = ("min", "s") if minutes < 60 else ("h", "min")
    return f"{big} {names[0]}" + (f" {small} {names[1]}" if small else "")


def say_bytes(size: Any) -> str:
    """Return a size in kB, MB or GB.

    Examples
    --------
    >>> say_bytes(512), say_bytes(2_500_000)
    ('512 B', '2.5 MB')
    """
    if size is None:
        return NOTHING
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def say_value(value: Any) -> str:
    """Return a parameter or an attribute as text, arrays and lists in one line."""
    if value is None:
        return NOTHING
    if isinstance(value, np.ndarray | np.generic):
        return say_value(value.tolist())
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {say_value(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        shown = [say_value(item) for item in value[:MAX_ITEMS]]
        rest = [f"... ({len(value)} in all)"] if len(value) > MAX_ITEMS else []
        return ", ".join(shown + rest) or "none"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and texts of nested parameters.

    Examples
    --------
    >>> list(flatten({"lags": [1, 2], "filter": {"tau_s": 0.5}}))
    [('lags', '1, 2'), ('filter.tau_s', '0.5')]
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", say_value(value)
