"""Read the names of items from a table of ids and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segcli.errors import InputError
from segcli.inputs import tables
from segcli.inputs.arrow import to_numpy
from segcli.inputs.columns import Role, choose_columns
from segcli.inputs.rejects import Rejects
from segcli.inputs.values import CODES
from segcli.inputs.vocabulary import is_blank, tidy_ids


@dataclass(frozen=True)
class ItemNames:
    """Names found for items.

    Attributes
    ----------
    names : one for each item asked for, in that order; empty where none is known
    columns : the columns used, by name or 1-based position
    """

    names: list[str]
    columns: dict[str, str | int]


def read_item_names(
    path: Path,
    items: pa.Array,
    rejects: Rejects,
    *,
    item_id: str | None = None,
    item_name: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> ItemNames:
    """Return the names of ``items`` in a table.

    Of several names for one item the most frequent is taken, the first by code point among equals.

    Parameters
    ----------
    path : delimited text or Parquet
    items : string array of ids, as `read_triplets` returns them
    rejects : where rows without an item go
    item_id, item_name : the columns, by name or 1-based position; None leaves them to be found out
    delimiter, header, encoding : as stated by the user, or None

    Raises
    ------
    InputError
        If the file cannot be read as asked.
    """
    table = tables.open_table(
        path,
        delimiter=delimiter,
        header=header,
        encoding=encoding,
        named=(item_id, item_name),
    )
    roles = [Role("id", item_id, "--items-id", 1), Role("name", item_name, "--items-name", 2)]
    chosen = choose_columns(path.name, table.names, table.n_columns, roles)
    id_column, name_column = chosen["id"] or 0, chosen["name"] or 0
    counts = _count_names(table, id_column, name_column, rejects)
    known = _commonest(counts)
    used = {"id": id_column, "name": name_column}
    described = {r: table.names[i] if table.names is not None else i + 1 for r, i in used.items()}
    return ItemNames([known.get(item, "") for item in items.to_pylist()], described)


def _count_names(
    table: tables.Table, id_column: int, name_column: int, rejects: Rejects
) -> pa.Table:
    """Return how often each id goes with each name."""
    counts: list[pa.Table] = []
    n_rows = 0
    for batch in table.batches([id_column, name_column]):
        n_rows += len(batch.rows) + len(batch.malformed)
        rejects.add_malformed(table.path.name, batch.malformed)
        ids = pc.utf8_trim_whitespace(tables.as_ids(batch.columns[id_column]))
        names = pc.utf8_trim_whitespace(tables.as_ids(batch.columns[name_column]))
        blank = is_blank(ids)
        bad = to_numpy(blank)
        if bad.any():
            codes = np.full(int(bad.sum()), CODES["no item"])
            rejects.add(table.path.name, batch.rows[bad], codes, batch.texts(bad))
        pairs = pa.table({"id": ids, "name": names, "n": np.ones(len(ids), dtype=np.int64)})
        counts.append(_total([pairs.filter(pc.invert(blank))]))
    if not n_rows:
        msg = f"{table.path} has a header and no rows. It needs rows of item id and name."
        raise InputError(msg)
    return _total(counts) if counts else pa.table({"id": [], "name": [], "n": []})


def _total(counts: Sequence[pa.Table]) -> pa.Table:
    summed: Any = pa.concat_tables(counts).group_by(["id", "name"]).aggregate([("n", "sum")])
    return summed.rename_columns({"n_sum": "n"})


def _commonest(counts: pa.Table) -> dict[str, str]:
    """Return each id's most frequent name that is not empty."""
    if not len(counts):
        return {}
    counts = counts.set_column(
        counts.column_names.index("id"), "id", tidy_ids(counts["id"].combine_chunks())
    )
    named = counts.filter(pc.not_equal(counts["name"], ""))
    best_last = named.sort_by([("n", "ascending"), ("name", "descending")])
    return dict(zip(best_last["id"].to_pylist(), best_last["name"].to_pylist(), strict=True))
