"""What speaks for and against each number of segments: every figure beside the same figure on nulls.

What it comes to is said by `segcli.numerics.verdict`; the measures have their sources where they are
taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Engine
from segcli.errors import ChoiceError
from segcli.numerics import costs
from segcli.numerics.activity import activity_share
from segcli.numerics.held_out import bits_gained, hide, mean_gain
from segcli.numerics.levels import (
    LARGEST_SAMPLE,
    LEAST_CUSTOMERS,
    choose_level,
    quick_sample_size,
    trouble_with_negatives,
)
from segcli.numerics.means import nan_mean, standard_error
from segcli.numerics.nulls import nulls_of
from segcli.numerics.ranks import Ranks, sample_in_rank_order
from segcli.numerics.recipe import FittedRecipe, Recipe, fit_recipe
from segcli.numerics.silhouette import mean_silhouettes
from segcli.numerics.stability import Resample, resample

_HELD_TO_ANSWER = 8
"""Figures of each item in each segment of a null that naive Bayes holds, which is what is asked of it."""

MEASURES = (
    "inertia_share",
    "silhouette",
    "prediction_strength",
    "jaccard_min",
    "jaccard_mean",
    "transfer_ari",
    "held_out_gain",
    "activity_share",
)


@dataclass(frozen=True)
class KEvidenceLevel:
    """How much evidence to gather.

    Attributes
    ----------
    n_splits : splits of the customers into halves, and hidings of interactions
    n_nulls : nulls, each with one split and one hiding
    n_customers : how many customers to work on, at most
    n_membership_splits
        Splits of one segmentation's customers, for the stability of its segments and memberships. They
        are of up to `LARGEST_SAMPLE`: halves that are segmented once, not for every k, may be larger.
    """

    n_splits: int
    n_nulls: int
    n_customers: int
    n_membership_splits: int


FULL = KEvidenceLevel(8, 5, LARGEST_SAMPLE, 50)


def quick_level(X: sp.csr_array) -> KEvidenceLevel:
    """Return how much evidence is quickly gathered of an unweighted matrix."""
    return KEvidenceLevel(3, 2, quick_sample_size(X.shape[0], X.nnz), 10)


def evidence_level(
    asked: str | None, X: sp.csr_array, ks: Sequence[int]
) -> tuple[KEvidenceLevel | None, str | None]:
    """Return how much evidence to gather, or None and why there can be none: see `choose_level`.

    Parameters
    ----------
    asked : "quick", "full", "none", or None for as much as is quick and possible
    X : csr_array of shape (n_customers, n_items), unweighted
    ks : the numbers of segments that it is for

    Raises
    ------
    ChoiceError
        If a level is asked for, and there are too few customers, negative values, or no k above 1.
    """
    if X.shape[0] < LEAST_CUSTOMERS:
        trouble: str | None = (
            f"{X.shape[0]} customers are too few to be split into halves: evidence needs at least "
            f"{LEAST_CUSTOMERS}"
        )
    else:
        trouble = trouble_with_negatives(X)
        if trouble is None and max(ks) < 2:
            trouble = "one segment needs no evidence"
    return choose_level(asked, {"quick": quick_level(X), "full": FULL}, trouble)


def require_evidence(
    option: str, asked: str | None, X: sp.csr_array, ks: Sequence[int]
) -> KEvidenceLevel:
    """Return how much evidence to gather; refuse an option that rests on it if there can be none.

    Parameters
    ----------
    option : as it is written on the command line
    asked, X, ks : as `evidence_level` takes them

    Raises
    ------
    ChoiceError
        If there can be none, or none is asked for.
    """
    level, no_evidence = evidence_level(asked, X, ks)
    if level is None:
        why = no_evidence or "None was asked for."
        msg = f"{option} needs evidence. {why} Leave it out."
        raise ChoiceError(msg)
    return level


@dataclass(frozen=True)
class KEvidence:
    """What speaks for and against each number of segments.

    Attributes
    ----------
    recipe : Recipe
    table : dict of ndarrays of shape (n_ks,), by column
        ``k``, and for each of `MEASURES`, ``<measure>`` on the data, ``<measure>_null`` the mean,
        ``<measure>_null_min`` the smallest and ``<measure>_null_max`` the largest over the nulls; for
        prediction strength, transfer ARI and held-out gain also ``<measure>_se``, a standard error.

        - inertia_share: of the inertia of one segment, what is left in these; 0 to 1
        - silhouette: mean over a sample of customers, -1 to 1, 1 is best
        - prediction_strength: 0 to 1, 1 is best, .8 and more for real segments
        - jaccard_min, jaccard_mean: over segments, 0 to 1; from .75 on stable
        - transfer_ari: 1 is best, about 0 is chance
        - held_out_gain: bits per hidden interaction; 0, the segments predict nothing
        - held_out_step, held_out_step_se: gain above the best of the smaller k, k = 1 with its 0 bits
          among them, and its error
        - activity_share: of the variance of log activity, what the segments explain; 0 to 1

        NaN where a k asks for more segments than a half has distinct customers.
    n_customers : int
        Customers on whom the evidence rests: all, or the sample.
    is_sample : bool
    n_splits, n_nulls : int
    null_answers : tuple, what was asked of each null besides
    """

    recipe: Recipe
    table: Mapping[str, np.ndarray]
    n_customers: int
    is_sample: bool
    n_splits: int
    n_nulls: int
    null_answers: tuple[Any, ...] = ()

    def row(self, k: int) -> dict[str, float]:
        """Return all figures of a k that was looked at, by column."""
        position = self.table["k"].tolist().index(k)
        return {name: float(column[position]) for name, column in self.table.items()}


def gather_evidence(
    X: sp.csr_array,
    recipes: Sequence[Recipe],
    ks: Sequence[int],
    *,
    ranks: Ranks,
    seed: int,
    level: KEvidenceLevel,
    engine: Engine = ONE_THREAD,
    ask_null: Callable[[sp.csr_array, FittedRecipe], Any] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> list[KEvidence]:
    """Return the evidence for each k, on the data and on nulls, for each recipe.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted, that can bear it (`evidence_level`)
    recipes : what is done to the matrix; all are tried on the same customers and nulls
    ks : increasing numbers of segments, from 2 up
    ranks : the ranks of X's customers and items
    seed : int
    level : how much to gather
    engine : runs splits and nulls
    ask_null : asks something more of a null, in rank order, and the recipe fitted to it
    meanwhile : as `Engine.run_tasks` takes it

    Returns
    -------
    list of KEvidence, of each recipe in turn
    """
    n_splits, n_nulls = level.n_splits, level.n_nulls
    ordered = sample_in_rank_order(X, ranks, level.n_customers, seed=seed)
    made = nulls_of(ordered, n_nulls, seed=seed, engine=engine)
    tasks: list[Callable[[], Any]] = []
    for recipe in recipes:
        hidings = [
            partial(predict_hidden, ordered, recipe, ks, j, seed=seed) for j in range(n_splits)
        ]
        nulls = [partial(_on_null, null, recipe, ks, seed, ask_null) for null in made]
        splits = [
            partial(resample, ordered, recipe, ks, split=j, seed=seed) for j in range(n_splits)
        ]
        # The longest first, so that no process waits for another in the end; but where the first, by
        # itself, tells whether the rest is worth starting processes, one that is not so long.
        on_all = partial(_on_all, ordered, recipe, ks, seed)
        tasks += [hidings[0], *nulls, *hidings[1:], *splits, on_all]
    results: Iterator[Any] = iter(
        engine.run_tasks(
            tasks,
            "evidence for k",
            seconds=costs.seconds_of_fit(ordered, ks),
            room=costs.room_of_fit(ordered, ks, more=_HELD_TO_ANSWER if ask_null else 0),
            meanwhile=meanwhile,
        )
    )
    found = []
    for recipe in recipes:
        first_hiding = next(results)
        on_nulls = list(islice(results, n_nulls))
        on_hidings = [first_hiding, *islice(results, n_splits - 1)]
        on_splits = list(islice(results, n_splits))
        full, silhouette = next(results)
        resamples = [one for both in on_splits for one in both]
        measures = _measure(ordered, full, silhouette, on_hidings, resamples, ks)
        for measure in MEASURES:
            of_nulls = np.stack([figures[measure] for figures, _ in on_nulls])
            measures[f"{measure}_null"] = nan_mean(of_nulls)
            measures[f"{measure}_null_min"] = np.fmin.reduce(of_nulls)
            measures[f"{measure}_null_max"] = np.fmax.reduce(of_nulls)
        found.append(
            KEvidence(
                recipe,
                {"k": np.array(ks), **measures},
                n_customers=ordered.shape[0],
                is_sample=ordered.shape[0] < X.shape[0],
                n_splits=n_splits,
                n_nulls=n_nulls,
                null_answers=tuple(answer for _, answer in on_nulls),
            )
        )
    return found


def predict_hidden(
    X: sp.csr_array, recipe: Recipe, ks: Sequence[int], number: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the segments that a recipe makes are worth for interactions hidden from it.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted, in rank order
    number : of the hiding

    Returns
    -------
    bits : ndarray of shape (n_ks, n_customers), see `bits_gained`; NaN for a k that could not be fitted
    n_hidden : ndarray of shape (n_customers,)
    """
    parts = hide(X, rng=np.random.default_rng([seed, 7, number]))
    seen = fit_recipe(parts.seen, recipe, ks, seed=seed)
    bits = np.full((len(ks), X.shape[0]), np.nan)
    for i, partition in enumerate(seen.partitions):
        bits[i] = bits_gained(parts, partition.labels, partition.k)
    return bits, np.diff(parts.hidden.indptr)


def _on_all(
    X: sp.csr_array, recipe: Recipe, ks: Sequence[int], seed: int
) -> tuple[FittedRecipe, list[float]]:
    """Return the recipe fitted to all customers, and the mean silhouette for each k that they bear."""
    full = fit_recipe(X, recipe, ks, seed=seed)
    silhouettes = mean_silhouettes(
        full.scores,
        [partition.labels for partition in full.partitions],
        rng=np.random.default_rng([seed, 9]),
    )
    return full, silhouettes


def _on_null(
    null: sp.csr_array,
    recipe: Recipe,
    ks: Sequence[int],
    seed: int,
    ask: Callable[[sp.csr_array, FittedRecipe], Any] | None,
) -> tuple[dict[str, np.ndarray], Any]:
    """Return the measures of a null, as `_measure` does, and what else is asked."""
    full, silhouette = _on_all(null, recipe, ks, seed)
    hidings = [predict_hidden(null, recipe, ks, 0, seed=seed)]
    resamples = resample(null, recipe, ks, split=0, seed=seed)
    measures = _measure(null, full, silhouette, hidings, resamples, ks)
    return measures, ask(null, full) if ask is not None else None


def _measure(
    X: sp.csr_array,
    full: FittedRecipe,
    silhouette: Sequence[float],
    hidings: Sequence[tuple[np.ndarray, np.ndarray]],
    resamples: Sequence[Resample],
    ks: Sequence[int],
) -> dict[str, np.ndarray]:
    """Return the measures of one matrix, and their errors, as ndarrays of shape (n_ks,)."""
    n_ks = len(full.ks)
    bits, n_hidden = (np.sum(parts, axis=0) for parts in zip(*hidings, strict=True))
    bits = bits[:n_ks]
    by_k = zip(*(r.jaccard(full) for r in resamples), strict=True)
    similarities = [nan_mean(np.stack(of_k)) for of_k in by_k]
    strength, strength_se = _over_splits([r.prediction_strength[:n_ks] for r in resamples])
    transfer, transfer_se = _over_splits([r.transfer_ari[:n_ks] for r in resamples])
    gains = np.array([mean_gain(row, n_hidden) for row in bits]).reshape(n_ks, 2)
    steps = np.array([_step_up(bits, gains[:, 0], i, n_hidden) for i in range(n_ks)])
    steps = steps.reshape(n_ks, 2)  # of no k, too
    columns: dict[str, Any] = {
        "inertia_share": full.inertia_shares,
        "silhouette": silhouette,
        "prediction_strength": strength,
        "prediction_strength_se": strength_se,
        "jaccard_min": [s.min() for s in similarities],
        "jaccard_mean": [s.mean() for s in similarities],
        "transfer_ari": transfer,
        "transfer_ari_se": transfer_se,
        "held_out_gain": gains[:, 0],
        "held_out_gain_se": gains[:, 1],
        "held_out_step": steps[:, 0],
        "held_out_step_se": steps[:, 1],
        "activity_share": [activity_share(X, fit.labels) for fit in full.partitions],
    }
    beyond = np.full(len(ks) - n_ks, np.nan)  # the largest k may ask for too many segments
    return {name: np.append(column, beyond) for name, column in columns.items()}


def _over_splits(values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the means over resamples, and their standard errors over splits.

    The two directions of a split are not independent: a split counts once, as their mean.
    """
    splits = nan_mean(np.stack([np.stack(values[0::2]), np.stack(values[1::2])]))
    return nan_mean(splits), standard_error(splits)


def _step_up(
    bits: np.ndarray, gains: np.ndarray, i: int, n_hidden: np.ndarray
) -> tuple[float, float]:
    """Return by how much the i-th k gains more than any smaller one, and the standard error.

    One segment is a smaller one too: it gains nothing, which is more than fewer segments may that mislead.
    The same customers and hidden interactions are compared, so the error is far below that of
    either gain.
    """
    best = max(range(i), key=lambda j: np.nan_to_num(gains[j]), default=None)
    if best is None or not gains[best] > 0:
        return mean_gain(bits[i], n_hidden)
    return mean_gain(bits[i] - bits[best], n_hidden)
