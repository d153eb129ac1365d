"""The recipe as one thing: weighting, components, norms and k-means, fitted again and again.

Evidence comes from repeating the whole recipe: on halves of the customers, on part of their
interactions, on nulls. Each repetition fits its own weighting and components, since those too
depend on the data. Data are in memory and in rank order (`ranks.in_rank_order`), so that chance, which
picks by position, depends on neither the order of rows nor on names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli import progress
from segcli.engine import ONE_THREAD
from segcli.errors import AllAlikeError, FewDistinctError
from segcli.numerics.assignment import assign
from segcli.numerics.kmeans import N_STARTS, KMeansFit, fit_all, n_distinct, total_inertia
from segcli.numerics.pca import PCA, fit_pca, n_components_limit, score
from segcli.numerics.score_norm import KEPT, usual_score_norm
from segcli.numerics.weighting import Weighting, fit_weighting, weigh

_FEW_STARTS = 4
"""Starts per k: fewer than for the segmentation itself, as every figure averages over fits."""


@dataclass(frozen=True)
class Recipe:
    """What is done to a matrix to segment its customers, whatever k.

    Attributes
    ----------
    weighting : a name of `segcli.numerics.weighting`
    n_components : int; fewer are used where the data have fewer
    score_norm : a name of `segcli.numerics.score_norm`; None: what is usual for the weighting
    """

    weighting: str
    n_components: int
    score_norm: str | None = None

    @classmethod
    def of(cls, pca: PCA) -> Recipe:
        """Return the recipe that led to these components."""
        return cls(pca.weighting.name, pca.n_components, pca.score_norm)

    def is_of(self, document: Mapping[str, Any]) -> bool:
        """Return whether an artifact's document, such as `k_verdict.json`, tells of this recipe.

        One that does not tell of norms was written when all were kept.
        """
        told = {"score_norm": KEPT, **document}
        names = ("weighting", "n_components", "score_norm")
        return all(told[name] == getattr(self, name) for name in names)


@dataclass(frozen=True)
class FittedRecipe:
    """A recipe fitted to customers, for several k.

    Of customers who are all the same there are neither components nor partitions.

    Attributes
    ----------
    pca : the components, with the weighting before them and the norms of scores after them
    partitions : tuple of KMeansFit, one per k; k rises
    scores : ndarray of shape (n_customers, n_components), of the customers of the fit, as compared
    """

    pca: PCA
    partitions: tuple[KMeansFit, ...]
    scores: np.ndarray

    @property
    def ks(self) -> tuple[int, ...]:
        """The numbers of segments."""
        return tuple(partition.k for partition in self.partitions)

    @property
    def inertia_shares(self) -> np.ndarray:
        """Inertia as a share of that of one segment, shape (n_ks,)."""
        inertias = np.array([partition.inertia for partition in self.partitions])
        return np.asarray(inertias / total_inertia(ONE_THREAD.blocks(self.scores)))

    def label(self, X: sp.csr_array) -> list[np.ndarray]:
        """Return the segments of customers, for each k.

        Parameters
        ----------
        X : csr_array of shape (n, n_items), unweighted; customers of the fit or new ones

        Returns
        -------
        list of ndarrays of shape (n,), one per k, values in 0..k-1
        """
        scores = self.pca.project(X)
        return [assign(scores, partition.centers)[0] for partition in self.partitions]


@progress.unheard()  # whoever repeats the recipe reports how far that has come
def fit_recipe(
    X: sp.csr_array,
    recipe: Recipe,
    ks: Sequence[int],
    *,
    seed: int,
    as_segmented: bool = False,
) -> FittedRecipe:
    """Return the recipe fitted to customers, for each k.

    A k larger than the number of distinct customers is left out; so is any, if they are all the same.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted, in rank order
    ks : increasing numbers of segments
    seed : int
    as_segmented : bool
        Seek partitions as thoroughly as those that customers are segmented by. A worse one would tell of
        the search, not of the customers.
    """
    blocks = ONE_THREAD.blocks(X)
    weighting = fit_weighting(blocks, recipe.weighting)
    weighted = weigh(blocks, weighting)
    try:
        pca = fit_pca(
            weighted,
            weighting,
            min(recipe.n_components, n_components_limit(*X.shape)),
            item_ranks=np.arange(X.shape[1]),
            seed=seed,
            score_norm=recipe.score_norm or usual_score_norm(recipe.weighting),
        )
    except AllAlikeError:  # of a part of the customers, or of what they have, that may be so
        return _of_the_same(X, weighting)
    scores = score(weighted, pca)
    most = n_distinct(scores, max(ks))
    possible = [k for k in ks if k <= most]
    while possible:
        try:
            partitions = fit_all(
                ONE_THREAD.blocks(scores),
                possible,
                customer_ranks=np.arange(X.shape[0]),
                seed=seed,
                n_starts=N_STARTS if as_segmented else _FEW_STARTS,
                along_fixed_path=as_segmented,
            )
        except FewDistinctError as error:  # some differ by less than k-means tells apart
            possible = [k for k in possible if k <= error.n_found]
        else:
            return FittedRecipe(pca, tuple(partitions), scores)
    return FittedRecipe(pca, (), scores)


def _of_the_same(X: sp.csr_array, weighting: Weighting) -> FittedRecipe:
    n_customers, n_items = X.shape
    none = np.zeros((0, n_items))
    pca = PCA(weighting, np.zeros(n_items), none, np.zeros(0), 0.0, n_customers)
    return FittedRecipe(pca, (), np.zeros((n_customers, 0)))
