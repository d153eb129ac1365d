"""In which order the arrays of blocks are added: the same on every engine.

Floating-point sums depend on their order, so the order depends on the blocks' numbers alone: they are
added as a binary tree, in which two neighbours, the left one even, make their parent. Whoever holds
consecutive blocks can add whole subtrees, and hands on no more than the few that have a neighbour
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Subtotal:
    """The sums of one subtree.

    Attributes
    ----------
    level : 0 for a block; the subtree has 2**level blocks
    position : among the subtrees of its level, from 0
    arrays : what the blocks' arrays add up to
    is_own : whether the arrays may be written into; those of a block may be views of it
    """

    level: int
    position: int
    arrays: tuple[np.ndarray, ...]
    is_own: bool = False

    def plus(self, right: Subtotal) -> tuple[np.ndarray, ...]:
        """Return the sums of both, in the arrays of one of them if that may be."""
        pairs = zip(self.arrays, right.arrays, strict=True)
        if self.is_own:
            return tuple(np.add(a, b, out=a) for a, b in pairs)
        if right.is_own:
            return tuple(np.add(a, b, out=b) for a, b in pairs)
        return tuple(np.asarray(np.add(a, b)) for a, b in pairs)


@dataclass
class Subtotals:
    """The largest whole subtrees of what was added so far, from the left.

    Attributes
    ----------
    kept : at most two of each level
    """

    kept: list[Subtotal] = field(default_factory=list)

    def add(self, new: Subtotal) -> None:
        """Add the subtree to the right of all before."""
        while self.kept:
            left = self.kept[-1]
            if left.level != new.level or new.position != (left.position | 1):
                break
            self.kept.pop()
            new = Subtotal(left.level + 1, left.position // 2, left.plus(new), is_own=True)
        self.kept.append(new)

    def total(self) -> tuple[np.ndarray, ...]:
        """Return the sums of all; of subtrees without a neighbour, the last is added first."""
        *others, last = self.kept
        for left in reversed(others):
            last = Subtotal(left.level, left.position, left.plus(last), is_own=True)
        return last.arrays if last.is_own else tuple(np.array(part) for part in last.arrays)


def add_blocks(results: Iterable[tuple[np.ndarray, ...]], first: int = 0) -> Subtotals:
    """Return the subtotals of consecutive blocks, without writing into their arrays.

    Parameters
    ----------
    results : each block's arrays, from block number ``first`` on
    first : int
    """
    found = Subtotals()
    for position, arrays in enumerate(results, start=first):
        found.add(Subtotal(0, position, arrays))
    return found
