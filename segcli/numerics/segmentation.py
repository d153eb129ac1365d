"""A segmentation: everything needed to label the customers it was made from, and new ones."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from segcli.errors import InputError
from segcli.numerics.assignment import assign
from segcli.numerics.pca import PCA
from segcli.numerics.weighting import TAKE_NEGATIVES
from segcli.words import counted

if TYPE_CHECKING:
    import pandas as pd

_EXACT = 2.0**53  # a float from there on is no whole number that was written


@dataclass(frozen=True, eq=False)  # arrays have no one truth of being equal
class Segmentation:
    """Weighting, components and centers, ready to label customers.

    Attributes
    ----------
    items : tuple of str, the matrix's columns
    pca : the components used, with the weighting before them and the norms of scores after them
    centers : ndarray of shape (k, n_components); row 0 is the largest segment's
    """

    items: tuple[str, ...]
    pca: PCA
    centers: np.ndarray

    @property
    def k(self) -> int:
        """The number of segments."""
        return len(self.centers)

    def __repr__(self) -> str:
        """Return what it is in a line: of its items there may be very many."""
        return (
            f"Segmentation(k={self.k}, n_items={len(self.items)}, "
            f"n_components={self.pca.n_components}, weighting={self.pca.weighting.name!r}, "
            f"score_norm={self.pca.score_norm!r})"
        )

    def predict(self, X: sp.csr_array) -> np.ndarray:
        """Return each customer's segment, values in 0..k-1.

        Parameters
        ----------
        X : csr_array of shape (n, n_items), or what it can be made of
            Unweighted values, of any type of numbers, columns in the order of `items`; what is stored
            of a pair more than once is summed. A row of zeros, which says nothing of its customer, gets
            the segment nearest to it.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        InputError
            If there are more columns or fewer, or a value is not finite or a negative one that the
            weighting does not take.
        """
        X = sp.csr_array(X, dtype=np.float64)  # type: ignore[call-overload]  # X may be dense
        if X.ndim != 2:
            msg = "X has one dimension. Give it rows, even if only one: X[None]."
            raise InputError(msg)
        if not X.has_canonical_format:
            X = X.copy()  # the values are the caller's
            X.sum_duplicates()
        if X.shape[1] != len(self.items):
            msg = f"{counted(X.shape[1], 'column')}, and the segmentation has {len(self.items):,} items."
            raise InputError(msg)
        self._require_usable(X.data)
        labels, _ = assign(self.pca.project(X), self.centers)
        return labels

    def predict_interactions(self, interactions: pd.DataFrame) -> pd.DataFrame:
        """Return the segment of each customer in a table of interactions.

        Parameters
        ----------
        interactions : DataFrame with columns ``customer`` and ``item``, and ``value`` or no other numbers
            Ids are compared as strings, without white space around them; whole numbers of a float
            column, or text that is all like ``7.0``, lose their ``.0``, as in ``segcli ingest``.
            Repeated pairs are summed, and count for nothing if they add up to it; without values each
            row counts 1.
            Items that the segmentation does not know are left out.

        Returns
        -------
        DataFrame with columns ``customer`` (sorted), ``segment``, ``distance`` to its center (of scores
        as k-means compares them), and ``known_items``: on how many interactions the answer rests. With
        0, do not use it.

        Raises
        ------
        InputError
            If it is no DataFrame, a column is absent or there twice, a row has no customer or no item, or
            a value is no finite number or a negative one that the weighting does not take; if there are
            numbers, and none of them is named ``value``.
        """
        import pandas as pd  # noqa: PLC0415 (only here; the numerics work on arrays)

        _check_table(interactions)
        _check_columns(interactions)
        ids = {name: _as_ids(interactions[name]) for name in ("customer", "item")}
        for column, texts in ids.items():
            n_missing = int((interactions[column].isna() | (texts == "")).sum())
            if n_missing:
                msg = f"{counted(n_missing, 'row')} without {column}. Drop them first."
                raise InputError(msg)
        codes, customers = pd.factorize(ids["customer"], sort=True)
        columns = self._item_index.get_indexer(ids["item"].array)
        values = np.ones(len(interactions))
        if "value" in interactions:
            values = self._usable(interactions["value"])
        known = columns >= 0
        X = sp.csr_array(
            (values[known], (codes[known], columns[known])),
            shape=(len(customers), len(self.items)),
        )
        X.eliminate_zeros()
        labels, distances = assign(self.pca.project(X), self.centers)
        return pd.DataFrame(
            {
                "customer": customers,
                "segment": labels,
                "distance": distances,
                "known_items": np.diff(X.indptr),
            }
        )

    @cached_property
    def _item_index(self) -> pd.Index:
        """Each item's column, to look ids up in: of many items it takes longer to make than all else."""
        import pandas as pd  # noqa: PLC0415 (as above)

        return pd.Index(list(self.items))

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the fields, so that a model's bytes do not tell whether it was used."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _usable(self, column: pd.Series) -> np.ndarray:
        """Return values as float64, or say which of them cannot be used."""
        if column.dtype.kind in "mM":  # which NumPy would take for numbers of nanoseconds
            msg = f"values are not all numbers: they are {column.dtype}"
            raise InputError(msg)
        try:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError, OverflowError) as error:
            msg = f"values are not all numbers: {error}"
            raise InputError(msg) from error
        self._require_usable(values)
        return values

    def _require_usable(self, values: np.ndarray) -> None:
        unusable = {"not finite": ~np.isfinite(values)}
        if self.pca.weighting.name not in TAKE_NEGATIVES:
            unusable[f"negative, which {self.pca.weighting.name} does not take"] = values < 0
        for what, rows in unusable.items():
            if rows.any():
                msg = f"{counted(int(rows.sum()), 'value')} {what}, first {values[rows][0]:g}. Drop them."
                raise InputError(msg)


def _check_table(interactions: object) -> None:
    import pandas as pd  # noqa: PLC0415 (as above)

    if not isinstance(interactions, pd.DataFrame):
        msg = f"expected a pandas DataFrame of interactions, got {type(interactions).__name__}."
        raise InputError(msg)


def _check_columns(interactions: pd.DataFrame) -> None:
    names = interactions.columns.tolist()
    for column in ("customer", "item", "value"):
        if column not in names and column != "value":
            msg = (
                f"there is no column '{column}'. Name the columns customer, item and value; without "
                "value each row counts 1."
            )
            raise InputError(msg)
        if names.count(column) > 1:
            msg = f"there are {names.count(column)} columns '{column}'. Keep one."
            raise InputError(msg)
    numbers = [
        f"'{name}'"
        for name, column in interactions.items()
        if name not in ("customer", "item") and column.dtype.kind in "iuf"
    ]
    if numbers and "value" not in names:  # which may be the values under the name of another table
        msg = (
            f"there is no column 'value', and there are numbers in {', '.join(numbers)}. Name the column "
            "of values value, or drop the others: then each row counts 1."
        )
        raise InputError(msg)


def _as_ids(column: pd.Series) -> pd.Series:
    """Return a column's ids as the strings that ``segcli ingest`` would read."""
    values = column.to_numpy()  # of a nullable column or of categories as well
    is_float = np.issubdtype(values.dtype, np.floating)
    if is_float and np.all((values == np.round(values)) & (np.abs(values) < _EXACT)):
        column = column.astype(np.int64)
    texts = column.astype(str).str.strip()
    is_written_so = not is_float and texts.head(1).str.endswith(".0").any()
    if is_written_so and texts.str.fullmatch(r"-?\d+\.0").all():
        texts = texts.str.removesuffix(".0")
    return texts
