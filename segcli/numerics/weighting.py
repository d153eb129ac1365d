"""What is done to values before PCA.

Raw values let the most active customers, and the most popular items, decide every component. A
weighting evens that out. It is a choice beside the number of components and of segments.

========  =========================================  ==========================================
name      what it does to a customer's row           when to use it
========  =========================================  ==========================================
raw       nothing: the values as they are            the recipe of 2015; ratings of customers who
                                                     are about equally active
log1p     value → log(1 + value)                     counts with a long tail, where how much a
                                                     customer does shall count
l2        scaled to length 1                         stars; values that are fit to compare within
                                                     a customer; the only choice for negative ones
                                                     beside raw
tfidf     log(1 + value), times the item's inverse   stars; counts too, where pearson's small
          document frequency, scaled to length 1     segments of rare tastes are not wanted
bm25      value saturates, the sooner the less a     visits and plays of customers who are about
          customer does; times the item's inverse    equally active: long rows still weigh more
          document frequency
pearson   log(1 + value) less what the customer's    very uneven activity: segments by taste;
          and the item's totals would lead one to    stars and counts alike, above all purchases
          expect, in units of its uncertainty        and other counts with a long tail
========  =========================================  ==========================================

`segcli.numerics.recipe_comparison` measures them on the user's own data, ``benchmarks/weightings.py``
on four sets of real data.

A row without items becomes a row of zeros in all of them.

References
----------
Robertson & Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond", Found. Trends
Inf. Retr. 3, 333-389. Greenacre (2017), "Correspondence Analysis in Practice", 3rd ed. Lause, Berens &
Kobak (2021), "Analytic Pearson residuals for normalization of single-cell RNA-seq UMI data", Genome
Biol. 22, 258.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks
from segcli.engine.rank_one import SparseMinusRankOne
from segcli.engine.rows import squared_norms, sums_at
from segcli.engine.sparse_views import with_values
from segcli.errors import ChoiceError
from segcli.words import counted

DESCRIPTIONS = {
    "raw": "the values as they are: the recipe of 2015",
    "log1p": "log(1 + value): tames long tails, keeps activity",
    "l2": "rows scaled to length 1: evens out activity",
    "tfidf": "log(1 + value), times inverse document frequency, rows scaled to length 1",
    "bm25": "values saturate, sooner in short rows; times inverse document frequency",
    "pearson": "log(1 + value) less what activity and popularity predict",
}
"""Each weighting in one line."""

NAMES = tuple(DESCRIPTIONS)
DEFAULT = "pearson"

BM25_K1 = 1.2
"""How soon a value saturates: at this value, in a row of average length, half is reached."""

BM25_B = 0.75
"""How much of a row's length is evened out, 0 to 1."""

PEARSON_PRIOR = 1.0
"""Added to each item's share of all values, in units of the average item's share.

The chi-square metric divides by an item's expected value, so that the rarest items decide the
components; the prior bounds that, as a cap on residuals does, and keeps the matrix linear.
"""

TAKE_NEGATIVES = ("raw", "l2")

EVEN_OUT_ACTIVITY = ("l2", "tfidf", "pearson")
"""The others leave an active customer's row longer than another's."""


@dataclass(frozen=True)
class Weighting:
    """A weighting fitted to a matrix: apply it to that matrix's rows, or to new customers'.

    Attributes
    ----------
    name : one of `NAMES`
    item_weights : ndarray of shape (n_items,)
        The factor of each item's column. Ones where the weighting has none.
    item_shares : ndarray of shape (n_items,), or (0,) where the weighting needs none
        Each item's share of the sum of all (log) values.
    average_length : float, the mean of the rows' sums; 0 where the weighting needs none
    """

    name: str
    item_weights: np.ndarray
    item_shares: np.ndarray = field(default_factory=lambda: np.zeros(0))
    average_length: float = 0.0

    def apply(self, X: sp.csr_array) -> sp.csr_array | SparseMinusRankOne:
        """Return the weighted rows.

        Parameters
        ----------
        X : csr_array of shape (n, n_items)

        Returns
        -------
        SparseMinusRankOne for pearson, else csr_array, of shape (n, n_items)
        """
        if self.name == "raw":
            return X
        if self.name == "l2":
            return unit_rows(X)
        if self.name == "bm25":
            return self._saturate(X)
        logs = with_values(X, np.log1p(X.data))
        if self.name == "log1p":
            return logs
        if self.name == "pearson":
            return self._residuals(logs)
        return unit_rows(with_values(X, logs.data * self.item_weights[X.indices]))

    def _saturate(self, X: sp.csr_array) -> sp.csr_array:
        """Return ``idf x (k1 + 1) / (x + k1 (1 - b + b length / average length))``."""
        relative = _row_sums(X) / (self.average_length or 1.0)
        halfway = BM25_K1 * (1 - BM25_B + BM25_B * relative)
        saturated = X.data * (BM25_K1 + 1) / (X.data + np.repeat(halfway, np.diff(X.indptr)))
        return with_values(X, saturated * self.item_weights[X.indices])

    def _residuals(self, X: sp.csr_array) -> SparseMinusRankOne:
        """Return ``(x - r p) w / sqrt(r)``, for row sum r, item share p and item weight w."""
        roots = np.sqrt(_row_sums(X))
        divisors = np.repeat(np.where(roots > 0, roots, 1.0), np.diff(X.indptr))
        observed = with_values(X, X.data * self.item_weights[X.indices] / divisors)
        return SparseMinusRankOne(observed, roots, self.item_shares * self.item_weights)


def fit_weighting(blocks: Blocks, name: str) -> Weighting:
    """Return the named weighting, with what it needs to know of the items taken from the matrix.

    Raises
    ------
    ChoiceError
        If the matrix has negative values and the weighting takes counts or ratings only.
    """
    n_customers, n_items = blocks.shape
    ones = np.ones(n_items)
    if name in TAKE_NEGATIVES:
        return Weighting(name, ones)
    customers_of_item, total, item_logs, n_negative = blocks.map_sum(_item_totals)
    if n_negative:
        msg = (
            f"the matrix has {counted(int(n_negative), 'negative value')}, which {name} cannot weight. "
            "Use --weighting raw or l2, or ingest with --negative reject or net."
        )
        raise ChoiceError(msg)
    if name == "log1p":
        return Weighting(name, ones)
    if name == "bm25":
        idf = probabilistic_idf(n_customers, customers_of_item)
        return Weighting(name, idf, average_length=float(total) / n_customers)
    if name == "pearson":
        shares = item_logs / (item_logs.sum() or 1.0)
        weights = 1 / np.sqrt(shares + PEARSON_PRIOR / n_items)
        return Weighting(name, weights, item_shares=shares)
    return Weighting(name, smooth_idf(n_customers, customers_of_item))


def weigh(blocks: Blocks, weighting: Weighting) -> Blocks:
    """Return the weighted matrix, block by block."""
    if weighting.name == "raw":  # no copy
        return blocks
    return blocks.transform(_weigh, weighting)


def smooth_idf(n_customers: int, customers_of_item: np.ndarray) -> np.ndarray:
    """Return each item's inverse document frequency, ln((1 + n) / (1 + df)) + 1.

    1 for an item that every customer has, larger for rarer items. scikit-learn's definition
    (``TfidfTransformer(smooth_idf=True)``).
    """
    return np.log((1 + n_customers) / (1 + customers_of_item)) + 1


def probabilistic_idf(n_customers: int, customers_of_item: np.ndarray) -> np.ndarray:
    """Return each item's Robertson-Spärck Jones weight, ln(1 + (n - df + 0.5) / (df + 0.5)).

    Near 0 for an item that every customer has, larger for rarer items. The 1 keeps it above 0 for
    items that more than half of the customers have, where the original falls below.
    """
    return np.log1p((n_customers - customers_of_item + 0.5) / (customers_of_item + 0.5))


def unit_rows(X: sp.csr_array) -> sp.csr_array:
    """Return the rows scaled to Euclidean length 1; an empty row stays empty."""
    lengths = np.sqrt(squared_norms(X))
    lengths[lengths == 0] = 1
    return with_values(X, X.data / np.repeat(lengths, np.diff(X.indptr)))


def _row_sums(X: sp.csr_array) -> np.ndarray:
    return np.asarray(X.sum(axis=1)).ravel()


def _weigh(block: Block, weighting: Weighting) -> sp.csr_array | SparseMinusRankOne:
    return weighting.apply(block.matrix)


def _item_totals(block: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return customers by item, the sum of values, log values by item, and the negative values."""
    X: sp.csr_array = block.matrix
    n_items = X.shape[1]
    customers = np.bincount(X.indices, minlength=n_items).astype(np.float64)
    logs = sums_at(X.indices, np.log1p(np.maximum(X.data, 0)), n_items)
    negatives = np.asarray(np.count_nonzero(X.data < 0))
    return customers, np.asarray(X.data.sum()), logs, negatives
