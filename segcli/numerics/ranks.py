"""An order of customers and items that depends on the data alone, not on names; matrices in that order.

Chance must not depend on ids: a random draw that is indexed by position would pick other customers
after a renaming. So draws are indexed by *rank*. Ranks come from fingerprints: 64-bit hashes of what
a customer did, through items' fingerprints, which are hashes of what was done to them (two rounds of
Weisfeiler-Lehman refinement). Sums are modulo 2**64, hence exact, in any order and on any machine.
Customers with equal rows share a fingerprint and are exchangeable: their ranks follow their ids. On data
as regular as a lattice so do the ranks of customers whose rows differ: there alone chance goes by ids.

References
----------
Shervashidze et al. (2011), "Weisfeiler-Lehman Graph Kernels", J. Mach. Learn. Res. 12, 2539-2561.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks

_SAMPLE = (8,)  # keys the random stream of the sample


@dataclass(frozen=True)
class Ranks:
    """Positions of customers and items in the order of their fingerprints.

    Attributes
    ----------
    customers : ndarray of shape (n_customers,), a permutation of 0..n_customers-1
    items : ndarray of shape (n_items,), a permutation of 0..n_items-1
    """

    customers: np.ndarray
    items: np.ndarray

    @property
    def customer_order(self) -> np.ndarray:
        """Customers' positions, first rank first."""
        return np.argsort(self.customers)

    @property
    def item_order(self) -> np.ndarray:
        """Items' positions, first rank first."""
        return np.argsort(self.items)


def ranks_by_position(X: sp.csr_array) -> Ranks:
    """Return the ranks of a matrix whose rows and columns are in the order of their ranks already."""
    n_customers, n_items = X.shape
    return Ranks(np.arange(n_customers), np.arange(n_items))


def rank(blocks: Blocks) -> Ranks:
    """Return the ranks of a sparse matrix's customers and items.

    Parameters
    ----------
    blocks : sparse blocks of shape (n_customers, n_items)
    """
    n_customers, n_items = blocks.shape
    customers = np.zeros(n_customers, dtype=np.uint64)
    items = np.zeros(n_items, dtype=np.uint64)
    for _ in range(2):
        (sums,) = blocks.map_sum(_item_sums, customers)
        items = _mix(items ^ sums)
        (sums,) = blocks.map_rows(_customer_sums, items)
        customers = _mix(customers ^ sums)
    return Ranks(_positions(customers), _positions(items))


def shuffled(ranks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return all positions in a random order that depends on ranks and ``rng`` alone."""
    return np.asarray(np.argsort(ranks)[rng.permutation(len(ranks))])


def in_rank_order(X: sp.csr_array, ranks: Ranks, rows: np.ndarray | None = None) -> sp.csr_array:
    """Return the matrix with customers and items in the order of their ranks.

    The same data in any order, under any names, give the same matrix, to the bit.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items)
    ranks : the ranks of X's customers and items
    rows : ndarray of shape (n,), from `sample_rows`: only these customers
    """
    return _of_items(X[ranks.customer_order if rows is None else rows], ranks.item_order)


def sample_rows(
    ranks: Ranks, size: int, *, seed: int, stream: Sequence[int] = _SAMPLE
) -> np.ndarray:
    """Return the positions of a random sample of at most ``size`` customers, first rank first.

    Parameters
    ----------
    stream : keys the random stream beside ``seed``; evidence of one stream is of the same customers
    """
    chosen = np.random.default_rng([seed, *stream]).permutation(len(ranks.customers))[:size]
    return np.asarray(ranks.customer_order[np.sort(chosen)])


def sample_in_rank_order(
    X: sp.csr_array, ranks: Ranks, size: int, *, seed: int, stream: Sequence[int] = _SAMPLE
) -> sp.csr_array:
    """Return a random sample of the customers and the items that they have, both in the order of ranks.

    A sample has few of very many items, and the others say nothing of it. Where its customers have none,
    all items are taken, for a matrix needs some.
    """
    chosen = X[sample_rows(ranks, size, seed=seed, stream=stream)]
    order = ranks.item_order
    if chosen.nnz:
        order = order[np.bincount(chosen.indices, minlength=X.shape[1])[order] > 0]
    return _of_items(chosen, order)


def top(scores: np.ndarray, n: int, ranks: np.ndarray) -> np.ndarray:
    """Return the positions of the n largest scores, largest first.

    Ties go to the lower rank. Scores equal to 12 digits are ties, so that rounding does not decide the
    order.
    """
    if n == 0:
        return np.empty(0, dtype=np.int64)
    positions = np.arange(len(scores))
    if len(scores) > n:
        # The order by twelve digits is slow; give it only what can be in it.
        least = np.partition(scores, -n)[-n]
        positions = positions[scores >= least - abs(least) * 1e-9]
    rounded = np.array([float(f"{score:.12g}") for score in scores[positions]])
    return np.asarray(positions[np.lexsort((ranks[positions], -rounded))[:n]])


def _of_items(X: sp.csr_array, order: np.ndarray) -> sp.csr_array:
    ordered = sp.csr_array(X[:, order])
    ordered.sort_indices()
    return ordered


def _item_sums(block: Block, customers: np.ndarray) -> tuple[np.ndarray]:
    X: sp.csr_array = block.matrix
    mine = np.repeat(customers[block.rows], np.diff(X.indptr))
    sums = np.zeros(X.shape[1], dtype=np.uint64)
    np.add.at(sums, X.indices, _mix(_bits(X.data) ^ mine))
    return (sums,)


def _customer_sums(block: Block, items: np.ndarray) -> tuple[np.ndarray]:
    X: sp.csr_array = block.matrix
    hashes = np.concatenate([np.zeros(1, np.uint64), _mix(_bits(X.data) ^ items[X.indices])])
    running = np.cumsum(hashes, dtype=np.uint64)
    return (running[X.indptr[1:]] - running[X.indptr[:-1]],)


def _bits(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).view(np.uint64)


def _mix(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit words (the finalizer of splitmix64: Steele, Lea & Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def _positions(fingerprints: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(fingerprints), dtype=np.int64)
    ranks[np.argsort(fingerprints, kind="stable")] = np.arange(len(fingerprints))
    return ranks
