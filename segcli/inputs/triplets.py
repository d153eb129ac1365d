"""Read a file of (customer, item, value) into a sparse matrix with the ids as they were written.

White space around an id belongs to the file, not to the id: it is taken off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from segcli.errors import ChoiceError, InputError
from segcli.inputs import pairs, tables
from segcli.inputs.columns import Role, choose_columns
from segcli.inputs.rejects import Rejects
from segcli.inputs.values import CODES, is_number, read_times, read_values

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
        ChoiceError
        """
        for option, choice, choices in (
            ("--duplicates", self.duplicates, pairs.WAYS),
            ("--negative", self.negative, NEGATIVES),
        ):
            if choice not in choices:
                msg = f"{option} {choice} does not exist. Choose one of {', '.join(choices)}."
                raise ChoiceError(msg)
        if self.negative == "net" and self.duplicates != "sum":
            msg = (
                f"--negative net sums a pair's values, so it cannot go with --duplicates "
                f"{self.duplicates}. Leave out one of them."
            )
            raise ChoiceError(msg)


@dataclass(frozen=True)
class Triplets:
    """A file of interactions, read.

    Attributes
    ----------
    matrix : csr_array of shape (n_customers, n_items)
    customers, items : string arrays of ids, sorted by code point, in the matrix's order
    n_rows : rows read, rejects included
    n_merged : rows merged into another of the same pair
    n_cancelled : pairs left out because their values add up to nothing
    dialect : how the file is written, and the columns used
    """

    matrix: sp.csr_array
    customers: pa.Array
    items: pa.Array
    n_rows: int
    n_merged: int
    n_cancelled: int
    dialect: dict[str, Any]


def read_triplets(path: Path, form: Form, rejects: Rejects) -> Triplets:
    """Return the matrix in a file of interactions; rows that cannot be used go to ``rejects``.

    Raises
    ------
    InputError
        If the file cannot be read as asked, or no row of it can be used.
    ChoiceError
        If choices do not go together.
    """
    form.check()
    stated = (form.customer, form.item, form.value, form.timestamp)
    table = tables.open_table(
        path, delimiter=form.delimiter, header=form.header, encoding=form.encoding, named=stated
    )
    columns = _columns(table, form)
    rows = _gather(table, columns, form, rejects)
    if len(rows.values) == 0:
        _refuse_nothing(path, rejects)
    customers, n_customers, customer_codes = _in_order(rows.customers)
    items, n_items, item_codes = _in_order(rows.items)
    keys = customer_codes.astype(np.int64) * n_items + item_codes
    merged = pairs.merge(keys, rows.values, rows.times, form.duplicates)
    if not np.isfinite(merged.values).all():
        msg = f"{path}: values of a pair add up to more than a number can hold. Mend the largest."
        raise InputError(msg)
    counted = merged.above(merged.values > 0 if form.negative == "net" else merged.values != 0)
    if len(counted.keys) == 0:
        msg = f"{path}: the values of every pair add up to nothing, so no interaction is left."
        raise InputError(msg)
    matrix = pairs.to_matrix(counted, (n_customers, n_items))
    matrix, customers, items = _without_empty(matrix, customers, items)
    return Triplets(
        matrix=matrix,
        customers=customers,
        items=items,
        n_rows=rejects.n_rows,
        n_merged=merged.n_merged,
        n_cancelled=len(merged.keys) - len(counted.keys),
        dialect={**table.facts, "columns": _described(table, columns)},
    )


def tidy_ids(ids: pa.Array) -> pa.Array:
    """Return ids without ``.0`` if all of them end so: a float column's whole numbers."""
    all_float = len(ids) and pc.all(pc.match_substring_regex(ids, r"^-?\d+\.0$")).as_py()
    return pc.utf8_slice_codeunits(ids, 0, -2) if all_float else ids


def is_blank(texts: pa.Array) -> pa.Array:
    """Return where strings are empty or nothing but white space."""
    return pc.equal(pc.utf8_trim_whitespace(texts), "")


@dataclass(frozen=True)
class _Rows:
    """The usable rows: dictionary-encoded ids, values and times."""

    customers: pa.ChunkedArray
    items: pa.ChunkedArray
    values: np.ndarray
    times: np.ndarray | None


def _columns(table: tables.Table, form: Form) -> dict[str, int | None]:
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
        roles.append(Role("timestamp", form.timestamp, "--timestamp", None, needed=False))
    elif not no_value and _holds_times(table):
        roles.append(Role("timestamp", None, "--timestamp", 4, needed=False))
    # A header may say that the third column is a time: it is then no value.
    roles.sort(key=lambda role: role.name == "value")
    chosen = choose_columns(table.path.name, table.names, table.n_columns, roles)
    chosen.setdefault("value", None)
    chosen["timestamp"] = chosen.get("timestamp") if by_time else None
    return chosen


def _holds_times(table: tables.Table) -> bool:
    """Return whether the fourth column of a table without a header reads as times."""
    if table.names is not None or table.n_columns < 4:
        return False
    times = read_times(pa.array(table.sample(3), pa.string()))
    return len(times) > 0 and bool(np.isfinite(times).all())


def _gather(
    table: tables.Table, columns: dict[str, int | None], form: Form, rejects: Rejects
) -> _Rows:
    used = [column for column in columns.values() if column is not None]
    file = table.path.name
    parts: list[tuple[pa.Array, pa.Array, np.ndarray, np.ndarray | None]] = []
    for batch in table.batches(used):
        part, codes = _read_batch(batch, columns, negatives=form.negative != "reject")
        rejects.n_rows += len(codes)
        bad = codes != 0
        if bad.any():
            rejects.add(file, batch.rows[bad], codes[bad], batch.texts(bad))
            good = pa.array(~bad)
            customers, items, values, times = part
            times = times[~bad] if times is not None else None
            part = (customers.filter(good), items.filter(good), values[~bad], times)
        parts.append(part)
    rejects.n_rows += len(table.malformed)
    rejects.add_malformed(file, table.malformed)
    if not rejects.n_rows:
        msg = f"{table.path} has a header and no rows. It needs rows of customer, item and value."
        raise InputError(msg)
    encoded = pa.dictionary(pa.int32(), pa.string())
    all_times = [part[3] for part in parts if part[3] is not None]
    return _Rows(
        pa.chunked_array([part[0] for part in parts], encoded),
        pa.chunked_array([part[1] for part in parts], encoded),
        np.concatenate([np.zeros(0), *(part[2] for part in parts)]),
        np.concatenate(all_times) if all_times else None,
    )


def _read_batch(
    batch: tables.Batch, columns: dict[str, int | None], *, negatives: bool
) -> tuple[tuple[pa.Array, pa.Array, np.ndarray, np.ndarray | None], np.ndarray]:
    """Return a batch's ids, values and times, and why each row cannot be used."""
    customers, items = (
        tables.as_ids(_column(batch, columns[role])).dictionary_encode()
        for role in ("customer", "item")
    )
    values, codes = np.ones(len(batch.rows)), np.zeros(len(batch.rows), dtype=np.uint8)
    if columns["value"] is not None:
        values, codes = read_values(batch.columns[columns["value"]], negatives=negatives)
    times = None
    if columns["timestamp"] is not None:
        times = read_times(batch.columns[columns["timestamp"]])
        codes[(codes == 0) & np.isnan(times)] = CODES["timestamp is not a number or an ISO date"]
    for ids, reason in ((items, "no item"), (customers, "no customer")):  # the first reason stays
        blank = is_blank(ids.dictionary).to_numpy(zero_copy_only=False)
        if blank.any():
            codes[blank[ids.indices.to_numpy(zero_copy_only=False)]] = CODES[reason]
    return (customers, items, values, times), codes


def _column(batch: tables.Batch, column: int | None) -> pa.Array:
    if column is None:
        msg = "a customer and an item column are always chosen"
        raise ValueError(msg)
    return batch.columns[column]


def _in_order(ids: pa.ChunkedArray) -> tuple[pa.Array, int, np.ndarray]:
    """Return the ids in use, sorted, their number, and each row's position among them."""
    whole = ids.unify_dictionaries()
    texts: pa.Array = whole.chunk(0).dictionary
    codes = np.concatenate([c.indices.to_numpy(zero_copy_only=False) for c in whole.chunks])
    trimmed = pc.utf8_trim_whitespace(texts)
    if not trimmed.equals(texts):
        encoded = trimmed.dictionary_encode()
        texts = encoded.dictionary
        codes = encoded.indices.to_numpy(zero_copy_only=False)[codes]
    used = np.flatnonzero(np.bincount(codes, minlength=len(texts)))
    texts = tidy_ids(texts.take(pa.array(used)))
    order = pc.sort_indices(texts).to_numpy(zero_copy_only=False)
    position = np.zeros(int(used.max()) + 1, dtype=np.int32)
    position[used[order]] = np.arange(len(used))
    return texts.take(pa.array(order)), len(used), position[codes]


def _without_empty(
    matrix: sp.csr_array, customers: pa.Array, items: pa.Array
) -> tuple[sp.csr_array, pa.Array, pa.Array]:
    """Return the matrix without the customers and items whose pairs were all cancelled."""
    rows = np.diff(matrix.indptr) > 0
    columns = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
    if rows.all() and columns.all():
        return matrix, customers, items
    kept = sp.csr_array(matrix[rows][:, columns])
    kept.sort_indices()
    return kept, customers.filter(pa.array(rows)), items.filter(pa.array(columns))


def _described(table: tables.Table, columns: dict[str, int | None]) -> dict[str, str | int]:
    """Return the columns used, by name, or by position where there is no header."""
    used: Iterator[tuple[str, int]] = (
        (role, column) for role, column in columns.items() if column is not None
    )
    return {role: table.names[i] if table.names is not None else i + 1 for role, i in used}


def _refuse_nothing(path: Path, rejects: Rejects) -> None:
    counts = "; ".join(f"{reason}: {n:,}" for reason, n in rejects.by_reason().items())
    msg = (
        f"None of the {rejects.n_rows:,} rows of {path} can be used ({counts}). {rejects.first()}."
    )
    if any("," in t and is_number(t.replace(",", ".")) for t in _fields(rejects)):
        msg += " Decimals are written with a point."
    elif "value is not a number" in rejects.by_reason():
        msg += " Name the column with --value; '--value none' counts each row as 1."
    raise InputError(msg)


def _fields(rejects: Rejects) -> list[str]:
    text = str(rejects.table()["text"].iloc[0]).replace('"', "")
    return [part for d in ("\t", ";", "|", "::") for part in text.split(d)]
