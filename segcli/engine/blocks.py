"""What the numerics ask of an engine.

A *block* is a run of consecutive rows (customers) of a matrix. A block function sees one block and
returns arrays. The engine adds them up (:meth:`Blocks.map_sum`) or stacks them
(:meth:`Blocks.map_rows`), always in row order, so that a sum has the same bits on one thread, on two
or on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from segcli.engine.rank_one import SparseMinusRankOne

Matrix = sp.csr_array | SparseMinusRankOne | np.ndarray
"""Rows are customers. Sparse over items, sparse minus rank one, or dense over components."""

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Block:
    """Rows ``start`` to ``stop`` (excluded) of a matrix."""

    start: int
    stop: int
    matrix: Any

    @property
    def rows(self) -> slice:
        """The block's rows, to pick a customer-aligned array's part that belongs to it."""
        return slice(self.start, self.stop)


class Blocks(Protocol):
    """A matrix held as row blocks."""

    @property
    def shape(self) -> tuple[int, int]:
        """(n_customers, n_columns) of the whole matrix."""

    def map_sum(self, function: Callable[..., Arrays], *args: Any) -> Arrays:
        """Return the elementwise sums of the arrays that ``function(block, *args)`` returns."""

    def map_rows(self, function: Callable[..., Arrays], *args: Any) -> Arrays:
        """Return the arrays that ``function(block, *args)`` returns, stacked in row order.

        Each array's first axis is the block's rows.
        """

    def transform(self, function: Callable[..., Matrix], *args: Any) -> Blocks:
        """Return the matrix whose blocks are ``function(block, *args)``, row for row."""

    def take(self, rows: np.ndarray) -> Matrix:
        """Return the rows at the given positions, in the order given."""


class Engine(Protocol):
    """Lays a matrix out as row blocks."""

    def blocks(self, matrix: Matrix) -> Blocks:
        """Return ``matrix`` as blocks whose bounds depend on its content alone."""
