"""Numbers and text as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable

_BREAKS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))

_LONG = 80
_READABLE = {code: f"\\x{code:02x}" for code in _CONTROLS} | dict.fromkeys(map(ord, _BREAKS), " ")


def amount(n: float) -> str:
    """Return a count, or a median of counts: a whole number, or half way between two."""
    return f"{n:,.1f}" if n % 1 else f"{n:,.0f}"


def counted(n: float, noun: str) -> str:
    """Return how many there are of something: ``1 item``, ``2 items``."""
    return f"{amount(n)} {noun}{'' if n == 1 else 's'}"


def decimal(value: float | None, digits: int = 2) -> str:
    """Return a number with so many digits after the point, a dash where there is none: ``0.25``."""
    if value is None or value != value:
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no zero is below 0


def short_of(value: float | None, limits: Iterable[float]) -> str:
    """Return a number as `decimal` does, with more digits where it would read as a limit that it misses.

    With a limit of 0.65: ``0.64`` and ``0.66``, and ``0.647`` rather than 0.65.
    """
    digits = 2
    if value is not None:
        missed = [limit for limit in limits if value < limit]
        while digits < 15 and any(round(value, digits) >= limit for limit in missed):
            digits += 1
    return decimal(value, digits)


def six_digits(value: float) -> str:
    """Return a number from 0 up to six digits, or all before the point: ``12,587.1``, ``1,431,079``."""
    return f"{value:,.0f}" if 999_999.5 <= value < 1e15 else f"{value:,.6g}"


def in_percent(share: float) -> str:
    """Return a share in whole per cent; none but all of it is ``100%``, none but nothing ``0%``."""
    share = round(share, 9)  # what is less is rounding
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def percent_digits(shares: Iterable[float | None], least: int) -> int:
    """Return how many digits after the point let the largest of some shares have two in all, in per cent.

    But no fewer than ``least``, and four at most: 44% has none, 5.3% one. Missing ones do not count.
    """
    sizes = [abs(share) for share in shares if share is not None and share == share]
    largest = 100 * max(sizes, default=0)
    return max(least, min(1 - math.floor(math.log10(largest)), 4)) if largest else least


def recipe_options(weighting: str, score_norm: str | None) -> str:
    """Return the options that choose a weighting and, where one is to be named, a score norm."""
    return f"--weighting {weighting}" + (f" --score-norm {score_norm}" if score_norm else "")


def shortened(text: str) -> str:
    """Return a text, or the beginning of a long one."""
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def printable(text: str) -> str:
    r"""Return a text with spaces for tabs and line breaks, and ``\x1b`` for a control character.

    A name with a line break would tear a table, and one with an escape sequence drive the terminal.
    """
    return text.translate(_READABLE)
