"""How a delimited text file is written: found out from its bytes, unless it is stated.

Encoding and quoting are decided on the whole file, streaming; delimiter and header on its
first rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segcli.errors import InputError, OptionError
from segcli.inputs import quoting, streams
from segcli.inputs.columns import KNOWN, plain
from segcli.inputs.values import is_number
from segcli.words import counted, shortened

_NAMES = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " ", "colons": "::"}
_TRIED = ("\x01", "\t", "::", ";", "|", ",")  # the first is Hive's
_SAMPLE_BYTES = 1 << 18
_SAMPLE_ROWS = 200
# A text may have line breaks, and quotes that are not doubled; but not so many lines up to the first.
_ASTRAY_LINES = 50
_TITLE_ROWS = 20  # among which a header is looked for
_SHOWN = 400  # bytes of it, more than are shown
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
    sample: tuple[tuple[str, ...], ...]
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
        if len(self.delimiter) == 1:
            return text
        return _replaced(text, self.delimiter.encode(), self.separator)


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
        separator = before[1] or _find_delimiter(path, head, way_out)
    stand_in, ends, doubts = separator.encode(), tuple[int, ...](), list[str | None]()
    if quotes or len(separator) > 1:
        try:
            stand_in, ends, doubt = _scan(path, found, separator)
            doubts.append(doubt)
        except streams.LongLineError as error:
            msg = f"{path} cannot be read: {error}"
            raise InputError(msg) from error
    sample = _rows(head, separator, quoted=bool(ends))
    if header is None:
        header = _has_header(sample, set(named))
        if not header:
            _refuse_header_below(path, sample)
    skip = len(re.findall(_END, before[0]))
    if encoding is None and found in ("latin-1", "cp1252"):
        doubts.append(streams.doubtful_encoding(path, found))
    told = tuple(doubt for doubt in doubts if doubt is not None)
    return Dialect(found, separator, header, ends, stand_in, skip, sample, told)


def check_first_row(file: str, found: Dialect) -> None:
    """Refuse a file whose first row is unlike those below: a line above the header, most often.

    Raises
    ------
    InputError
        If it has one field and they have more, or not one row in ten has as many as it has.
    """
    first, rest = found.sample[0], found.sample[1:]
    counts = Counter(len(row) for row in rest)
    most = max(counts, key=lambda n: (counts[n], n), default=len(first))
    alike = counts[len(first)] if len(first) > 1 else 0
    if most == len(first) or 10 * alike >= len(rest):
        return
    fields = shortened(", ".join(map(repr, first)))
    msg = (
        f"{file}: the first line has {counted(len(first), 'field')}, {fields}, and of the next "
        f"{counted(len(rest), 'row')} {counts[most]:,} have {most}. "
    )
    mark = found.delimiter
    if most == len(first) + 1 and all(len(row) < most or not row[-1].strip() for row in rest):
        msg += f"They end in '{mark}': add one to the first line."
    elif most == len(first) - 1 and not first[-1].strip():
        msg += f"It ends in '{mark}': remove that."
    else:
        n_alike = next(i for i, row in enumerate(rest) if len(row) == most)
        those = (
            f"it and the next {counted(n_alike, 'row')} if they are" if n_alike else "it if it is"
        )
        msg += (
            f"Remove {those} neither a header nor a row. A header needs a name for each column (R "
            f"leaves out the first), and a field that holds '{mark}' quotes around it."
        )
    raise InputError(msg)


def _head(path: Path, encoding: str) -> str:
    """Return the first whole lines of a file."""
    head = b""
    for piece in streams.pieces(path, encoding):
        head += piece
        if len(head) > _SAMPLE_BYTES:
            break
    if len(head) > _SAMPLE_BYTES:
        head = head[:_SAMPLE_BYTES]
        cut = max(head.rfind(b"\n"), head.rfind(b"\r"))
        head = head[: cut + 1] if cut >= 0 else head
    return head.decode("utf-8", errors="ignore")


def _rows(head: str, delimiter: str, quoted: bool) -> tuple[tuple[str, ...], ...]:
    """Return the first rows of a sample that are not blank."""
    separator = "\x1f" if len(delimiter) > 1 else delimiter
    csv.field_size_limit(max(csv.field_size_limit(), _SAMPLE_BYTES))
    reader = csv.reader(
        io.StringIO(head.replace(delimiter, separator), newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    rows: list[tuple[str, ...]] = []
    for row in reader:
        if len(rows) == _SAMPLE_ROWS:
            break
        if row and not (len(row) == 1 and not row[0].strip()):
            rows.append(tuple(field.replace(separator, delimiter) for field in row))
    return tuple(rows)


def split_row(row: str, delimiter: str, *, quoted: bool = True) -> tuple[str, ...]:
    """Return the fields of the text of one row; none of a blank one."""
    return next(iter(_rows(row, delimiter, quoted)), ())


def _find_delimiter(path: Path, head: str, way_out: str) -> str:
    """Return the delimiter that splits most rows, the first among them, into equally many fields.

    The more fields the better.
    """
    scores = {d: _regularity(_rows(head, d, quoted=True)) for d in _TRIED}
    best = max(share for share, *_ in scores.values())
    if best < 0.5:
        rows = _rows(head, " ", quoted=True)
        if 2 * sum("" in row[:-1] for row in rows) > len(rows):
            msg = (
                f"{path}: its columns are aligned by several spaces. Write one comma or tab between them; "
                "if each space separates, say --delimiter space."
            )
            raise InputError(msg)
        scores = {" ": _regularity(rows)}
        best = scores[" "][0]
    if best < 0.5:
        first = shortened(next(line for line in head.splitlines() if line.strip()))
        within = "\n".join(row[0] for row in _rows(head, ",", quoted=True) if len(row) == 1)
        if first.startswith('"') and any(
            _regularity(_rows(within, d, True))[0] >= 0.5 for d in _TRIED
        ):
            way_out = "Each row is in quotes as a whole: remove those."
        msg = (
            f"{path}: no delimiter splits its rows into two or more columns; the first is "
            f"{first!r}. {way_out}"
        )
        raise InputError(msg)
    near = {d: rest for d, (share, *rest) in scores.items() if share >= best - 0.1}
    return max(near, key=lambda d: near[d])  # the first tried wins a tie


def _regularity(rows: tuple[tuple[str, ...], ...]) -> tuple[float, bool, int, int]:
    """Return how well a delimiter splits rows: the more of each, the better.

    The share of rows with the commonest number of fields above one, whether the first is one of them, that
    number, and how many fields are numbers.
    """
    counts = Counter(len(row) for row in rows if len(row) > 1)
    if not counts:
        return 0.0, False, 0, 0
    fields, times = max(counts.items(), key=lambda pair: (pair[1], pair[0]))
    numbers = sum(is_number(field) for row in rows for field in row)
    return times / len(rows), len(rows[0]) == fields, fields, numbers


def _has_header(sample: tuple[tuple[str, ...], ...], named: set[str]) -> bool:
    """Return whether a file's first row names its columns.

    It does if it holds a name that the user asked for, well-known names of a customer and an item, or,
    without numbers, one well-known name or text above numbers.
    """
    first, rest = sample[0], sample[1:]
    if {name for name in named if not name.isdigit()} & set(first) or _names_both(first):
        return True
    if any(is_number(field) for field in first):
        return False
    known = {name for names in KNOWN.values() for name in names}
    for column, field in enumerate(first):
        below = [row[column] for row in rest if len(row) > column and row[column].strip()]
        if plain(field) in known and field not in below:
            return True
        if field.strip() and below and all(is_number(value) for value in below):
            return True
    return False


def _refuse_header_below(path: Path, sample: tuple[tuple[str, ...], ...]) -> None:
    """Refuse a file of which a header stands below the first row: titles are above it."""
    for n_above, row in enumerate(sample[:_TITLE_ROWS]):
        if _names_both(row):
            them = "row" if n_above == 1 else f"{n_above} rows"
            msg = (
                f"{path}: a header stands below its first row, {shortened(', '.join(map(repr, row)))}. "
                f"Remove the {them} above it, or say --no-header."
            )
            raise InputError(msg)


def _names_both(row: tuple[str, ...]) -> bool:
    """Return whether well-known names of a customer and of an item are in a row."""
    names = {plain(field) for field in row}
    return all(not names.isdisjoint(KNOWN[role]) for role in ("customer", "item"))


def _scan(path: Path, encoding: str, delimiter: str) -> tuple[bytes, tuple[int, ...], str | None]:
    """Return how to parse a file, from the whole of it.

    The byte to parse with; where records end, if quotes enclose fields; and what to look at twice.

    A comma or a semicolon goes with quotes unless no quoted field is well formed. Elsewhere a quote
    is literal unless every field that starts with one ends with one: names may begin with a quote.
    """
    separator = delimiter.encode()
    if len(delimiter) > 1:
        unused = set(b"\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06")
        for piece in streams.pieces(path, encoding):
            unused -= {byte for byte in unused if byte in piece}  # not set(piece), which is slow
        if not unused:
            msg = (
                f"{path} uses control characters; '::' cannot be told apart. Use another delimiter."
            )
            raise InputError(msg)
        separator = bytes([max(unused)])

    def source() -> Iterator[bytes]:
        text = streams.pieces(path, encoding)
        return _replaced(text, delimiter.encode(), separator) if len(delimiter) > 1 else text

    def line_of(astray: _Astray) -> str:
        return f"{1 + _lines_before(source(), astray.place):,}"

    ends = [0]
    any_whole = False
    far = near = None
    n_near = 0
    for text, fields in quoting.blocks(source(), streams.PIECE, separator):
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
                f"{path}, line {line_of(far)}: a quote is opened and not closed: {far.begin!r}. "
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


def _lines_before(source: Iterable[bytes], place: int) -> int:
    """Return how many lines end before a place in a text."""
    n_newlines = n_returns = 0
    for piece in source:
        n_newlines += piece[:place].count(b"\n")
        n_returns += piece[:place].count(b"\r")
        place -= len(piece)
        if place <= 0:
            break
    return max(n_newlines, n_returns)


def _replaced(source: Iterator[bytes], old: bytes, new: bytes) -> Iterator[bytes]:
    """Yield pieces with ``old`` replaced, also where it spans two of them."""
    rest = b""
    for piece in source:
        chunk = rest + piece
        # An odd run of colons at the end: its last may begin a delimiter.
        keep = (len(chunk) - len(chunk.rstrip(old[:1]))) % len(old)
        rest = chunk[len(chunk) - keep :]
        yield chunk[: len(chunk) - keep].replace(old, new)
    yield rest
