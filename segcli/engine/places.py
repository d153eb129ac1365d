"""Matrices that lie in files on shared storage, of which any process reads the rows that it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import scipy.sparse as sp

from segcli.engine.rank_one import SparseMinusRankOne
from segcli.engine.rows import Matrix, sparse_part, stack
from segcli.engine.scratch import ArrayPlace, Scratch, place_of


class MatrixPlace(Protocol):
    """Where a matrix is."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_columns)."""

    def read(self, start: int, stop: int) -> Matrix:
        """Return rows ``start`` to ``stop`` (excluded), read from the files."""

    def take(self, rows: np.ndarray) -> Matrix:
        """Return the rows at increasing positions."""


@dataclass(frozen=True)
class DensePlace:
    """A dense matrix in a file."""

    values: ArrayPlace

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_columns)."""
        n, m = self.values.shape
        return n, m

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return consecutive rows, read from the file."""
        return self.values.read(start, stop)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows at increasing positions."""
        return np.asarray(self.values.open()[rows])


@dataclass(frozen=True)
class SparsePlace:
    """A CSR matrix in files: entries, their columns, and where each row's begin."""

    data: ArrayPlace
    indices: ArrayPlace
    indptr: ArrayPlace
    n_columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_columns)."""
        return self.indptr.shape[0] - 1, self.n_columns

    def read(self, start: int, stop: int) -> sp.csr_array:
        """Return consecutive rows, read from the files."""
        indptr = self.indptr.read(start, stop + 1)
        first, end = int(indptr[0]), int(indptr[-1])
        data, indices = self.data.read(first, end), self.indices.read(first, end)
        ends = (indptr - indptr[0]).astype(indices.dtype)
        return sp.csr_array((data, indices, ends), shape=(stop - start, self.n_columns))

    def take(self, rows: np.ndarray) -> sp.csr_array:
        """Return the rows at increasing positions."""
        indptr = self.indptr.open()
        firsts, ends = np.asarray(indptr[rows]), np.asarray(indptr[rows + 1])
        taken = np.concatenate([[0], np.cumsum(ends - firsts)])
        entries = np.arange(taken[-1]) + np.repeat(firsts - taken[:-1], ends - firsts)
        indices = np.asarray(self.indices.open()[entries])
        parts = (np.asarray(self.data.open()[entries]), indices, taken.astype(indices.dtype))
        return sp.csr_array(parts, shape=(len(rows), self.n_columns))


@dataclass(frozen=True)
class RankOnePlace:
    """A sparse matrix minus one of rank one, in files."""

    sparse: SparsePlace
    row_factors: ArrayPlace
    column_factors: ArrayPlace

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_columns)."""
        return self.sparse.shape

    def read(self, start: int, stop: int) -> SparseMinusRankOne:
        """Return consecutive rows, read from the files."""
        return SparseMinusRankOne(
            self.sparse.read(start, stop),
            self.row_factors.read(start, stop),
            np.asarray(self.column_factors.open()),
        )

    def take(self, rows: np.ndarray) -> SparseMinusRankOne:
        """Return the rows at increasing positions."""
        factors = np.asarray(self.row_factors.open()[rows])
        return SparseMinusRankOne(
            self.sparse.take(rows), factors, np.array(self.column_factors.open())
        )


@dataclass(frozen=True)
class StackedPlace:
    """Matrices in row order, one below the other.

    Attributes
    ----------
    parts : matrices of the same number of columns
    firsts : each part's first row
    """

    parts: tuple[MatrixPlace, ...]
    firsts: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_columns)."""
        n, m = self.parts[-1].shape
        return self.firsts[-1] + n, m

    def read(self, start: int, stop: int) -> Matrix:
        """Return consecutive rows of one part, read from its files."""
        number = int(np.searchsorted(self.firsts, start, side="right")) - 1
        first = self.firsts[number]
        return self.parts[number].read(start - first, stop - first)

    def take(self, rows: np.ndarray) -> Matrix:
        """Return the rows at increasing positions."""
        limits = np.searchsorted(rows, [*self.firsts, self.shape[0]])
        pieces = [
            part.take(rows[a:b] - first)
            for part, first, a, b in zip(
                self.parts, self.firsts, limits[:-1], limits[1:], strict=True
            )
            if b > a
        ]
        return stack(pieces) if pieces else self.parts[0].take(rows)


def entries(matrix: Matrix) -> np.ndarray:
    """Return the entries that a matrix stores."""
    return matrix if isinstance(matrix, np.ndarray) else sparse_part(matrix).data


def lay_out(matrix: Matrix, scratch: Scratch) -> MatrixPlace:
    """Return the place of a matrix: of the files that it is mapped from, or of new ones."""

    def placed(array: np.ndarray) -> ArrayPlace:
        return place_of(array) or scratch.spill(np.ascontiguousarray(array))

    if isinstance(matrix, np.ndarray):
        return DensePlace(placed(matrix))
    S = sparse_part(matrix)
    sparse = SparsePlace(placed(S.data), placed(S.indices), placed(S.indptr), S.shape[1])
    if isinstance(matrix, SparseMinusRankOne):
        return RankOnePlace(sparse, placed(matrix.row_factors), placed(matrix.column_factors))
    return sparse


def take_rows(place: MatrixPlace, rows: np.ndarray) -> Matrix:
    """Return the rows at the given positions, in the order given."""
    positions, inverse = np.unique(rows, return_inverse=True)
    found = place.take(positions)
    in_order = np.array_equal(inverse, np.arange(len(positions)))
    return found if in_order else found[inverse]


def write_blocks(blocks: Iterable[Matrix], scratch: Scratch) -> MatrixPlace:
    """Write consecutive blocks of one kind to new files, one after another; return their place."""
    rest = iter(blocks)
    first = next(rest)
    matrices: Iterable[Any] = chain([first], rest)
    if isinstance(first, np.ndarray):
        (values,) = _written(((block,) for block in matrices), scratch)
        return DensePlace(values)
    ends = [np.zeros(1, dtype=np.int64)]

    def arrays(block: Matrix) -> tuple[np.ndarray, ...]:
        S = sparse_part(block)
        ends.append(ends[-1][-1] + np.asarray(S.indptr[1:], dtype=np.int64))
        factors = [block.row_factors] if isinstance(block, SparseMinusRankOne) else []
        return S.data, S.indices, *factors

    data, indices, *row_factors = _written(map(arrays, matrices), scratch)
    sparse = SparsePlace(data, indices, scratch.spill(np.concatenate(ends)), first.shape[1])
    if isinstance(first, SparseMinusRankOne):
        return RankOnePlace(sparse, row_factors[0], scratch.spill(first.column_factors))
    return sparse


def _written(blocks: Iterable[tuple[np.ndarray, ...]], scratch: Scratch) -> tuple[ArrayPlace, ...]:
    """Append each block's arrays to files, one file for each position in the tuples."""
    files: list[_Appended] = []
    try:
        for arrays in blocks:
            if not files:
                files = [_Appended(scratch.new_path("block"), array) for array in arrays]
            for file, array in zip(files, arrays, strict=True):
                file.append(array)
    finally:
        for file in files:
            file.file.close()
    return tuple(file.place for file in files)


class _Appended:
    def __init__(self, path: Path, like: np.ndarray) -> None:
        self.path, self.like, self.n_rows = path, like, 0
        self.file: IO[bytes] = path.open("wb")

    def append(self, array: np.ndarray) -> None:
        array.astype(self.like.dtype, "C", "safe", copy=False).tofile(self.file)
        self.n_rows += len(array)

    @property
    def place(self) -> ArrayPlace:
        shape = (self.n_rows, *self.like.shape[1:])
        return ArrayPlace(str(self.path), self.like.dtype.str, shape)


def stacked(parts: Sequence[MatrixPlace]) -> MatrixPlace:
    """Return the place of matrices that stand one below the other."""
    firsts = np.cumsum([0, *(part.shape[0] for part in parts)])[:-1]
    return StackedPlace(tuple(parts), tuple(firsts.tolist()))
