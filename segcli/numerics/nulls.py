"""The null: data with the same row and column counts as the real ones, and no segments.

Every customer keeps the number of items, every item its number of customers; who has what is drawn
evenly from all matrices with those counts, and values are shuffled within the customer. Whatever a
statistic shows on such data comes from activity and popularity alone.

The chain of swaps runs as global curveball trades. In a round all customers are paired at random.
A pair keeps the items that both have, and deals the others out again at random, each customer as
many as before. That leaves all counts as they are, does many swaps at once, and a round is two sorts.

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
from segcli.numerics import durations
from segcli.numerics.ranks import Ranks, ranks_by_position

N_ROUNDS = 30
"""Rounds of trades. On real data co-occurrences are as after 150 rounds from about ten, and the share
of entries in common with the original from about twenty."""

_KEY_BITS = 63


def swapped(
    X: sp.csr_array,
    *,
    ranks: Ranks,
    rng: np.random.Generator,
    n_rounds: int = N_ROUNDS,
) -> sp.csr_array:
    """Return a null of the matrix: the same counts by row and by column, and nothing else of it.

    The null depends on the data, ``ranks`` and ``rng`` alone: permute or rename customers and items,
    and it is permuted or renamed alike.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), without repeated entries; values of any sign
        A stored entry is an interaction, whatever its value.
    ranks : ranks of X's customers and items
        Only their order counts: for a sample of customers, the ranks of the whole matrix cut to the
        sample will do.
    rng : the source of chance; it is advanced
    n_rounds : rounds in which every customer trades once. With 0, only values are shuffled.

    Returns
    -------
    csr_array of shape (n_customers, n_items), float64, its indices sorted
        As many entries in each row and in each column as X; in each row, the same values.
    """
    customers, items = ranks.customer_order, ranks.item_order
    lengths = np.diff(X.indptr)[customers]
    ordered = X[customers]
    rows = np.repeat(np.arange(X.shape[0]), lengths)
    columns = _inverse(items)[ordered.indices]
    values = _shuffled_values(ordered.data.astype(np.float64), rows, rng)
    for _ in range(n_rounds):
        rows, columns = _trade(rows, columns, X.shape, rng)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    null = sp.csr_array(
        (values, items[columns[np.argsort(rows, kind="stable")]], indptr), shape=X.shape
    )
    null = null[_inverse(customers)]
    null.sort_indices()
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
            tasks, "data without segments", seconds=durations.of_passes(X)
        )
        _MADE.clear()
        _MADE[key] = kept
    return kept[:n]


def null_of(X: sp.csr_array, j: int, *, seed: int) -> sp.csr_array:
    """Return the j-th null of a matrix in rank order."""
    return swapped(X, ranks=ranks_by_position(X), rng=np.random.default_rng([seed, 6, j]))


_MADE: dict[bytes, list[sp.csr_array]] = {}


def _digest(X: sp.csr_array, seed: int) -> bytes:
    """Return what no other matrix or seed has."""
    digest = hashlib.sha256(f"{X.shape} {seed}".encode())
    for array in (X.indptr, X.indices, X.data):
        digest.update(str(array.dtype).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def _trade(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pair all customers and let each pair deal out again what only one of the two has.

    Sorting whole words, with pair, chance and column packed into one, is much faster than sorting
    indices by them.
    """
    n_customers, n_items = shape
    partners = rng.permutation(n_customers)
    column_bits = n_items.bit_length()
    random_bits = _KEY_BITS - column_bits - n_customers.bit_length()

    # Pair p sits at places 2p and 2p + 1. A key is its pair, the column and the side, from above.
    places = _inverse(partners)
    keys = (((places >> 1) << (column_bits + 1)) | (places & 1))[rows]
    keys |= columns << 1
    keys.sort()
    same = (keys[1:] ^ keys[:-1]) == 1
    shared = np.zeros(len(keys), dtype=bool)
    shared[1:] |= same
    shared[:-1] |= same

    kept, dealt = keys[shared], keys[~shared]
    n_dealt = np.bincount(_place(dealt, column_bits), minlength=n_customers)
    hands = rng.integers(1 << random_bits, size=len(dealt))
    hands <<= column_bits
    hands |= (dealt >> (column_bits + 1)) << (random_bits + column_bits)
    hands |= _column(dealt, column_bits)
    hands.sort()
    # Each place gets as many of its pair's cards as it gave.
    rows = np.concatenate([partners[_place(kept, column_bits)], np.repeat(partners, n_dealt)])
    columns = np.concatenate([_column(kept, column_bits), hands & ((1 << column_bits) - 1)])
    return rows, columns


def _place(keys: np.ndarray, column_bits: int) -> np.ndarray:
    return ((keys >> (column_bits + 1)) << 1) | (keys & 1)


def _column(keys: np.ndarray, column_bits: int) -> np.ndarray:
    return (keys >> 1) & ((1 << column_bits) - 1)


def _shuffled_values(values: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the values shuffled within each row; sorted first, so that their order says nothing."""
    values = values[np.lexsort((values, rows))]
    return values[np.lexsort((rng.random(len(values)), rows))]


def _inverse(order: np.ndarray) -> np.ndarray:
    positions = np.empty(len(order), dtype=np.int64)
    positions[order] = np.arange(len(order))
    return positions
