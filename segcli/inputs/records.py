"""How to parse a text, found out from the whole of it: what quotes enclose, and where records end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segcli.errors import InputError
from segcli.inputs import quoting, streams
from segcli.words import counted, shortened

# A text may have line breaks, and quotes that are not doubled; but not so many lines up to the first.
_ASTRAY_LINES = 50
_SHOWN = 400  # bytes of it, more than are shown


def find_records(
    path: Path, encoding: str, delimiter: str
) -> tuple[bytes, tuple[int, ...], str | None]:
    """Return how to parse a file.

    The byte to parse with; where records end, if quotes enclose fields; and what to look at twice.

    A comma or a semicolon goes with quotes unless no quoted field is well formed. Elsewhere a quote
    is literal unless every field that starts with one ends with one: names may begin with a quote.

    Raises
    ------
    InputError
        If a quote is opened but never closed, or no byte can stand for the delimiter.
    LongLineError
        If a line does not end.
    """
    separator = _separator_for(path, encoding, delimiter)

    def source() -> Iterator[bytes]:
        return with_separator(streams.pieces(path, encoding), delimiter, separator)

    def line_of(astray: _Astray) -> str:
        return f"{streams.line_after(source(), astray.place):,}"

    ends = [0]
    any_whole = False
    far = near = None
    n_near = 0
    for text, fields in quoting.whole_records(source(), streams.PIECE, separator):
        if fields is None:
            any_whole |= b'"' in text
        elif delimiter not in ",;" and not fields.is_whole.all():
            return separator, (), None
        else:
            any_whole |= bool(fields.is_whole.any())
            for start, n_lines in _find_astray(text, fields):
                if n_lines >= _ASTRAY_LINES:
                    far = far or _Astray.at(start, n_lines, text, ends[-1])
                else:
                    near = near or _Astray.at(start, n_lines, text, ends[-1])
                    n_near += 1
        if far is not None and any_whole:
            msg = (
                f"{path}, line {line_of(far)}: a quote is opened but never closed: {far.begin!r}. "
                "Close it or remove it."
            )
            raise InputError(msg)
        ends.append(ends[-1] + len(text))
    if not any_whole:
        return separator, (), None
    doubt = None
    if near is not None:
        doubt = (
            f"line {line_of(near)}: a quote is opened and closed only "
            f"{counted(near.n_lines, 'line')} later: {near.begin!r}. If it was to be closed sooner, rows "
            "are lost in it."
        )
        if n_near > 1:
            doubt += f" So it is with {n_near - 1:,} more."
    return separator, tuple(ends[1:]), doubt


@dataclass(frozen=True)
class _Astray:
    """A quote that is closed in another line, and not where a field ends.

    Attributes
    ----------
    place : in what `pieces` yields
    begin : its line from there on, shortened
    n_lines : the ends of lines up to the quote that closes it; very many if none does
    """

    place: int
    begin: str
    n_lines: int

    @classmethod
    def at(cls, start: int, n_lines: int, text: bytes, before: int) -> _Astray:
        """Return the one that starts there in a text, before which so many bytes come."""
        begin = text[start : start + _SHOWN].decode("utf-8", errors="replace").splitlines()[0]
        return cls(before + start, shortened(begin), n_lines)


def _find_astray(text: bytes, fields: quoting.Fields) -> Iterator[tuple[int, int]]:
    """Yield where such quotes are in a text, each with the number of lines up to its end."""
    for i in np.flatnonzero(~fields.is_whole).tolist():
        start, end = int(fields.starts[i]), int(fields.ends[i])
        n_lines = max(text.count(mark, start, end) for mark in (b"\n", b"\r"))
        if fields.is_open and i == len(fields.starts) - 1:
            n_lines = max(n_lines, _ASTRAY_LINES)
        if n_lines:
            yield start, n_lines


def _separator_for(path: Path, encoding: str, delimiter: str) -> bytes:
    """Return a byte for a delimiter: itself, or one that the file does not use."""
    if len(delimiter) == 1:
        return delimiter.encode()
    unused = set(b"\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06")
    for piece in streams.pieces(path, encoding):
        unused -= {byte for byte in unused if byte in piece}  # not set(piece), which is slow
    if not unused:
        msg = f"{path} contains control characters, so '::' cannot be read. Use another delimiter."
        raise InputError(msg)
    return bytes([max(unused)])


def with_separator(source: Iterator[bytes], delimiter: str, separator: bytes) -> Iterator[bytes]:
    """Return pieces of a text with a byte for each delimiter, also where that spans two of them."""
    old = delimiter.encode()
    return source if old == separator else _replaced(source, old, separator)


def _replaced(source: Iterator[bytes], old: bytes, new: bytes) -> Iterator[bytes]:
    rest = b""
    for piece in source:
        chunk = rest + piece
        # An odd run of colons at the end: its last may begin a delimiter.
        keep = (len(chunk) - len(chunk.rstrip(old[:1]))) % len(old)
        rest = chunk[len(chunk) - keep :]
        yield chunk[: len(chunk) - keep].replace(old, new)
    yield rest
