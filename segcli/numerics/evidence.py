"""Which numbers of segments do the data support? Every figure beside the same figure on nulls.

The rule (`verdict`). A k is supported if all of these hold:

1. *Found again*: every segment is at least "stable" in halves of the customers: smallest Jaccard
   similarity at least .75 (Hennig 2007).
2. *Told by what customers have*: transfer ARI is at least .65, from where on recovery counts as
   moderate (Steinley 2004), and above every null's by .05 (Clest's least difference: Dudoit &
   Fridlyand 2002).
3. *Worth knowing*: the held-out gain is above every null's, and above 0, by .02 bits.
4. *Worth more than fewer*: the held-out gain is above that of every smaller k by two standard errors
   of the difference. Cutting a real segment in two by activity can be as stable; it gains nothing.

Prediction strength is shown beside them. It asks the same as 1 more strictly, by the one segment and
the one half that fare worst; Tibshirani & Walther take .8 to .9.

Stability alone does not do: split by activity, customers without any segments are as stable as can
be. What activity cannot do is carry over through items alone (2) and predict hidden ones (3, 4).

The recommended k is the largest that is supported. Held-out gain often still rises beyond: finer
groups predict better although their borders are arbitrary. The smallest k whose gain is within one
standard error of the best (Breiman et al. 1984) is named beside, and what each is good for.

References
----------
Hennig (2007), Comput. Stat. Data Anal. 52, 258-271, doi:10.1016/j.csda.2006.11.025.
Tibshirani & Walther (2005), J. Comput. Graph. Stat. 14, 511-528, doi:10.1198/106186005X59243.
Dudoit & Fridlyand (2002), Genome Biology 3(7), research0036, doi:10.1186/gb-2002-3-7-research0036.
Steinley (2004), "Properties of the Hubert-Arabie adjusted Rand index", Psychol. Methods 9, 386-396,
doi:10.1037/1082-989X.9.3.386. Breiman, Friedman, Olshen & Stone (1984), "Classification and Regression
Trees", section 3.4.3 (the one-standard-error rule).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Engine
from segcli.errors import ChoiceError
from segcli.numerics import durations
from segcli.numerics.activity import activity_share
from segcli.numerics.held_out import bits_gained, hide, mean_gain
from segcli.numerics.levels import choose_level
from segcli.numerics.nulls import nulls_of
from segcli.numerics.ranks import Ranks
from segcli.numerics.recipe import FittedRecipe, Recipe, fit_recipe, in_rank_order, sample_rows
from segcli.numerics.silhouette import silhouettes
from segcli.numerics.stability import Resample, nan_mean, resample

LEAST_STABILITY = 0.75
LEAST_TRANSFER = 0.65
LEAST_TRANSFER_ABOVE_NULL = 0.05
LEAST_GAIN_ABOVE_NULL = 0.02
LEAST_STEP_ERRORS = 2.0

LEAST_CUSTOMERS = 20

NOTHING_TO_HIDE = "no customer has two interactions, of which one could be hidden"

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
class Level:
    """How much evidence to gather.

    Attributes
    ----------
    n_splits : splits of the customers into halves, and hidings of interactions
    n_nulls : nulls, each with one split and one hiding
    n_membership_splits : splits that say how often a customer lands in the own segment
    n_customers : how many customers to work on, at most
    """

    n_splits: int
    n_nulls: int
    n_membership_splits: int
    n_customers: int


LEVELS = {"quick": Level(3, 2, 10, 5_000), "full": Level(8, 5, 50, 20_000)}


def evidence_level(
    asked: str | None, X: sp.csr_array, ks: Sequence[int]
) -> tuple[Level | None, str | None]:
    """Return how much evidence to gather, or None and why there can be none: see `choose_level`."""
    trouble = None
    if X.shape[0] < LEAST_CUSTOMERS:
        trouble = (
            f"{X.shape[0]} customers are too few to be split into halves: evidence needs at least "
            f"{LEAST_CUSTOMERS}"
        )
    elif X.nnz and X.data.min() < 0:
        trouble = "evidence takes counts or ratings from 0 up, and the matrix has negative values"
    elif max(ks) < 2:
        trouble = "one segment needs no evidence"
    return choose_level(asked, LEVELS, trouble)


def require_evidence(option: str, asked: str | None, X: sp.csr_array, ks: Sequence[int]) -> None:
    """Refuse an option that rests on evidence where these data cannot bear any.

    Raises
    ------
    ChoiceError
    """
    level, no_evidence = evidence_level(asked, X, ks)
    if level is None:
        why = no_evidence or "None was asked for."
        msg = f"{option} needs evidence. {why} Leave it out."
        raise ChoiceError(msg)


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

        - inertia_share: of the scores' sum of squares, what is left within segments; 0 to 1
        - silhouette: mean over a sample of customers, -1 to 1, 1 is best
        - prediction_strength: 0 to 1, 1 is best, .8 and more for real segments
        - jaccard_min, jaccard_mean: over segments, 0 to 1; from .75 on stable
        - transfer_ari: 1 is best, about 0 is chance
        - held_out_gain: bits per hidden interaction; 0, the segments predict nothing
        - held_out_step, held_out_step_se: gain above the best of the smaller k, and its error
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
        """Return all figures of this k, by column.

        Raises
        ------
        ChoiceError
            If there is no evidence for this k.
        """
        ks = self.table["k"].tolist()
        if k not in ks:
            msg = f"there is no evidence for k = {k}. Run segcli explore-k with it in the range."
            raise ChoiceError(msg)
        return {name: float(column[ks.index(k)]) for name, column in self.table.items()}


@dataclass(frozen=True)
class KJudgement:
    """What the evidence says of one k.

    Attributes
    ----------
    k : int
    supported : bool
    reason : str, one sentence
    """

    k: int
    supported: bool
    reason: str


@dataclass(frozen=True)
class KVerdict:
    """What the evidence says of all k together.

    Attributes
    ----------
    supported : tuple of int, the supported k
    recommended : int or None, the largest of them
    gain_peak : int or None
        Of the k whose held-out gain is above the nulls', the smallest whose gain is within one
        standard error of the best; None if there are none.
    reason : str, the recommendation in words
    """

    supported: tuple[int, ...]
    recommended: int | None
    gain_peak: int | None
    reason: str


def gather_evidence(
    X: sp.csr_array,
    recipe: Recipe,
    ks: Sequence[int],
    *,
    ranks: Ranks,
    seed: int,
    n_splits: int = LEVELS["full"].n_splits,
    n_nulls: int = LEVELS["full"].n_nulls,
    sample_size: int = LEVELS["full"].n_customers,
    engine: Engine = ONE_THREAD,
    ask_null: Callable[[sp.csr_array, FittedRecipe], Any] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> KEvidence:
    """Return the evidence for each k, on the data and on nulls.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted, non-negative
    recipe : what is done to the matrix
    ks : increasing numbers of segments, from 2 up
    ranks : the ranks of X's customers and items
    seed : int
    n_splits, n_nulls : see `Level`; both at least 1
    sample_size : customers to work on, at most
    engine : runs splits and nulls
    ask_null : asks something more of a null, in rank order, and the recipe fitted to it
    meanwhile : what this process is to do once; while others gather, if there are any

    Raises
    ------
    ChoiceError
        If there are fewer than 20 customers, or negative values.
    """
    rows = sample_rows(ranks, sample_size, seed=seed)
    if len(rows) < LEAST_CUSTOMERS:
        msg = (
            f"{len(rows)} customers are too few to be split into halves: evidence needs "
            f"{LEAST_CUSTOMERS}. Use --evidence none."
        )
        raise ChoiceError(msg)
    ordered = in_rank_order(X, ranks, rows)
    made = nulls_of(ordered, n_nulls, seed=seed, engine=engine)
    hidings = [partial(_hiding, ordered, recipe, ks, j, seed) for j in range(n_splits)]
    nulls = [partial(_on_null, null, recipe, ks, seed, ask_null) for null in made]
    splits = [partial(resample, ordered, recipe, ks, split=j, seed=seed) for j in range(n_splits)]
    # The longest first, so that no process waits for another in the end; but where the first, by
    # itself, tells whether the rest is worth starting processes, one that is not so long.
    tasks: list[Callable[[], Any]] = [
        hidings[0],
        *nulls,
        *hidings[1:],
        *splits,
        partial(_on_all, ordered, recipe, ks, seed),
    ]
    results: list[Any] = engine.run_tasks(
        tasks, "evidence for k", seconds=durations.of_fit(ordered, ks), meanwhile=meanwhile
    )
    on_nulls = results[1 : 1 + n_nulls]
    on_hidings = [results[0], *results[1 + n_nulls : n_splits + n_nulls]]
    on_splits = results[n_splits + n_nulls : -1]
    full, silhouette = results[-1]
    stacked = np.stack([measures for measures, _ in on_nulls])
    resamples = [one for both in on_splits for one in both]
    table = {"k": np.array(ks), **_measure(ordered, full, silhouette, on_hidings, resamples, ks)}
    for i, measure in enumerate(MEASURES):
        table[f"{measure}_null"] = nan_mean(stacked[:, :, i])
        table[f"{measure}_null_min"] = np.fmin.reduce(stacked[:, :, i])
        table[f"{measure}_null_max"] = np.fmax.reduce(stacked[:, :, i])
    answers = tuple(answer for _, answer in on_nulls)
    return KEvidence(recipe, table, len(rows), len(rows) < X.shape[0], n_splits, n_nulls, answers)


def verdict(evidence: KEvidence) -> KVerdict:
    """Return which k the evidence supports, and what to choose. See the module for the rule."""
    ks = evidence.table["k"].tolist()
    supported = tuple(k for k in ks if verdict_for(evidence, k).supported)
    recommended = max(supported, default=None)
    peak = gain_peak(evidence)
    return KVerdict(supported, recommended, peak, _in_words(evidence, supported, peak))


def verdict_for(evidence: KEvidence, k: int) -> KJudgement:
    """Return whether the evidence supports this k, and why.

    Raises
    ------
    ChoiceError
        If there is no evidence for this k.
    """
    row = evidence.row(k)
    failures = _failures(row)
    if not failures:
        return KJudgement(k, True, f"k = {k} is supported: {_strengths(row)}.")
    return KJudgement(k, False, f"k = {k} is not supported: {'; '.join(failures)}.")


def gain_peak(evidence: KEvidence) -> int | None:
    """Return the smallest k whose held-out gain is within one standard error of the best.

    Only of k whose gain is above the nulls'; None if there are none.
    """
    rows = [row for row in map(evidence.row, evidence.table["k"].tolist()) if _gains(row)]
    if not rows:
        return None
    best = max(rows, key=itemgetter("held_out_gain"))
    least = best["held_out_gain"] - best["held_out_gain_se"]
    return int(next(row["k"] for row in rows if row["held_out_gain"] >= least))


@dataclass(frozen=True)
class _Hiding:
    """What one hiding says: for each k, bits gained of shape (n_ks, n_customers)."""

    bits: np.ndarray
    n_hidden: np.ndarray


def _hiding(X: sp.csr_array, recipe: Recipe, ks: Sequence[int], number: int, seed: int) -> _Hiding:
    parts = hide(X, rng=np.random.default_rng([seed, 7, number]))
    seen = fit_recipe(parts.seen, recipe, ks, seed=seed)
    bits = np.full((len(ks), X.shape[0]), np.nan)
    for i, partition in enumerate(seen.partitions):
        bits[i] = bits_gained(parts, partition.labels, partition.k)
    return _Hiding(bits, np.diff(parts.hidden.indptr))


def _on_all(
    X: sp.csr_array, recipe: Recipe, ks: Sequence[int], seed: int
) -> tuple[FittedRecipe, list[float]]:
    """Return the recipe fitted to all customers, and the mean silhouette for each k that they bear."""
    full = fit_recipe(X, recipe, ks, seed=seed)
    widths = silhouettes(
        full.scores,
        [partition.labels for partition in full.partitions],
        rng=np.random.default_rng([seed, 9]),
    )
    return full, [width.mean for width in widths]


def _on_null(
    null: sp.csr_array,
    recipe: Recipe,
    ks: Sequence[int],
    seed: int,
    ask: Callable[[sp.csr_array, FittedRecipe], Any] | None,
) -> tuple[np.ndarray, Any]:
    """Return the measures of a null, of shape (n_ks, n_measures), and what else is asked."""
    full, silhouette = _on_all(null, recipe, ks, seed)
    hidings = [_hiding(null, recipe, ks, 0, seed)]
    resamples = resample(null, recipe, ks, split=0, seed=seed)
    columns = _measure(null, full, silhouette, hidings, resamples, ks)
    measures = np.stack([columns[measure] for measure in MEASURES], axis=1)
    return measures, ask(null, full) if ask is not None else None


def _measure(
    X: sp.csr_array,
    full: FittedRecipe,
    silhouette: Sequence[float],
    hidings: Sequence[_Hiding],
    resamples: Sequence[Resample],
    ks: Sequence[int],
) -> dict[str, np.ndarray]:
    """Return the measures of one matrix, and their errors, as ndarrays of shape (n_ks,)."""
    n_ks = len(full.ks)
    bits = np.sum([hiding.bits for hiding in hidings], axis=0)[:n_ks]
    n_hidden = np.sum([hiding.n_hidden for hiding in hidings], axis=0)
    by_k = zip(*(r.jaccard(full) for r in resamples), strict=True)
    similarities = [nan_mean(np.stack(of_k)) for of_k in by_k]
    strength, strength_se = _over_splits([r.prediction_strength[:n_ks] for r in resamples])
    transfer, transfer_se = _over_splits([r.transfer_ari[:n_ks] for r in resamples])
    gains = np.array([mean_gain(row, n_hidden) for row in bits]).reshape(n_ks, 2)
    steps_up = np.array([_step_up(bits, gains[:, 0], i, n_hidden) for i in range(n_ks)])
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
        "held_out_step": steps_up.reshape(n_ks, 2)[:, 0],
        "held_out_step_se": steps_up.reshape(n_ks, 2)[:, 1],
        "activity_share": [activity_share(X, fit.labels) for fit in full.partitions],
    }
    beyond = np.full(len(ks) - n_ks, np.nan)  # the largest k may ask for too many segments
    return {name: np.append(column, beyond) for name, column in columns.items()}


def _over_splits(values: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the means over resamples, and their standard errors over splits.

    The two directions of a split are not independent: a split counts once, as their mean. With a
    single split the error is 0.
    """
    splits = nan_mean(np.stack([np.stack(values[0::2]), np.stack(values[1::2])]))
    n = len(splits)
    errors = splits.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(splits.shape[1])
    return nan_mean(splits), errors


def _step_up(
    bits: np.ndarray, gains: np.ndarray, i: int, n_hidden: np.ndarray
) -> tuple[float, float]:
    """Return by how much the i-th k gains more than any smaller one, and the standard error.

    The same customers and hidden interactions are compared, so the error is far below that of
    either gain.
    """
    if i == 0 or np.isnan(gains[:i]).all():
        return mean_gain(bits[i], n_hidden)
    return mean_gain(bits[i] - bits[np.nanargmax(gains[:i])], n_hidden)


def _gains(row: Mapping[str, float]) -> bool:
    floor = max(row["held_out_gain_null_max"], 0.0)
    return bool(row["held_out_gain"] - floor >= LEAST_GAIN_ABOVE_NULL)


def _failures(row: Mapping[str, float]) -> list[str]:
    """Return what speaks against a k, in words; nothing if it is supported.

    What is not known of these data speaks against it, too; that nulls have no transfer ARI does not.
    """
    failures = []
    stability, transfer, gain = (
        row[name] for name in ("jaccard_min", "transfer_ari", "held_out_gain")
    )
    if np.isnan(stability) or np.isnan(transfer):
        failures.append("too few customers differ for each half of them to make so many segments")
    if stability < LEAST_STABILITY:
        failures.append(
            f"other customers would lead to other segments (the least stable segment's Jaccard "
            f"similarity is {stability:.2f}, {LEAST_STABILITY} is needed)"
        )
    null = row["transfer_ari_null_max"]
    if transfer < LEAST_TRANSFER:
        failures.append(
            f"what customers have does not tell their segment (transfer ARI {transfer:.2f}, "
            f"{LEAST_TRANSFER} is needed{_beside(null, '; {} without any segments')})"
        )
    elif transfer < null + LEAST_TRANSFER_ABOVE_NULL:
        failures.append(
            f"what customers have tells their segment no better than without any segments (transfer "
            f"ARI {transfer:.2f}; {null:.2f} there)"
        )
    if np.isnan(gain):
        failures.append(f"{NOTHING_TO_HIDE}, so whether the segment helps to predict is not known")
    elif not _gains(row):
        beside = _beside(row["held_out_gain_null_max"], ", {} without any segments", digits=3)
        failures.append(
            f"knowing the segment does not help to predict hidden interactions ({gain:.3f} bits{beside})"
        )
    elif not row["held_out_step"] > LEAST_STEP_ERRORS * row["held_out_step_se"]:
        failures.append("fewer segments predict hidden interactions as well")
    return failures


def _strengths(row: Mapping[str, float]) -> str:
    beside = _beside(row["transfer_ari_null_max"], ", {} without any segments")
    return (
        f"other customers lead to the same segments (least Jaccard similarity "
        f"{row['jaccard_min']:.2f}), what customers have tells their segment (transfer ARI "
        f"{row['transfer_ari']:.2f}{beside}), and "
        f"the segment helps to predict hidden interactions ({row['held_out_gain']:.2f} bits)"
    )


def _beside(null: float, words: str, digits: int = 2) -> str:
    """Return the words with the figure of the nulls; nothing if they have none."""
    return "" if np.isnan(null) else words.format(f"{null:.{digits}f}")


def _comes_again(row: Mapping[str, float]) -> bool:
    return row["jaccard_min"] >= LEAST_STABILITY and row["transfer_ari"] >= LEAST_TRANSFER


def _in_words(evidence: KEvidence, supported: tuple[int, ...], peak: int | None) -> str:
    if not supported:
        return _none_in_words(evidence, peak)
    best = max(supported)
    row = evidence.row(best)
    words = f"k = {best} is the largest number of segments that the evidence supports: "
    words += f"{_strengths(row)}."
    if peak is not None and peak != best:
        words += (
            f" Held-out gain levels off at k = {peak} ({evidence.row(peak)['held_out_gain']:.2f} bits "
            f"against {row['held_out_gain']:.2f}): choose {best} to name and follow segments, for they "
            f"come back with other customers; choose {peak} to predict or recommend, where borders may "
            "be arbitrary."
        )
    return words


def _none_in_words(evidence: KEvidence, peak: int | None) -> str:
    if np.isnan(evidence.table["held_out_gain"]).all():
        return (
            f"no supported k: {NOTHING_TO_HIDE}, so whether segments help to predict is not known."
        )
    if peak is None:
        return "no supported k: these customers differ in activity, not in taste."
    gain = evidence.row(peak)["held_out_gain"]
    again = [k for k in evidence.table["k"].tolist() if _comes_again(evidence.row(k))]
    why = (
        f"other customers would lead to the same groups (k = {', '.join(map(str, again))}), but those "
        "predict hidden interactions no better than fewer, or none, would"
        if again
        else "tastes differ, but not in groups that other customers would lead to again"
    )
    return (
        f"no supported k: {why}. Segments help to predict (k = {peak}: {gain:.2f} bits per hidden "
        "interaction); do not take their borders for real. Another weighting or number of components may "
        "do better."
    )
