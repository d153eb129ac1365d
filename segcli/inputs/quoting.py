"""Fields in quotes: where records end that may be several lines, and whether quotes are well formed.

A field is in quotes if it begins with one. It goes on to the next that is not doubled; what follows up
to the delimiter is the field's too, quotes and all, though a well-formed one ends there.

Where all are well formed, every other quote opens one, or goes on with it after a doubled quote. That is
looked at for all bytes of a text together, as bits of words (Langdale and Lemire 2019, "Parsing gigabytes
of JSON per second"); other texts field by field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segcli.inputs.streams import LongLineError

LONGEST_FIELD = 1 << 25
_ONE, _TOP = np.uint64(1), np.uint64(63)


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

    def before(self, place: int) -> Fields:
        """Return the fields that start before a place that is in none of them."""
        n = int(np.searchsorted(self.starts, place))
        return Fields(self.starts[:n], self.ends[:n], self.is_whole[:n], is_open=False)


def whole_records(
    source: Iterable[bytes], size: int, separator: bytes
) -> Iterator[tuple[bytes, Fields | None]]:
    """Yield pieces joined to whole records, of about ``size`` bytes at a time.

    With each come its fields in quotes, unless all of them are well formed. What nothing closes for
    `LONGEST_FIELD` bytes is yielded as it is, open.

    Raises
    ------
    LongLineError
        If so many bytes are in no quotes and no line ends.
    """
    parts: list[bytes] = []
    have, is_open = 0, False
    for piece in source:
        parts.append(piece)
        have += len(piece)
        if have < size or (is_open and have < LONGEST_FIELD and b'"' not in piece):
            continue
        text = b"".join(parts)
        inside, fields = _look_at(text, separator)
        is_open = bool(inside[-1])
        cut = _end_of_records(text, inside)
        if cut:
            yield text[:cut], fields.before(cut) if fields is not None else None
        elif have > LONGEST_FIELD:
            if not is_open:
                msg = f"a row is longer than {LONGEST_FIELD >> 20} MB."
                raise LongLineError(msg)
            yield text, find_fields(text, separator)
            cut, is_open = have, False
        parts = [text[cut:]]
        have = len(parts[0])
    if have:
        text = b"".join(parts)
        inside, fields = _look_at(text, separator)
        yield text, find_fields(text, separator) if inside[-1] else fields


def cut_at(source: Iterable[bytes], ends: Sequence[int], size: int) -> Iterator[bytes]:
    """Yield pieces joined and cut where records end, of about ``size`` bytes at a time.

    ``ends`` are some of those places, in their order; the last is the end of the text.
    """
    parts: list[bytes] = []
    start = have = 0
    places = iter(ends)
    place = next(places, None)
    for piece in source:
        parts.append(piece)
        have += len(piece)
        while place is not None and place <= have:
            after = place
            place = next(places, None)
            if after - start < size and place is not None:
                continue
            kept = len(parts[-1]) - (have - after)
            yield b"".join([*parts[:-1], memoryview(parts[-1])[:kept]])
            parts, start = [parts[-1][kept:]], after


def find_inside(text: bytes, separator: bytes) -> np.ndarray:
    """Return which bytes are in quotes, of a text that begins with a record; of quotes it says nothing."""
    found, _ = _look_at(text, separator)
    return found


def find_fields(text: bytes, separator: bytes) -> Fields:
    """Return the fields in quotes of a text that begins with a record."""
    edge = rb"[" + re.escape(separator) + rb"\r\n]"
    # It starts with a quote, so that `re` can jump from one to the next.
    field = re.compile(rb'"(?<=' + edge + rb'")[^"]*+(?:""[^"]*+)*+(?:(")(' + edge + rb"|\Z)?)?")
    found = list(field.finditer(b"\n" + text))
    return Fields(
        np.array([match.start() - 1 for match in found], dtype=np.int64),
        np.array([match.end(1) - 1 if match[1] else len(text) for match in found], dtype=np.int64),
        np.array([match[2] is not None for match in found], dtype=bool),
        is_open=bool(found) and found[-1][1] is None,
    )


def _look_at(text: bytes, separator: bytes) -> tuple[np.ndarray, Fields | None]:
    """Return which bytes are in quotes, and the fields in quotes unless all are well formed or open."""
    if b'"' not in text:
        return np.zeros(len(text), dtype=bool), None
    well_formed = _inside_well_formed(text, separator)
    if well_formed is not None:
        return well_formed, None
    fields = find_fields(text, separator)
    steps = np.zeros(len(text) + 1, dtype=np.int8)
    closing = fields.ends - 1
    if fields.is_open:
        closing[-1] = len(text)
    steps[fields.starts], steps[closing] = 1, -1
    return np.cumsum(steps[:-1], dtype=np.int8).astype(bool), fields


def _inside_well_formed(text: bytes, separator: bytes) -> np.ndarray | None:
    """Return which bytes are in quotes if each opens a field, or closes one, or is one of two within."""
    data = np.frombuffer(text, dtype=np.uint8)
    quotes = _bits(data == ord('"'))
    edges = _bits(data == ord("\n")) | _bits(data == separator[0])
    if b"\r" in text:
        edges |= _bits(data == ord("\r"))
    is_inside = _parity(quotes)
    opening, closing = quotes & is_inside, quotes & ~is_inside
    may_open = _one_on(edges | closing)
    may_open[0] |= _ONE
    may_close = _one_back(edges | opening)
    last = len(data) - 1
    may_close[last // 64] |= _ONE << np.uint64(last % 64)
    if (opening & ~may_open).any() or (closing & ~may_close).any():
        return None
    return np.unpackbits(is_inside.view(np.uint8), count=len(data), bitorder="little").view(bool)


def _bits(where: np.ndarray) -> np.ndarray:
    """Return bools as words of 64 bits, the first the lowest."""
    packed = np.packbits(where, bitorder="little")
    words: np.ndarray = np.pad(packed, (0, -len(packed) % 8)).view("<u8")
    return words


def _parity(words: np.ndarray) -> np.ndarray:
    """Return for each bit whether an odd number of bits are set up to it, itself included."""
    found = words.copy()
    for n in (1, 2, 4, 8, 16, 32):
        found ^= found << np.uint64(n)
    odd = np.bitwise_xor.accumulate(found >> _TOP)
    found[1:] ^= -odd[:-1]  # all bits, if odd
    return found


def _one_on(words: np.ndarray) -> np.ndarray:
    """Return bits moved one place on."""
    moved = words << _ONE
    moved[1:] |= words[:-1] >> _TOP
    return moved


def _one_back(words: np.ndarray) -> np.ndarray:
    """Return bits moved one place back."""
    moved = words >> _ONE
    moved[:-1] |= words[1:] << _TOP
    return moved


def _end_of_records(text: bytes, is_inside: np.ndarray) -> int:
    """Return where the last record ends that is whole, whatever follows the text; 0 if none is."""
    end = _last_outside(text, b"\n", len(text), is_inside)
    if end < 0:  # records may end in a carriage return alone
        end = _last_outside(text, b"\r", len(text) - 1, is_inside)
    return end + 1


def _last_outside(text: bytes, end: bytes, limit: int, is_inside: np.ndarray) -> int:
    """Return the last place of an end of line before a limit that is not in quotes, or -1."""
    while (place := text.rfind(end, 0, limit)) >= 0 and is_inside[place]:
        outside = np.flatnonzero(~is_inside[:place])
        limit = int(outside[-1]) + 1 if len(outside) else 0
    return place
