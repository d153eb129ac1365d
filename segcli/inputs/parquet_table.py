"""Read Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segcli.errors import InputError
from segcli.inputs.arrow import strings, without_nulls
from segcli.inputs.batches import Batch, Kinds, numbered
from segcli.progress import report

_PARQUET_ROWS = 1 << 17
_READ = 1 << 20  # bytes of a column


@dataclass
class ParquetTable:
    """A Parquet file."""

    path: Path
    names: tuple[str, ...]

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
        with _opened(self.path) as file:
            name = self.names[column]
            for batch in file.iter_batches(batch_size=200, columns=[name]):
                return [str(v) for v in batch.column(0).drop_null().to_pylist()]
        return []

    def parts(
        self,
        columns: Sequence[int],
        *,
        row_groups: Sequence[int] | None = None,
        of_files: str = "",
    ) -> Iterator[Batch]:
        """Yield the rows, of the given columns only, and of some row groups only if they are given.

        ``of_files`` are words that say, to whoever watches, which of several files this is.
        """
        columns = sorted(set(columns))
        done = 0
        with _opened(self.path) as file:
            total = file.metadata.num_rows
            wanted = [self.names[i] for i in columns]
            _refuse_nested(self.path, file.schema_arrow, columns)
            for batch in file.iter_batches(
                batch_size=_PARQUET_ROWS, columns=wanted, row_groups=row_groups
            ):
                n = batch.num_rows
                done += n
                report(f"reading {self.path.name}{of_files}", done, total)
                found = {i: self._column(batch, i) for i in columns}
                yield Batch(1 + np.arange(n), found, ",", n)

    def read(self, part: Batch, columns: Sequence[int], kinds: Kinds) -> Batch:
        """Return a part, which is rows already."""
        del columns, kinds
        return part

    def batches(self, columns: Sequence[int]) -> Iterator[Batch]:
        """Yield the rows, of the given columns only; a row's number is its position from 1."""
        return numbered(self.parts(columns))

    def _column(self, batch: pa.RecordBatch, column: int) -> pa.Array:
        try:
            return _flat(batch.column(self._place(batch, column)))
        except pa.ArrowInvalid as error:
            _refuse(self.path, self.names[column], "bytes that are no UTF-8", error)

    def _place(self, batch: pa.RecordBatch, column: int) -> int:
        """Return where a column is among those read: all that have a name that was asked for."""
        name = self.names[column]
        place: int = batch.schema.get_all_field_indices(name)[self.names[:column].count(name)]
        return place


_TEXTUAL = (
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


def _flat(column: pa.Array) -> pa.Array:
    """Return a column as plain strings or numbers, whichever way it is stored."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _flat(column.dictionary_decode())
    if isinstance(kind, pa.UuidType):
        some = column.storage.to_pylist()
        return strings(["" if one is None else str(UUID(bytes=one)) for one in some])
    if isinstance(kind, pa.BaseExtensionType):
        return _flat(column.storage)
    if any(is_textual(kind) for is_textual in _TEXTUAL):
        column = column.cast(pa.string())
    return without_nulls(column) if pa.types.is_string(column.type) else column


def _refuse_nested(path: Path, schema: pa.Schema, columns: Sequence[int]) -> None:
    """Refuse columns of lists, structs and whatever else is no text or number: durations have a unit."""
    for i in columns:
        kind = schema.field(i).type
        if pa.types.is_duration(kind):
            _refuse(path, schema.names[i], str(kind))
        try:
            _flat(pa.nulls(0, kind)).cast(pa.string())
        except pa.ArrowNotImplementedError as error:
            _refuse(path, schema.names[i], f"{kind!s:.80}", error)


def _refuse(path: Path, column: str, held: str, error: Exception | None = None) -> NoReturn:
    msg = (
        f"{path}: column '{column}' holds {held}, not text or numbers. "
        "Name another column, or write this one as text or numbers."
    )
    raise InputError(msg) from error


def open_parquet(path: Path) -> ParquetTable:
    """Return a Parquet file as a table.

    Raises
    ------
    InputError
        If it cannot be read as one.
    """
    with _opened(path) as file:
        return ParquetTable(path, tuple(file.schema_arrow.names))


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file, and refuse one that cannot be read, in the words of what could not read it."""
    try:
        # Read a little at a time: by default all that has been read would be kept until the end.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        msg = f"{path} cannot be read as Parquet: {reason}."
        raise InputError(msg) from error
