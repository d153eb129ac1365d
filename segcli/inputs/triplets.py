"""Read (customer, item, value) rows into a sparse matrix with the ids as they were written.

White space around an id belongs to the file, not to the id: it is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from segcli.errors import InputError, OptionError
from segcli.inputs import tables
from segcli.inputs.arrow import strings, to_arrow
from segcli.inputs.batches import Batch, Kinds
from segcli.inputs.columns import KNOWN, Role, plain
from segcli.inputs.dialect import split_row
from segcli.inputs.locations import Location, is_folder, require_local
from segcli.inputs.pairs import WAYS, Block, Pairs, group_rows
from segcli.inputs.parallel import Threads, open_threads
from segcli.inputs.rejects import Rejects
from segcli.inputs.sources import Part, Source, digest_of, list_files, open_first
from segcli.inputs.text_table import TextTable
from segcli.inputs.values import (
    CODES,
    OUT_OF_RANGE,
    is_number_otherwise,
    read_times,
    read_values,
)
from segcli.inputs.vocabulary import Vocabulary

_LOOKED_AT = 100  # rejects, for what they have in common: the first may be a header

#: What becomes of negative values.
NEGATIVES = ("reject", "keep", "net")


@dataclass(frozen=True)
class Form:
    """What the user says of a file of interactions; None is left to be found out.

    ``value`` may be empty or ``none``: each row then counts 1.
    """

    customer: str | None = None
    item: str | None = None
    value: str | None = None
    timestamp: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    encoding: str | None = None
    duplicates: str = "sum"
    negative: str = "reject"

    def check(self) -> None:
        """Refuse choices that do not exist or do not go together.

        Raises
        ------
        OptionError
        """
        for option, choice, choices in (
            ("--duplicates", self.duplicates, WAYS),
            ("--negative", self.negative, NEGATIVES),
        ):
            if choice not in choices:
                msg = f"{option} {choice} does not exist. Choose one of {', '.join(choices)}."
                raise OptionError(msg)
        if self.negative == "net" and self.duplicates != "sum":
            msg = (
                f"--negative net sums a pair's values, so it cannot go with --duplicates "
                f"{self.duplicates}. Leave out one of them."
            )
            raise OptionError(msg)


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
    sha256: str | None


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
        If choices do not go together.
    """
    form.check()
    path = require_local(location)
    files = list_files(path)
    first = open_first(files, partial(open_file, form=form))
    source = Source(first, files, form.header, form.encoding)
    columns = columns_of(first, form)
    with open_threads() as threads:
        reader = Reader(columns, form)
        rows = reader.gather(source, threads, rejects)
        pa.default_memory_pool().release_unused()
        if not rejects.n_rows:
            msg = f"{path} has a header and no rows. It needs rows of customer, item and value."
            raise InputError(msg)
        if not rows.n_rows:
            refuse_nothing(path, rejects, first, columns)
        several = len(files) > 1
        sizes = len(reader.customers), len(reader.items)
        used_customers, used_items = (np.ones(n, dtype=bool) for n in sizes)
        if len(rejects):  # there may be ids of which no row can be used
            used_customers, used_items = rows.used(*sizes)
        customers, customer_places = reader.customers.places(used_customers, several=several)
        items, item_places = reader.items.places(used_items, several=several)
        blocks = rows.finish(customer_places, item_places, (len(customers), len(items)))
    return finished(
        path,
        form,
        (blocks, customers, items),
        n_usable=rows.n_rows,
        n_files=len(files),
        n_rows=rejects.n_rows,
        dialect=described(first, columns, form),
        sha256=digest_of(source.digests) if is_folder(path) else source.digests[0][1],
    )


def finished(
    path: Location,
    form: Form,
    merged: tuple[Sequence[sp.csr_array], pa.Array, pa.Array],
    *,
    n_usable: int,
    n_files: int,
    n_rows: int,
    dialect: dict[str, Any],
    sha256: str | None,
) -> Triplets:
    """Return triplets of a matrix and its ids, without the pairs that add up to nothing.

    Raises
    ------
    InputError
        If no pair is left.
    """
    blocks, customers, items = merged
    n_pairs = sum(block.nnz for block in blocks)
    n_cancelled = 0
    if form.negative != "reject":  # positive values do not add up to nothing
        left = [block.data > 0 if form.negative == "net" else block.data != 0 for block in blocks]
        n_cancelled = n_pairs - sum(int(np.count_nonzero(of_block)) for of_block in left)
    if n_cancelled == n_pairs:
        msg = (
            f"{path}: the values of every pair add up to nothing, so no interaction is left. "
            "Leave out negative values instead: --negative reject."
        )
        raise InputError(msg)
    if n_cancelled:
        blocks, customers, items = _without_cancelled(blocks, left, customers, items)
    return Triplets(
        blocks=blocks,
        customers=customers,
        items=items,
        n_files=n_files,
        n_rows=n_rows,
        n_merged=n_usable - n_pairs,
        n_cancelled=n_cancelled,
        dialect=dialect,
        sha256=sha256,
    )


def open_file(path: Path, form: Form) -> tables.Table:
    """Return a file as a table, by what the user says of it.

    Raises
    ------
    InputError
        If it cannot be read as asked.
    """
    return tables.open_table(
        path,
        delimiter=form.delimiter,
        header=form.header,
        encoding=form.encoding,
        named=(form.customer, form.item, form.value, form.timestamp),
    )


def columns_of(table: tables.Table, form: Form) -> dict[str, int | None]:
    """Return the 0-based column of each role, None for one that the table does not have."""
    no_value = form.value is not None and form.value.strip().lower() in ("", "none")
    if no_value and table.names is not None and form.value in table.names:
        no_value = False
    roles = [
        Role("customer", form.customer, "--customer", 1),
        Role("item", form.item, "--item", 2),
    ]
    if not no_value:
        roles.append(Role("value", form.value, "--value", 3, needed=False))
    by_time = form.duplicates == "last"
    if form.timestamp is not None or table.names is not None:
        roles.append(
            Role("timestamp", form.timestamp, "--timestamp", None, needed=False, read=by_time)
        )
    elif not no_value and _holds_times(table):
        roles.append(Role("timestamp", None, "--timestamp", 4, needed=False))
    # A header may say that the third column is a time: it is then no value.
    roles.sort(key=lambda role: role.name == "value")
    chosen = tables.columns_by_role(table, roles)
    chosen.setdefault("value", None)
    chosen["timestamp"] = chosen.get("timestamp") if by_time else None
    return chosen


def columns_read(columns: Mapping[str, int | None]) -> list[int]:
    """Return the columns that are read, given the column of each role."""
    return [column for column in columns.values() if column is not None]


def _holds_times(table: tables.Table) -> bool:
    """Return whether the fourth column of a table without a header reads as times."""
    if table.names is not None or table.n_columns < 4:
        return False
    times = read_times(strings(table.sample(3)))
    return len(times) > 0 and bool(np.isfinite(times).all())


@dataclass(frozen=True)
class Read:
    """A part of a file: its usable rows, and the others.

    Attributes
    ----------
    file : the file's name
    block : the usable rows, by the codes of their customers and items
    n_records, n_rows : in the part; blank lines and the header are records only
    rows, codes, texts : of each row that cannot be used its number in the part, reason and text
    malformed : number and text of the records with too few or too many fields
    """

    file: str
    block: Block
    n_records: int
    n_rows: int
    rows: np.ndarray
    codes: np.ndarray
    texts: list[str]
    malformed: list[tuple[int, str]]


@dataclass
class Reader:
    """Reads the parts of tables, several at a time.

    Attributes
    ----------
    columns : the 0-based column of each role, from `columns_of`
    form : what the user says of the files
    customers, items : the ids met so far
    """

    columns: dict[str, int | None]
    form: Form
    customers: Vocabulary = field(default_factory=Vocabulary)
    items: Vocabulary = field(default_factory=Vocabulary)
    kinds: Kinds = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role, kind in (
            ("customer", pa.uint32()),
            ("item", pa.uint32()),
            ("value", pa.float64()),
        ):
            column = self.columns[role]
            if column is not None:
                self.kinds[column] = kind

    def gather(self, source: Source, threads: Threads, rejects: Rejects) -> Pairs:
        """Return the rows that can be used; the others go to ``rejects``."""
        gathered = Pairs(self.form.duplicates, threads)
        parts = source.parts(columns_read(self.columns))
        for read in set_aside(threads.map(self.read, parts), rejects):
            gathered.add(read.block)
        return gathered

    def read(self, part: Part) -> Read:
        """Return what is in a part."""
        batch = part.table.read(part.content, columns_read(self.columns), self.kinds)  # type: ignore[arg-type]
        n = len(batch.rows)
        customers = self.customers.encode(self._ids(batch, "customer"))
        items = self.items.encode(self._ids(batch, "item"))
        if self.columns["value"] is None:
            values, codes = np.ones(n), np.zeros(n, dtype=np.uint8)
        else:
            column = batch.columns[self.columns["value"]]
            values, codes = read_values(column, negatives=self.form.negative != "reject")
        times = None
        if self.columns["timestamp"] is not None:
            times = read_times(batch.columns[self.columns["timestamp"]])
            unread = (codes == 0) & np.isnan(times)
            codes[unread] = CODES["timestamp is not a number or an ISO date"]
        elif self.form.duplicates == "last":
            times = part.number * 2.0**32 + np.arange(n)  # the last in the files
        for ids, reason in ((items, "no item"), (customers, "no customer")):  # the first stays
            if n and ids.min() < 0:
                codes[ids < 0] = CODES[reason]
        bad = codes != 0
        rows, reasons, texts = batch.rows[bad], codes[bad], []
        if len(rows):
            texts = batch.texts(bad)
            good = ~bad
            customers, items, values = customers[good], items[good], values[good]
            times = times[good] if times is not None else None
        block = group_rows(customers, items, values, times)
        return Read(part.file, block, batch.n_records, n, rows, reasons, texts, batch.malformed)

    def _ids(self, batch: Batch, role: str) -> pa.Array:
        column = batch.columns[self.columns[role]]  # type: ignore[index]  # always chosen
        numbers = _as_numbers(column)
        return tables.as_ids(column) if numbers is None else numbers


def set_aside(reads: Iterable[Read], rejects: Rejects) -> Iterator[Read]:
    """Yield parts in the order of the files, once their rows that cannot be used are in ``rejects``."""
    before, file = 0, None
    for read in reads:
        if read.file != file:
            before, file = 0, read.file
        rejects.n_rows += read.n_rows + len(read.malformed)
        rejects.add(read.file, before + read.rows, read.codes, read.texts)
        rejects.add_malformed(read.file, [(before + n, text) for n, text in read.malformed])
        before += read.n_records
        yield read


def _as_numbers(ids: pa.Array) -> pa.Array | None:
    """Return ids as numbers of the kind that `Vocabulary` takes, if they are; some may be missing."""
    if not pa.types.is_integer(ids.type) or ids.null_count:
        return None
    try:
        return ids.cast(pa.uint32())
    except pa.ArrowInvalid:  # negative, or too large
        return None


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


def described(table: tables.Table, columns: dict[str, int | None], form: Form) -> dict[str, Any]:
    """Return how a table is written, and its columns used: by name, or position without a header.

    With those that are not, ``unused``, where one of them may be the value and none was found.
    """
    used: Iterator[tuple[str, int]] = (
        (role, column) for role, column in columns.items() if column is not None
    )
    by_role = {role: table.names[i] if table.names is not None else i + 1 for role, i in used}
    found = {**table.facts, "columns": by_role}
    if table.names is not None and form.value is None and columns["value"] is None:
        found["unused"] = [
            name
            for name in table.names
            if name.strip()
            and name not in by_role.values()
            and plain(name) not in KNOWN["timestamp"]
        ]
    return found


def refuse_nothing(
    path: Location, rejects: Rejects, table: tables.Table, columns: Mapping[str, int | None]
) -> None:
    """Refuse interactions of which no row can be used.

    Raises
    ------
    InputError
    """
    if rejects.n_rows == 1:
        msg = f"The only row of {path} cannot be used: {rejects.first()}."
    else:
        counts = "; ".join(f"{reason}: {n:,}" for reason, n in rejects.by_reason().items())
        msg = (
            f"None of the {rejects.n_rows:,} rows of {path} can be used ({counts}). "
            f"The first is {rejects.first()}."
        )
    texts = rejects.texts("value is not a number", _LOOKED_AT)
    if any(is_number_otherwise(_value_in(text, table, columns)) for text in texts):
        msg += " Decimals are written with a point, without thousands separators or currency signs."
    elif texts:
        msg += " Name the column with --value; '--value none' counts each row as 1."
    elif rejects.texts(OUT_OF_RANGE, 1):
        msg += " Write the values in another unit."
    elif rejects.texts("value is negative", 1):
        msg += " '--negative keep' keeps them."
    raise InputError(msg)


def _value_in(text: str, table: tables.Table, columns: Mapping[str, int | None]) -> str:
    """Return the value in the text of a row that was read."""
    column = columns["value"]
    assert column is not None  # otherwise no row is rejected for it
    if isinstance(table, TextTable):
        fields = split_row(text, table.dialect.delimiter, quoted=table.dialect.quoted)
    else:  # in whose text is only what was read
        fields, column = split_row(text, ","), sorted(columns_read(columns)).index(column)
    return "".join(fields[column : column + 1])
