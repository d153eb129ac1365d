"""Which weighting, or what to make of norms? All of them, measured alike on the same hidings and halves.

Components and inertia of two weightings lie in different spaces, and so do scores whose norms are treated
in different ways: shares of variance say nothing about which is better. What the segments are good for
is measured in the same unit whatever the space, and beside the same on nulls:

- *Held-out gain* at its peak over k: how many bits knowing the segment is worth for each hidden
  interaction (`segcli.numerics.held_out`).
- *Transfer ARI* at the small k where it exceeds the null's the most: can the segments be told by what
  customers have, and would other customers lead to them (`segcli.numerics.stability`)?
- *Activity share* at that same k, beside the null's: are they merely heavy and light customers?

The rule (`recommend`). The largest held-out gain at its peak decides. Recipes whose gain is within
one standard error of the difference from the best (Breiman et al. 1984) are taken for as good, and of
those the one whose transfer ARI exceeds the null's the most, as printed, is recommended: if two predict
equally well, better segments that other customers would lead to. If no gain is above the null's, or only
by less than two standard errors, none is recommended: of few customers, the best of many k gains
something by chance.

All recipes face the same hidden interactions of the same customers, so differences between them are
known much better than either gain: their errors are those of the customers' differences.

References
----------
Those of `segcli.numerics.held_out`, `segcli.numerics.stability` and `segcli.numerics.nulls`. Breiman,
Friedman, Olshen & Stone (1984), "Classification and Regression Trees", section 3.4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Engine
from segcli.errors import ChoiceError
from segcli.numerics import costs
from segcli.numerics.activity import NOTABLE_SHARE, activity_share
from segcli.numerics.evidence import predict_hidden
from segcli.numerics.held_out import mean_gain
from segcli.numerics.levels import LEAST_CUSTOMERS, PARTLY_LUCK, SMALLEST_SAMPLE
from segcli.numerics.means import nan_mean
from segcli.numerics.nulls import nulls_of
from segcli.numerics.pca import n_components_limit
from segcli.numerics.ranks import Ranks, sample_in_rank_order
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.score_norm import SCORE_NORMS
from segcli.numerics.stability import resample
from segcli.numerics.verdict import LEAST_GAIN_ABOVE_NULL, LEAST_STEP_ERRORS, NOTHING_TO_HIDE
from segcli.numerics.weighting import NAMES, TAKE_NEGATIVES
from segcli.words import decimal

KS = (2, 3, 4, 6, 8, 10, 15, 20, 25, 30)
"""Numbers of segments to try: dense where a step counts, up to where gains have levelled off."""

LARGEST_FEW = 8
"""Up to this k transfer ARI is compared: beyond it, segments of real data seldom come back."""

N_COMPONENTS = 10

N_SPLITS = 2
N_NULLS = 1

CHOICES = {"weighting": "weighting", "score_norm": "score norm"}
"""What recipes may differ in, and the word for it."""

_WITHOUT_COMPARISON = {
    "weighting": "Choose one by what it does to a customer's row",
    "score_norm": "Leave it at its default",
}

_ACTIVITY_ALONE = (
    "These customers differ in activity, not in taste, as far as segments on this many "
    "components show."
)

Line = dict[str, Any]
"""What there is to say of one recipe."""


@dataclass(frozen=True)
class RecipeComparison:
    """What recipes that differ in one choice make of the same data.

    Attributes
    ----------
    choice : a name of `CHOICES`
    candidates : tuple of dict, the best first, those whose gain is no more than chance's last
        - name: of the weighting or score norm
        - gain, gain_se: held-out gain in bits per hidden interaction at its peak, and its standard
          error over customers; 0, the segments predict nothing
        - gain_k: the k of the peak; None where there is no gain
        - gain_null: the null's gain at the peak of its own
        - behind, behind_se: how far the gain is below the first candidate's, and the error of that
        - transfer_ari, transfer_ari_null: 1 is best, about 0 is chance; at ``transfer_k``
        - transfer_k: the k up to `LARGEST_FEW` where the one exceeds the other the most; the first
          where there is no transfer ARI
        - activity_share, activity_share_null: of the variance of log activity, what the segments
          explain at ``transfer_k``; 0 to 1
        - variance_held: share of the weighted matrix's variance on the components; 0 to 1. Not a
          measure of quality.

        NaN where a figure cannot be had: transfer ARI where there are negative values.
    skipped : dict from the names of those that these data cannot take to the reason
    recommended : str or None, a name
    reason : str, the recommendation in words
    weighting : str or None, of all recipes; None where they differ in it
    n_components : int
    score_norm : str or None, of all recipes; None where they differ in it, or each has its usual one
    ks : tuple of int, the numbers of segments tried
    n_customers : int
        Customers on whom the comparison rests: all, or the sample.
    is_sample : bool
    n_splits, n_nulls : int
    """

    choice: str
    candidates: tuple[Line, ...]
    skipped: dict[str, str]
    recommended: str | None
    reason: str
    weighting: str | None
    n_components: int
    score_norm: str | None
    ks: tuple[int, ...]
    n_customers: int
    is_sample: bool
    n_splits: int
    n_nulls: int


@dataclass(frozen=True)
class _Measured:
    """What one recipe makes of one matrix. NaN for a k with more segments than distinct customers.

    Attributes
    ----------
    bits : ndarray of shape (n_ks, n_customers), summed over the hidings
    n_hidden : ndarray of shape (n_customers,), likewise
    transfer_ari, activity_share : ndarrays of shape (n_ks,)
    variance_held : float
    """

    bits: np.ndarray
    n_hidden: np.ndarray
    transfer_ari: np.ndarray
    activity_share: np.ndarray
    variance_held: float

    @property
    def gains(self) -> np.ndarray:
        """Held-out gain for each k, of shape (n_ks,)."""
        return np.array([mean_gain(row, self.n_hidden)[0] for row in self.bits])


def of_each_weighting(
    n_components: int = N_COMPONENTS, score_norm: str | None = None
) -> dict[str, Recipe]:
    """Return recipes that differ in the weighting, by its name."""
    return {name: Recipe(name, n_components, score_norm) for name in NAMES}


def of_each_score_norm(weighting: str, n_components: int) -> dict[str, Recipe]:
    """Return recipes that differ in the score norm, by its name."""
    return {name: Recipe(weighting, n_components, name) for name in SCORE_NORMS}


def compare_recipes(
    X: sp.csr_array,
    recipes: Mapping[str, Recipe],
    choice: str,
    *,
    ranks: Ranks,
    seed: int,
    ks: Sequence[int] = KS,
    n_splits: int = N_SPLITS,
    n_nulls: int = N_NULLS,
    sample_size: int = SMALLEST_SAMPLE,
    engine: Engine = ONE_THREAD,
) -> RecipeComparison:
    """Return what each recipe makes of the same data, and which to take. See the module.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted
        Where it has negative values, weightings that take none are skipped.
    recipes : by the name of what they differ in
        Fewer components are used where the data have fewer.
    choice : what that is, a name of `CHOICES`
    ranks : the ranks of X's customers and items
    seed : int
    ks : increasing numbers of segments, from 2 up
    n_splits : splits of the customers into halves, and hidings of interactions
    n_nulls : nulls, each with one split and one hiding
    sample_size : customers to work on, at most
    engine : measures recipes

    Raises
    ------
    ChoiceError
        If there are fewer than 20 customers, or if no recipe can be measured.
    """
    word = CHOICES[choice]
    ordered = sample_in_rank_order(X, ranks, sample_size, seed=seed)
    n_customers = ordered.shape[0]
    if n_customers < LEAST_CUSTOMERS:
        msg = (
            f"{n_customers} customers are too few to be split into halves: comparing {word}s needs at "
            f"least {LEAST_CUSTOMERS}. {_WITHOUT_COMPARISON[choice]}."
        )
        raise ChoiceError(msg)
    nulls = nulls_of(ordered, n_nulls, seed=seed, engine=engine)
    limit = n_components_limit(*ordered.shape)
    skipped = _skipped(ordered, recipes)
    compared = {
        name: replace(recipe, n_components=min(recipe.n_components, limit))
        for name, recipe in recipes.items()
        if name not in skipped
    }
    ks = tuple(k for k in ks if k < n_customers)
    tasks = [
        partial(_try_to_measure, ordered, recipe, ks, seed, n_splits)
        for recipe in compared.values()
    ]
    tasks += [
        partial(_try_to_measure, null, recipe, ks, seed, 1)
        for recipe in compared.values()
        for null in nulls
    ]
    results = engine.run_tasks(
        tasks,
        f"{word}s",
        seconds=costs.seconds_of_fit(ordered, ks),
        room=costs.room_of_fit(ordered, ks),
    )
    found: dict[str, _Measured] = {}
    lines: list[Line] = []
    for i, name in enumerate(compared):
        of_this = [results[i], *results[len(compared) + i * n_nulls :][:n_nulls]]
        troubles = [str(one) for one in of_this if isinstance(one, ChoiceError)]
        measured = [one for one in of_this if isinstance(one, _Measured)]
        if troubles:  # such as customers who differ in length alone, under l2
            skipped[name] = troubles[0].rstrip(".")
            continue
        found[name] = measured[0]
        lines.append(_line(name, measured[0], measured[1:], ks))
    if not found:
        msg = f"no {word} can be measured on these data: {next(iter(skipped.values()))}."
        raise ChoiceError(msg)
    lines = _best_first(lines, found, ks)
    recommended, reason = recommend(lines, choice)
    one = next(iter(compared.values()))
    return RecipeComparison(
        choice=choice,
        candidates=tuple(lines),
        skipped=skipped,
        recommended=recommended,
        reason=reason,
        weighting=None if choice == "weighting" else one.weighting,
        n_components=one.n_components,
        score_norm=None if choice == "score_norm" else one.score_norm,
        ks=ks,
        n_customers=n_customers,
        is_sample=n_customers < X.shape[0],
        n_splits=n_splits,
        n_nulls=n_nulls,
    )


def recommend(lines: Sequence[Line], choice: str) -> tuple[str | None, str]:
    """Return the name of the recipe to take, or None, and the reason. See the module for the rule.

    Parameters
    ----------
    lines : as in `RecipeComparison`, the best first
    choice : what recipes differ in, a name of `CHOICES`
    """
    word = CHOICES[choice]
    if all(np.isnan(line["gain"]) for line in lines):
        return None, f"No {word} can be recommended: {NOTHING_TO_HIDE}."
    found = [line for line in lines if _is_above_null(line)]
    if not found:
        sort_by_activity = any(line["activity_share"] >= NOTABLE_SHARE for line in lines)
        return None, (
            f"No {word} is better than another: with none do the segments surely help to predict "
            "hidden interactions." + (f" {_ACTIVITY_ALONE}" if sort_by_activity else "")
        )
    best = found[0]
    close = [line for line in found if line["behind"] <= line["behind_se"]]
    luck = f" {PARTLY_LUCK}" if len(lines) > 1 else ""
    if len(close) == 1:
        return best["name"], (
            f"{best['name']}: its segments predict hidden interactions best "
            f"({best['gain']:.3f} bits, at k = {best['gain_k']}).{luck}"
        )
    transfer = np.array([[line["transfer_ari"], line["transfer_ari_null"]] for line in close])
    # As printed: where only digits that nobody sees differ, the gain decides.
    excess = np.round(-np.diff(np.round(transfer, 2)).ravel(), 2)
    chosen = close[_best(excess)]
    others = ", ".join(line["name"] for line in close if line is not chosen)
    verb = "predict" if len(close) > 2 else "predicts"
    reason = (
        f"{chosen['name']}: its segments predict hidden interactions as well as any "
        f"({chosen['gain']:.3f} bits, at k = {chosen['gain_k']}; {others} {verb} as well, "
        "within the error)"
    )
    if not np.isnan(excess).all():
        is_alone = np.count_nonzero(excess == np.nanmax(excess)) == 1
        clearly = "they come back with other customers most" if is_alone else "none come back more"
        reason += (
            f", and of these {clearly} clearly (transfer ARI {decimal(chosen['transfer_ari'])}, "
            f"{decimal(chosen['transfer_ari_null'])} without any segments)"
        )
    return chosen["name"], f"{reason}.{luck}"


def _is_above_null(line: Line) -> bool:
    """Return whether a recipe's segments surely help to predict; False where that is not known."""
    least = max(LEAST_GAIN_ABOVE_NULL, LEAST_STEP_ERRORS * line["gain_se"])
    return bool(line["gain"] - max(line["gain_null"], 0.0) >= least)


def _skipped(X: sp.csr_array, recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """Return the names of recipes whose weighting takes no negative values, if there are any, and why."""
    n_negative = int(np.count_nonzero(X.data < 0))
    if not n_negative:
        return {}
    reason = f"negative values ({n_negative:,}) are for {' and '.join(TAKE_NEGATIVES)} only"
    return {
        name: reason for name, recipe in recipes.items() if recipe.weighting not in TAKE_NEGATIVES
    }


def _try_to_measure(
    X: sp.csr_array, recipe: Recipe, ks: Sequence[int], seed: int, n_splits: int
) -> _Measured | ChoiceError:
    """Return the measures of one matrix, or why there are none."""
    try:
        return _measure(X, recipe, ks, seed, n_splits)
    except ChoiceError as error:
        return error


def _measure(
    X: sp.csr_array,
    recipe: Recipe,
    ks: Sequence[int],
    seed: int,
    n_splits: int,
) -> _Measured:
    full = fit_recipe(X, recipe, ks, seed=seed)
    if not full.partitions:
        msg = "all customers are the same once they are weighted: there is nothing to segment."
        raise ChoiceError(msg)
    activity = np.full(len(ks), np.nan)
    activity[: len(full.ks)] = [activity_share(X, fit.labels) for fit in full.partitions]
    few = [k for k in full.ks if k <= LARGEST_FEW]
    is_counts = not (X.data < 0).any()
    hidings = [predict_hidden(X, recipe, ks, j, seed=seed) for j in range(n_splits)]
    transfer = np.full((n_splits, len(ks)), np.nan)
    for split in range(n_splits):
        if is_counts and few:  # who has what does not tell likes from dislikes
            both = [r.transfer_ari for r in resample(X, recipe, few, split=split, seed=seed)]
            transfer[split, : len(few)] = nan_mean(np.stack(both))
    bits, n_hidden = (np.sum(parts, axis=0) for parts in zip(*hidings, strict=True))
    return _Measured(
        bits=bits,
        n_hidden=n_hidden,
        transfer_ari=nan_mean(transfer),
        activity_share=activity,
        variance_held=float(full.pca.explained_variance_ratio.sum()),
    )


def _line(name: str, real: _Measured, nulls: Sequence[_Measured], ks: Sequence[int]) -> Line:
    """Return what there is to say of a recipe, but for the distance from the best."""
    peak = _best(real.gains)
    gain, gain_se = mean_gain(real.bits[peak], real.n_hidden)
    transfer_null = nan_mean(np.stack([null.transfer_ari for null in nulls]))
    activity_null = nan_mean(np.stack([null.activity_share for null in nulls]))
    few = _best(real.transfer_ari - transfer_null)
    return {
        "name": name,
        "gain": gain,
        "gain_se": gain_se,
        "gain_k": None if np.isnan(gain) else ks[peak],
        "gain_null": float(nan_mean(np.array([null.gains[_best(null.gains)] for null in nulls]))),
        "transfer_ari": float(real.transfer_ari[few]),
        "transfer_ari_null": float(transfer_null[few]),
        "transfer_k": ks[few],
        "activity_share": float(real.activity_share[few]),
        "activity_share_null": float(activity_null[few]),
        "variance_held": real.variance_held,
    }


def _best(values: np.ndarray) -> int:
    """Return the position of the largest value, the first if there is none."""
    return 0 if np.isnan(values).all() else int(np.nanargmax(values))


def _best_first(
    lines: Sequence[Line], found: dict[str, _Measured], ks: Sequence[int]
) -> list[Line]:
    """Return the lines in order, with how far each gain is below the first, and the error of that."""
    lines = sorted(
        lines,
        key=lambda line: (not _is_above_null(line), -np.nan_to_num(line["gain"], nan=-np.inf)),
    )
    measured = [found[line["name"]] for line in lines]
    at = [0 if line["gain_k"] is None else ks.index(line["gain_k"]) for line in lines]
    peaks = [one.bits[i] for i, one in zip(at, measured, strict=True)]
    farther = []
    for line, one, peak in zip(lines, measured, peaks, strict=True):
        behind, error = mean_gain(peaks[0] - peak, one.n_hidden)
        farther.append({**line, "behind": behind, "behind_se": error})
    return farther
