"""What there is to read on a cluster, and how its parts are read, each by one worker.

One text file is cut into parts here; of a Parquet file each worker reads some row groups; of a folder
or a URL, whole files. All are read by the readers of `segcli.inputs.tables`, so that a row is understood,
or rejected, as it is anywhere.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segcli.engine.scratch import Scratch
from segcli.engine.spark import Collected, SparkEngine
from segcli.errors import InputError
from segcli.inputs import tables
from segcli.inputs.dialect import Dialect
from segcli.inputs.grouped_rows import Grouped, write_groups
from segcli.inputs.locations import Location, Url
from segcli.inputs.pairs import group_rows
from segcli.inputs.parquet_table import ParquetTable
from segcli.inputs.text_table import TextTable
from segcli.inputs.triplets import Form, Reader, columns_of, columns_read
from segcli.inputs.vocabulary import is_float
from segcli.progress import report

_PARTS_PER_FILE = 1 << 10
_ROWS_PER_PART = 2.0**24


@dataclass(frozen=True)
class _Reading:
    """How to read; what all tasks share."""

    form: Form
    columns: dict[str, int | None]
    kept: Scratch

    def grouped(self, table: tables.Table, parts: Iterable[tuple[int, Any]], file: str) -> Grouped:
        """Read numbered parts of a table, and write their rows to a file, grouped by customer."""
        reader = Reader(table, self.columns, self.form)
        by_position = self.form.duplicates == "last" and self.columns["timestamp"] is None
        reads, blocks = [], []
        for number, part in parts:
            read = reader.read((number, part))
            block = read.block
            if by_position:
                # As floats hold 53 bits, leave more of them to the number of the part.
                at = block.columns["time"] - number * 2.0**32
                block = replace(
                    block, columns={**block.columns, "time": number * _ROWS_PER_PART + at}
                )
            blocks.append(block)
            nothing = group_rows(*(np.zeros(0, np.int32),) * 2, np.zeros(0), None)
            reads.append(replace(read, block=nothing))
        customers = _texts_by_code(reader.customers, [block.customers for block in blocks])
        items = _texts_by_code(reader.items, [block.items for block in blocks])
        path = self.kept.new_path("groups")
        write_groups(path, blocks, customers, is_timed=self.form.duplicates == "last")
        used = np.unique(
            np.concatenate([block.customers for block in blocks] or [np.zeros(0, np.int32)])
        )
        return Grouped(
            file,
            tuple(reads),
            sum(len(block.items) for block in blocks),
            str(path),
            items,
            bool(pc.all(is_float(customers.take(pa.array(used))), min_count=0).as_py()),
            None,
        )


@dataclass(frozen=True)
class _Manner:
    """How a file is written, to be sent to workers.

    Attributes
    ----------
    path : of the file
    dialect : None for Parquet
    names : of the columns; None without a header
    """

    path: Path
    dialect: Dialect | None
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, table: tables.Table) -> _Manner:
        """Return how a table is written."""
        dialect = table.dialect if isinstance(table, TextTable) else None
        return cls(table.path, dialect, table.names)

    @property
    def table(self) -> tables.Table:
        """The file as a table."""
        if self.dialect is not None:
            return TextTable(self.path, self.dialect)
        return ParquetTable(self.path, self.names or ())


@dataclass(frozen=True)
class _Parts:
    """Numbered parts of a source, each of which a task reads.

    Attributes
    ----------
    manner : how they are written
    """

    reading: _Reading
    manner: _Manner

    @property
    def columns(self) -> dict[str, int | None]:
        """The 0-based column of each role, from `columns_of`."""
        return self.reading.columns

    def _collecting(self, engine: SparkEngine, n: int) -> Collected:
        what = f"reading {self.manner.path.name}"
        return engine.collecting(self, n, lambda done: report(what, done, n))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Lines(_Parts):
    """The parts of one text file, cut here and parsed by the workers."""

    paths: tuple[str, ...]
    sha256: str | None

    def run(self, number: int, scratch: Scratch) -> Grouped:
        del scratch
        part = pickle.loads(Path(self.paths[number]).read_bytes())
        return self.reading.grouped(self.manner.table, [(number, part)], self.manner.path.name)

    def collecting(self, engine: SparkEngine) -> Collected:
        return self._collecting(engine, len(self.paths))

    def digest(self, reads: Sequence[Grouped]) -> str | None:
        del reads
        return self.sha256


@dataclass(frozen=True)
class _Files(_Parts):
    """Files that are written alike, each read by one worker."""

    names: tuple[str, ...]
    paths: tuple[str, ...]

    def read(self, number: int, path: Path) -> Grouped:
        """Return what is in a file, refusing one that has other columns than the first."""
        first, dialect = self.manner.table, self.manner.dialect
        table = tables.open_table(
            path,
            delimiter=dialect.delimiter if dialect is not None else None,
            header=dialect.header if dialect is not None else None,
            encoding=self.reading.form.encoding,
        )
        if (table.names, table.n_columns) != (first.names, first.n_columns):
            msg = (
                f"{self.names[number]} has other columns than {first.path.name}: "
                f"{_listed(table)} instead of {_listed(first)}. Parts must be written alike."
            )
            raise InputError(msg)
        parts = enumerate(table.parts(columns_read(self.columns)), start=number * _PARTS_PER_FILE)
        found = self.reading.grouped(table, parts, self.names[number])
        with path.open("rb") as file:
            return replace(found, sha256=hashlib.file_digest(file, "sha256").hexdigest())

    def digest(self, reads: Sequence[Grouped]) -> str | None:
        """Return a digest of the files' names and digests."""
        lines = sorted(f"{read.sha256}  {read.file}\n" for read in reads)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class _LocalFiles(_Files):
    def run(self, number: int, scratch: Scratch) -> Grouped:
        del scratch
        return self.read(number, Path(self.paths[number]))

    def collecting(self, engine: SparkEngine) -> Collected:
        return self._collecting(engine, len(self.paths))


@dataclass(frozen=True)
class _RemoteFiles(_Files):
    def run(self, number: int, copy: Path, scratch: Scratch) -> Grouped:
        del scratch
        return self.read(number, copy)

    def collecting(self, engine: SparkEngine) -> Collected:
        return engine.collecting_files(self, self.paths)


@dataclass(frozen=True)
class _RowGroups(_Parts):
    """A Parquet file, of which each task reads some row groups."""

    groups: tuple[tuple[int, ...], ...]

    def run(self, number: int, scratch: Scratch) -> Grouped:
        del scratch
        table = ParquetTable(self.manner.path, self.manner.names or ())
        parts = table.parts(columns_read(self.columns), row_groups=self.groups[number])
        numbered = enumerate(parts, start=number * _PARTS_PER_FILE)
        return self.reading.grouped(table, numbered, table.path.name)

    def collecting(self, engine: SparkEngine) -> Collected:
        return self._collecting(engine, len(self.groups))

    def digest(self, reads: Sequence[Grouped]) -> str | None:
        del reads
        return None  # it is not read as it lies


Source = _Lines | _LocalFiles | _RemoteFiles | _RowGroups


def find_source(engine: SparkEngine, location: Location, form: Form) -> Source:
    """Return what there is to read, and how it is written as the first file shows."""
    kept = engine.scratch
    if isinstance(location, Path) and not location.is_dir():
        return _single(engine, location, form)
    if isinstance(location, Url):
        listed = [(path, size) for path, size in engine.list_files(location.text)]
    else:
        files = sorted(path for path in location.rglob("*") if path.is_file())
        listed = [(str(path), path.stat().st_size) for path in files]
    inside = {path: _inside(path, str(location)) for path, size in listed if size}
    paths = [path for path, name in inside.items() if not _is_hidden(name)]
    if not paths:
        msg = f"{location} holds no files with rows. Name a folder of CSV or Parquet files."
        raise InputError(msg)
    names = tuple(inside[path] for path in paths)
    if isinstance(location, Path):
        first = Path(paths[0])
        table = _open(first, form)
        reading = _Reading(form, columns_of(table, form), kept)
        return _LocalFiles(reading, _Manner.of(table), names, tuple(paths))
    with engine.collecting_files(_Copy(kept), paths[:1]) as (copy,):
        table = _open(copy, form)
    reading = _Reading(form, columns_of(table, form), kept)
    return _RemoteFiles(reading, _Manner.of(table), names, tuple(paths))


def _single(engine: SparkEngine, path: Path, form: Form) -> _Lines | _RowGroups:
    table = _open(path, form)
    reading = _Reading(form, columns_of(table, form), engine.scratch)
    if isinstance(table, ParquetTable):
        with pq.ParquetFile(path) as file:
            n_groups = file.metadata.num_row_groups
        n_tasks = max(min(engine.n_tasks, n_groups), 1)
        shares = np.array_split(np.arange(n_groups), n_tasks)
        return _RowGroups(reading, _Manner.of(table), tuple(tuple(one.tolist()) for one in shares))
    paths = []
    for part in table.parts(columns_read(reading.columns)):
        spilled = engine.scratch.new_path("lines")
        spilled.write_bytes(pickle.dumps(part, protocol=pickle.HIGHEST_PROTOCOL))
        paths.append(str(spilled))
    sha256 = table.digest.hexadecimal()
    return _Lines(reading, _Manner.of(table), tuple(paths), sha256)


@dataclass(frozen=True)
class _Copy:
    """Brings a file from where only Spark gets to the shared folder."""

    kept: Scratch

    def run(self, number: int, copy: Path, scratch: Scratch) -> Path:
        del number, scratch
        folder = self.kept.new_path("first")
        folder.mkdir()
        kept = folder / copy.name
        kept.write_bytes(copy.read_bytes())
        return kept


def _open(path: Path, form: Form) -> tables.Table:
    return tables.open_table(
        path,
        delimiter=form.delimiter,
        header=form.header,
        encoding=form.encoding,
        named=(form.customer, form.item, form.value, form.timestamp),
    )


def _inside(path: str, folder: str) -> str:
    """Return a path from a folder on; of a file that is no folder's, its name."""
    _, _, name = path.partition(folder.rpartition("://")[2].rstrip("/") + "/")
    return name or path.rpartition("/")[2]


def _is_hidden(name: str) -> bool:
    """Return whether a file is one of those that say how the others in a folder were written."""
    return any(part.startswith(("_", ".")) for part in name.split("/"))


def _listed(table: tables.Table) -> str:
    return ", ".join(table.names) if table.names is not None else f"{table.n_columns} without names"


def _texts_by_code(vocabulary: Any, used: Sequence[np.ndarray]) -> pa.Array:
    """Return the ids of all codes, trimmed; null for those that no usable row has."""
    texts = vocabulary.texts()
    is_used = np.zeros(len(texts), dtype=bool)
    for codes in used:
        is_used[codes] = True
    return pc.if_else(pa.array(is_used), texts, pa.scalar(None, pa.string()))
