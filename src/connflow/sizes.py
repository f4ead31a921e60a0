"""Sizes as people read them."""


def size(n_bytes: int) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> size(999), size(1_500_000)
    ('999 B', '1.5 MB')
    """
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
