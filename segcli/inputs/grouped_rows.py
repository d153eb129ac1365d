"""Rows that were read on a cluster, by customer, on their way to where a matrix is made of them.

They wait in Arrow files, a record for each customer of a part: the id, and the rows as bytes. So Spark
moves few records, and looks into none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from segcli.inputs.pairs import GroupedRows
from segcli.inputs.reader import Read

_UNTIMED = np.dtype([("item", "<i4"), ("value", "<f8")])
_TIMED = np.dtype([*_UNTIMED.descr, ("time", "<f8")])
_SCHEMA = pa.schema([("customer", pa.string()), ("rows", pa.binary())])
_SENT_ROWS = 2000


@dataclass(frozen=True)
class TaskRead:
    """What a task has read.

    Attributes
    ----------
    file : its name
    parts : of each part of the file the counts and rejects; no rows
    n_rows : rows that can be used
    groups : path of the file of them, from `write_groups`
    items : ids by the code that stands in the rows
    are_floats : whether all customers are written as a float column's whole numbers
    sha256 : of the file, where it was read as a whole
    doubts : likewise, what to look at twice in how it is written, in sentences
    """

    file: str
    parts: tuple[Read, ...]
    n_rows: int
    groups: str
    items: pa.Array
    are_floats: bool
    sha256: str | None
    doubts: tuple[str, ...] = ()


def write_groups(
    path: Path, parts: Sequence[GroupedRows], customers: pa.Array, *, is_timed: bool
) -> None:
    """Write grouped rows.

    Parameters
    ----------
    customers : ids by the code that stands for each
    is_timed : whether a row has a time
    """
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
        for part in parts:
            columns = [customers.take(pa.array(part.customers)), _packed(part, is_timed)]
            writer.write_table(pa.table(columns, schema=_SCHEMA), max_chunksize=_SENT_ROWS)


def read_groups(path: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield customers, as strings, and the rows of each, as bytes."""
    with pa.memory_map(path) as file, pa.ipc.open_file(file) as reader:
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            yield batch.column(0), batch.column(1)


def unpacked(rows: pa.ChunkedArray, *, is_timed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return all rows, one after another, and how many each customer has.

    Parameters
    ----------
    rows : of each customer, as bytes

    Returns
    -------
    rows : structured ndarray of shape (n_rows,): item, value and, if timed, time
    lengths : int64 ndarray of shape (n_customers,)
    """
    kind = _TIMED if is_timed else _UNTIMED
    whole = pa.concat_arrays([chunk.cast(pa.large_binary()) for chunk in rows.chunks])
    _, offsets, content = whole.buffers()
    limits = np.frombuffer(offsets, dtype=np.int64, count=len(whole) + 1, offset=8 * whole.offset)
    content = np.frombuffer(content, dtype=np.uint8)[limits[0] : limits[-1]]
    return content.view(kind), np.diff(limits) // kind.itemsize


def _packed(part: GroupedRows, is_timed: bool) -> pa.Array:
    """Return each customer's rows as bytes."""
    rows = np.empty(len(part.items), _TIMED if is_timed else _UNTIMED)
    rows["item"], rows["value"] = part.items, part.columns["value"]
    if is_timed:
        rows["time"] = part.columns["time"]
    offsets = (np.asarray(part.indptr, dtype=np.int64) * rows.itemsize).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(rows)]
    return pa.Array.from_buffers(pa.binary(), len(part.customers), buffers)
