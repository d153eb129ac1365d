"""Read the names of items from a table of ids and names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segcli.errors import InputError
from segcli.inputs import tables
from segcli.inputs.arrow import scalar, to_arrow, to_numpy
from segcli.inputs.columns import Role
from segcli.inputs.dialect import BlankError
from segcli.inputs.form import Form
from segcli.inputs.locations import is_folder, name_of
from segcli.inputs.rejects import Rejects
from segcli.inputs.sources import list_files, open_first, open_like
from segcli.inputs.values import CODES
from segcli.inputs.vocabulary import is_blank, plain_numbers

_WAY_OUT = "Write id and name with a comma, a semicolon or a tab between them."


@dataclass(frozen=True)
class ItemNames:
    """Names found for items.

    Attributes
    ----------
    names : one for each item asked for, in that order; empty where none is known
    n_listed : of the items asked for, those that the table has, whether with a name or not
    columns : the columns used, by name or 1-based position
    """

    names: list[str]
    n_listed: int
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
    path : delimited text or Parquet, or a folder of such files, written alike
    items : string array of ids, as `read_triplets` returns them
    rejects : where rows without an item go
    item_id, item_name : the columns, by name or 1-based position; None leaves them to be found out
    delimiter, header, encoding : as stated by the user, or None

    Raises
    ------
    InputError
        If a file cannot be read as asked.
    """
    form = Form(delimiter=delimiter, header=header, encoding=encoding)
    open_table = partial(
        tables.open_table,
        delimiter=delimiter,
        header=header,
        encoding=encoding,
        named=(item_id, item_name),
        way_out=_WAY_OUT,
    )
    files = list_files(path)
    if is_folder(path):  # whose files may be called like those of the interactions
        files = {each: f"{name_of(path)}/{file}" for each, file in files.items()}
    roles = [Role("id", item_id, "--items-id", 1), Role("name", item_name, "--items-name", 2)]
    choose = partial(tables.columns_by_role, roles=roles, way_out=_WAY_OUT)
    first, chosen = open_first(files, open_table, choose)
    id_column, name_column = chosen["id"] or 0, chosen["name"] or 0
    counts = [
        one
        for table, file in _each(first, files, form)
        for one in _counts(table, file, id_column, name_column, rejects)
    ]
    if not counts:
        msg = f"{path} has a header and no rows. It needs rows of item id and name."
        raise InputError(msg)
    counted = _Counts.together(counts)
    # A float column's whole numbers may be written as such in one file and without .0 in the other.
    written, plain = _Known.of(counted), _Known.of(replace(counted, ids=plain_numbers(counted.ids)))
    used = tables.named_columns(first, {"id": id_column, "name": name_column})
    asked = list(zip(items.to_pylist(), plain_numbers(items).to_pylist(), strict=True))
    names = [written.names.get(one) or plain.names.get(other, "") for one, other in asked]
    n_listed = sum(one in written.ids or other in plain.ids for one, other in asked)
    return ItemNames(names, n_listed, used)


def _each(
    first: tables.Table, files: Mapping[Path, str], form: Form
) -> Iterator[tuple[tables.Table, str]]:
    """Yield the files as tables, and their names."""
    for path, file in files.items():
        try:
            yield first if path == first.path else open_like(first, path, file, form), file
        except BlankError:
            continue


def _counts(
    table: tables.Table, file: str, id_column: int, name_column: int, rejects: Rejects
) -> Iterator[_Counts]:
    """Yield how often each id goes with each name, for the parts of a table that have rows."""
    for batch in table.batches([id_column, name_column]):
        rejects.add_malformed(file, batch.malformed)
        ids = pc.utf8_trim_whitespace(tables.as_ids(batch.columns[id_column]))
        names = pc.utf8_trim_whitespace(tables.as_ids(batch.columns[name_column]))
        blank = is_blank(ids)
        bad = to_numpy(blank)
        if bad.any():
            codes = np.full(int(bad.sum()), CODES["no item"])
            rejects.add(file, batch.rows[bad], codes, batch.texts(bad))
        there = pc.invert(blank)
        once = np.ones(len(ids) - int(bad.sum()), dtype=np.int64)
        if len(batch.rows) + len(batch.malformed):
            yield _Counts(ids.filter(there), names.filter(there), once).added_up()


@dataclass(frozen=True)
class _Counts:
    """How often ids go with names; `pyarrow.Table.group_by` does that too, but loads pandas.

    Attributes
    ----------
    ids, names : string arrays of length m
    n : int64 ndarray of shape (m,)
    """

    ids: pa.Array
    names: pa.Array
    n: np.ndarray

    @classmethod
    def together(cls, parts: Sequence[_Counts]) -> _Counts:
        """Return the counts of several parts."""
        ids = pa.concat_arrays([one.ids for one in parts])
        names = pa.concat_arrays([one.names for one in parts])
        return cls(ids, names, np.concatenate([one.n for one in parts])).added_up()

    def added_up(self) -> _Counts:
        """Return the same with every pair of id and name once."""
        ids, names = self.ids.dictionary_encode(), self.names.dictionary_encode()
        n_names = max(len(names.dictionary), 1)
        pairs = to_numpy(ids.indices).astype(np.int64) * n_names + to_numpy(names.indices)
        distinct, places = np.unique(pairs, return_inverse=True)
        n = np.bincount(places, self.n, len(distinct)).astype(np.int64)
        return _Counts(
            ids.dictionary.take(to_arrow(distinct // n_names)),
            names.dictionary.take(to_arrow(distinct % n_names)),
            n,
        )


@dataclass(frozen=True)
class _Known:
    """The ids of a table, and the names of those that have one."""

    ids: set[str]
    names: dict[str, str]

    @classmethod
    def of(cls, counts: _Counts) -> _Known:
        """Return each id's most frequent name."""
        return cls(set(counts.ids.to_pylist()), _commonest(counts.added_up()))


def _commonest(counts: _Counts) -> dict[str, str]:
    """Return each id's most frequent name that is not empty."""
    there = pc.not_equal(counts.names, scalar(""))
    ids, names = counts.ids.filter(there).to_pylist(), counts.names.filter(there)
    by_name = to_numpy(pc.sort_indices(names, sort_keys=[("", "descending")])).astype(np.int64)
    best_last = by_name[np.argsort(counts.n[to_numpy(there)][by_name], kind="stable")]
    texts = names.to_pylist()
    return {ids[i]: texts[i] for i in best_last.tolist()}
