"""The null: data with the same row and column counts as the real ones, and no segments.

Every customer keeps the number of items, every item its number of customers; who has what is drawn
evenly from all matrices with those counts. Customers and items also keep how large their values are, and
customers how much theirs differ; what is left of a value is dealt out anew among the item's customers.
Whatever a statistic shows on such data comes from activity, popularity and sizes alone.

Values count by their order only, as normal scores, to which customer and item add: so plays with a heavy
tail, where both multiply, come out as well as stars, and all values together stay the same. Were a
customer's values dealt out among the items instead, an item that is bought by the hundred would seem to
be a component.

The chain of swaps runs as global curveball trades. In a round all customers are paired at random.
A pair keeps the items that both have, and deals the others out again at random, each customer as
many as before. That leaves all counts as they are, does many swaps at once, and takes time proportional
to the interactions.

References
----------
van der Waerden (1952), "Order tests for the two-sample problem and their power", Indag. Math. 14, 453-458
(normal scores).
Searle, Casella & McCulloch (1992), "Variance Components", Wiley (the shrinkage of what few values tell).
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
from collections.abc import Sequence
from functools import partial

import numpy as np
import scipy.sparse as sp
from scipy.special import ndtri

from segcli.engine import Engine
from segcli.numerics import costs

N_ROUNDS = 30
"""Rounds of trades. On real data co-occurrences are as after 150 rounds from about ten, and the share
of entries in common with the original from about twenty."""

_N_FITS = 5  # of each side in turn
_LEAST_VARIANCE = 1e-9  # of normal scores, whose own is about 1
_AS_OTHERS = 5  # values, as spread as all are, that count towards how spread a customer's are


def swapped(X: sp.csr_array, *, rng: np.random.Generator, n_rounds: int = N_ROUNDS) -> sp.csr_array:
    """Return a null of the matrix: the same counts by row and by column, and values as large.

    Chance picks by position: permute customers and items, and another null comes back. In rank order it
    depends on the data and ``rng`` alone.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), in canonical format; values of any sign
        A stored entry is an interaction, whatever its value.
    rng : the source of chance; it is advanced
    n_rounds : rounds in which every customer trades once. With 0, only values are dealt out anew.

    Returns
    -------
    csr_array of shape (n_customers, n_items), float64, its indices sorted
        As many entries in each row and in each column as X, and the same values in all.
    """
    have = sp.csr_array((np.ones(X.nnz, dtype=np.int8), X.indices, X.indptr), shape=X.shape)
    who = np.arange(X.shape[0])  # stands where
    for _ in range(n_rounds):
        order = rng.permutation(X.shape[0])
        have, who = _traded(have[order], rng), who[order]
    null = sp.csr_array((X.data, have[np.argsort(who)].indices, X.indptr), shape=X.shape)
    null.data = _values_for(null, X, rng)
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


def _values_for(null: sp.csr_array, X: sp.csr_array, rng: np.random.Generator) -> np.ndarray:
    """Return X's values, dealt out so as to suit the customers and the items of the null.

    Parameters
    ----------
    null, X : csr_arrays with as many entries in each row and in each column; the null's values are ignored
    """
    values, places, counts = np.unique(
        X.data.astype(np.float64), return_inverse=True, return_counts=True
    )
    if len(values) < 2:
        return np.repeat(values, counts)
    scores = ndtri((np.cumsum(counts) - counts / 2) / X.nnz)[places]
    lengths = np.diff(X.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    of_customers, of_items = _main_effects(scores, (rows, X.indices), X.shape)
    left = scores - of_customers[rows] - of_items[X.indices]
    squares = np.bincount(rows, left**2, minlength=len(lengths))
    usual = max(float(np.mean(left**2)), _LEAST_VARIANCE)
    spread = np.sqrt((squares + _AS_OTHERS * usual) / (lengths + _AS_OTHERS))[rows]
    dealt = np.empty(X.nnz)
    dealt[_by_item(null, np.arange(X.nnz))] = _by_item(X, left / spread, rng.permutation(X.nnz))
    suited = of_customers[rows] + of_items[null.indices] + spread * dealt
    dealt[np.argsort(suited, kind="stable")] = np.repeat(values, counts)
    return dealt


def _main_effects(
    scores: np.ndarray, of_entries: tuple[np.ndarray, np.ndarray], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each row and each column adds to the scores, shrunk the more the fewer it has.

    Parameters
    ----------
    scores : ndarray of shape (n_entries,), about 0
    of_entries : the row and the column of each
    shape : how many rows and columns there are
    """
    n_of = [np.bincount(own, minlength=n) for own, n in zip(of_entries, shape, strict=True)]

    def fit(penalties: Sequence[float]) -> list[np.ndarray]:
        effects = [np.zeros(n) for n in shape]
        for side in (0, 1) * _N_FITS:
            rest = scores - effects[1 - side][of_entries[1 - side]]
            sums = np.bincount(of_entries[side], rest, minlength=shape[side])
            effects[side] = sums / np.maximum(n_of[side] + penalties[side], 1)
        return effects

    effects = fit((0.0, 0.0))
    left = scores - effects[0][of_entries[0]] - effects[1][of_entries[1]]
    noise = float(left @ left) / max(len(left) - sum(shape), 1)
    penalties = []
    for effect, n in zip(effects, n_of, strict=True):
        of_some = n > 0
        variance = np.mean(effect[of_some] ** 2) - noise * np.mean(1 / n[of_some])
        penalties.append(noise / max(float(variance), _LEAST_VARIANCE))
    by_row, by_column = fit(penalties)
    return by_row, by_column


def _by_item(
    X: sp.csr_array, of_entries: np.ndarray, order: np.ndarray | None = None
) -> np.ndarray:
    """Return what belongs to X's entries, item after item.

    Those of an item come in the order given, or as they lie.
    """
    columns = X.indices
    if order is not None:
        of_entries, columns = of_entries[order], columns[order]
    # To turn columns into rows is to sort by row, in time proportional to the entries.
    entries = sp.csc_array((of_entries, columns, np.arange(X.nnz + 1)), (X.shape[1], X.nnz))
    return np.asarray(entries.tocsr().data)
