"""Which items mark a segment: log-odds against all other customers, shrunk by a prior.

What counts is how many customers have an item, not the sum of its values: one customer with 350,000
plays would outvote the segment. The odds are those of an interaction of the segment falling on the
item, so that a segment of heavy customers, who have more of everything, is not marked by everything.

The prior is what all customers do, as so many interactions per segment: rare items need support
before they can lead, and bestsellers lead only where the segment has them beyond their due. It draws
the log-odds to 0, the more the fewer interactions a segment has: they are for ranking too. How many times
as frequent an item is in a segment is told without it, by `LogOdds.times`.

The z-scores rank items and nothing more. The segments were made from these very data, so they are not
evidence that a segment is real, and no p-value follows from them.

References
----------
Monroe, Colaresi & Quinn (2008), "Fightin' Words: lexical feature selection and evaluation for
identifying the content of political conflict", Polit. Anal. 16, 372-403, doi:10.1093/pan/mpn018.
Norén, Hopstadius & Bate (2013), "Shrinkage observed-to-expected ratios for robust and transparent
large-scale pattern discovery", Stat. Methods Med. Res. 22, 57-69, doi:10.1177/0962280211403604.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segcli.numerics.ranks import top

PRIOR_INTERACTIONS = 500.0
"""Weight of the prior: so many interactions, spread over the items as all customers' are."""

LEAST_CUSTOMERS = 5
"""Customers of the segment who must have an item for it to be called characteristic, or would be
expected to have it for the segment to be said to avoid it."""

LEAST_SHARE = 0.05
"""Share of the other customers who must have an item for a segment to be said to avoid it."""

_ROUNDING = 1e-9
"""z-scores below this are those of equal tastes."""


@dataclass(frozen=True)
class LogOdds:
    """Each item's standing in each segment against all other customers.

    Attributes
    ----------
    log_odds : ndarray of shape (k, n_items)
        Natural logarithm of the ratio of odds, the prior included. Above 0, the segment has the item
        more than its activity and the item's popularity lead one to expect.
    z : ndarray of shape (k, n_items), log-odds over their standard error: for ranking only
    customers : ndarray of shape (k, n_items), the segment's customers who have the item: support
    sizes : ndarray of shape (k,), customers in each segment
    popularity_rank : ndarray of shape (n_items,)
        1 for the item that most customers have; items had by equally many share the better rank.
    everyone : ndarray of shape (n_items,), customers who have the item, in a segment or in none
    n_everyone : all customers
    interactions, interactions_outside : ndarrays of shape (k,), of the segment's customers, of all others
    """

    log_odds: np.ndarray
    z: np.ndarray
    customers: np.ndarray
    sizes: np.ndarray
    popularity_rank: np.ndarray
    everyone: np.ndarray
    n_everyone: float
    interactions: np.ndarray
    interactions_outside: np.ndarray

    def share(self, segments: np.ndarray | int, items: np.ndarray | int) -> np.ndarray:
        """Return the share of the segments' customers who have the items, 0 to 1; see `times`."""
        return np.asarray(self.customers[segments, items] / np.maximum(self.sizes[segments], 1))

    def share_outside(self, segments: np.ndarray | int, items: np.ndarray | int) -> np.ndarray:
        """Return the share of all other customers who have the items, 0 to 1; 0 where there are none."""
        outside = self.everyone[items] - self.customers[segments, items]
        return np.asarray(outside / np.maximum(self.n_everyone - self.sizes[segments], 1))

    def times(self, segments: np.ndarray | int, items: np.ndarray | int) -> np.ndarray:
        """Return how many times as frequent items are in segments as elsewhere: see `times_as_frequent`.

        Parameters
        ----------
        segments, items : ndarrays of int, of one shape, or one of each

        Returns
        -------
        ndarray of that shape, above 0
        """
        inside = self.customers[segments, items]
        outside = np.maximum(self.everyone[items] - inside, 0)  # a difference of shares may round
        return times_as_frequent(
            inside, outside, self.interactions[segments], self.interactions_outside[segments]
        )

    def characteristic(self, segment: int, n: int, *, item_ranks: np.ndarray) -> np.ndarray:
        """Return the positions of the items that mark a segment, the strongest first.

        Fewer than ``n`` where fewer have a positive z-score and `LEAST_CUSTOMERS` in the segment.
        Ties go to the item of lower rank (`segcli.numerics.ranks`).
        """
        supported = self.customers[segment] >= LEAST_CUSTOMERS
        return _first(self.z[segment], supported, n, item_ranks)

    def avoided(self, segment: int, n: int, *, item_ranks: np.ndarray) -> np.ndarray:
        """Return the positions of the items that a segment avoids, the most avoided first.

        Only items that at least `LEAST_SHARE` of the other customers have, for everybody lacks the
        rare, and a smaller share of the segment's: of customers who have more of everything, more may
        have an item that they care less for. And only items that `LEAST_CUSTOMERS` of the segment
        would be expected to have: that none of three has what one in five has elsewhere says nothing.
        """
        items = np.arange(self.customers.shape[1])
        inside, outside = self.share(segment, items), self.share_outside(segment, items)
        told = outside * self.sizes[segment] >= LEAST_CUSTOMERS
        eligible = told & (outside >= LEAST_SHARE) & (inside < outside)
        return _first(-self.z[segment], eligible, n, item_ranks)


def score_log_odds(
    customers: np.ndarray,
    sizes: np.ndarray,
    *,
    everyone: np.ndarray,
    n_everyone: float,
    prior_interactions: float = PRIOR_INTERACTIONS,
) -> LogOdds:
    """Return the log-odds of each item in each segment, and what to judge them by.

    Of the segment's ``n`` interactions ``y`` fall on the item, of all others' ``m`` interactions
    ``x``. With the prior's ``a`` on the item and ``A`` in all, the log-odds are ``log((y + a) /
    (n + A - y - a)) - log((x + a) / (m + A - x - a))``, their variance ``1 / (y + a) + 1 / (x + a)``.
    Items that nobody has stand at 0, and so does a sole item.

    Parameters
    ----------
    customers : ndarray of shape (k, n_items), how many of each segment's customers have the item
    sizes : ndarray of shape (k,), customers in each segment
    everyone : ndarray of shape (n_items,), how many of all customers have it, in a segment or in none
    n_everyone : all customers
    prior_interactions : above 0; more of it asks for more support

    References
    ----------
    Monroe, Colaresi & Quinn (2008), Polit. Anal. 16, 372-403, equations 15, 16, 20 and 22.
    """
    outside = everyone - customers
    had = everyone > 0
    if np.count_nonzero(had) == 1:  # all interactions fall on it: no odds
        had = np.zeros_like(had)
    prior = prior_interactions * everyone[had] / float(everyone.sum())
    log_odds = np.zeros(customers.shape)
    z = np.zeros(customers.shape)
    y, x = customers[:, had] + prior, outside[:, had] + prior
    log_odds[:, had] = _row_log_odds(y) - _row_log_odds(x)
    z[:, had] = log_odds[:, had] / np.sqrt(1 / y + 1 / x)
    return LogOdds(
        log_odds=log_odds,
        z=z,
        customers=customers,
        sizes=sizes,
        popularity_rank=popularity_ranks(everyone),
        everyone=everyone,
        n_everyone=n_everyone,
        interactions=customers.sum(axis=1),
        interactions_outside=outside.sum(axis=1),
    )


def times_as_frequent(
    inside: np.ndarray, outside: np.ndarray, n_inside: np.ndarray, n_outside: np.ndarray
) -> np.ndarray:
    """Return how many times as frequent items are in segments as elsewhere.

    The item's part of the segment's interactions over its part of all others': 2, it is twice as
    large a part. Where a group is so small that next to no interaction of it with the item is to be
    expected, it says little, and is drawn to 1: half an interaction is added to how many there are
    and to how many there would be if all were alike (Norén et al. 2013). What nobody else has comes
    out as many times, not infinitely many.

    Parameters
    ----------
    inside, outside : ndarrays of one shape, the segment's customers who have the item, all others who do
    n_inside, n_outside : ndarrays of that shape, their interactions with whatever item

    Returns
    -------
    ndarray of that shape, above 0
    """
    part = (inside + outside) / (n_inside + n_outside)  # were all alike
    return np.asarray(
        ((inside + 0.5) / (n_inside * part + 0.5)) / ((outside + 0.5) / (n_outside * part + 0.5))
    )


def popularity_ranks(customers_of_item: np.ndarray) -> np.ndarray:
    """Return each item's rank by popularity: 1 plus the number of items that more customers have."""
    ascending = np.sort(customers_of_item)
    above = np.searchsorted(ascending, customers_of_item, side="right")
    return np.asarray(len(ascending) - above + 1)


def _row_log_odds(counts: np.ndarray) -> np.ndarray:
    """Return the log-odds of each cell within its row, the prior already in the counts."""
    return np.asarray(np.log(counts) - np.log(counts.sum(axis=1, keepdims=True) - counts))


def _first(scores: np.ndarray, eligible: np.ndarray, n: int, item_ranks: np.ndarray) -> np.ndarray:
    positions = np.flatnonzero(eligible & (scores > _ROUNDING))
    return np.asarray(positions[top(scores[positions], n, item_ranks[positions])])
