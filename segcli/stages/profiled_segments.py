"""The segments with what the report counts of them; `segment_tables` lays it out in columns.

What marks a segment, and who is typical of it, is told from what customers like: an interaction of a
value below 0 counts as one of theirs, but not as having the item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from segcli.artifacts import Columns
from segcli.engine import Blocks, Engine
from segcli.engine.sparse_views import with_values
from segcli.numerics.description import (
    Contrast,
    Description,
    Echo,
    contrast_segments,
    describe_segments,
    null_echo,
)
from segcli.numerics.levels import trouble_with_negatives
from segcli.numerics.marks import count_having_any, count_own_marks
from segcli.numerics.profiles import Profiles, profile_segments
from segcli.numerics.ranks import Ranks, rank
from segcli.numerics.recipe import Recipe
from segcli.numerics.segmentation import Segmentation
from segcli.numerics.typical import typical_customers
from segcli.numerics.unseen import UnseenLevel
from segcli.stages.segment_tables import segment_summary_table, typical_customers_table

N_AVOIDED = 5
N_CONTRASTED = 3
N_TYPICAL = 5


@dataclass(frozen=True)
class ProfiledSegments:
    """Segments, and what is counted of them.

    Attributes
    ----------
    matrix : csr_array of shape (n_customers, n_items), unweighted
    segmentation : how the segments were made
    segments : the columns of `segments.csv`
    rated : blocks of the matrix
    liked : blocks of the matrix without what has a value below 0; ``rated`` itself where nothing has
    ranks : of customers and items
    activity : ndarray of shape (n_customers,), distinct items of each customer
    profiles : of the segments, from what is liked
    engine : what does the work
    """

    matrix: sp.csr_array
    segmentation: Segmentation
    segments: Mapping[str, np.ndarray]
    rated: Blocks
    liked: Blocks
    ranks: Ranks
    activity: np.ndarray
    profiles: Profiles
    engine: Engine

    @property
    def labels(self) -> np.ndarray:
        """Each customer's segment; -1 for the unassigned."""
        return self.segments["segment"]

    @property
    def recipe(self) -> Recipe:
        """The recipe that the segments were made by."""
        return Recipe.of(self.segmentation.pca)

    def describe(
        self, n_items: int, level: UnseenLevel | None, *, seed: int
    ) -> tuple[Description, Echo | None]:
        """Return what sets the segments apart, and the echo on a null; None where there is none here.

        Parameters
        ----------
        n_items : items to list as characteristic of each segment
        level : how thoroughly to check them on unseen interactions; None for not at all
        seed : of what is drawn for that
        """
        described = describe_segments(
            self.matrix,
            self.profiles,
            self.labels,
            self.recipe,
            ranks=self.ranks,
            seed=seed,
            n_items=n_items,
            n_avoided=N_AVOIDED,
            level=level,
            engine=self.engine,
        )
        if level is None or described.echo is None:
            return described, None
        beside = null_echo(
            self.matrix,
            self.segmentation.k,
            self.recipe,
            ranks=self.ranks,
            seed=seed,
            n_items=n_items,
            level=level,
            engine=self.engine,
        )
        return described, beside

    def contrasts(self) -> list[Contrast | None]:
        """Return what tells each segment from the nearest; None where there is no other."""
        centers = self.segmentation.centers
        return contrast_segments(self.profiles, centers, ranks=self.ranks, n_items=N_CONTRASTED)

    def typical_customers(self, marks: sp.csr_array) -> Columns:
        """Return the rows of `typical_customers.csv`.

        Parameters
        ----------
        marks : the items that mark each segment, from `marks_of`
        """
        n_marks = count_own_marks(self.liked, marks, self.labels)
        found = typical_customers(
            self.labels,
            self.segments["distance"],
            self.segmentation.k,
            n_marks=n_marks,
            customer_ranks=self.ranks.customers,
            n=N_TYPICAL,
        )
        return typical_customers_table(self.segments, found, self.activity, n_marks)

    def summary(
        self,
        marks: sp.csr_array,
        contrasts: Sequence[Contrast | None],
        names: Sequence[str],
        marking: Sequence[str],
        grades: Columns,
    ) -> Columns:
        """Return the rows of `segment_summary.csv`.

        Parameters
        ----------
        marks : the items that mark each segment, from `marks_of`
        contrasts : what tells each segment from the nearest
        names : for each segment the name that a person gave it; empty if none did
        marking : for each segment what marks it, in one text
        grades : a row per segment, from `grades_table`
        """
        all_are_liked = self.liked is self.rated
        values = self.profiles  # of these, what is disliked counts too
        if not all_are_liked:
            values = profile_segments(self.rated, self.labels, self.segmentation.k)
        return segment_summary_table(
            self.profiles,
            self.activity,
            self.segments,
            having=count_having_any(self.liked, marks, self.labels),
            total_values=values.totals.sum(axis=1),
            sum_of_values=self.matrix.data.sum() if all_are_liked else None,
            given=names,
            marked_by=marking,
            nearest=[contrast.nearest if contrast else None for contrast in contrasts],
            grades=grades,
        )


def profile(
    matrix: sp.csr_array,
    segmentation: Segmentation,
    segments: Mapping[str, np.ndarray],
    engine: Engine,
) -> ProfiledSegments:
    """Return the segments with what is counted of them.

    Parameters
    ----------
    matrix : csr_array of shape (n_customers, n_items), unweighted
    segmentation : how the segments were made
    segments : the columns of `segments.csv`
    engine : what does the work
    """
    rated = liked = engine.blocks(matrix)
    if trouble_with_negatives(matrix) is not None:
        liked = engine.blocks(_liked_of(matrix))
    return ProfiledSegments(
        matrix,
        segmentation,
        segments,
        rated,
        liked,
        ranks=rank(rated),
        activity=np.diff(matrix.indptr),
        profiles=profile_segments(liked, segments["segment"], segmentation.k),
        engine=engine,
    )


def _liked_of(matrix: sp.csr_array) -> sp.csr_array:
    """Return what customers have without what they dislike, which has a value below 0.

    A copy of the same shape: whoever likes nothing has an empty row.
    """
    liked = with_values(matrix, np.maximum(matrix.data, 0)).copy()
    liked.eliminate_zeros()
    return liked
