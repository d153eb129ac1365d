"""Read delimited text or Parquet as batches of columns that know their row numbers.

Both kinds of table have the same face: names, a number of columns, a sample, and `batches`. Text
columns come as the strings in the file; nothing is guessed to be a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from segcli.errors import InputError
from segcli.inputs import dialect, streams
from segcli.progress import report

_BLOCK = 1 << 22
_PARQUET_ROWS = 1 << 17


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a table.

    Attributes
    ----------
    rows : int64 ndarray of shape (n,), 1-based record numbers in the file
    columns : arrays of length n by 0-based column
    delimiter : what stands between the fields of a row's text
    """

    rows: np.ndarray
    columns: dict[int, pa.Array]
    delimiter: str

    def texts(self, mask: np.ndarray) -> list[str]:
        """Return the rows under ``mask`` as lines of text, quoted where they must be."""
        chosen = pa.array(mask)
        fields = [
            _as_field(column.filter(chosen), self.delimiter) for column in self.columns.values()
        ]
        joined = pc.binary_join_element_wise(*fields, self.delimiter, null_handling="replace")
        texts: list[str] = joined.to_pylist()
        return texts


@dataclass
class TextTable:
    """A delimited text file.

    Attributes
    ----------
    malformed : number and text of the rows with too few or too many fields met so far
    """

    path: Path
    dialect: dialect.Dialect
    malformed: list[tuple[int, str]] = field(default_factory=list)

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

    def batches(self, columns: Sequence[int]) -> Iterator[Batch]:
        """Yield the rows; blank lines are passed over.

        All columns are read, because a reject is kept with the whole of its row.
        """
        del columns
        self.malformed.clear()
        passed: list[int] = []  # numbers of the records that the parser did not hand on
        done = 0
        source = streams.Stream(self.dialect.pieces(self.path, f"reading {self.path.name}"))
        with closing(source), _parse_errors(self.path, self.dialect.delimiter_name):
            for batch in self._open(source, passed):
                if batch.num_rows == 0:
                    continue
                # Before the i-th record passed over, its number - 1 - i others were handed on.
                before = np.array(passed, dtype=np.int64) - 1 - np.arange(len(passed))
                kept = self.dialect.skip + done + np.arange(batch.num_rows)
                rows = kept + 1 + np.searchsorted(before, kept, side="right")
                skip_header = int(self.dialect.header and done == 0)
                done += batch.num_rows
                yield self._filled(batch.slice(skip_header), rows[skip_header:])

    def _open(self, source: streams.Stream, passed: list[int]) -> Iterator[pa.RecordBatch]:
        names = [str(i) for i in range(self.n_columns)]

        def pass_over(row: Any) -> str:
            passed.append(row.number)
            text = row.text.rstrip("\r\n")
            if text.strip():
                separator = self.dialect.separator.decode()
                self.malformed.append((row.number, text.replace(separator, self.dialect.delimiter)))
            return "skip"

        quoted = self.dialect.quoted
        reader: Iterator[pa.RecordBatch] = pacsv.open_csv(
            pa.PythonFile(source, mode="r"),
            pacsv.ReadOptions(
                use_threads=False,  # rows are numbered only then
                block_size=_BLOCK,
                skip_rows=self.dialect.skip,
                column_names=names,
            ),
            pacsv.ParseOptions(
                delimiter=self.dialect.separator.decode(),
                quote_char='"' if quoted else False,
                double_quote=quoted,
                newlines_in_values=quoted,
                ignore_empty_lines=False,  # they count as rows
                invalid_row_handler=pass_over,
            ),
            pacsv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
        return reader

    def _filled(self, batch: pa.RecordBatch, rows: np.ndarray) -> Batch:
        """Return a batch without its blank lines: rows in which no field is filled."""
        columns = {i: batch.column(i) for i in range(batch.num_columns)}
        empty = np.ones(batch.num_rows, dtype=bool)
        for column in columns.values():
            empty &= pc.equal(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
            if not empty.any():
                return Batch(rows, columns, self.dialect.delimiter)
        filled = pa.array(~empty)
        kept = {i: column.filter(filled) for i, column in columns.items()}
        return Batch(rows[~empty], kept, self.dialect.delimiter)


@dataclass
class ParquetTable:
    """A Parquet file."""

    path: Path
    names: tuple[str, ...]
    malformed: list[tuple[int, str]] = field(default_factory=list)

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return len(self.names)

    @property
    def facts(self) -> dict[str, Any]:
        """How the file is written."""
        return {"delimiter": None, "header": True, "encoding": "parquet"}

    def sample(self, column: int) -> list[str]:
        """Return a column's first values as strings."""
        with _parquet_errors(self.path), pq.ParquetFile(self.path) as file:
            name = self.names[column]
            for batch in file.iter_batches(batch_size=200, columns=[name]):
                return [str(v) for v in batch.column(0).drop_null().to_pylist()]
        return []

    def batches(self, columns: Sequence[int]) -> Iterator[Batch]:
        """Yield the rows, of the given columns only; a row's number is its position from 1."""
        columns = sorted(set(columns))
        done = 0
        with _parquet_errors(self.path), pq.ParquetFile(self.path) as file:
            total = file.metadata.num_rows
            wanted = [self.names[i] for i in columns]
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=wanted):
                rows = done + 1 + np.arange(batch.num_rows)
                done += batch.num_rows
                report(f"reading {self.path.name}", done, total)
                by_name = {n: _flat(batch.column(n)) for n in wanted}
                yield Batch(rows, {i: by_name[self.names[i]] for i in columns}, ",")


Table = TextTable | ParquetTable


def open_table(
    path: Path,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    named: Sequence[str | None] = (),
) -> Table:
    """Return a file as a table: Parquet if it is one, delimited text otherwise.

    Raises
    ------
    InputError
        If the file cannot be read as either.
    """
    streams.check_file(path)
    if streams.is_parquet(path):
        with _parquet_errors(path), pq.ParquetFile(path) as file:
            return ParquetTable(path, tuple(file.schema_arrow.names))
    found = dialect.find_dialect(
        path,
        delimiter=delimiter,
        header=header,
        encoding=encoding,
        named=[name for name in named if name is not None],
    )
    return TextTable(path, found)


def as_ids(column: pa.Array) -> pa.Array:
    """Return a column of ids as strings; empty where there is none.

    A float that is whole becomes text with ``.0``, as in a text file, and is treated as there.
    """
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**53))
        safe = pc.if_else(whole, column, 0.0).cast(pa.int64()).cast(pa.string())
        ids = pc.if_else(
            whole, pc.binary_join_element_wise(safe, ".0", ""), column.cast(pa.string())
        )
    else:
        ids = column.cast(pa.string())
    return pc.fill_null(ids, "")


def _flat(column: pa.Array) -> pa.Array:
    """Return a column without dictionary or large-string encoding."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _flat(column.dictionary_decode())
    textual = pa.types.is_large_string(kind) or pa.types.is_binary(kind)
    if textual or pa.types.is_large_binary(kind) or kind == pa.string_view():
        column = column.cast(pa.string())
    return pc.fill_null(column, "") if pa.types.is_string(column.type) else column


def _as_field(column: pa.Array, delimiter: str) -> pa.Array:
    text = column if pa.types.is_string(column.type) else column.cast(pa.string())
    text = pc.fill_null(text, "")
    if delimiter not in (",", ";"):
        return text
    doubled = pc.replace_substring(text, '"', '""')
    quoted = pc.binary_join_element_wise('"', doubled, '"', "")
    return pc.if_else(pc.match_substring_regex(text, f'[{delimiter}"\r\n]'), quoted, text)


@contextmanager
def _parse_errors(path: Path, delimiter: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        if "straddling" in reason:
            reason = "a row is longer than 4 MB; is a quote never closed?"
        msg = f"{path} cannot be read as {delimiter}-separated rows: {reason}"
        raise InputError(msg) from error


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        msg = f"{path} cannot be read as Parquet: {reason}."
        raise InputError(msg) from error
