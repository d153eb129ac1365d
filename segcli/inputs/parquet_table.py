"""Read Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segcli.errors import InputError
from segcli.inputs.arrow import without_nulls
from segcli.inputs.batches import Batch, Kinds, numbered
from segcli.progress import report

_PARQUET_ROWS = 1 << 17


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
        with _parquet_errors(self.path), pq.ParquetFile(self.path) as file:
            name = self.names[column]
            for batch in file.iter_batches(batch_size=200, columns=[name]):
                return [str(v) for v in batch.column(0).drop_null().to_pylist()]
        return []

    def parts(
        self, columns: Sequence[int], row_groups: Sequence[int] | None = None
    ) -> Iterator[Batch]:
        """Yield the rows, of the given columns only, and of some row groups only if they are given."""
        columns = sorted(set(columns))
        done = 0
        with _parquet_errors(self.path), pq.ParquetFile(self.path) as file:
            total = file.metadata.num_rows
            wanted = [self.names[i] for i in columns]
            for batch in file.iter_batches(
                batch_size=_PARQUET_ROWS, columns=wanted, row_groups=row_groups
            ):
                n = batch.num_rows
                done += n
                report(f"reading {self.path.name}", done, total)
                by_name = {name: _flat(batch.column(name)) for name in wanted}
                found = {i: by_name[self.names[i]] for i in columns}
                yield Batch(1 + np.arange(n), found, ",", n)

    def read(self, part: Batch, columns: Sequence[int], kinds: Kinds) -> Batch:
        """Return a part, which is rows already."""
        del columns, kinds
        return part

    def batches(self, columns: Sequence[int]) -> Iterator[Batch]:
        """Yield the rows, of the given columns only; a row's number is its position from 1."""
        return numbered(self.parts(columns))


def _flat(column: pa.Array) -> pa.Array:
    """Return a column without dictionary or large-string encoding."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _flat(column.dictionary_decode())
    textual = pa.types.is_large_string(kind) or pa.types.is_binary(kind)
    if textual or pa.types.is_large_binary(kind) or kind == pa.string_view():
        column = column.cast(pa.string())
    return without_nulls(column) if pa.types.is_string(column.type) else column


def open_parquet(path: Path) -> ParquetTable:
    """Return a Parquet file as a table.

    Raises
    ------
    InputError
        If it cannot be read as one.
    """
    with _parquet_errors(path), pq.ParquetFile(path) as file:
        return ParquetTable(path, tuple(file.schema_arrow.names))


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """Refuse a file that cannot be read as Parquet, in the words of what could not read it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        msg = f"{path} cannot be read as Parquet: {reason}."
        raise InputError(msg) from error
