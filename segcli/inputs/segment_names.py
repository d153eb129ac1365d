"""Read the names that a person gives segments, from a table such as segment_summary.csv."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc

from segcli.errors import InputError
from segcli.inputs import tables
from segcli.inputs.columns import plain
from segcli.inputs.vocabulary import plain_numbers

_SEGMENT, _NAME, _CUSTOMERS = "segment", "name", "customers"
_MARKED_BY = "markedby"  # as `plain` has it
_WAY_OUT = (
    "Write it like segment_summary.csv: a header with segment, name and customers (their number "
    "identifies the segment), and a row for each segment."
)


def read_segment_names(path: Path, sizes: Sequence[int]) -> list[str]:
    """Return the names given to segments, in their order; empty where none is given.

    What marks a segment, in a column ``marked_by``, is no name that a person gave.

    Segments are numbered anew whenever they are made, so names may outlive what they were given to: by
    the number of its customers a segment is known again.

    Parameters
    ----------
    path : delimited text or Parquet with the columns ``segment``, ``name`` and ``customers``, others aside
    sizes : the customers of each segment

    Raises
    ------
    InputError
        If the file cannot be read, has other columns or two of a kind, or names a segment that there
        is not, or that has another number of customers, or one twice.
    """
    names = [""] * len(sizes)
    found: dict[int, int] = {}
    for row, number, name, customers in _rows(path):
        here = f"{path.name}, row {row:,}"
        if number not in map(str, range(len(sizes))):
            numbers = f"segments are 0 to {len(sizes) - 1}" if len(sizes) > 1 else "there is only 0"
            msg = f"{here}: there is no segment {number!r}; {numbers}."
            raise InputError(msg)
        segment = int(number)
        if segment in found:
            msg = f"{here}: segment {segment} is already in row {found[segment]:,}. Name it once."
            raise InputError(msg)
        if name and customers != str(sizes[segment]):
            msg = (
                f"{here}: segment {segment} has {sizes[segment]:,} customers, not {customers!r}: "
                "were these names given to other segments? Make the report without them, and name the "
                "segments in a copy of its segment_summary.csv."
            )
            raise InputError(msg)
        found[segment] = row
        names[segment] = name
    if not found:
        msg = f"{path} has a header and no rows. {_WAY_OUT}"
        raise InputError(msg)
    return names


def _rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield row, segment, name and customers."""
    table = tables.open_table(path, header=True, way_out=_WAY_OUT)
    columns = _columns(table)
    for batch in table.batches(list(columns.values())):
        for row, text in batch.malformed:
            msg = f"{path.name}, row {row:,} does not fit the header: {text!r}. {_WAY_OUT}"
            raise InputError(msg)
        texts = {
            role: pc.utf8_trim_whitespace(tables.as_ids(batch.columns[column]))
            for role, column in columns.items()
        }
        for role in (_SEGMENT, _CUSTOMERS):  # a program may have made them floats
            texts[role] = plain_numbers(texts[role])
        if _MARKED_BY in texts:
            unedited = pc.equal(texts[_NAME], texts[_MARKED_BY])
            texts[_NAME] = pc.if_else(unedited, "", texts[_NAME])
        columns_read = (texts[role].to_pylist() for role in (_SEGMENT, _NAME, _CUSTOMERS))
        yield from zip(batch.rows.tolist(), *columns_read, strict=True)


def _columns(table: tables.Table) -> dict[str, int]:
    """Return the 0-based column of each role; `_MARKED_BY` is not needed."""
    names = [plain(name) for name in table.names or ()]
    for role in (_SEGMENT, _NAME, _CUSTOMERS):
        if role not in names:
            there = ", ".join(table.names or ())
            msg = f"{table.path} has no column '{role}'. It has: {there}. {_WAY_OUT}"
            raise InputError(msg)
        if names.count(role) > 1:
            msg = f"{table.path} has {names.count(role)} columns '{role}'. Keep one."
            raise InputError(msg)
    roles = (_SEGMENT, _NAME, _CUSTOMERS, _MARKED_BY)
    return {role: names.index(role) for role in roles if role in names}
