"""Open a file of rows, delimited text or Parquet, and read it as batches of columns.

Both kinds of table have the same face: names, a number of columns, a sample, and `parts`, which
`read` turns into batches, in any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from segcli.inputs import dialect, streams
from segcli.inputs.arrow import scalar, without_nulls
from segcli.inputs.columns import Role, choose_columns
from segcli.inputs.first_rows import check_first_row
from segcli.inputs.text_table import TextTable

if TYPE_CHECKING:
    from segcli.inputs.parquet_table import ParquetTable

Table: TypeAlias = "TextTable | ParquetTable"


def open_table(
    path: Path,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    named: Sequence[str | None] = (),
    way_out: str = dialect.NAME_IT,
) -> Table:
    """Return a file as a table: Parquet if it is one, delimited text otherwise.

    Parameters
    ----------
    way_out : what to do if nothing is found that separates columns
    path, delimiter, header, encoding, named : as `segcli.inputs.dialect.find_dialect` takes them

    Raises
    ------
    InputError
        If the file cannot be read as either.
    OptionError
        As `find_dialect`.
    """
    streams.check_file(path)
    if streams.is_parquet(path):
        from segcli.inputs.parquet_table import open_parquet  # noqa: PLC0415 (most files are text)

        return open_parquet(path)
    found = dialect.find_dialect(
        path,
        delimiter=delimiter,
        header=header,
        encoding=encoding,
        named=[name for name in named if name is not None],
        way_out=way_out,
    )
    return TextTable(path, found)


def columns_by_role(
    table: Table, roles: Sequence[Role], way_out: str = dialect.NAME_IT
) -> dict[str, int | None]:
    """Return the 0-based column of each role, None for one that the table does not have.

    Parameters
    ----------
    way_out : what to do if all of a text is one column

    Raises
    ------
    InputError
        If the first row is unlike those below, or a column cannot be told.
    """
    if isinstance(table, TextTable):
        check_first_row(table.path.name, table.dialect.sample, table.dialect.delimiter)
    else:
        way_out = "Write a file with both."
    return choose_columns(table.path.name, table.names, table.n_columns, roles, way_out)


def named_columns(table: Table, columns: Mapping[str, int | None]) -> dict[str, str | int]:
    """Return the name of each role's column, or its 1-based position if it has none."""
    used = {role: column for role, column in columns.items() if column is not None}
    names = table.names or ("",) * table.n_columns
    return {role: names[i] if names[i].strip() else i + 1 for role, i in used.items()}


def as_ids(column: pa.Array) -> pa.Array:
    """Return a column of ids as strings; empty where there is none.

    A float, or a decimal number with a point, that is whole becomes text with ``.0``, as in a text file,
    and is treated as there.
    """
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), pa.nulls(1, pa.float64())[0], column)
        is_exact = pc.less(pc.abs(column), scalar(2.0**53))
        whole = pc.and_(pc.equal(pc.floor(column), column), is_exact)
        safe = pc.if_else(whole, column, scalar(0.0)).cast(pa.int64()).cast(pa.string())
        written = pc.binary_join_element_wise(safe, scalar(".0"), scalar(""))
        ids = pc.if_else(whole, written, column.cast(pa.string()))
    elif pa.types.is_decimal(column.type):  # with as many digits after the point as the column has
        ids = pc.replace_substring_regex(column.cast(pa.string()), r"(\.\d+?)0+$", r"\1")
    else:
        ids = column.cast(pa.string())
    return without_nulls(ids)
