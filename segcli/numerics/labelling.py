"""Labels of other customers than those the segments were made from, block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks
from segcli.numerics.assignment import assign
from segcli.numerics.pca import PCA
from segcli.numerics.segmentation import Segmentation


def places_of(items: Sequence[str], segmentation: Segmentation) -> np.ndarray:
    """Return each item's column in a segmentation, -1 for those it does not know, of shape (n_items,)."""
    columns = {item: column for column, item in enumerate(segmentation.items)}
    return np.array([columns.get(item, -1) for item in items], dtype=np.int64)


def label_customers(
    X: Blocks, segmentation: Segmentation, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the segment of each customer, by what the segmentation knows of what the customer has.

    The same as `Segmentation.predict_interactions` says, bit for bit.

    Parameters
    ----------
    X : blocks of unweighted values, of any items, none of them negative unless the weighting takes that
    places : ndarray of shape (n_items of X,), from `places_of`

    Returns
    -------
    labels : ndarray of shape (n_customers,), values in 0..k-1; -1 if none of the items are known
    distances : ndarray of shape (n_customers,)
        To the segment's center, of scores as k-means compares them; NaN where there is no segment.
    n_known : ndarray of shape (n_customers,), on how many interactions the label rests
    """
    labels, distances, n_known = X.map_rows(_label, segmentation.pca, segmentation.centers, places)
    return labels, distances, n_known


def _label(
    block: Block, pca: PCA, centers: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X: sp.csr_array = block.matrix
    columns = places[X.indices]
    known = columns >= 0
    ends = np.concatenate([[0], np.cumsum(known)])[X.indptr]
    own = sp.csr_array((X.data[known], columns[known], ends), shape=(X.shape[0], len(pca.mean)))
    own.sort_indices()  # in the order of sums by which others with these items were labelled
    labels, distances = assign(pca.project(own), centers)
    n_known = np.diff(ends)
    return np.where(n_known, labels, -1), np.where(n_known, distances, np.nan), n_known
