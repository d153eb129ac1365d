"""A segmentation: everything needed to label the customers it was made from, and new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from segcli.errors import InputError
from segcli.numerics.assignment import assign
from segcli.numerics.pca import PCA

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Segmentation:
    """Weighting, components and centers, ready to label customers.

    Attributes
    ----------
    items : tuple of str, the matrix's columns
    pca : the components used, with their weighting
    centers : ndarray of shape (k, n_components); row 0 is the largest segment's
    """

    items: tuple[str, ...]
    pca: PCA
    centers: np.ndarray

    @property
    def k(self) -> int:
        """The number of segments."""
        return len(self.centers)

    def predict(self, X: sp.csr_array) -> np.ndarray:
        """Return each customer's segment, values in 0..k-1.

        Parameters
        ----------
        X : csr_array of shape (n, n_items)
            Unweighted values, columns in the order of `items`. A row of zeros, which says nothing of
            its customer, gets the segment nearest to it.

        Returns
        -------
        ndarray of shape (n,)
        """
        labels, _ = assign(self.pca.project(X), self.centers)
        return labels

    def predict_interactions(self, interactions: pd.DataFrame) -> pd.DataFrame:
        """Return the segment of each customer in a table of interactions.

        Parameters
        ----------
        interactions : DataFrame with columns ``customer`` and ``item``, and ``value`` or none
            Ids are compared as strings; those of a float column whose values are all whole lose
            their ``.0``, as in ``segcli ingest``. Repeated pairs are summed; without values each row
            counts 1. Items that the segmentation does not know are left out.

        Returns
        -------
        DataFrame with columns ``customer`` (sorted), ``segment``, ``distance`` to its center, and
        ``known_items``: on how many interactions the answer rests. With 0, do not use it.

        Raises
        ------
        InputError
            If a row has no customer or no item.
        """
        import pandas as pd  # noqa: PLC0415 (only here; the numerics work on arrays)

        for column in ("customer", "item"):
            n_missing = int(interactions[column].isna().sum())
            if n_missing:
                msg = f"{n_missing} rows have no {column}. Drop them first."
                raise InputError(msg)
        codes, customers = pd.factorize(_as_ids(interactions["customer"]), sort=True)
        position = pd.Series(np.arange(len(self.items)), index=list(self.items))
        columns = _as_ids(interactions["item"]).map(position)
        values = interactions["value"] if "value" in interactions else np.ones(len(interactions))
        known = columns.notna().to_numpy()
        X = sp.csr_array(
            (
                np.asarray(values, dtype=np.float64)[known],
                (codes[known], columns[known].to_numpy(dtype=np.int64)),
            ),
            shape=(len(customers), len(self.items)),
        )
        X.sum_duplicates()
        labels, distances = assign(self.pca.project(X), self.centers)
        return pd.DataFrame(
            {
                "customer": customers,
                "segment": labels,
                "distance": distances,
                "known_items": np.diff(X.indptr),
            }
        )


def _as_ids(column: pd.Series) -> pd.Series:
    """Return a column's ids as the strings that ``segcli ingest`` would read."""
    is_float = np.issubdtype(column.to_numpy().dtype, np.floating)
    if is_float and np.all(column == np.round(column)):
        column = column.astype(np.int64)
    return column.astype(str)
