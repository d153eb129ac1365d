"""Numbers as a person reads them."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """Return a number and its noun, in the plural where there is not one: ``2 components``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def decimal(value: float | None, digits: int = 2) -> str:
    """Return a number with so many digits after the point, a dash where there is none: ``0.25``."""
    if value is None or value != value:
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no zero is below 0
