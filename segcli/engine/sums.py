"""In which order the arrays of blocks are added: the same on every engine.

Floating-point sums depend on their order, so the order hangs on the blocks' numbers alone. A few
consecutive blocks make a *leaf*; leaves are added as a binary tree in which two neighbours, the left
one even, make their parent. Whoever holds consecutive leaves can add whole subtrees and hand on no
more than the few that have a neighbour elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

LEAF_BLOCKS = 2
"""Blocks that are added one after another. More: fewer subtrees at a time; less: evener shares."""


@dataclass(frozen=True)
class Subtotal:
    """The sums of one subtree.

    Attributes
    ----------
    level : 0 for a leaf; the subtree has 2**level leaves
    position : among the subtrees of its level, from 0
    arrays : what the blocks' arrays add up to
    """

    level: int
    position: int
    arrays: tuple[np.ndarray, ...]


@dataclass
class Subtotals:
    """The largest whole subtrees of what was added so far, from the left.

    Attributes
    ----------
    kept : at most two of each level
    """

    kept: list[Subtotal] = field(default_factory=list)

    def add(self, new: Subtotal) -> None:
        """Add the subtree to the right of all before. The arrays of those are written into."""
        while self.kept:
            left = self.kept[-1]
            if left.level != new.level or new.position != (left.position | 1):
                break
            _add_to(left.arrays, new.arrays)
            new = Subtotal(left.level + 1, left.position // 2, self.kept.pop().arrays)
        self.kept.append(new)

    def total(self) -> tuple[np.ndarray, ...]:
        """Return the sums of all; of subtrees without a neighbour, the last is added first."""
        *others, last = self.kept
        for left in reversed(others):
            _add_to(left.arrays, last.arrays)
            last = left
        return last.arrays


def n_leaves(n_blocks: int) -> int:
    """Return how many leaves so many blocks make."""
    return -(-n_blocks // LEAF_BLOCKS)


def add_blocks(results: Iterable[tuple[np.ndarray, ...]], first_leaf: int = 0) -> Subtotals:
    """Return the subtotals of consecutive blocks, without writing into their arrays.

    Parameters
    ----------
    results : each block's arrays, from the first block of the leaf ``first_leaf`` on
    first_leaf : int
    """
    found = Subtotals()
    for position, arrays in enumerate(_leaves(results), start=first_leaf):
        found.add(Subtotal(0, position, arrays))
    return found


def _leaves(results: Iterable[tuple[np.ndarray, ...]]) -> Iterator[tuple[np.ndarray, ...]]:
    sums: tuple[np.ndarray, ...] = ()
    for number, arrays in enumerate(results):
        if number % LEAF_BLOCKS:
            _add_to(sums, arrays)
        else:
            if number:
                yield sums
            sums = tuple(np.array(part) for part in arrays)
    yield sums


def _add_to(sums: tuple[np.ndarray, ...], arrays: tuple[np.ndarray, ...]) -> None:
    for total, part in zip(sums, arrays, strict=True):
        np.add(total, part, out=total)
