"""What there is to read on a cluster, and how its parts are read, each by one worker.

One text file is cut into parts here; of a Parquet file each worker reads some row groups; of a folder
or a URL, whole files. All are read by the readers of `segcli.inputs.tables`, so that a row is understood,
or rejected, as it is anywhere.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segcli.engine.scratch import Scratch
from segcli.engine.spark import SparkEngine
from segcli.inputs import tables
from segcli.inputs.dialect import BlankError, Dialect
from segcli.inputs.form import Form, columns_of, columns_read, open_file
from segcli.inputs.grouped_rows import Grouped, write_groups
from segcli.inputs.locations import Location
from segcli.inputs.pairs import group_rows
from segcli.inputs.parquet_table import ParquetTable
from segcli.inputs.reader import Reader
from segcli.inputs.sources import (
    Part,
    digest_of,
    doubts_about,
    is_hidden,
    list_files,
    open_first,
    open_like,
    refuse_empty,
    sha256_of,
)
from segcli.inputs.text_table import TextTable
from segcli.inputs.vocabulary import are_floats
from segcli.progress import report

_ROWS_PER_TASK = 2.0**36
"""More than any file holds; floats, which hold 53 bits, then tell the rows of 2^17 tasks apart."""


@dataclass(frozen=True)
class _Reading:
    """How to read; what all tasks share."""

    form: Form
    columns: dict[str, int | None]
    kept: Scratch
    several: bool = False

    def grouped(
        self, task: int, file: str, contents: Iterable[Any], table: tables.Table
    ) -> Grouped:
        """Read parts of a file, and write their rows to another, grouped by customer.

        Parameters
        ----------
        task : its number; tasks are in the order of the rows
        file : the name by which messages and rejects know it
        contents : of the parts, as the table's `parts` yields them
        table : the file
        """
        reader = Reader(self.columns, self.form)
        by_position = self.form.duplicates == "last" and self.columns["timestamp"] is None
        reads, blocks = [], []
        before = task * _ROWS_PER_TASK
        for content in contents:
            read = reader.read(Part(table, file, 0, content))
            block = read.block
            if by_position:  # the reader knows of no part before
                time = before + block.columns["time"]
                block = replace(block, columns={**block.columns, "time": time})
            before += read.n_rows
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
            are_floats(customers.take(pa.array(used)), several=self.several),
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

    def doubts(self, reads: Sequence[Grouped]) -> list[str]:
        """Return what to look at twice in how the files are written, once they have been read."""
        del reads
        return doubts_about(self.manner.table, self.manner.path.name)

    def _collecting(self, engine: SparkEngine, n: int) -> AbstractContextManager[list[Any]]:
        what = f"reading {self.manner.path.name}"
        return engine.collecting(self, n, lambda done: report(what, done, n))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Lines(_Parts):
    """The parts of one text file, cut here and parsed by the workers."""

    paths: tuple[str, ...]
    sha256: str | None
    n_files = 1

    def run(self, number: int) -> Grouped:
        content = pickle.loads(Path(self.paths[number]).read_bytes())
        return self.reading.grouped(number, self.manner.path.name, [content], self.manner.table)

    def collecting(self, engine: SparkEngine) -> AbstractContextManager[list[Any]]:
        return self._collecting(engine, len(self.paths))

    def digest(self, reads: Sequence[Grouped]) -> str | None:
        del reads
        return self.sha256


@dataclass(frozen=True)
class _Files(_Parts):
    """Files that are written alike, each read by one worker."""

    names: tuple[str, ...]
    paths: tuple[str, ...]

    @property
    def n_files(self) -> int:
        """How many files there are."""
        return len(self.paths)

    def read(self, number: int, path: Path) -> Grouped:
        """Return what is in a file, refusing one that has other columns than the first."""
        name = self.names[number]
        form = self.reading.form
        table = self.manner.table
        contents: Iterable[Any] = ()
        doubts = list[str]()
        with suppress(BlankError):
            table = open_like(table, path, name, form.header, form.encoding)
            contents = table.parts(columns_read(self.columns))
            doubts = doubts_about(table, name)
        found = self.reading.grouped(number, name, contents, table)
        return replace(found, sha256=sha256_of(path), doubts=tuple(doubts))

    def doubts(self, reads: Sequence[Grouped]) -> list[str]:
        """Return what to look at twice in how the files are written, once they have been read."""
        return [doubt for read in reads for doubt in read.doubts]

    def digest(self, reads: Sequence[Grouped]) -> str | None:
        """Return a digest of the files' names and digests."""
        return digest_of((read.file, str(read.sha256)) for read in reads)


@dataclass(frozen=True)
class _LocalFiles(_Files):
    def run(self, number: int) -> Grouped:
        return self.read(number, Path(self.paths[number]))

    def collecting(self, engine: SparkEngine) -> AbstractContextManager[list[Any]]:
        return self._collecting(engine, len(self.paths))


@dataclass(frozen=True)
class _RemoteFiles(_Files):
    def run(self, number: int, copy: Path) -> Grouped:
        return self.read(number, copy)

    def collecting(self, engine: SparkEngine) -> AbstractContextManager[list[Any]]:
        return engine.collecting_files(self, self.paths)


@dataclass(frozen=True)
class _RowGroups(_Parts):
    """A Parquet file, of which each task reads some row groups."""

    groups: tuple[tuple[int, ...], ...]
    n_files = 1

    def run(self, number: int) -> Grouped:
        table = ParquetTable(self.manner.path, self.manner.names or ())
        groups = table.parts(columns_read(self.columns), row_groups=self.groups[number])
        return self.reading.grouped(number, table.path.name, groups, table)

    def collecting(self, engine: SparkEngine) -> AbstractContextManager[list[Any]]:
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
    if isinstance(location, Path):
        files = {str(path): name for path, name in list_files(location).items()}
        table = open_first(map(Path, files), partial(open_file, form=form))
        reading = _Reading(form, columns_of(table, form), kept, several=len(files) > 1)
        return _LocalFiles(reading, _Manner.of(table), tuple(files.values()), tuple(files))
    listed = engine.list_files(location.text)
    inside = {path: _inside(path, location.text) for path, size in listed if size}
    found = ((path, name) for path, name in inside.items() if not is_hidden(name))
    files = dict(sorted(found, key=lambda file: file[1].split("/")))  # as those of a folder here
    if not files:
        refuse_empty(location)
    paths = tuple(files)
    with engine.collecting_files(_Copy(kept), paths[:1]) as (copy,):
        table = open_file(copy, form)
    reading = _Reading(form, columns_of(table, form), kept, several=len(files) > 1)
    return _RemoteFiles(reading, _Manner.of(table), tuple(files.values()), paths)


def _single(engine: SparkEngine, path: Path, form: Form) -> _Lines | _RowGroups:
    table = open_file(path, form)
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

    def run(self, number: int, copy: Path) -> Path:
        del number
        folder = self.kept.new_path("first")
        folder.mkdir()
        kept = folder / copy.name
        kept.write_bytes(copy.read_bytes())
        return kept


def _inside(path: str, folder: str) -> str:
    """Return a path from a folder on; of a file that is no folder's, its name."""
    _, _, name = path.partition(folder.rpartition("://")[2].rstrip("/") + "/")
    return name or path.rpartition("/")[2]


def _texts_by_code(vocabulary: Any, used: Sequence[np.ndarray]) -> pa.Array:
    """Return the ids of all codes, trimmed; null for those that no usable row has."""
    texts = vocabulary.texts()
    is_used = np.zeros(len(texts), dtype=bool)
    for codes in used:
        is_used[codes] = True
    return pc.if_else(pa.array(is_used), texts, pa.scalar(None, pa.string()))
