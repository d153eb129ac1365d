"""Read the parts of files of interactions, several at a time, into rows of codes.

White space around an id belongs to the file, not to the id: it is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from segcli.inputs import tables
from segcli.inputs.batches import Batch, Kinds
from segcli.inputs.form import Form, columns_read
from segcli.inputs.pairs import GroupedRows, Pairs, group_rows
from segcli.inputs.parallel import Threads
from segcli.inputs.rejects import Rejects
from segcli.inputs.sources import Part, Source
from segcli.inputs.values import CODES, POINT, read_times, read_values
from segcli.inputs.vocabulary import Vocabulary


@dataclass(frozen=True)
class Read:
    """A part of a file: its usable rows, and the others.

    Attributes
    ----------
    file : the file's name
    usable : the usable rows, by the codes of their customers and items
    n_records, n_rows : in the part; blank lines and the header are records only
    rows, codes, texts : of each row that cannot be used its number in the part, reason and text
    malformed : number and text of the records with too few or too many fields
    """

    file: str
    usable: GroupedRows
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
            ("value", pa.float64() if self.form.decimal == POINT else pa.string()),
        ):
            column = self.columns[role]
            if column is not None:
                self.kinds[column] = kind

    def gather(self, source: Source, threads: Threads, rejects: Rejects) -> Pairs:
        """Return the rows that can be used; the others go to ``rejects``."""
        gathered = Pairs(self.form.duplicates, threads)
        parts = source.parts(columns_read(self.columns))
        for read in set_aside(threads.map(self.read, parts), rejects):
            gathered.add(read.usable)
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
            values, codes = read_values(
                column, negatives=self.form.negative != "reject", decimal=self.form.decimal
            )
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
        usable = group_rows(customers, items, values, times)
        return Read(part.file, usable, batch.n_records, n, rows, reasons, texts, batch.malformed)

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
