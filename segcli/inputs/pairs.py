"""Merge rows of the same customer and item into one entry of the matrix, in any order of rows.

Rows come a part of a file at a time and wait, grouped by customer. Once half of them would merge into
others, they are merged, so that memory grows with the number of distinct pairs, not of rows. At the end
the customers are merged a range at a time, so that what is being ordered fits a processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli.engine.memory import require_memory
from segcli.inputs import exact_sums
from segcli.inputs.parallel import Threads

#: What is known of a pair: its value, time and number of rows, and limbs of a sum by their place.
Columns = dict[str | int, np.ndarray]

_VALUE, _TIME, _ROWS = "value", "time", "rows"
_LEAST_MERGED = 1 << 22  # waiting rows; fewer are not merged before the end
_LEAST_MORE = 1 << 18  # rows, after which to look again whether they fit in memory
_RANGE = 1 << 20  # numbers in the rows that are merged at a time
_MATRIX_BYTES = 12  # of a pair, at most: a value of 8, the item's number of 4
_SAMPLED = np.uint32(1 << 26)  # of 2^32: one pair in 64


@dataclass(frozen=True)
class GroupedRows:
    """Rows, or pairs, grouped by customer, those of a customer in the order of the file.

    Attributes
    ----------
    customers : int32 ndarray of shape (n_groups,), codes or places
    indptr : int64 or int32 ndarray of shape (n_groups + 1,), where groups start and end
    items : int32 ndarray of shape (n_rows,)
    columns : ndarrays of shape (n_rows,)
    sample : uint64 ndarray, the pairs that a hash chooses, repeated as they are
    """

    customers: np.ndarray
    indptr: np.ndarray
    items: np.ndarray
    columns: Columns
    sample: np.ndarray

    def reordered(self, places: np.ndarray) -> GroupedRows:
        """Return the groups in the order of their places, which then stand for the customers."""
        of_groups = places[self.customers]
        if (of_groups[1:] >= of_groups[:-1]).all():
            return GroupedRows(of_groups, self.indptr, self.items, self.columns, self.sample)
        order = np.argsort(of_groups, kind="stable")
        payload = _payload(self.columns, len(self.items))
        rows = sp.csr_array(
            (payload, self.items, self.indptr), shape=(len(order), np.iinfo(np.int32).max)
        )[order]
        columns = _unpack(self.columns, rows.data)
        return GroupedRows(of_groups[order], rows.indptr, rows.indices, columns, self.sample)


def group_rows(
    customers: np.ndarray, items: np.ndarray, values: np.ndarray, times: np.ndarray | None
) -> GroupedRows:
    """Return rows grouped by customer.

    Parameters
    ----------
    customers, items : int32 ndarrays of shape (n_rows,), codes from 0
    values : float64 ndarray of shape (n_rows,); kept in half the space where that loses nothing
    times : float64 ndarray of shape (n_rows,), by which the last is chosen, or None
    """
    columns: Columns = {_VALUE: _narrowed(values)}
    if times is not None:
        columns[_TIME] = times
    hashed = customers.view(np.uint32) * np.uint32(2654435761)
    hashed ^= items.view(np.uint32) * np.uint32(2246822519)
    chosen = np.flatnonzero(hashed * np.uint32(3266489917) < _SAMPLED)
    sample = customers[chosen].astype(np.uint64) << np.uint64(32) | items[chosen].view(np.uint32)
    if not len(customers):
        return GroupedRows(customers, np.zeros(1, dtype=np.int32), items, columns, sample)
    if (customers[1:] >= customers[:-1]).all():
        starts = np.flatnonzero(np.concatenate([[True], customers[1:] != customers[:-1]]))
        indptr = np.append(starts, len(items)).astype(np.int32)
        return GroupedRows(customers[starts], indptr, items, columns, sample)
    low = customers.min()
    rows = _grouped(customers - low, items, _payload(columns, len(items)))
    groups = np.flatnonzero(np.diff(rows.indptr)).astype(np.int32)
    indptr = np.append(rows.indptr[groups], rows.indptr[-1])
    return GroupedRows(groups + low, indptr, rows.indices, _unpack(columns, rows.data), sample)


@dataclass
class Pairs:
    """All rows so far, merged or waiting.

    Attributes
    ----------
    way : how the values of one pair become one: "sum", "last", "mean" or "max"
    n_rows : the rows added
    """

    way: str
    threads: Threads
    n_rows: int = 0
    _parts: list[GroupedRows] = field(default_factory=list)
    _n_held: int = 0  # rows of these parts
    _next_memory_look: int = 0  # the number of rows held at which to ask for memory again
    _next_merge_look: int = 0  # and that at which to estimate again what merging would save
    _share_distinct: float = 1.0  # of the rows held: what merging would leave, by that estimate

    def add(self, part: GroupedRows) -> None:
        """Add the file's next rows.

        Raises
        ------
        ResourceError
            If the matrix of the pairs so far would not fit in memory beside them.
        """
        self.n_rows += len(part.items)
        self._parts.append(part)
        self._n_held += len(part.items)
        held = self._n_held
        if held >= self._next_memory_look:  # of a folder there may be thousands of small parts
            self._next_memory_look = held + max(held // 16, _LEAST_MORE)
            require_memory(
                held * self._share_distinct * _MATRIX_BYTES,
                work=f"ingest, after {self.n_rows:,} rows,",
                way_out="Ingest a sample of the customers, or use a machine with more memory.",
            )
        if held < max(self._next_merge_look, _LEAST_MERGED):
            return
        sample = np.sort(np.concatenate([each.sample for each in self._parts]))
        distinct = sample[np.append(sample[1:] != sample[:-1], True)[: len(sample)]]
        self._next_merge_look = held * 3 // 2
        self._share_distinct = len(distinct) / max(len(sample), 1)
        if len(distinct) <= len(sample) / 2:
            self._compact(distinct)

    def used(self, n_customers: int, n_items: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which codes of customers and of items there are rows of, as boolean ndarrays."""
        customers, items = np.zeros(n_customers, dtype=bool), np.zeros(n_items, dtype=bool)

        def mark(part: GroupedRows) -> None:
            customers[part.customers] = True
            items[part.items] = True

        list(self.threads.map(mark, self._parts))
        return customers, items

    def finish(
        self, customers: np.ndarray, items: np.ndarray, shape: tuple[int, int]
    ) -> list[sp.csr_array]:
        """Return the matrix of all rows, in blocks of its rows, and forget what was added.

        Stacked they are canonical (float64, or float32 where that loses nothing; int32), and do not
        depend on the order in which rows were added.

        Parameters
        ----------
        customers, items : int32 ndarrays, the place in the matrix of each code
        shape : of the matrix
        """
        blocks = []
        for part in self._merged(customers, items, shape):
            values = _values_of(part.columns, len(part.items))
            parts: Any = (values, part.items, part.indptr)
            block = sp.csr_array(parts, shape=(len(part.customers), shape[1]))
            block.has_canonical_format = True
            blocks.append(block)
        return blocks

    def _compact(self, sample: np.ndarray) -> None:
        """Merge what waits into one `GroupedRows`, by codes."""
        n = 1 + max(int(part.customers.max(initial=0)) for part in self._parts)
        m = 1 + max(int(part.items.max(initial=0)) for part in self._parts)
        same = np.arange(n, dtype=np.int32), np.arange(m, dtype=np.int32)
        parts = list(self._merged(*same, (n, m)))
        sizes = np.concatenate([np.diff(part.indptr) for part in parts])
        groups = np.flatnonzero(sizes)
        self._parts = [
            GroupedRows(
                groups.astype(np.int32),
                np.concatenate([[0], np.cumsum(sizes[groups])]),
                np.concatenate([part.items for part in parts]),
                _stacked([(part.columns, len(part.items)) for part in parts]),
                sample,
            )
        ]
        self._n_held = len(self._parts[0].items)
        self._next_memory_look = 0
        self._next_merge_look = 2 * self._n_held
        self._share_distinct = 1.0

    def _merged(
        self, customers: np.ndarray, items: np.ndarray, shape: tuple[int, int]
    ) -> Iterable[GroupedRows]:
        """Yield the pairs in order, a range of customers at a time; the last must have some.

        What was added is forgotten: each part once all its customers are being merged.
        """
        parts, self._parts = self._parts, []
        for i, part in enumerate(self.threads.map(lambda p: p.reordered(customers), parts)):
            parts[i] = part
        sizes = np.zeros(shape[0])
        for part in parts:
            sizes += np.bincount(part.customers, np.diff(part.indptr), minlength=shape[0])
        ends = np.cumsum(sizes)
        step = _RANGE // max(len(part.columns) for part in parts)
        targets = np.arange(step, ends[-1] + step, max(step, 1))
        limits = np.append((np.searchsorted(ends, targets) + 1).clip(max=shape[0]), shape[0])
        limits = np.unique(limits)

        def ranges() -> Iterator[tuple[list[GroupedRows], int, int]]:
            left = [part for part in parts if len(part.items)]
            parts.clear()
            for first, end in zip([0, *limits[:-1].tolist()], limits.tolist(), strict=True):
                within = [part for part in left if part.customers[0] < end]
                yield within, first, end
                left = [part for part in left if part.customers[-1] >= end]

        def merge(range_: tuple[list[GroupedRows], int, int]) -> GroupedRows:
            return _merge_range(*range_, items, shape[1], self.way)

        return self.threads.map(merge, ranges())


def _merge_range(
    parts: Sequence[GroupedRows], first: int, end: int, places: np.ndarray, n_items: int, way: str
) -> GroupedRows:
    """Return the pairs of customers ``first`` to ``end``, in order of customer and item."""
    rows, items, columns = [], [], []
    for part in parts:
        a, b = np.searchsorted(part.customers, [first, end])
        start, stop = part.indptr[a], part.indptr[b]
        sizes = np.diff(part.indptr[a : b + 1])
        rows.append(np.repeat(part.customers[a:b] - np.int32(first), sizes))
        items.append(places[part.items[start:stop]])
        within = {name: column[start:stop] for name, column in part.columns.items()}
        columns.append((within, int(stop - start)))
    stacked = _stacked(columns)
    n = sum(n for _, n in columns)
    by_item = _grouped(
        np.concatenate(items), np.concatenate(rows), _payload(stacked, n), (n_items, end - first)
    )
    by_customer = by_item.tocsc()  # stable: in order of item, and repeats in that of the file
    none = np.zeros(0, dtype=np.uint64)
    ordered = GroupedRows(
        np.arange(first, end, dtype=np.int32),
        by_customer.indptr,
        by_customer.indices,
        _unpack(stacked, by_customer.data),
        none,
    )
    return _merge_repeated(ordered, way)


def _merge_repeated(ordered: GroupedRows, way: str) -> GroupedRows:
    items, indptr = ordered.items, ordered.indptr
    new = np.ones(len(items), dtype=bool)
    np.not_equal(items[1:], items[:-1], out=new[1:])
    new[indptr[:-1][np.diff(indptr) > 0]] = True
    if new.all():
        return ordered
    starts = np.flatnonzero(new)
    sizes = np.diff(starts, append=len(items))
    repeated = sizes > 1
    rows = np.repeat(repeated, sizes)
    inner = {name: column[rows] for name, column in ordered.columns.items()}
    sizes = sizes[repeated]
    merged = _merge(inner, np.cumsum(sizes) - sizes, sizes, way)
    columns: Columns = {}
    for name in ordered.columns | merged:
        kept = ordered.columns.get(name)
        column = _absent(name, len(starts)) if kept is None else kept[starts].astype(np.float64)
        column[repeated] = merged.get(name, 0.0)
        columns[name] = _narrowed(column) if name == _VALUE else column
    before = np.concatenate([[0], np.cumsum(new)])
    return GroupedRows(ordered.customers, before[indptr], items[starts], columns, ordered.sample)


def _merge(columns: Columns, starts: np.ndarray, sizes: np.ndarray, way: str) -> Columns:
    """Return the columns of a pair for each group of rows; groups start at ``starts``."""
    values = columns[_VALUE]
    if way == "max":
        return {_VALUE: np.maximum.reduceat(values, starts)}
    if way == "last":
        groups = np.repeat(np.arange(len(sizes)), sizes)
        last = np.lexsort((values, columns[_TIME], groups))[starts + sizes - 1]
        return {_VALUE: values[last], _TIME: columns[_TIME][last]}
    merged: Columns = {}
    limbs = {place: limb for place, limb in columns.items() if isinstance(place, int)}
    if not limbs and exact_sums.plain_are_exact(values):
        merged[_VALUE] = np.add.reduceat(values.astype(np.float64), starts)
    else:
        for place, limb in exact_sums.cut(values).items():
            limbs[place] = limbs[place] + limb if place in limbs else limb
        whole = {place: np.add.reduceat(limb, starts) for place, limb in limbs.items()}
        for place, limb in exact_sums.carry(whole).items():
            merged[place] = limb
    if way == "mean":
        counts = columns[_ROWS] if _ROWS in columns else _absent(_ROWS, len(values))
        merged[_ROWS] = np.add.reduceat(counts, starts)
    return merged


def _values_of(columns: Columns, n: int) -> np.ndarray:
    """Return the values of pairs: one that is repeated has limbs and no value, or the reverse."""
    limbs = {place: limb for place, limb in columns.items() if isinstance(place, int)}
    values = columns[_VALUE]
    if limbs:
        values = values + exact_sums.rounded(limbs, n)
    if _ROWS in columns:
        values = values / columns[_ROWS]
    return _narrowed(values)


def _grouped(
    rows: np.ndarray, others: np.ndarray, payload: np.ndarray, shape: tuple[int, int] | None = None
) -> sp.csr_array:
    """Return entries grouped by row, in their order within each: none is merged or moved further."""
    if shape is None:
        shape = (int(rows.max()) + 1, np.iinfo(np.int32).max)
    entries = sp.coo_array((payload, (rows, others)), shape=shape)
    entries.has_canonical_format = True  # otherwise scipy would merge repeats
    return entries.tocsr()


def _payload(columns: Columns, n: int) -> np.ndarray:
    """Return what to sort in place of columns: the only one, or positions, by which `_unpack` picks."""
    if len(columns) == 1:
        return next(iter(columns.values()))
    return np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)


def _unpack(columns: Columns, moved: np.ndarray) -> Columns:
    if len(columns) == 1:
        return dict.fromkeys(columns, moved)
    return {name: column[moved] for name, column in columns.items()}


def _stacked(parts: Sequence[tuple[Columns, int]]) -> Columns:
    """Return columns one below another; where a part lacks one, `_absent` takes its place."""
    names = dict.fromkeys(name for columns, _ in parts for name in columns)
    return {
        name: np.concatenate(
            [columns[name] if name in columns else _absent(name, n) for columns, n in parts]
        )
        for name in names
    }


def _absent(name: str | int, n: int) -> np.ndarray:
    return np.ones(n) if name == _ROWS else np.zeros(n)


def _narrowed(values: np.ndarray) -> np.ndarray:
    """Return values as float32 where that changes none of them."""
    if values.dtype == np.float32:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if (narrow == values).all() else values
