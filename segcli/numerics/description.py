"""What sets segments apart: the items that mark each one and those it avoids, seen and unseen.

The lists are made from all interactions, which made the segments too. How far the figures beside the
items hold is told by interactions that a making of the segments did not see (`unseen`), and how much
of that comes of activity alone by the same on a null: heavy customers reach rarer items in data without
any segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Engine
from segcli.engine.sparse_views import without_empty_columns
from segcli.numerics.levels import LEAST_CUSTOMERS
from segcli.numerics.log_odds import LEAST_CUSTOMERS as LEAST_SUPPORT
from segcli.numerics.log_odds import LogOdds, score_log_odds
from segcli.numerics.nulls import nulls_of
from segcli.numerics.profiles import Profiles, profile_segments
from segcli.numerics.ranks import Ranks, ranks_by_position, sample_in_rank_order
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.unseen import UnseenLevel, UnseenProfiles, profile_unseen


@dataclass(frozen=True)
class Description:
    """What sets each segment apart.

    Attributes
    ----------
    log_odds : each item in each segment, from all interactions
    characteristic : tuple of ndarrays of int, per segment the items that mark it, strongest first
    avoided : tuple of ndarrays of int, per segment the items it avoids
    unseen : UnseenProfiles or None, from interactions that a making of the segments did not see
    """

    log_odds: LogOdds
    characteristic: tuple[np.ndarray, ...]
    avoided: tuple[np.ndarray, ...]
    unseen: UnseenProfiles | None

    @cached_property
    def unseen_log_odds(self) -> LogOdds | None:
        """The same as ``log_odds``, from ``unseen``."""
        return None if self.unseen is None else _log_odds(self.unseen)

    @property
    def echo(self) -> Echo | None:
        """How much of what marks the segments holds on unseen interactions; None if unknown."""
        if self.unseen is None or np.isnan(self.unseen.times_of_chosen):
            return None
        is_enough = self.unseen.is_enough
        told = [
            self.log_odds.times(segment, items[is_enough[items]])
            for segment, items in enumerate(self.characteristic)
        ]
        in_sample = np.concatenate(told)
        if not len(in_sample):
            return None
        return Echo(float(np.median(in_sample)), self.unseen.times_of_chosen)


@dataclass(frozen=True)
class Echo:
    """The items that mark the segments, in the data that made the segments and in unseen ones.

    Attributes
    ----------
    in_sample : float
        How many times as frequent the items listed are inside as outside (`LogOdds.times`), the median, on
        all interactions. Above 1 in any data. Of items of which there is enough to tell on unseen ones,
        as ``unseen`` is.
    unseen : float
        The same of items chosen anew in rounds of hiding, on what was hidden from both the choice and the
        making of the segments (`UnseenProfiles.times_of_chosen`). As on a null: what seemed to mark the
        segments was an echo of their making. That need not be 1, for activity may make a difference.
    """

    in_sample: float
    unseen: float


def trouble_with_unseen(n_customers: int, k: int) -> str | None:
    """Return why unseen interactions cannot be looked at, in words; None if they can."""
    if k < 2:
        return "one segment needs no evidence"
    if n_customers < LEAST_CUSTOMERS:
        return (
            f"{n_customers} customers are too few to hide interactions of: evidence needs at least "
            f"{LEAST_CUSTOMERS}"
        )
    return None


def describe_segments(
    X: sp.csr_array,
    profiles: Profiles,
    labels: np.ndarray,
    recipe: Recipe,
    *,
    ranks: Ranks,
    seed: int,
    n_items: int,
    n_avoided: int,
    level: UnseenLevel | None,
    engine: Engine = ONE_THREAD,
) -> Description:
    """Return what sets each segment apart.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted
    profiles : of the segments
    labels : ndarray of shape (n_customers,), values in 0..k-1; negative for those in no segment
    recipe : how the segments were made
    ranks : the ranks of X's customers and items
    seed : int
    n_items, n_avoided : items to list per segment, at most
    level : how much to look at unseen interactions; None for not at all
    engine : runs the rounds of hiding
    """
    k = len(profiles.sizes)
    log_odds = _log_odds(profiles)
    unseen = None
    if level is not None and trouble_with_unseen(X.shape[0], k) is None:
        unseen = profile_unseen(
            X,
            labels,
            k,
            recipe,
            ranks=ranks,
            seed=seed,
            n_items=n_items,
            level=level,
            engine=engine,
        )
    return Description(
        log_odds=log_odds,
        characteristic=tuple(
            log_odds.characteristic(segment, n_items, item_ranks=ranks.items)
            for segment in range(k)
        ),
        avoided=tuple(
            log_odds.avoided(segment, n_avoided, item_ranks=ranks.items) for segment in range(k)
        ),
        unseen=unseen,
    )


@dataclass(frozen=True)
class Contrast:
    """A segment beside the one that is most like it.

    Attributes
    ----------
    nearest : int, the segment whose center is nearest
    more : ndarray of int, the items that the nearest avoids, next to the segment: the strongest first
    less : ndarray of int, the items that the segment avoids, next to the nearest
    """

    nearest: int
    more: np.ndarray
    less: np.ndarray


def contrast_segments(
    profiles: Profiles, centers: np.ndarray, *, ranks: Ranks, n_items: int
) -> list[Contrast | None]:
    """Return what tells each segment from the nearest one.

    By the rule of `LogOdds.avoided`, with the other of the two for all others, of whom
    `log_odds.LEAST_CUSTOMERS` must have the item.

    Parameters
    ----------
    profiles : of the segments
    centers : ndarray of shape (k, n_components)
    ranks : of customers and items
    n_items : items to list of each kind, at most

    Returns
    -------
    list of k; None for a segment without customers, and for all where only one or two have any: the other
        is all others then
    """
    k = len(profiles.sizes)
    there = np.flatnonzero(profiles.sizes)
    if len(there) < 3:
        return [None] * k
    return [
        _contrast(profiles, segment, _nearest(centers, segment, there), ranks, n_items)
        if profiles.sizes[segment]
        else None
        for segment in range(k)
    ]


def _nearest(centers: np.ndarray, segment: int, there: np.ndarray) -> int:
    """Return the segment, of those with customers, whose center is nearest; of equals the first."""
    others = there[there != segment]
    return int(others[np.argmin(np.square(centers[others] - centers[segment]).sum(axis=1))])


def _contrast(
    profiles: Profiles, segment: int, nearest: int, ranks: Ranks, n_items: int
) -> Contrast:
    both = [segment, nearest]
    customers, sizes = profiles.customers[both], profiles.sizes[both]
    pair = score_log_odds(
        customers, sizes, everyone=customers.sum(axis=0), n_everyone=int(sizes.sum())
    )
    less, more = (_avoided_by(pair, row, n_items, ranks) for row in (0, 1))
    return Contrast(nearest, more, less)


def _avoided_by(pair: LogOdds, row: int, n_items: int, ranks: Ranks) -> np.ndarray:
    """Return what one of two segments avoids and enough customers of the other have."""
    avoided = pair.avoided(row, pair.z.shape[1], item_ranks=ranks.items)
    supported = pair.customers[1 - row, avoided] >= LEAST_SUPPORT
    return np.asarray(avoided[supported][:n_items])


def _log_odds(profiles: Profiles | UnseenProfiles) -> LogOdds:
    return score_log_odds(
        profiles.customers,
        profiles.sizes,
        everyone=profiles.everyone,
        n_everyone=profiles.n_everyone,
    )


def null_echo(
    X: sp.csr_array,
    k: int,
    recipe: Recipe,
    *,
    ranks: Ranks,
    seed: int,
    n_items: int,
    level: UnseenLevel,
    engine: Engine = ONE_THREAD,
) -> Echo | None:
    """Return the echo of segments made by the same recipe of data without segments.

    The data are a null of the customers given, or of a sample of them (`nulls.nulls_of`).
    """
    ordered = sample_in_rank_order(X, ranks, level.n_customers, seed=seed)
    # Of all items first, for other stages have made the same; then of those there, for room.
    (made,) = nulls_of(ordered, 1, seed=seed, engine=engine)
    null, _ = without_empty_columns(made)
    fit = fit_recipe(null, recipe, [k], seed=seed)
    if not fit.partitions:
        return None
    labels = fit.partitions[0].labels
    profiles = profile_segments(ONE_THREAD.blocks(null), labels, k)
    return describe_segments(
        null,
        profiles,
        labels,
        recipe,
        ranks=ranks_by_position(null),
        seed=seed,
        n_items=n_items,
        n_avoided=0,
        level=level,
        engine=engine,
    ).echo
