"""What is done to values before PCA.

Raw values let the most active customers, and the most popular items, decide every component. A
weighting evens that out. It is a choice beside the number of components and of segments.

========  ==================================================================================
raw       the values as they are: the recipe of 2015
tfidf     log(1 + value), times the item's inverse document frequency, rows scaled to length 1
========  ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks
from segcli.errors import ChoiceError

NAMES = ("raw", "tfidf")
DEFAULT = "tfidf"


@dataclass(frozen=True)
class Weighting:
    """A weighting fitted to a matrix: apply it to that matrix's rows, or to new customers'.

    Attributes
    ----------
    name : one of `NAMES`
    item_weights : ndarray of shape (n_items,)
        The factor of each item's column. Ones where the weighting has none.
    """

    name: str
    item_weights: np.ndarray

    def apply(self, X: sp.csr_array) -> sp.csr_array:
        """Return the weighted rows.

        Parameters
        ----------
        X : csr_array of shape (n, n_items)

        Returns
        -------
        csr_array of shape (n, n_items)
        """
        if self.name == "raw":
            return X
        values = np.log1p(X.data) * self.item_weights[X.indices]
        return unit_rows(sp.csr_array((values, X.indices, X.indptr), shape=X.shape))


def fit_weighting(blocks: Blocks, name: str) -> Weighting:
    """Return the named weighting, its item weights taken from the matrix.

    Raises
    ------
    ChoiceError
        If the matrix has negative values and the weighting takes counts or ratings only.
    """
    n_customers, n_items = blocks.shape
    if name == "raw":
        return Weighting(name, np.ones(n_items))
    customers_of_item, n_negative = blocks.map_sum(_support)
    if n_negative:
        msg = (
            f"the matrix has {int(n_negative)} negative values, which {name} cannot weight. "
            "Use --weighting raw, or ingest with --negative reject or net."
        )
        raise ChoiceError(msg)
    return Weighting(name, smooth_idf(n_customers, customers_of_item))


def weigh(blocks: Blocks, weighting: Weighting) -> Blocks:
    """Return the weighted matrix, block by block."""
    return blocks.transform(_weigh, weighting)


def smooth_idf(n_customers: int, customers_of_item: np.ndarray) -> np.ndarray:
    """Return each item's inverse document frequency, ln((1 + n) / (1 + df)) + 1.

    1 for an item that every customer has, larger for rarer items. scikit-learn's definition
    (``TfidfTransformer(smooth_idf=True)``).
    """
    return np.log((1 + n_customers) / (1 + customers_of_item)) + 1


def unit_rows(X: sp.csr_array) -> sp.csr_array:
    """Return the rows scaled to Euclidean length 1; an empty row stays empty."""
    lengths = np.sqrt(squared_norms(X))
    lengths[lengths == 0] = 1
    values = X.data / np.repeat(lengths, np.diff(X.indptr))
    return sp.csr_array((values, X.indices, X.indptr), shape=X.shape)


def squared_norms(X: sp.csr_array | np.ndarray) -> np.ndarray:
    """Return each row's squared Euclidean length, an ndarray of shape (n,)."""
    if isinstance(X, np.ndarray):
        return np.asarray(np.einsum("ij,ij->i", X, X))
    return np.asarray(X.multiply(X).sum(axis=1)).ravel()


def _weigh(block: Block, weighting: Weighting) -> sp.csr_array:
    return weighting.apply(block.matrix)


def _support(block: Block) -> tuple[np.ndarray, np.ndarray]:
    X: sp.csr_array = block.matrix
    counts = np.bincount(X.indices, minlength=X.shape[1]).astype(np.float64)
    return counts, np.asarray(np.count_nonzero(X.data < 0))
