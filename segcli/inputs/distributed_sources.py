"""What there is to read on a cluster, and how its parts are read, each by one worker.

One text file is cut into parts here; of a Parquet file each worker reads some row groups; of a folder
or a URL, whole files. All are read by the readers of `segcli.inputs.tables`, so that a row is understood,
or rejected, as it is anywhere.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
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
from segcli.errors import InputError
from segcli.inputs import tables
from segcli.inputs.dialect import BlankError
from segcli.inputs.form import Form, columns_of, columns_read, open_file
from segcli.inputs.grouped_rows import TaskRead, write_groups
from segcli.inputs.locations import Location, Url, is_folder
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
    ) -> TaskRead:
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
        reads, usable = [], []
        before = task * _ROWS_PER_TASK
        nothing = group_rows(*(np.zeros(0, np.int32),) * 2, np.zeros(0), None)
        for content in contents:
            read = reader.read(Part(table, file, 0, content))
            rows = read.usable
            if by_position:  # the reader knows of no part before
                time = before + rows.columns["time"]
                rows = replace(rows, columns={**rows.columns, "time": time})
            before += read.n_rows
            usable.append(rows)
            reads.append(replace(read, usable=nothing))
        customers = _texts_by_code(reader.customers, [rows.customers for rows in usable])
        items = _texts_by_code(reader.items, [rows.items for rows in usable])
        path = self.kept.new_path("groups")
        write_groups(path, usable, customers, is_timed=self.form.duplicates == "last")
        return TaskRead(
            file,
            tuple(reads),
            sum(len(rows.items) for rows in usable),
            str(path),
            items,
            are_floats(customers, several=self.several),
            None,
        )


@dataclass(frozen=True)
class _Parts:
    """One file in parts, each of which a task reads.

    Attributes
    ----------
    table : the file
    contents : what opens each part
    sha256 : the file's digest; None if it is not read as it lies
    """

    reading: _Reading
    table: tables.Table
    contents: tuple[Callable[[], Iterable[Any]], ...]
    sha256: str | None
    n_files = 1

    def run(self, number: int) -> TaskRead:
        contents = self.contents[number]()
        return self.reading.grouped(number, self.table.path.name, contents, self.table)

    def collecting(self, engine: SparkEngine) -> AbstractContextManager[list[Any]]:
        """Return a context that holds what the tasks have read."""
        return _collecting(self, engine, self.table, len(self.contents))

    def doubts(self, reads: Sequence[TaskRead]) -> list[str]:
        """Return what to look at twice in how the file is written."""
        del reads
        return doubts_about(self.table, self.table.path.name)

    def digest(self, reads: Sequence[TaskRead]) -> str | None:
        """Return the file's digest, if it is known."""
        del reads
        return self.sha256


@dataclass(frozen=True)
class _Files:
    """Files that are written alike, each read by one task.

    Attributes
    ----------
    table : the first that shows how they are written
    names : by which messages and rejects know them
    paths : where they are, here or where only Spark gets
    """

    reading: _Reading
    table: tables.Table
    names: tuple[str, ...]
    paths: tuple[str, ...]

    @property
    def n_files(self) -> int:
        """How many files there are."""
        return len(self.paths)

    def run(self, number: int, copy: Path | None = None) -> TaskRead:
        """Return what is in a file, or its copy, refusing one that has other columns than the first."""
        path, name = copy or Path(self.paths[number]), self.names[number]
        table = self.table
        contents: Iterable[Any] = ()
        doubts = list[str]()
        with suppress(BlankError):
            table = open_like(table, path, name, self.reading.form)
            contents = table.parts(columns_read(self.reading.columns))
            doubts = doubts_about(table, name)
        found = self.reading.grouped(number, name, contents, table)
        return replace(found, sha256=sha256_of(path), doubts=tuple(doubts))

    def collecting(self, engine: SparkEngine) -> AbstractContextManager[list[Any]]:
        """Return a context that holds what the tasks have read."""
        return _collecting(self, engine, self.table, len(self.paths))

    def doubts(self, reads: Sequence[TaskRead]) -> list[str]:
        """Return what to look at twice in how the files are written, once they have been read."""
        return [doubt for read in reads for doubt in read.doubts]

    def digest(self, reads: Sequence[TaskRead]) -> str | None:
        """Return a digest of the files' names and digests."""
        return digest_of((read.file, str(read.sha256)) for read in reads)


@dataclass(frozen=True)
class _RemoteFiles(_Files):
    is_file: bool  # the URL is of a file, not of a folder

    def run(self, number: int, copy: Path | None = None) -> TaskRead:
        assert copy is not None
        with _naming(self.paths[number], copy):
            return super().run(number, copy)

    def collecting(self, engine: SparkEngine) -> AbstractContextManager[list[Any]]:
        return engine.collecting_files(self, self.paths)

    def digest(self, reads: Sequence[TaskRead]) -> str | None:
        return reads[0].sha256 if self.is_file else super().digest(reads)


def _collecting(
    work: Any, engine: SparkEngine, table: tables.Table, n: int
) -> AbstractContextManager[list[Any]]:
    what = f"reading {table.path.name}"
    return engine.collecting(work, n, lambda done: report(what, done, n))


def find_source(engine: SparkEngine, location: Location, form: Form) -> _Parts | _Files:
    """Return what there is to read, and how it is written as the first file shows."""
    if isinstance(location, Url):
        return _remote(engine, location, form)
    if not is_folder(location):
        return _single(engine, location, form)
    files = {str(path): name for path, name in list_files(location).items()}
    paths = [Path(path) for path in files]
    table, columns = open_first(
        paths, partial(open_file, form=form), partial(columns_of, form=form)
    )
    reading = _Reading(form, columns, engine.scratch, several=len(files) > 1)
    return _Files(reading, table, tuple(files.values()), tuple(files))


def _remote(engine: SparkEngine, url: Url, form: Form) -> _RemoteFiles:
    found = ((path, _inside(path, url.text)) for path in engine.list_files(url.text))
    shown = ((path, name) for path, name in found if not is_hidden(name))
    files = dict(sorted(shown, key=lambda file: file[1].split("/")))  # as those of a folder here
    is_of_folder = engine.is_folder(url.text)
    if not files and is_of_folder:
        refuse_empty(url)
    if not files:
        msg = (
            f"{url} is empty, or hidden: its name begins with '.' or '_'. Check how it was made, or "
            "rename it."
        )
        raise InputError(msg)
    open_copy = partial(_open_copy, engine, form)
    table, columns = open_first(files, open_copy, partial(columns_of, form=form))
    several = len(files) > 1
    reading = _Reading(form, columns, engine.scratch, several=several)
    is_file = not several and not is_of_folder
    return _RemoteFiles(reading, table, tuple(files.values()), tuple(files), is_file)


def _single(engine: SparkEngine, path: Path, form: Form) -> _Parts:
    table = open_file(path, form)
    reading = _Reading(form, columns_of(table, form), engine.scratch)
    read = columns_read(reading.columns)
    contents: list[Callable[[], Iterable[Any]]]
    if isinstance(table, ParquetTable):
        with pq.ParquetFile(path) as file:
            n_groups = file.metadata.num_row_groups
        n_tasks = max(min(engine.n_tasks, n_groups), 1)
        shares = [one.tolist() for one in np.array_split(np.arange(n_groups), n_tasks)]
        contents = [partial(table.parts, read, row_groups=share) for share in shares]
        return _Parts(reading, table, tuple(contents), sha256=None)
    contents = []
    for part in table.parts(read):
        spilled = engine.scratch.new_path("lines")
        spilled.write_bytes(pickle.dumps(part, protocol=pickle.HIGHEST_PROTOCOL))
        contents.append(partial(_spilled, str(spilled)))
    return _Parts(reading, table, tuple(contents), table.digest.hexadecimal())


def _spilled(path: str) -> Iterable[Any]:
    """Yield the part of a file that lies there."""
    yield pickle.loads(Path(path).read_bytes())


def _open_copy(engine: SparkEngine, form: Form, path: str) -> tables.Table:
    """Return a file at a URL as a table: a copy of it, brought here."""
    with engine.collecting_files(_Copy(engine.scratch), [path]) as (copy,), _naming(path, copy):
        with engine.using_storage():
            copy.stat()
        return open_file(copy, form)


@contextmanager
def _naming(path: str, copy: Path) -> Iterator[None]:
    """Name a file, and not its copy, in what is wrong with it."""
    try:
        yield
    except InputError as error:
        error.args = (str(error).replace(str(copy), path),)
        raise


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
