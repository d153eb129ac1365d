"""Read delimited text.

A file is cut into parts of whole records, which several threads parse.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from segcli.errors import InputError
from segcli.inputs import dialect, quoting, streams
from segcli.inputs.arrow import to_numpy
from segcli.inputs.batches import Batch, Kinds, LineBatch, Lines, as_written, numbered

_PART, _LEAST_PART = 1 << 24, 1 << 20  # bytes
_PARTS = 16  # of a file that is not large: the threads share them evenly and hold few of them
_CHECKED = 1 << 18  # bytes, so that what is made of them stays in a processor's cache
_PARSED = 1 << 20  # likewise, but for longer rows
_LINE_END = re.compile(rb"\r\n|\r|\n")
_LONG_ROW = "straddling"  # two blocks, in pyarrow's words
_GOES_ON = np.isin(np.arange(256), list(b"0123456789xX"))  # after a leading zero
_IN_COLUMN = re.compile(r"In CSV column #(\d+)")


@dataclass
class TextTable:
    """A delimited text file.

    Attributes
    ----------
    digest : of the file, while and once `parts` has read it
    """

    path: Path
    dialect: dialect.Dialect
    digest: streams.Digest = field(default_factory=streams.Digest)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The columns' names, or None without a header."""
        return self.dialect.columns

    @property
    def n_columns(self) -> int:
        """The number of columns: the first row's."""
        return len(self.dialect.sample[0])

    @property
    def facts(self) -> dict[str, Any]:
        """How the file is written."""
        d = self.dialect
        return {"delimiter": d.delimiter_name, "header": d.header, "encoding": d.encoding}

    def sample(self, column: int) -> list[str]:
        """Return a column's first fields, without the header's and without empty ones."""
        rows = self.dialect.sample[int(self.dialect.header) :]
        return [row[column] for row in rows if len(row) > column and row[column].strip()]

    def parts(self, columns: Sequence[int], *, of_files: str = "") -> Iterator[Lines]:
        """Yield what `read` takes.

        ``of_files`` are words that say, to whoever watches, which of several files this is.
        """
        del columns
        self.digest = streams.Digest()
        size = min(_PART, max(self.path.stat().st_size // _PARTS, _LEAST_PART))
        source = self.dialect.pieces(
            self.path, f"reading {self.path.name}{of_files}", self.digest, size
        )
        texts = (
            quoting.cut_at(source, self.dialect.ends, size)
            if self.dialect.quoted
            else streams.whole_lines(source, size)
        )
        before = self.dialect.skip + self.dialect.header
        with _parse_errors(self.path, self.dialect):
            for text in texts:
                yield Lines(self._without_records(text, before), before)
                before = 0

    def _without_records(self, text: bytes, n: int) -> bytes:
        """Return a text without its first records."""
        if not n:
            return text
        ends = _LINE_END.finditer(text)
        if self.dialect.quoted:
            is_inside = quoting.find_inside(text, self.dialect.separator)
            ends = (end for end in ends if not is_inside[end.start()])
        last = next(islice(ends, n - 1, None), None)
        return text[last.end() :] if last is not None else b""

    def read(self, part: Lines, columns: Sequence[int], kinds: Kinds) -> Batch:
        """Return the rows of a part, without its blank lines.

        Parameters
        ----------
        part : one of `parts`
        columns : those to read
        kinds : what to try some of them as; changed where that fails
        """
        columns = sorted(set(columns))
        with _parse_errors(self.path, self.dialect):
            while True:
                try:
                    return self._read(part, {i: kinds.get(i, pa.string()) for i in columns})
                except _UnlikeError as error:
                    for column in error.columns:
                        kinds.pop(column, None)

    def batches(self, columns: Sequence[int]) -> Iterator[Batch]:
        """Yield the rows of the file, text as strings; blank lines are passed over."""
        return numbered(self.read(part, columns, {}) for part in self.parts(columns))

    def _read(self, part: Lines, types: Kinds) -> Batch:
        """Return the rows of a part, or raise `_UnlikeError`."""
        ids = [i for i, kind in types.items() if kind == pa.uint32()]
        marks = self.dialect.separator + (b'"' if self.dialect.quoted else b"")
        if ids and _has_leading_zero(part.text, marks):
            raise _UnlikeError(ids)
        passed: list[tuple[int, str]] = []
        columns = {i: pa.nulls(0, kind) for i, kind in types.items()}
        if part.text:
            columns = self._parsed(part.text, types, passed)
        n = len(next(iter(columns.values())))
        rows = part.before + _numbers(n, [number for number, _ in passed])
        malformed = [(part.before + number, text) for number, text in self._malformed(passed)]
        batch = LineBatch(
            rows,
            columns,
            self.dialect.delimiter,
            part.before + n + len(passed),
            malformed,
            lines=part,
            separator=self.dialect.separator,
            quoted=self.dialect.quoted,
        )
        blank = _empty(columns)  # a row of nothing but delimiters, or an empty line
        if not blank.any():
            return batch
        blank[blank] = [self._is_blank(text) for text in batch.texts(blank)]
        return batch.under(~blank)

    def _malformed(self, passed: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """Yield records that were passed over, as they stand in the file, but for blank lines."""
        for number, text in passed:
            written = as_written(text, self.dialect.separator, self.dialect.delimiter)
            if not self._is_blank(written):
                yield number, written

    def _is_blank(self, text: str) -> bool:
        """Return whether a line is white space only; tabs that separate fields are not."""
        return not text.strip() and not (self.dialect.delimiter == "\t" and "\t" in text)

    def _parsed(
        self, text: bytes, types: Kinds, passed: list[tuple[int, str]]
    ) -> dict[int, pa.Array]:
        try:
            table = self._table(text, types, passed)
        except pa.ArrowInvalid as error:
            found = _IN_COLUMN.match(str(error))
            if found is not None and types.get(int(found[1]), pa.string()) != pa.string():
                raise _UnlikeError([int(found[1])]) from error
            raise
        columns = {
            i: self._as_written(_whole(table.column(k).chunks, kind))
            for k, (i, kind) in enumerate(types.items())
        }
        unlike = [i for i, column in columns.items() if _is_unlike(column)]
        if unlike:
            raise _UnlikeError(unlike)
        return columns

    def _as_written(self, column: pa.Array) -> pa.Array:
        """Return fields with delimiters in quotes as they stand in the file."""
        separator, delimiter = self.dialect.separator.decode(), self.dialect.delimiter
        may_hold = (
            self.dialect.quoted and separator != delimiter and pa.types.is_string(column.type)
        )
        return pc.replace_substring(column, separator, delimiter) if may_hold else column

    def _table(self, text: bytes, types: Kinds, passed: list[tuple[int, str]]) -> pa.Table:
        """Return the columns, parsed a little at a time, or all at once where there is a longer row."""
        if text.startswith(codecs.BOM_UTF8):  # of an id: the file's own is gone
            text = codecs.BOM_UTF8 + text  # pyarrow drops one
        parse = self._parse_options(passed)
        convert = pacsv.ConvertOptions(
            column_types={str(i): kind for i, kind in types.items()},
            include_columns=[str(i) for i in types],
            strings_can_be_null=False,
            null_values=[""],
        )
        try:
            options = self._read_options(_parsed_at_once(text))
            return pacsv.read_csv(pa.py_buffer(text), options, parse, convert)
        except pa.ArrowInvalid as error:
            if _LONG_ROW not in str(error):
                raise
        passed.clear()
        at_once = self._read_options(len(text) + 1)
        return pacsv.read_csv(pa.py_buffer(text), at_once, parse, convert)

    def _read_options(self, block: int) -> pacsv.ReadOptions:
        return pacsv.ReadOptions(
            use_threads=False,  # rows are numbered only then
            block_size=block,
            column_names=[str(i) for i in range(self.n_columns)],
        )

    def _parse_options(self, passed: list[tuple[int, str]]) -> pacsv.ParseOptions:
        """Return how to parse; records with another number of fields go to ``passed``."""

        def pass_over(row: Any) -> str:
            passed.append((row.number, row.text))
            return "skip"

        quoted = self.dialect.quoted
        return pacsv.ParseOptions(
            delimiter=self.dialect.separator.decode(),
            quote_char='"' if quoted else False,
            double_quote=quoted,
            newlines_in_values=quoted,
            ignore_empty_lines=False,  # they count as rows
            invalid_row_handler=pass_over,
        )


class _UnlikeError(Exception):
    """Columns are not what they were tried as."""

    def __init__(self, columns: Sequence[int]) -> None:
        super().__init__()
        self.columns = columns


def _parsed_at_once(text: bytes) -> int:
    """Return how many bytes to parse at a time, so that none of them end within a CRLF.

    pyarrow passes over a newline there, which may be in quotes.
    """
    size = _PARSED
    while any(text[end - 1 : end + 1] == b"\r\n" for end in range(size, len(text), size)):
        size += 1
    return size


def _whole(chunks: Sequence[pa.Array], kind: pa.DataType) -> pa.Array:
    """Return chunks as one array; there is none where a part holds no row."""
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays([pa.nulls(0, kind), *chunks])


def _is_unlike(column: pa.Array) -> bool:
    """Return whether a column of numbers is better read as text, which says why it is no number."""
    if pa.types.is_string(column.type):
        return False
    if column.null_count:
        return True
    return pa.types.is_floating(column.type) and not np.isfinite(to_numpy(column)).all()


def _has_leading_zero(text: bytes, marks: bytes) -> bool:
    """Return whether a field may start with a zero and go on: ``007`` is not ``7``.

    ``marks`` may stand before a field, besides white space; the first of them is the delimiter.
    """
    data = np.frombuffer(text, dtype=np.uint8)
    if text[:1] == b"0" and _GOES_ON[data[1:2]].any():
        return True
    is_start = np.zeros(256, dtype=bool)
    is_start[list(b"\n\r \t" + marks)] = True
    for start in range(0, len(data) - 2, _CHECKED):
        piece = data[start : start + _CHECKED + 2]
        before, zero, after = piece[:-2], piece[1:-1], piece[2:]
        # Most of what stands before a field comes before all that a number is made of, but for "+".
        found = before < ord("-")
        if marks[:1] >= b"-":
            found |= before == marks[0]
        found &= zero == ord("0")
        places = np.flatnonzero(found)
        if (is_start[before[places]] & _GOES_ON[after[places]]).any():
            return True
    return False


def _empty(columns: dict[int, pa.Array]) -> np.ndarray:
    """Return where text columns all are empty."""
    empty = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for column in columns.values():
        if not pa.types.is_string(column.type):
            return np.zeros(len(empty), dtype=bool)
        empty &= to_numpy(pc.binary_length(column)) == 0
        if not empty.any():
            break
    return empty


def _numbers(n: int, passed: Sequence[int]) -> np.ndarray:
    """Return the numbers, from 1, of n rows among records of which those numbered were passed over."""
    positions = np.arange(n)
    if not passed:
        return positions + 1
    # Before the i-th record passed over, its number - 1 - i others were handed on.
    before = np.array(passed, dtype=np.int64) - 1 - np.arange(len(passed))
    return positions + 1 + np.searchsorted(before, positions, side="right")


@contextmanager
def _parse_errors(path: Path, found: dialect.Dialect) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, streams.LongLineError) as error:
        reason = str(error).splitlines()[0]
        msg = f"{path} ({dialect.separated(found.delimiter_name)}) cannot be read: {reason}"
        raise InputError(msg) from error
