"""What segments have among interactions that their making did not see.

A description measured on the data that made the segments flatters them: whatever customers were
put together for, they will be found to have in common, in pure chance too. So each interaction is
hidden once. In each of a few rounds, a part of every customer's interactions is hidden, the recipe is
fitted anew to the rest, its segments are matched to those to be described, and the hidden
interactions are looked up in them. Where a segment is only the echo of its own data, items are
no more frequent there than elsewhere.

The items that mark a segment are chosen from all interactions, hidden ones too, and of many items some
stand out by chance, in every part of the data: each item's own figure is still a little flattered. So
how far what marks segments holds altogether is told of items that each round chooses anew, from
what it sees. Without segments that is about 1, but for what activity does and that the median of
few is below their mean: read it beside the null's.

An interaction that was seen may have made the segment, and can no longer be hidden, so a customer
seen to have an item counts neither for nor against it in that round. Each customer who has the item
counts in the one round that hides it; each who lacks it, in every round.

Customers who are left unassigned count in whatever segment a round puts them into. All of a customer's
interactions decided who is assigned, those that are hidden later too: what is counted of the assigned
alone holds in data without segments as well.

References
----------
Neufeld, Gao, Popp, Battle & Witten (2024), "Inference after latent variable estimation for single-cell
RNA sequencing data" (count splitting), Biostatistics 25, 270-287, doi:10.1093/biostatistics/kxac047.
Chernozhukov et al. (2018), "Double/debiased machine learning for treatment and structural parameters"
(cross-fitting: every observation is held out once), Econom. J. 21, C1-C68, doi:10.1111/ectj.12097.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Engine
from segcli.engine.sparse_views import with_values, without_empty_columns
from segcli.numerics import costs
from segcli.numerics.held_out import select
from segcli.numerics.levels import LARGEST_SAMPLE, quick_sample_size
from segcli.numerics.log_odds import score_log_odds, times_as_frequent
from segcli.numerics.ranks import Ranks, in_rank_order, sample_rows
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.stability import matched

N_ROUNDS = 5
"""Each customer's interactions are dealt to so many parts; each round hides one of them, a fifth."""

LEAST_CUSTOMERS = 10
"""Customers who must have an item for its shares to be told. Not so many of the segment: of what chance
alone spreads, that would show what fell into it."""


@dataclass(frozen=True)
class UnseenLevel:
    """How much to look at.

    Attributes
    ----------
    n_rounds : int, rounds of hiding, at least 2
    n_customers : int, how many customers to work on, at most
    """

    n_rounds: int
    n_customers: int


FULL = UnseenLevel(10, LARGEST_SAMPLE)


def quick_level(X: sp.csr_array) -> UnseenLevel:
    """Return how much of an unweighted matrix is quickly looked at."""
    return UnseenLevel(N_ROUNDS, quick_sample_size(X.shape[0], X.nnz))


@dataclass(frozen=True)
class UnseenProfiles:
    """Item by item figures of each segment, from hidden interactions alone.

    Attributes
    ----------
    found : ndarray of shape (k, n_items)
        Customers in the segment in the round that hid their interaction with the item: support.
    customers : ndarray of shape (k, n_items)
        The segment's customers who have the item, as the hidden interactions tell.
    sizes : ndarray of shape (k,), customers in the segment who could be looked at, mean over rounds
    everyone : ndarray of shape (n_items,), the same as ``customers`` for all customers
    n_everyone : int, all customers who could be looked at: those with two interactions or more
    times_of_chosen : float
        How many times as frequent in their segment as elsewhere (`log_odds.times_as_frequent`) the items
        are that a round chose from what it saw: the median, each round's choice counting once. Of items
        of which there `is_enough` to tell; NaN if none chose any.
    together : ndarray of shape (k,)
        The share of the segment's customers who are in it again in a round, 0 to 1: its mean. Where
        it is small, the rounds describe another segment.
    n_customers : int, customers in the rounds: all, or the sample
    is_sample : bool
    n_rounds : int
    """

    found: np.ndarray
    customers: np.ndarray
    sizes: np.ndarray
    everyone: np.ndarray
    n_everyone: int
    times_of_chosen: float
    together: np.ndarray
    n_customers: int
    is_sample: bool
    n_rounds: int

    @property
    def is_enough(self) -> np.ndarray:
        """Whether there is enough to tell the shares of each item, (n_items,)."""
        return _is_enough(self.found)


def profile_unseen(
    X: sp.csr_array,
    labels: np.ndarray,
    k: int,
    recipe: Recipe,
    *,
    ranks: Ranks,
    seed: int,
    n_items: int,
    level: UnseenLevel,
    engine: Engine = ONE_THREAD,
) -> UnseenProfiles | None:
    """Return the profiles of segments from interactions hidden from the making of segments.

    A segment's share of customers with an item is ``h / (h + l)``: ``h`` customers have it, each
    counted in the round that hid it, and ``l`` lack it, the mean over rounds. With the same segments
    in every round that is the plain share.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted
    labels : ndarray of shape (n_customers,)
        The segments to be described, values in 0..k-1; negative for the unassigned.
    k : int
    recipe : how the segments were made
    ranks : the ranks of X's customers and items
    seed : int
    n_items : items to choose per segment in each round, at most
    level : how much to look at
    engine : runs the rounds

    Returns
    -------
    UnseenProfiles; None if no customer has two interactions, of which one could be hidden, or a round's
    customers are not distinct enough for k segments
    """
    n_rounds = level.n_rounds
    rows = sample_rows(ranks, level.n_customers, seed=seed)
    # Of many items few are in a sample: what is counted of the others would take most of the room.
    ordered, there = without_empty_columns(in_rank_order(X, ranks, rows))
    own = labels[rows]
    parts = split_interactions(ordered, n_rounds, rng=np.random.default_rng([seed, 11]))
    looked_at = np.diff(ordered.indptr) > 1
    if not looked_at.any():
        return None
    shape = (k, len(there))
    found, lacking, sizes = np.zeros(shape), np.zeros(shape), np.zeros(k)
    together, chosen = np.zeros(k), []
    rounds = [
        partial(_segments_without, ordered, parts, j, recipe, k, seed) for j in range(n_rounds)
    ]
    segmented = engine.run_tasks(
        rounds,
        "segments on unseen interactions",
        seconds=costs.seconds_of_fit(ordered, [k]),
        room=costs.room_of_fit(ordered, [k]),
    )
    for part, found_labels in enumerate(segmented):
        if found_labels is None:
            return None
        groups = _renamed(own, found_labels, k)
        together += np.bincount(own[groups == own], minlength=k) / n_rounds
        members = _membership(groups, looked_at, k)
        n_members = np.bincount(groups[looked_at], minlength=k)
        segments, items = _choose(select(ordered, parts != part), groups, k, n_items)
        hidden = _count(members, select(ordered, parts == part))
        without = n_members[:, None] - _count(members, ordered)
        if hidden.any():
            figures = _in_and_out(hidden, without, n_members, segments, items)
            chosen.append((segments, items, *figures))
        found += hidden
        lacking += without / n_rounds
        sizes += n_members
    sizes /= n_rounds
    shares = _share(found, lacking) * sizes[:, None]
    n_everyone = int(looked_at.sum())  # not of sizes, which are means and rounded
    columns = [np.concatenate(parts) for parts in zip(*chosen, strict=True)]
    is_told = _is_enough(found)[columns[1]]
    times = _times_of_chosen([column[is_told] for column in columns], n_rounds)
    at = np.argsort(ranks.items)[there]
    customers = _in_columns(shares, at, X.shape[1])
    return UnseenProfiles(
        found=_in_columns(found, at, X.shape[1]),
        customers=customers,
        sizes=sizes,
        everyone=customers.sum(axis=0),
        n_everyone=n_everyone,
        times_of_chosen=times,
        together=together / np.maximum(np.bincount(own[own >= 0], minlength=k), 1),
        n_customers=len(rows),
        is_sample=len(rows) < X.shape[0],
        n_rounds=n_rounds,
    )


def _in_columns(values: np.ndarray, at: np.ndarray, n_columns: int) -> np.ndarray:
    """Return the columns at these places among so many, the others 0."""
    spread = np.zeros((len(values), n_columns))
    spread[:, at] = values
    return spread


def _is_enough(found: np.ndarray) -> np.ndarray:
    return np.asarray(found.sum(axis=0) >= LEAST_CUSTOMERS)


def _segments_without(
    X: sp.csr_array, parts: np.ndarray, part: int, recipe: Recipe, k: int, seed: int
) -> np.ndarray | None:
    """Return the segments that the recipe makes when one part is hidden; None if it cannot."""
    fit = fit_recipe(select(X, parts != part), recipe, [k], seed=seed)
    return fit.partitions[0].labels if fit.partitions else None


def _choose(
    seen: sp.csr_array, groups: np.ndarray, k: int, n_items: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the segments and the items of all that marks a segment on what is seen, in rank order."""
    has = _count(_membership(groups, np.ones(len(groups), dtype=bool), k), seen)
    sizes, everyone = np.bincount(groups, minlength=k), has.sum(axis=0)
    listed = []
    for s in range(k):  # one by one, for memory
        scored = score_log_odds(has[[s]], sizes[[s]], everyone=everyone, n_everyone=len(groups))
        listed.append(scored.characteristic(0, n_items, item_ranks=np.arange(len(everyone))))
    return np.repeat(np.arange(k), [len(items) for items in listed]), np.concatenate(listed)


def _in_and_out(
    hidden: np.ndarray,
    without: np.ndarray,
    n_members: np.ndarray,
    segments: np.ndarray,
    items: np.ndarray,
) -> list[np.ndarray]:
    """Return who has items hidden, who lacks them, customers and all that is hidden; then elsewhere."""
    n_hidden = hidden.sum(axis=1)
    inside = [
        *(of[segments, items] for of in (hidden, without)),
        n_members[segments],
        n_hidden[segments],
    ]
    everyone = [
        *(of.sum(axis=0)[items] for of in (hidden, without)),
        n_members.sum(),
        n_hidden.sum(),
    ]
    return inside + [of_all - own for of_all, own in zip(everyone, inside, strict=True)]


def _times_of_chosen(chosen: Sequence[np.ndarray], n_rounds: int) -> float:
    """Return `UnseenProfiles.times_of_chosen`, of what the rounds chose and found.

    An item that several rounds chose for a segment has one figure, from those rounds: in others, few or
    many may be in the segment, and what few customers lack says little.
    """
    segments, items, *counts = chosen
    if not len(items):
        return float("nan")
    # Not of pairs: of those NumPy 2.0 tells otherwise which is which.
    _, at = np.unique(segments * (items.max() + 1) + items, return_inverse=True)
    sums = [np.bincount(at, row) for row in counts]
    (inside, n_inside), (outside, n_outside) = (
        (_share(found, without / n_rounds) * n_members / n_rounds, n_hidden)
        for found, without, n_members, n_hidden in (sums[:4], sums[4:])
    )
    times = times_as_frequent(inside, outside, n_inside, n_outside)
    return float(np.median(times[at]))


def _share(found: np.ndarray, lacking: np.ndarray) -> np.ndarray:
    shares = np.zeros(found.shape)
    np.divide(found, found + lacking, out=shares, where=found > 0)
    return shares


def split_interactions(X: sp.csr_array, n_parts: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return a part for each interaction, values in 0..n_parts-1, in the order of ``X.data``.

    Each customer's interactions are dealt to the parts like cards, starting with any: their numbers
    differ by one at most, and a customer with two or more always keeps one when a part is taken away.
    A sole interaction is in no part: -1.
    """
    n_of = np.diff(X.indptr)
    rows = np.repeat(np.arange(X.shape[0]), n_of)
    order = np.lexsort((rng.random(X.nnz), rows))
    start = rng.integers(n_parts, size=X.shape[0])
    parts = np.empty(X.nnz, dtype=np.int64)
    parts[order] = (np.arange(X.nnz) - X.indptr[rows] + start[rows]) % n_parts
    parts[n_of[rows] == 1] = -1
    return parts


def _renamed(own: np.ndarray, found: np.ndarray, k: int) -> np.ndarray:
    """Return the found labels, renamed to the own ones that they match among the assigned."""
    assigned = own >= 0
    names = np.argsort(matched(own[assigned], found[assigned], k))
    return np.asarray(names[found])


def _membership(groups: np.ndarray, looked_at: np.ndarray, n_groups: int) -> sp.csr_array:
    n = len(groups)
    weights = looked_at.astype(np.float64)
    return sp.csr_array((weights, groups, np.arange(n + 1)), shape=(n, n_groups))


def _count(members: sp.csr_array, X: sp.csr_array) -> np.ndarray:
    return np.asarray((members.T @ with_values(X, np.ones(X.nnz))).toarray())
