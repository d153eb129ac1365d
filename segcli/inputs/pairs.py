"""Merge rows of the same customer and item into one entry of the matrix, in any order of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

#: How the values of one pair become one.
WAYS = ("sum", "last", "mean", "max")


@dataclass(frozen=True)
class Pairs:
    """Distinct pairs of customer and item.

    Attributes
    ----------
    keys : int64 ndarray of shape (n_pairs,), ascending: customer x number of items + item
    values : float64 ndarray of shape (n_pairs,)
    n_merged : how many rows were merged into others: rows less pairs
    """

    keys: np.ndarray
    values: np.ndarray
    n_merged: int

    def above(self, values: np.ndarray) -> Pairs:
        """Return the pairs under a boolean mask."""
        return Pairs(self.keys[values], self.values[values], self.n_merged)


def merge(keys: np.ndarray, values: np.ndarray, times: np.ndarray | None, way: str) -> Pairs:
    """Return one value for each distinct key.

    The result depends on the order of the rows only for ``last`` without times: values of a pair
    are put in order before they are added, so that sums agree to the last bit.

    Parameters
    ----------
    keys : int64 ndarray of shape (n_rows,)
    values : float64 ndarray of shape (n_rows,)
    times : float64 ndarray of shape (n_rows,), or None
    way : one of `WAYS`
    """
    if len(keys) > 1 and not (np.diff(keys) > 0).all():
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], values[order]
        times = times[order] if times is not None else None
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(starts, append=len(keys))
    merged = values[starts]
    repeated = np.flatnonzero(sizes > 1)
    if len(repeated):
        rows = np.repeat(sizes > 1, sizes)
        inner = np.cumsum(sizes[repeated]) - sizes[repeated]
        merged[repeated] = _merge_repeated(
            np.repeat(np.arange(len(repeated)), sizes[repeated]),
            values[rows],
            times[rows] if times is not None else None,
            inner,
            way,
        )
    return Pairs(keys[starts], merged, len(keys) - len(starts))


def _merge_repeated(
    groups: np.ndarray, values: np.ndarray, times: np.ndarray | None, starts: np.ndarray, way: str
) -> np.ndarray:
    ends = np.append(starts[1:], len(values)) - 1
    if way == "last" and times is None:
        last: np.ndarray = values[ends]  # rows of a pair stand in file order
        return last
    by = (values, groups) if way != "last" else (values, times, groups)
    values = values[np.lexsort([key for key in by if key is not None])]
    if way in ("last", "max"):
        greatest: np.ndarray = values[ends]
        return greatest
    with np.errstate(over="ignore"):  # the caller refuses an infinite sum
        sums: np.ndarray = np.add.reduceat(values, starts)
    return sums / (ends - starts + 1) if way == "mean" else sums


def to_matrix(pairs: Pairs, shape: tuple[int, int]) -> sp.csr_array:
    """Return pairs as a canonical CSR array: float64, indices sorted, int32 where they fit."""
    customers, items = np.divmod(pairs.keys, shape[1])
    fits = max(len(pairs.keys), *shape) < 2**31
    index = np.int32 if fits else np.int64
    indptr = np.zeros(shape[0] + 1, dtype=index)
    np.cumsum(np.bincount(customers, minlength=shape[0]), out=indptr[1:])
    matrix = sp.csr_array((pairs.values, items.astype(index), indptr), shape=shape)
    matrix.has_canonical_format = True
    return matrix
