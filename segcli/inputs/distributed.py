"""Read interactions on a Spark cluster: a file, a folder of parts, or a URL, into the same triplets.

Workers read the parts. Spark brings the rows of a customer together and customers into order; each
range of customers then becomes a piece of the matrix, and the pieces are joined.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from segcli.engine.places import SparsePlace, write_blocks
from segcli.engine.scratch import Scratch
from segcli.engine.spark import SparkEngine
from segcli.inputs.distributed_sources import find_source
from segcli.inputs.form import Form
from segcli.inputs.grouped_rows import TaskRead, read_groups, unpacked
from segcli.inputs.locations import Location, Url
from segcli.inputs.pairs import Pairs, group_rows
from segcli.inputs.parallel import Threads
from segcli.inputs.reader import set_aside
from segcli.inputs.rejects import Rejects
from segcli.inputs.sources import doubts_about_folder
from segcli.inputs.triplets import Log, Triplets, make_triplets, require_rows
from segcli.inputs.vocabulary import are_floats, plain_numbers

RANGE_ROWS = 1 << 22
"""Rows of a range of customers, about: what one task holds and merges."""


def read_triplets_on(
    engine: SparkEngine, location: Location, form: Form, rejects: Rejects
) -> Triplets:
    """Return what `segcli.inputs.triplets.read_triplets` does, read by the workers of a cluster.

    The matrix's arrays are mapped from files in the engine's folder.

    Parameters
    ----------
    engine : who reads
    location : a file, a folder of files that are written alike, or a URL of either
    form, rejects : as there

    Raises
    ------
    InputError
        If a file cannot be read as asked, or no row can be used.
    """
    found = find_source(engine, location, form)
    log = Log(location, form, found.table, found.reading.columns)
    with found.collecting(engine) as reads:
        for _ in set_aside((part for read in reads for part in read.parts), rejects):
            pass
    n_rows = sum(read.n_rows for read in reads)
    require_rows(log, n_rows, rejects)
    items, places = _places([read.items for read in reads], several=found.n_files > 1)
    customers, blocks = _build(engine, reads, places, len(items), n_rows, form.duplicates)
    is_folder = engine.is_folder if isinstance(location, Url) else os.path.isdir
    return make_triplets(
        log,
        (blocks, customers, items),
        rejects,
        n_usable=n_rows,
        n_files=found.n_files,
        doubts=[*doubts_about_folder(location, is_folder), *found.doubts(reads)],
        sha256=found.digest(reads),
    )


def _places(
    vocabularies: Sequence[pa.Array], *, several: bool
) -> tuple[pa.Array, tuple[np.ndarray, ...]]:
    """Return all items, sorted by code point, and each task's places of its codes among them."""
    distinct = pa.array([], pa.string())
    for texts in vocabularies:
        distinct = pc.unique(pa.concat_arrays([distinct, texts.drop_null()]))
    strip = are_floats(distinct, several=several)
    if strip:
        distinct = pc.unique(plain_numbers(distinct))
    items = distinct.take(pc.sort_indices(distinct))
    places = []
    for texts in vocabularies:
        found = pc.index_in(plain_numbers(texts) if strip else texts, value_set=items)
        places.append(pc.fill_null(found, 0).to_numpy(zero_copy_only=False))
    return items, tuple(places)


def _build(
    engine: SparkEngine,
    reads: Sequence[TaskRead],
    places: tuple[np.ndarray, ...],
    n_items: int,
    n_rows: int,
    way: str,
) -> tuple[pa.Array, list[sp.csr_array]]:
    """Return the customers, sorted by code point, and the matrix, in one block."""
    source = _Customers(
        tuple(read.groups for read in reads),
        places,
        n_items,
        way,
        all(read.are_floats for read in reads),
        engine.scratch,
    )
    n_ranges = max(engine.n_tasks, -(-n_rows // RANGE_ROWS))
    made = engine.collecting_ranges(source, len(reads), n_ranges)
    with made as pieces, engine.using_storage():
        customers = pa.concat_arrays([piece.customers for piece in pieces])
        # Joined, as each piece would take two open files.
        joined = write_blocks((_mapped(piece.matrix) for piece in pieces), engine.scratch)
    assert isinstance(joined, SparsePlace)
    return customers, [_mapped(joined)]


@dataclass(frozen=True)
class _Customers:
    """The rows that were read, by customer, and how a range of customers becomes a matrix."""

    groups: tuple[str, ...]
    places: tuple[np.ndarray, ...]
    n_items: int
    way: str
    are_floats: bool
    kept: Scratch

    schema = "key string, part long, rows binary"

    def rows(self, number: int) -> Iterator[pa.RecordBatch]:
        for customers, rows in read_groups(self.groups[number]):
            key = plain_numbers(customers) if self.are_floats else customers
            part = pa.array(np.full(len(rows), number))
            yield pa.RecordBatch.from_arrays([key, part, rows], names=["key", "part", "rows"])

    def make(self, rows: pa.Table) -> _Piece:
        encoded = pa.concat_arrays(rows.column("key").chunks).dictionary_encode()
        is_timed = self.way == "last"
        content, lengths = unpacked(rows.column("rows"), is_timed=is_timed)
        parts = rows.column("part").to_numpy()
        starts = np.cumsum([0, *map(len, self.places)])
        places = np.concatenate([np.asarray(one) for one in self.places])
        items = places[np.repeat(starts[parts], lengths) + content["item"]]
        customers = np.repeat(encoded.indices.to_numpy(), lengths)
        times = np.ascontiguousarray(content["time"]) if is_timed else None
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
            blocks = pairs.finish(
                np.arange(n, dtype=np.int32),
                np.arange(self.n_items, dtype=np.int32),
                (n, self.n_items),
            )
        matrix = write_blocks((block.astype(np.float64) for block in blocks), self.kept)
        return _Piece(matrix, encoded.dictionary)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Piece:
    """The matrix of a range of customers, and their ids in order."""

    matrix: SparsePlace
    customers: pa.Array


def _mapped(place: SparsePlace) -> sp.csr_array:
    parts: Any = (place.data.open(), place.indices.open(), place.indptr.open())
    return sp.csr_array(parts, shape=place.shape)
