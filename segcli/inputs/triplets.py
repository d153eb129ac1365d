"""Read (customer, item, value) rows into a sparse matrix with the ids as they were written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from segcli.errors import InputError
from segcli.inputs import tables
from segcli.inputs.arrow import to_arrow
from segcli.inputs.doubts import doubtful_values
from segcli.inputs.first_rows import split_row
from segcli.inputs.form import Form, columns_of, columns_read, described, open_file
from segcli.inputs.locations import Location, is_folder, require_local
from segcli.inputs.parallel import open_threads
from segcli.inputs.reader import Reader
from segcli.inputs.rejects import Rejects
from segcli.inputs.sources import Source, digest_of, doubts_about_folder, list_files, open_first
from segcli.inputs.text_table import TextTable
from segcli.inputs.values import OUT_OF_RANGE, how_to_write
from segcli.words import counted

_TOLD = 3  # doubts about files
_LOOKED_AT = 100  # rejects, for what they have in common: the first may be a header


@dataclass(frozen=True)
class Triplets:
    """Interactions, read.

    Attributes
    ----------
    blocks : the matrix, in blocks of its rows: csr_arrays of float64, or float32 where that loses nothing
    customers, items : string arrays of ids, sorted by code point, in the matrix's order
    n_files : how many files the rows were in
    n_rows : rows read, rejects included
    n_merged : rows merged into another of the same pair
    n_cancelled : pairs left out because their values add up to nothing
    dialect : how the file, or the first of several, is written, and the columns used
    doubts : what to look at twice, in sentences
    sha256 : the file's digest, or one of several; None where it is not known from reading
    """

    blocks: Sequence[sp.csr_array]
    customers: pa.Array
    items: pa.Array
    n_files: int
    n_rows: int
    n_merged: int
    n_cancelled: int
    dialect: dict[str, Any]
    doubts: list[str]
    sha256: str | None


@dataclass(frozen=True)
class Log:
    """What interactions are read from.

    Attributes
    ----------
    location : where it is, as messages name it
    form : what the user says of it
    table : the file, or the first of several
    columns : its 0-based column of each role
    """

    location: Location
    form: Form
    table: tables.Table
    columns: dict[str, int | None]


def read_triplets(location: Location, form: Form, rejects: Rejects) -> Triplets:
    """Return the matrix of interactions; rows that cannot be used go to ``rejects``.

    Parameters
    ----------
    location : a file, or a folder of files that are written alike, which are read as one
    form : what the user says of it
    rejects : what is added to

    Raises
    ------
    InputError
        If a file cannot be read as asked, or no row can be used.
    OptionError
        If the location is a URL, or what is stated cannot be a delimiter or is no encoding.
    ResourceError
        If the matrix would not fit in memory.
    """
    path = require_local(location)
    files = list_files(path)
    first, columns = open_first(
        files, partial(open_file, form=form), partial(columns_of, form=form)
    )
    source = Source(first, files, form)
    log = Log(path, form, first, columns)
    with open_threads() as threads:
        reader = Reader(log.columns, form)
        rows = reader.gather(source, threads, rejects)
        pa.default_memory_pool().release_unused()
        require_rows(log, rows.n_rows, rejects)
        several = len(files) > 1
        sizes = len(reader.customers), len(reader.items)
        used_customers, used_items = (np.ones(n, dtype=bool) for n in sizes)
        if len(rejects):  # there may be ids of which no row can be used
            used_customers, used_items = rows.used(*sizes)
        customers, customer_places = reader.customers.places(used_customers, several=several)
        items, item_places = reader.items.places(used_items, several=several)
        blocks = rows.finish(customer_places, item_places, (len(customers), len(items)))
    return make_triplets(
        log,
        (blocks, customers, items),
        rejects,
        n_usable=rows.n_rows,
        n_files=len(files),
        doubts=[*doubts_about_folder(path, os.path.isdir), *source.doubts],
        sha256=digest_of(source.digests) if is_folder(path) else source.digests[0][1],
    )


def make_triplets(
    log: Log,
    merged: tuple[Sequence[sp.csr_array], pa.Array, pa.Array],
    rejects: Rejects,
    *,
    n_usable: int,
    n_files: int,
    doubts: Sequence[str],
    sha256: str | None,
) -> Triplets:
    """Return triplets of a matrix and its ids, without the pairs that add up to nothing.

    Parameters
    ----------
    merged : the matrix in blocks, and the ids of customers and items
    n_usable : rows that were merged
    n_files, sha256 : as `Triplets` has them
    doubts : what to look at twice in the folder and in how files are written

    Raises
    ------
    InputError
        If no pair is left.
    """
    blocks, customers, items = merged
    n_pairs = sum(block.nnz for block in blocks)
    n_cancelled = 0
    if log.form.negative != "reject":  # positive values do not add up to nothing
        is_net = log.form.negative == "net"
        left = [block.data > 0 if is_net else block.data != 0 for block in blocks]
        n_cancelled = n_pairs - sum(int(np.count_nonzero(of_block)) for of_block in left)
    if n_cancelled == n_pairs:
        msg = (
            f"{log.location}: every pair's values cancel out, so no interaction is left. "
            "Reject negative values instead: --negative reject."
        )
        raise InputError(msg)
    if n_cancelled:
        blocks, customers, items = _without_cancelled(blocks, left, customers, items)
    return Triplets(
        blocks=blocks,
        customers=customers,
        items=items,
        n_files=n_files,
        n_rows=rejects.n_rows,
        n_merged=n_usable - n_pairs,
        n_cancelled=n_cancelled,
        dialect=described(log.table, log.columns, log.form),
        doubts=_all_doubts(log, doubts, rejects),
        sha256=sha256,
    )


def _without_cancelled(
    blocks: Sequence[sp.csr_array], left: Sequence[np.ndarray], customers: pa.Array, items: pa.Array
) -> tuple[list[sp.csr_array], pa.Array, pa.Array]:
    """Return a matrix of the pairs that are left, and of the customers and items that have any."""
    columns = np.zeros(len(items), dtype=bool)
    for block, of_block in zip(blocks, left, strict=True):
        columns[block.indices[of_block]] = True
    places = (np.cumsum(columns) - 1).astype(np.int32)
    kept, rows = [], []
    for block, of_block in zip(blocks, left, strict=True):
        before = np.concatenate([[0], np.cumsum(of_block)])
        indptr = before[block.indptr]
        rows.append(np.diff(indptr) > 0)
        indptr = np.append(indptr[:-1][rows[-1]], indptr[-1]).astype(block.indptr.dtype)
        parts: Any = (block.data[of_block], places[block.indices[of_block]], indptr)
        kept.append(sp.csr_array(parts, shape=(len(indptr) - 1, int(columns.sum()))))
        kept[-1].has_canonical_format = True
    used = to_arrow(np.concatenate(rows))
    return kept, customers.filter(used), items.filter(to_arrow(columns))


def require_rows(log: Log, n_usable: int, rejects: Rejects) -> None:
    """Refuse interactions of which no row can be used, or that have none.

    Raises
    ------
    InputError
    """
    if n_usable:
        return
    if not rejects.n_rows:
        msg = f"{log.location} has a header and no rows. It needs rows of customer, item and value."
        raise InputError(msg)
    if rejects.n_rows == 1:
        msg = f"The only row of {log.location} cannot be used: {rejects.first()}."
    else:
        counts = "; ".join(f"{reason}: {n:,}" for reason, n in rejects.by_reason().items())
        msg = (
            f"None of the {rejects.n_rows:,} rows of {log.location} can be used ({counts}). "
            f"The first is {rejects.first()}."
        )
    no_numbers = _no_numbers(log, rejects)
    how = how_to_write(no_numbers, log.form.decimal)
    if how is not None:
        msg += f" {how}"
    elif no_numbers:
        msg += " Name the column with --value; '--value none' counts each row as 1."
    elif rejects.texts(OUT_OF_RANGE, 1):
        msg += " Write the values in another unit."
    elif rejects.texts("value is negative", 1):
        msg += " '--negative keep' keeps them."
    raise InputError(msg)


def _all_doubts(log: Log, of_files: Sequence[str], rejects: Rejects) -> list[str]:
    doubts = list(of_files[:_TOLD])
    if len(of_files) > _TOLD:
        doubts.append(f"Files give rise to {counted(len(of_files) - _TOLD, 'more such doubt')}.")
    column = log.columns["value"]
    if column is not None:
        read = log.table.sample(column) if isinstance(log.table, TextTable) else []
        doubts += doubtful_values(read, _no_numbers(log, rejects), log.form.decimal)
    return doubts


def _no_numbers(log: Log, rejects: Rejects) -> list[str]:
    """Return the first values that are no numbers."""
    return [_value_in(text, log) for text in rejects.texts("value is not a number", _LOOKED_AT)]


def _value_in(text: str, log: Log) -> str:
    """Return the value in the text of a row that was read."""
    table, column = log.table, log.columns["value"]
    assert column is not None  # otherwise no row is rejected for it
    if isinstance(table, TextTable):
        fields = split_row(text, table.dialect.delimiter, quoted=table.dialect.quoted)
    else:  # in whose text is only what was read
        fields, column = split_row(text, ","), sorted(columns_read(log.columns)).index(column)
    return "".join(fields[column : column + 1])
