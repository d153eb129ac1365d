"""Read interactions on a Spark cluster: a file, a folder of parts, or a URL, into the same triplets.

Parts are read by the readers of `segcli.inputs.tables`, on the workers, so that a row is understood,
or rejected, as it is anywhere. Spark brings the rows of a customer together and customers into
order; each range of customers then becomes a piece of the matrix, and the pieces are joined.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

from segcli.engine.places import SparsePlace, write_blocks
from segcli.engine.scratch import Scratch
from segcli.engine.spark import SparkEngine
from segcli.errors import InputError
from segcli.inputs import tables
from segcli.inputs.dialect import Dialect
from segcli.inputs.locations import Location, Url
from segcli.inputs.pairs import Block, Pairs, group_rows
from segcli.inputs.parallel import Threads
from segcli.inputs.rejects import Rejects
from segcli.inputs.triplets import (
    Form,
    Read,
    Reader,
    Triplets,
    columns_of,
    described,
    finished,
    refuse_nothing,
)
from segcli.inputs.vocabulary import is_float, without_float
from segcli.progress import report

RANGE_ROWS = 1 << 22
"""Rows of a range of customers, about: what one task holds and merges."""

_SENT_ROWS = 2000
_PARTS_PER_FILE = 1 << 10
_ROWS_PER_PART = 2.0**24
_GROUPED = np.dtype([("item", "<i4"), ("value", "<f8")])
_TIMED = np.dtype([*_GROUPED.descr, ("time", "<f8")])


def read_triplets_on(
    engine: SparkEngine, location: Location, form: Form, rejects: Rejects
) -> Triplets:
    """Return the matrix in interactions; rows that cannot be used go to ``rejects``.

    The same as `segcli.inputs.triplets.read_triplets` of the same rows in one file. The matrix's
    arrays are mapped from files in the engine's folder.

    Parameters
    ----------
    engine : who reads
    location : a file, a folder of files that are written alike, or a URL of either
    form, rejects : as there

    Raises
    ------
    InputError
        If a file cannot be read as asked, or no row can be used.
    ChoiceError
        If choices do not go together.
    """
    form.check()
    found = _find(engine, location, form)
    with found.collecting(engine) as reads:
        before, file = 0, None
        for read in reads:
            if read.file != file:
                before, file = 0, read.file
            for part in read.parts:
                rejects.n_rows += part.n_rows + len(part.malformed)
                rejects.add(read.file, before + part.rows, part.codes, part.texts)
                rejects.add_malformed(read.file, [(before + n, text) for n, text in part.malformed])
                before += part.n_records
    if not rejects.n_rows:
        msg = f"{location} has a header and no rows. It needs rows of customer, item and value."
        raise InputError(msg)
    n_rows = sum(read.n_rows for read in reads)
    if not n_rows:
        refuse_nothing(location, rejects)
    items, places = _places([read.items for read in reads])
    customers, matrix = _build(engine, reads, places, len(items), n_rows, form.duplicates)
    return finished(
        location,
        form,
        (matrix, customers, items),
        n_rows=rejects.n_rows,
        n_merged=n_rows - matrix.nnz,
        dialect=described(found.manner.table, found.columns),
        sha256=found.digest(reads),
    )


@dataclass(frozen=True)
class _Grouped:
    """What a task has read.

    Attributes
    ----------
    file : its name
    parts : of each part of the file the counts and rejects; no rows
    n_rows : rows that can be used
    groups : path of an Arrow file of them: customer, and the rows of that customer as bytes
    is_timed : whether a row has a time
    items : ids by the code that stands in the rows
    all_float : whether all customers are written as a float column's whole numbers
    sha256 : of the file, where it was read as a whole
    """

    file: str
    parts: tuple[Read, ...]
    n_rows: int
    groups: str
    is_timed: bool
    items: pa.Array
    all_float: bool
    sha256: str | None


@dataclass(frozen=True)
class _Reading:
    """How to read; what all tasks share."""

    form: Form
    columns: dict[str, int | None]
    kept: Scratch

    def grouped(self, table: tables.Table, parts: Iterable[tuple[int, Any]], file: str) -> _Grouped:
        """Read numbered parts of a table, and write their rows to a file, grouped by customer."""
        reader = Reader(table, self.columns, self.form)
        by_position = self.form.duplicates == "last" and self.columns["timestamp"] is None
        is_timed = self.form.duplicates == "last"
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
        schema = pa.schema([("customer", pa.string()), ("rows", pa.binary())])
        with pa.OSFile(str(path), "wb") as file_, pa.ipc.new_file(file_, schema) as writer:
            for block in blocks:
                writer.write_table(
                    pa.table(
                        [customers.take(pa.array(block.customers)), _packed(block, is_timed)],
                        schema=schema,
                    ),
                    max_chunksize=_SENT_ROWS,
                )
        used = np.unique(
            np.concatenate([block.customers for block in blocks] or [np.zeros(0, np.int32)])
        )
        return _Grouped(
            file,
            tuple(reads),
            sum(len(block.items) for block in blocks),
            str(path),
            is_timed,
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
        dialect = table.dialect if isinstance(table, tables.TextTable) else None
        return cls(table.path, dialect, table.names)

    @property
    def table(self) -> tables.Table:
        """The file as a table."""
        if self.dialect is not None:
            return tables.TextTable(self.path, self.dialect)
        return tables.ParquetTable(self.path, self.names or ())


@dataclass(frozen=True)
class _Lines:
    """The parts of one text file, cut here and parsed by the workers."""

    reading: _Reading
    manner: _Manner
    paths: tuple[str, ...]
    sha256: str | None

    @property
    def columns(self) -> dict[str, int | None]:
        return self.reading.columns

    def run(self, number: int, scratch: Scratch) -> _Grouped:
        del scratch
        part = pickle.loads(Path(self.paths[number]).read_bytes())
        return self.reading.grouped(self.manner.table, [(number, part)], self.manner.path.name)

    def collecting(self, engine: SparkEngine) -> Any:
        n = len(self.paths)
        return engine.collecting(self, n, _telling(self.manner.path.name, n))

    def digest(self, reads: Sequence[_Grouped]) -> str | None:
        del reads
        return self.sha256


@dataclass(frozen=True)
class _Files:
    """Files that are written alike, each read by one worker."""

    reading: _Reading
    manner: _Manner
    names: tuple[str, ...]
    paths: tuple[str, ...]

    @property
    def columns(self) -> dict[str, int | None]:
        return self.reading.columns

    def read(self, number: int, path: Path) -> _Grouped:
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
        parts = (
            (number * _PARTS_PER_FILE + n, part) for n, part in enumerate(table.parts(self._used))
        )
        found = self.reading.grouped(table, parts, self.names[number])
        with path.open("rb") as file:
            return replace(found, sha256=hashlib.file_digest(file, "sha256").hexdigest())

    @property
    def _used(self) -> list[int]:
        return [column for column in self.columns.values() if column is not None]

    def digest(self, reads: Sequence[_Grouped]) -> str | None:
        """Return a digest of the files' names and digests."""
        lines = sorted(f"{read.sha256}  {read.file}\n" for read in reads)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class _LocalFiles(_Files):
    def run(self, number: int, scratch: Scratch) -> _Grouped:
        del scratch
        return self.read(number, Path(self.paths[number]))

    def collecting(self, engine: SparkEngine) -> Any:
        n = len(self.paths)
        return engine.collecting(self, n, _telling(self.manner.path.name, n))


@dataclass(frozen=True)
class _RemoteFiles(_Files):
    def run(self, number: int, copy: Path, scratch: Scratch) -> _Grouped:
        del scratch
        return self.read(number, copy)

    def collecting(self, engine: SparkEngine) -> Any:
        return engine.collecting_files(self, self.paths)


@dataclass(frozen=True)
class _RowGroups:
    """A Parquet file, of which each task reads some row groups."""

    reading: _Reading
    manner: _Manner
    groups: tuple[tuple[int, ...], ...]

    @property
    def columns(self) -> dict[str, int | None]:
        return self.reading.columns

    def run(self, number: int, scratch: Scratch) -> _Grouped:
        del scratch
        used = sorted({column for column in self.columns.values() if column is not None})
        table = tables.ParquetTable(self.manner.path, self.manner.names or ())
        parts = table.parts(used, row_groups=self.groups[number])
        numbered = enumerate(parts, start=number * _PARTS_PER_FILE)
        return self.reading.grouped(table, numbered, table.path.name)

    def collecting(self, engine: SparkEngine) -> Any:
        n = len(self.groups)
        return engine.collecting(self, n, _telling(self.manner.path.name, n))

    def digest(self, reads: Sequence[_Grouped]) -> str | None:
        del reads
        return None  # it is not read as it lies


_Found = _Lines | _LocalFiles | _RemoteFiles | _RowGroups


@dataclass(frozen=True)
class _Customers:
    """The rows that were read, by customer, and how a range of customers becomes a matrix."""

    reads: tuple[tuple[str, bool], ...]
    places: tuple[np.ndarray, ...]
    n_items: int
    way: str
    all_float: bool
    kept: Scratch

    schema = "key string, part long, rows binary"

    def rows(self, number: int) -> Iterator[pa.RecordBatch]:
        path, _ = self.reads[number]
        with pa.memory_map(path) as file, pa.ipc.open_file(file) as reader:
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                customers = batch.column(0)
                if self.all_float:
                    customers = without_float(customers)
                part = pa.array(np.full(len(batch), number))
                yield pa.RecordBatch.from_arrays(
                    [customers, part, batch.column(1)], names=["key", "part", "rows"]
                )

    def make(self, rows: pa.Table, scratch: Scratch) -> _Piece:
        del scratch
        encoded = pa.concat_arrays(rows.column("key").chunks).dictionary_encode()
        kind = _TIMED if self.reads[0][1] else _GROUPED
        content, lengths = _unpacked(rows.column("rows"), kind)
        parts = rows.column("part").to_numpy()
        starts = np.cumsum([0, *map(len, self.places)])
        places = np.concatenate([np.asarray(one) for one in self.places])
        items = places[np.repeat(starts[parts], lengths) + content["item"]]
        customers = np.repeat(encoded.indices.to_numpy(), lengths)
        times = np.ascontiguousarray(content["time"]) if "time" in (kind.names or ()) else None
        n = len(encoded.dictionary)
        with ThreadPoolExecutor(1) as pool:
            pairs = Pairs(self.way, Threads(1, pool))
            pairs.add(
                group_rows(
                    customers.astype(np.int32),
                    items.astype(np.int32),
                    np.ascontiguousarray(content["value"]),
                    times,
                )
            )
            matrix = pairs.finish(
                np.arange(n, dtype=np.int32),
                np.arange(self.n_items, dtype=np.int32),
                (n, self.n_items),
            )
        return _Piece(write_blocks([matrix], self.kept), encoded.dictionary)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Piece:
    """The matrix of a range of customers, and their ids in order."""

    matrix: SparsePlace
    customers: pa.Array


def _find(engine: SparkEngine, location: Location, form: Form) -> _Found:
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
    if isinstance(table, tables.ParquetTable):
        with pq.ParquetFile(path) as file:
            n_groups = file.metadata.num_row_groups
        n_tasks = max(min(engine.n_tasks, n_groups), 1)
        shares = np.array_split(np.arange(n_groups), n_tasks)
        return _RowGroups(reading, _Manner.of(table), tuple(tuple(one.tolist()) for one in shares))
    used = [column for column in reading.columns.values() if column is not None]
    paths = []
    for part in table.parts(used):
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


def _telling(name: str, n: int) -> Callable[[int], None]:
    return lambda done: report(f"reading {name}", done, n)


def _listed(table: tables.Table) -> str:
    return ", ".join(table.names) if table.names is not None else f"{table.n_columns} without names"


def _texts_by_code(vocabulary: Any, used: Sequence[np.ndarray]) -> pa.Array:
    """Return the ids of all codes, trimmed; null for those that no usable row has."""
    texts = vocabulary.texts()
    is_used = np.zeros(len(texts), dtype=bool)
    for codes in used:
        is_used[codes] = True
    return pc.if_else(pa.array(is_used), texts, pa.scalar(None, pa.string()))


def _packed(block: Block, is_timed: bool) -> pa.Array:
    """Return each customer's rows as bytes."""
    rows = np.empty(len(block.items), _TIMED if is_timed else _GROUPED)
    rows["item"], rows["value"] = block.items, block.columns["value"]
    if is_timed:
        rows["time"] = block.columns["time"]
    offsets = (np.asarray(block.indptr, dtype=np.int64) * rows.itemsize).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(rows)]
    return pa.Array.from_buffers(pa.binary(), len(block.customers), buffers)


def _unpacked(column: pa.ChunkedArray, kind: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return all rows, one after another, and how many each customer's bytes held."""
    whole = pa.concat_arrays([chunk.cast(pa.large_binary()) for chunk in column.chunks])
    _, offsets, content = whole.buffers()
    limits = np.frombuffer(offsets, dtype=np.int64, count=len(whole) + 1, offset=8 * whole.offset)
    rows = np.frombuffer(content, dtype=np.uint8)[limits[0] : limits[-1]].view(kind)
    return rows, np.diff(limits) // kind.itemsize


def _places(vocabularies: Sequence[pa.Array]) -> tuple[pa.Array, tuple[np.ndarray, ...]]:
    """Return all items, sorted by code point, and each task's places of its codes among them."""
    distinct = pa.array([], pa.string())
    for texts in vocabularies:
        distinct = pc.unique(pa.concat_arrays([distinct, texts.drop_null()]))
    strip = bool(pc.all(is_float(distinct), min_count=0).as_py())
    if strip:
        distinct = pc.unique(without_float(distinct))
    items = distinct.take(pc.sort_indices(distinct))
    places = []
    for texts in vocabularies:
        found = pc.index_in(without_float(texts) if strip else texts, value_set=items)
        places.append(pc.fill_null(found, 0).to_numpy(zero_copy_only=False))
    return items, tuple(places)


def _build(
    engine: SparkEngine,
    reads: Sequence[_Grouped],
    places: tuple[np.ndarray, ...],
    n_items: int,
    n_rows: int,
    way: str,
) -> tuple[pa.Array, sp.csr_array]:
    """Return the customers, sorted by code point, and the matrix."""
    source = _Customers(
        tuple((read.groups, read.is_timed) for read in reads),
        places,
        n_items,
        way,
        all(read.all_float for read in reads),
        engine.scratch,
    )
    n_ranges = max(engine.n_tasks, -(-n_rows // RANGE_ROWS))
    with engine.collecting_ranges(source, len(reads), n_ranges) as pieces:
        customers = pa.concat_arrays([piece.customers for piece in pieces])
        joined = write_blocks((_mapped(piece.matrix) for piece in pieces), engine.scratch)
    index = np.int32 if max(n_rows, len(customers), n_items) < 2**31 else np.int64
    assert isinstance(joined, SparsePlace)
    data, indices = joined.data.open(), joined.indices.open()
    parts: Any = (data, indices.astype(index, copy=False), joined.indptr.open().astype(index))
    matrix = sp.csr_array(parts, shape=(len(customers), n_items))
    matrix.has_canonical_format = True
    return customers, matrix


def _mapped(place: SparsePlace) -> sp.csr_array:
    parts: Any = (place.data.open(), place.indices.open(), place.indptr.open())
    return sp.csr_array(parts, shape=place.shape)
