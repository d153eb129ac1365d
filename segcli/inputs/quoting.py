"""Fields in quotes: where they are in a text, and where records end that may be several lines.

A field is in quotes if it begins with one. It goes on to the next that is not doubled; what follows up
to the delimiter is the field's too, quotes and all, though a well-formed one ends there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

_QUOTE = ord('"')
LONGEST_FIELD = 1 << 25


@dataclass(frozen=True)
class Fields:
    """Fields in quotes, in the order of a text.

    Attributes
    ----------
    starts : int64 ndarray of shape (n,), where their first quotes are
    ends : int64 ndarray of shape (n,), where each stops to be in quotes: after the quote that closes it,
        or at the end of the text
    is_whole : bool ndarray of shape (n,), whether the field ends there
    is_open : whether nothing closes the last one
    """

    starts: np.ndarray
    ends: np.ndarray
    is_whole: np.ndarray
    is_open: bool

    def outside(self, places: np.ndarray) -> np.ndarray:
        """Return which of some places in the text are in none of the fields."""
        n_started = np.searchsorted(self.starts, places)
        is_outside: np.ndarray = n_started == np.searchsorted(self.ends, places, "right")
        return is_outside

    def before(self, place: int) -> Fields:
        """Return the fields that start before a place that is in none of them."""
        n = int(np.searchsorted(self.starts, place))
        return Fields(self.starts[:n], self.ends[:n], self.is_whole[:n], is_open=False)


def blocks(source: Iterable[bytes], size: int, separator: bytes) -> Iterator[tuple[bytes, Fields]]:
    """Yield pieces joined to whole records, of about ``size`` bytes at a time, and their fields.

    What nothing closes for `LONGEST_FIELD` bytes is yielded as it is, open.
    """
    parts: list[bytes] = []
    have, is_open = 0, False
    for piece in source:
        parts.append(piece)
        have += len(piece)
        if have < size or (is_open and have < LONGEST_FIELD and b'"' not in piece):
            continue
        text = b"".join(parts)
        fields = find_fields(text, separator)
        cut = _end_of_records(text, fields)
        is_open = fields.is_open
        if not cut and have > LONGEST_FIELD:
            yield text, fields
            parts, have, is_open = [], 0, False
            continue
        if cut:
            yield text[:cut], fields.before(cut)
        parts = [text[cut:]]
        have = len(parts[0])
    if have:
        text = b"".join(parts)
        yield text, find_fields(text, separator)


def _end_of_records(text: bytes, fields: Fields) -> int:
    """Return where the last record ends that is whole, whatever follows the text; 0 if none is."""
    limit = len(text)
    if len(fields.ends) and fields.ends[-1] == limit:  # it may go on
        limit = int(fields.starts[-1])
    end = _last_outside(text, b"\n", limit, fields)
    if end < 0:  # records may end in a carriage return alone
        end = _last_outside(text, b"\r", min(limit, len(text) - 1), fields)
    return end + 1


def _last_outside(text: bytes, end: bytes, limit: int, fields: Fields) -> int:
    """Return the last place of an end of line before a limit that is in none of the fields, or -1."""
    while (place := text.rfind(end, 0, limit)) >= 0:
        last = int(np.searchsorted(fields.starts, place)) - 1
        if last < 0 or fields.ends[last] <= place:
            break
        limit = int(fields.starts[last])
    return place


def find_fields(text: bytes, separator: bytes) -> Fields:
    """Return the fields in quotes of a text that begins where a record begins."""
    found = _find_well_formed(text, separator)
    return found if found is not None else _find_any(text, separator)


def _find_well_formed(text: bytes, separator: bytes) -> Fields | None:
    """Return the fields if each quote opens one, or closes one, or is one of two within one."""
    data = np.frombuffer(text, dtype=np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    is_edge = np.zeros(256, dtype=bool)
    is_edge[list(b"\r\n" + separator)] = True
    opening, closing = quotes[::2], quotes[1::2]
    is_open = len(closing) < len(opening)
    n_between = max(len(opening) - 1, 0)
    doubled = opening[1:] == closing[:n_between] + 1
    starts = is_edge[data[opening - 1]] | (opening == 0)
    starts[1:] &= ~doubled
    ends = closing + 1 == len(data)
    ends |= is_edge[data[np.minimum(closing + 1, len(data) - 1)]]
    ends[:n_between] &= ~doubled
    doubles = int(np.count_nonzero(doubled))
    if np.count_nonzero(starts) + doubles < len(opening):
        return None
    if np.count_nonzero(ends) + doubles < len(closing):
        return None
    stops = closing[ends] + 1
    is_whole = np.ones(len(stops) + is_open, dtype=bool)
    if is_open:
        stops = np.append(stops, len(data))
        is_whole[-1] = False
    return Fields(opening[starts], stops, is_whole, is_open)


def _find_any(text: bytes, separator: bytes) -> Fields:
    edge = rb"[" + re.escape(separator) + rb"\r\n]"
    # It starts with a quote, so that `re` can jump from one to the next.
    field = re.compile(rb'"(?<=' + edge + rb'")[^"]*+(?:""[^"]*+)*+(?:(")(' + edge + rb"|\Z)?)?")
    found = list(field.finditer(b"\n" + text))
    closed = [match[1] is not None for match in found]
    return Fields(
        np.array([match.start() - 1 for match in found], dtype=np.int64),
        np.array([match.end(1) - 1 if match[1] else len(text) for match in found], dtype=np.int64),
        np.array([match[2] is not None for match in found], dtype=bool),
        is_open=not all(closed),
    )
