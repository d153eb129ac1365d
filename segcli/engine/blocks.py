"""What the numerics ask of an engine.

A *block* is a run of consecutive rows (customers) of a matrix. A block function sees one block and
returns arrays. The engine adds them up (:meth:`Blocks.map_sum`) in an order that depends on the blocks
alone (`segcli.engine.sums`), or stacks them in row order (:meth:`Blocks.map_rows`), so that a result
has the same bits on one thread, on two or on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from segcli.engine.rows import Matrix

Arrays = tuple[np.ndarray, ...]

Result = TypeVar("Result")


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
        """Return the matrix whose blocks are ``function(block, *args)``, row for row.

        Each has the stored entries that its block has, with other values, and may have a rank-one part.
        """

    def take(self, rows: np.ndarray) -> Matrix:
        """Return the rows at the given positions, in the order given."""


class Engine(Protocol):
    """Lays a matrix out as row blocks; runs tasks that have nothing to do with each other."""

    @property
    def holds_matrix(self) -> bool:
        """Whether a matrix, and what is made of it, has to fit into this process's memory."""

    def blocks(self, matrix: Matrix) -> Blocks:
        """Return ``matrix`` as blocks whose bounds depend on its content alone."""

    def run_tasks(
        self,
        tasks: Sequence[Callable[[], Result]],
        what: str,
        *,
        seconds: float = 0,
        room: int = 0,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Result]:
        """Return what each task returns, in order; tell progress of ``what`` as they end.

        Tasks may run in other processes: they can be pickled, and change nothing but their result.

        Parameters
        ----------
        seconds : about how long a task takes, as far as that is known
        room : about how many bytes a task needs besides the libraries, likewise
        meanwhile : called once, here; at the same time as the tasks where those run in other processes
        """
