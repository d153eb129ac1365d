"""The null: data with the same row and column counts as the real ones, and no segments.

Every customer keeps the number of items, every item its number of customers; who has what is drawn
evenly from all matrices with those counts, and values are shuffled within the customer. Whatever a
statistic shows on such data comes from activity and popularity alone.

The chain of swaps runs as global curveball trades. In a round all customers are paired at random.
A pair keeps the items that both have, and deals the others out again at random, each customer as
many as before. That leaves all counts as they are, does many swaps at once, and takes time proportional
to the interactions.

References
----------
Gionis, Mannila, Mielikäinen & Tsaparas (2007), "Assessing data mining results via swap
randomization", ACM Trans. Knowl. Discov. Data 1(3), 14, doi:10.1145/1297332.1297338.
Strona, Nappo, Boccacci, Fattorini & San-Miguel-Ayanz (2014), "A fast and unbiased procedure to
randomize ecological binary matrices with fixed row and column totals", Nat. Commun. 5, 4114,
doi:10.1038/ncomms5114.
Carstens, Hamann, Meyer, Penschuck, Tran & Wagner (2018), "Parallel and I/O-efficient randomisation
of massive networks using global curveball trades", ESA 2018, LIPIcs 112, 11,
doi:10.4230/LIPIcs.ESA.2018.11.
"""

from __future__ import annotations

import hashlib
from functools import partial

import numpy as np
import scipy.sparse as sp

from segcli.engine import Engine
from segcli.numerics import costs

N_ROUNDS = 30
"""Rounds of trades. On real data co-occurrences are as after 150 rounds from about ten, and the share
of entries in common with the original from about twenty."""


def swapped(X: sp.csr_array, *, rng: np.random.Generator, n_rounds: int = N_ROUNDS) -> sp.csr_array:
    """Return a null of the matrix: the same counts by row and by column, and nothing else of it.

    Chance picks by position: permute customers and items, and another null comes back. In rank order it
    depends on the data and ``rng`` alone.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), in canonical format; values of any sign
        A stored entry is an interaction, whatever its value.
    rng : the source of chance; it is advanced
    n_rounds : rounds in which every customer trades once. With 0, only values are shuffled.

    Returns
    -------
    csr_array of shape (n_customers, n_items), float64, its indices sorted
        As many entries in each row and in each column as X; in each row, the same values.
    """
    values = _shuffled_within(X.data.astype(np.float64), np.diff(X.indptr), rng)
    have = sp.csr_array((np.ones(X.nnz, dtype=np.int8), X.indices, X.indptr), shape=X.shape)
    who = np.arange(X.shape[0])  # stands where
    for _ in range(n_rounds):
        order = rng.permutation(X.shape[0])
        have, who = _traded(have[order], rng), who[order]
    null = sp.csr_array((values, have[np.argsort(who)].indices, X.indptr), shape=X.shape)
    null.has_canonical_format = True
    return null


def nulls_of(X: sp.csr_array, n: int, *, seed: int, engine: Engine) -> list[sp.csr_array]:
    """Return the first nulls of a matrix, the same for every stage of one seed.

    Those of the last matrix are kept: `segcli run` asks for them in stage after stage.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), in rank order
    n : how many
    engine : makes them
    """
    key = _digest(X, seed)
    kept = _MADE.get(key, [])
    missing = range(len(kept), n)
    if missing:
        tasks = [partial(null_of, X, j, seed=seed) for j in missing]
        kept = kept + engine.run_tasks(
            tasks,
            "data without segments",
            seconds=costs.seconds_of_passes(X),
            room=costs.room_of_passes(X),
        )
        _MADE.clear()
        _MADE[key] = kept
    return kept[:n]


def null_of(X: sp.csr_array, j: int, *, seed: int) -> sp.csr_array:
    """Return the j-th null of a matrix in rank order."""
    return swapped(X, rng=np.random.default_rng([seed, 6, j]))


_MADE: dict[bytes, list[sp.csr_array]] = {}


def _digest(X: sp.csr_array, seed: int) -> bytes:
    """Return a hash of the matrix and the seed."""
    digest = hashlib.sha256(f"{X.shape} {seed}".encode())
    for array in (X.indptr, X.indices, X.data):
        digest.update(str(array.dtype).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _traded(have: sp.csr_array, rng: np.random.Generator) -> sp.csr_array:
    """Let each customer of the first half deal out again, with one of the second, what only one has.

    Parameters
    ----------
    have : csr_array of ones, of single bytes, its indices sorted; of an odd number the last sits out
    """
    half = have.shape[0] // 2
    first, second, out = have[:half], have[half : 2 * half], have[2 * half :]
    both = first + 2 * second  # 3 where both have the item
    lengths, unions = np.diff(have.indptr), np.diff(both.indptr)
    n_shared = lengths[:half] + lengths[half : 2 * half] - unions
    dealt = np.flatnonzero(both.data != 3)
    to_first = _chosen(lengths[:half] - n_shared, unions - n_shared, rng)
    both.data[dealt] = 2 - to_first
    indices = [both.indices[np.flatnonzero(both.data != other)] for other in (2, 1)]
    traded = sp.csr_array(
        (have.data, np.concatenate([*indices, out.indices]), have.indptr), shape=have.shape
    )
    traded.has_canonical_format = True
    return traded


def _chosen(n: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which members of each group are chosen: so many, all ways to do so equally likely.

    Each is chosen or not by chance alone, at first; then the few that are too many go back, or as many
    as are missing are added. Whatever the number, who was chosen is as likely as any others, so that
    this is exact; and it takes no sorting.

    Parameters
    ----------
    n : ndarray of shape (n_groups,), how many to choose of each
    sizes : ndarray of shape (n_groups,), members of each

    Returns
    -------
    ndarray of bool, of shape (sum of sizes,), group after group
    """
    groups = np.repeat(np.arange(len(sizes)), sizes)
    shares = np.repeat(np.float32(n / np.maximum(sizes, 1)), sizes)
    chosen = rng.random(len(groups), dtype=np.float32) < shares
    excess = np.bincount(groups[np.flatnonzero(chosen)], minlength=len(sizes)) - n
    are_too_many = excess > 0
    candidates = np.flatnonzero(chosen == np.repeat(are_too_many, sizes))
    n_candidates = np.where(are_too_many, n + excess, sizes - n - excess)
    changed = candidates[_distinct(np.abs(excess), n_candidates, rng)]
    chosen[changed] = ~chosen[changed]
    return np.asarray(chosen)


def _distinct(n: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the positions of some members of each group, drawn evenly; groups lie end to end.

    One that was drawn already is drawn again: good for few of many, and for all of few.
    """
    starts = np.cumsum(sizes) - sizes
    missing = np.repeat(np.arange(len(n)), n)
    drawn = np.empty(0, dtype=np.int64)
    while len(missing):
        more = starts[missing] + (rng.random(len(missing)) * sizes[missing]).astype(np.int64)
        drawn = np.concatenate([drawn, more])
        is_new = np.zeros(len(drawn), dtype=bool)
        is_new[np.unique(drawn, return_index=True)[1]] = True
        missing = missing[~is_new[-len(more) :]]
        drawn = drawn[is_new]
    return drawn


def _shuffled_within(
    values: np.ndarray, lengths: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the values of rows that lie end to end, shuffled within each row."""
    n, rows = len(values), np.repeat(np.arange(len(lengths)), lengths)
    order = rng.permutation(n)
    # To turn columns into rows is to sort by row, in time proportional to the entries.
    shuffled = sp.csc_array((values[order], rows[order], np.arange(n + 1)), (len(lengths), n))
    return np.asarray(shuffled.tocsr().data)
