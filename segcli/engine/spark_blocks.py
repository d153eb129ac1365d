"""Row blocks of a matrix in files on storage that every worker mounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from segcli.engine import sums
from segcli.engine.blocks import Arrays, Block, Blocks
from segcli.engine.places import MatrixPlace, stacked, take_rows, write_blocks
from segcli.engine.rows import Matrix
from segcli.engine.scratch import Scratch

if TYPE_CHECKING:
    from segcli.engine.spark import SparkEngine

AT_DRIVER = 1 << 26
"""Bytes of subtotals up to which the driver adds them; beyond, workers do, by ranges of entries."""


@dataclass(frozen=True)
class SparkBlocks:
    """Row blocks of a matrix in files on shared storage."""

    place: MatrixPlace
    bounds: tuple[int, ...]
    engine: SparkEngine

    @property
    def shape(self) -> tuple[int, int]:
        """(n_customers, n_columns)."""
        return self.place.shape

    def map_sum(self, function: Callable[..., Arrays], *args: Any) -> Arrays:
        """Return the sums of the blocks' arrays, in the order of `segcli.engine.sums`."""
        work = _Sum(self.place, self._shares(), function, args)
        with self.engine.collecting(work, len(work.shares), copied=False) as found:
            subtotals = [one for part in found for one in part]
            n_bytes = sum(array.nbytes for one in subtotals for array in one.arrays)
            if n_bytes > AT_DRIVER:
                return self._added_by_workers(subtotals)
            self.engine.n_bytes_received += n_bytes
            return _added(subtotals)

    def map_rows(self, function: Callable[..., Arrays], *args: Any) -> Arrays:
        """Return the blocks' arrays, stacked in row order."""
        work = _Rows(self.place, self._shares(), function, args)
        with self.engine.collecting(work, len(work.shares), copied=False) as parts:
            rows = tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self.engine.n_bytes_received += sum(array.nbytes for array in rows)
        return rows

    def transform(self, function: Callable[..., Matrix], *args: Any) -> Blocks:
        """Return the transformed matrix, computed now and kept in files."""
        work = _Transform(self.place, self._shares(), function, args, self.engine.scratch)
        with self.engine.collecting(work, len(work.shares)) as parts:
            return SparkBlocks(stacked(parts), self.bounds, self.engine)

    def take(self, rows: np.ndarray) -> Matrix:
        """Return the rows at the given positions, in the order given."""
        with self.engine.using_storage():
            return take_rows(self.place, np.asarray(rows))

    def _shares(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Return each task's first block and the bounds of its blocks, about equally many.

        Where tasks have many, they start at multiples of a power of two: few subtrees are then cut,
        and few subtotals handed on.
        """
        n_blocks = len(self.bounds) - 1
        n_tasks = min(self.engine.n_tasks, n_blocks)
        step = 1 << max(n_blocks // n_tasks // 4, 1).bit_length() - 1
        inner = np.linspace(0, n_blocks / step, n_tasks + 1)[1:-1].round().astype(int) * step
        return tuple(
            (a, self.bounds[a : b + 1]) for a, b in pairwise([0, *inner.tolist(), n_blocks])
        )

    def _added_by_workers(self, subtotals: Sequence[sums.Subtotal]) -> Arrays:
        """Return the total; each task adds a range of the arrays' entries."""
        n_tasks = self.engine.n_tasks
        work = _AddRanges(tuple(subtotals), n_tasks)
        with self.engine.collecting(work, n_tasks, copied=False) as found:
            total = tuple(
                np.concatenate(parts).reshape(like.shape)
                for parts, like in zip(zip(*found, strict=True), subtotals[0].arrays, strict=True)
            )
        self.engine.n_bytes_received += sum(array.nbytes for array in total)
        return total


@dataclass(frozen=True)
class _OverBlocks:
    """A function of blocks, and which of them each task takes."""

    place: MatrixPlace
    shares: tuple[tuple[int, tuple[int, ...]], ...]
    function: Callable[..., Any]
    args: tuple[Any, ...]

    def _results(self, number: int) -> Iterator[Any]:
        _, bounds = self.shares[number]
        for start, stop in pairwise(bounds):
            yield self.function(Block(start, stop, self.place.read(start, stop)), *self.args)


@dataclass(frozen=True)
class _Sum(_OverBlocks):
    def run(self, number: int) -> list[sums.Subtotal]:
        return sums.add_blocks(self._results(number), self.shares[number][0]).kept


@dataclass(frozen=True)
class _Rows(_OverBlocks):
    def run(self, number: int) -> Arrays:
        parts = list(self._results(number))
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


@dataclass(frozen=True)
class _Transform(_OverBlocks):
    kept: Scratch  # not the pass's own, which is removed after it

    def run(self, number: int) -> MatrixPlace:
        return write_blocks(self._results(number), self.kept)


@dataclass(frozen=True)
class _AddRanges:
    subtotals: tuple[sums.Subtotal, ...]
    n_tasks: int

    def run(self, number: int) -> Arrays:
        found = []
        for one in self.subtotals:
            arrays = []
            for array in one.arrays:
                flat = array.reshape(-1)
                a, b = (len(flat) * (number + i) // self.n_tasks for i in (0, 1))
                arrays.append(np.array(flat[a:b]))
            found.append(sums.Subtotal(one.level, one.position, tuple(arrays)))
        return _added(found)


def _added(subtotals: Sequence[sums.Subtotal]) -> Arrays:
    """Return the total, in arrays of its own: those of subtotals may be mapped from files."""
    total = sums.Subtotals()
    for one in subtotals:
        total.add(sums.Subtotal(one.level, one.position, one.arrays))
    return total.total()
