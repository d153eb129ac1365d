"""How a delimited text file is written: found out from its bytes, unless it is stated.

Encoding and quoting are decided on the whole file, streaming (`streams.survey`, `records`); delimiter
and header on its first rows (`first_rows`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from segcli.errors import InputError, OptionError
from segcli.inputs import streams
from segcli.inputs.first_rows import Rows, find_delimiter, has_header, rows_of
from segcli.inputs.records import find_records, with_separator

_NAMES = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " ", "colons": "::"}
_SAMPLE_BYTES = 1 << 18
#: What to do where nothing is found that separates columns.
NAME_IT = "State what separates them: --delimiter."
_END = r"(?:\r\n|\r|\n)"
# Excel's way to say what the delimiter is, and blank lines.
_BEFORE_ROWS = re.compile(rf"(?:sep=([,;|\t])[ \t]*{_END})?(?:[ \t]*{_END})*", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a delimited text file is written.

    Attributes
    ----------
    encoding : a Python codec's name
    delimiter : as it stands in the file: one character, or ``::``
    header : whether the first row names the columns
    ends : if ``"`` encloses fields, the places in what `pieces` yields where records end, for about each
        mebibyte one; otherwise none, and it is a character like any other
    separator : the one byte that stands for the delimiter when the file is parsed
    skip : the number of lines before the first row, which are blank or say what the delimiter is
    sample : the first rows, the header included
    doubts : what to look at twice in how it is written, in sentences that go on after the file's name
    """

    encoding: str
    delimiter: str
    header: bool
    ends: tuple[int, ...]
    separator: bytes
    skip: int
    sample: Rows
    doubts: tuple[str, ...] = ()

    @property
    def quoted(self) -> bool:
        """Whether ``"`` encloses fields, in which there may be delimiters and ends of lines."""
        return bool(self.ends)

    @property
    def delimiter_name(self) -> str:
        """The delimiter in a word, as ``--delimiter`` takes it."""
        return next((n for n, d in _NAMES.items() if d == self.delimiter), self.delimiter)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The header's names, or None."""
        return self.sample[0] if self.header else None

    def pieces(self, path: Path, what: str, digest: streams.Digest, size: int) -> Iterator[bytes]:
        """Yield the file as UTF-8 with `separator` between fields."""
        text = streams.pieces(path, self.encoding, what, digest, size)
        return with_separator(text, self.delimiter, self.separator)


def delimiter_from(word: str) -> str:
    r"""Return the delimiter that a user wrote as a name (``tab``), an escape (``\t``) or itself.

    Raises
    ------
    OptionError
        If it is not one ASCII character that can separate fields, nor ``::``.
    """
    delimiter = _NAMES.get(word.lower(), "\t" if word == r"\t" else word)
    usable = len(delimiter) == 1 and delimiter.isascii() and not delimiter.isalnum()
    if delimiter != "::" and (not usable or delimiter in '"\r\n\0.-+'):
        msg = (
            f"{word!r} cannot separate fields. --delimiter takes one character, '::', "
            "or a word: comma, tab, semicolon, pipe, space."
        )
        raise OptionError(msg)
    return delimiter


def separated(delimiter: str) -> str:
    """Return how fields are separated in words, given the delimiter as `Dialect.delimiter_name` has it."""
    is_word = delimiter.isalpha() and len(_NAMES.get(delimiter, "")) == 1
    return (
        f"{delimiter}-separated"
        if is_word
        else f"separated by '{_NAMES.get(delimiter, delimiter)}'"
    )


class BlankError(InputError):
    """A file holds nothing but blank lines."""


def find_dialect(
    path: Path,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    named: Iterable[str] = (),
    way_out: str = NAME_IT,
) -> Dialect:
    """Return how a file is written; what is stated is taken as it stands.

    Parameters
    ----------
    path : a delimited text file, packed or not
    delimiter, header, encoding : as stated by the user, or None
    named : columns that the user asked for; if the first row holds one, it is a header
    way_out : what to do if no delimiter can be found

    Raises
    ------
    InputError
        If the file cannot be read, has no rows, or no delimiter can be found.
    OptionError
        If what is stated cannot be a delimiter, or is no encoding.
    """
    found, quotes = streams.survey(path, encoding)
    head = _head(path, found)
    before = _BEFORE_ROWS.match(head)
    assert before is not None  # it may match nothing
    head = head[before.end() :]
    if not head.strip():
        msg = f"{path} holds nothing but blank lines."
        raise BlankError(msg)
    if delimiter is not None:
        separator = delimiter_from(delimiter)
    else:
        separator = before[1] or find_delimiter(path, head, way_out)
    stand_in, ends, doubts = separator.encode(), tuple[int, ...](), list[str | None]()
    if quotes or len(separator) > 1:
        try:
            stand_in, ends, doubt = find_records(path, found, separator)
            doubts.append(doubt)
        except streams.LongLineError as error:
            raise _unreadable(path, error) from error
    sample = rows_of(head, separator, quoted=bool(ends))
    if header is None:
        header = has_header(path, sample, set(named))
    skip = len(re.findall(_END, before[0]))
    if encoding is None and found in ("latin-1", "cp1252"):
        doubts.append(streams.doubtful_encoding(path, found))
    told = tuple(doubt for doubt in doubts if doubt is not None)
    return Dialect(found, separator, header, ends, stand_in, skip, sample, told)


def _head(path: Path, encoding: str) -> str:
    """Return the first whole lines of a file, up to the one in which a sample ends."""
    text = streams.pieces(path, encoding)
    try:
        lines = next(streams.whole_lines(text, _SAMPLE_BYTES), b"")
    except streams.LongLineError as error:
        raise _unreadable(path, error) from error
    end = re.compile(rb"[\r\n]").search(lines, _SAMPLE_BYTES)
    head = lines[: end.end()] if end is not None else lines
    return head.decode("utf-8", errors="ignore")


def _unreadable(path: Path, error: streams.LongLineError) -> InputError:
    return InputError(f"{path} cannot be read: {error}")
