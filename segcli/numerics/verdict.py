"""Which numbers of segments the evidence supports, and what to say of each.

A k is supported if all of these hold:

1. *Found again*: every segment is at least "stable" in halves of the customers: smallest Jaccard
   similarity at least .75 (Hennig 2007). That is asked of segments made anew, as on nulls, and of the
   segments at hand, if there are any: of a sample, or by a shorter search, others may be made.
2. *Told by what customers have*: transfer ARI is at least .65, from where on recovery counts as
   moderate (Steinley 2004), and above every null's by .05 (Clest's least difference: Dudoit &
   Fridlyand 2002).
3. *Worth knowing*: the held-out gain is above every null's, and above 0, by .02 bits.
4. *Worth more than fewer*: the held-out gain is above that of every smaller k, and above the 0 of one
   segment, by two standard errors of the difference. Cutting a real segment in two by activity can be
   as stable; it gains nothing.

Prediction strength is shown beside them. It asks the same as 1 more strictly, by the one segment and
the one half that fare worst; Tibshirani & Walther take .8 to .9.

Held-out gain counts who has what. Customers who have the same items and rate them the other way round
come again, and have no supported k.

None of it asks for a gap. A taste that runs evenly from one end to the other is cut in the same
places each time, and each part predicts: two or three are supported.

Stability alone does not do: split by activity, customers without any segments are as stable as can
be. What activity cannot do is carry over through items alone (2) and predict hidden ones (3, 4). Sizes of
values do carry over where they differ by item, but on nulls as well (2).

The recommended k is the largest that is supported. Held-out gain often still rises beyond: finer
groups predict better although their borders are arbitrary. If the smallest k whose gain is within one
standard error of the best (Breiman et al. 1984) is larger still, it is named beside, and what each is
good for.

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

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from segcli.numerics.activity import NOTABLE_SHARE
from segcli.numerics.evidence import FULL, KEvidence
from segcli.numerics.levels import doubt_of_sample
from segcli.words import decimal, short_of

LEAST_STABILITY = 0.75
LEAST_TRANSFER = 0.65
LEAST_TRANSFER_ABOVE_NULL = 0.05
LEAST_GAIN_ABOVE_NULL = 0.02
LEAST_STEP_ERRORS = 2.0

NOTHING_TO_HIDE = "no customer has two interactions, of which one could be hidden"
TOO_FEW_DIFFER = "too few customers differ for each half of them to make this many segments"


@dataclass(frozen=True)
class KSupport:
    """Whether the evidence supports one k, and why.

    Attributes
    ----------
    supported : bool
    reason : str, a sentence; another where chance may have decided
    plain : str, the first sentence without figures, and without what `supported` says
    all_but : tuple of int
        If nothing else speaks against it: the segments at hand that are not found again.
    near_limit : tuple of int, this k if chance may have decided: see `near_limit`
    """

    supported: bool
    reason: str
    plain: str
    all_but: tuple[int, ...] = ()
    near_limit: tuple[int, ...] = ()


@dataclass(frozen=True)
class KVerdict:
    """What the evidence says of all k together.

    Attributes
    ----------
    supported : tuple of int, the supported k
    recommended : int or None, the largest of them
    gain_peak : int or None
        The smallest k whose held-out gain is within one standard error of the best; None if no gain is
        surely above the nulls'. See `gain_peak`.
    reason : str, the recommendation in words, and where chance may have decided
    plain : str, the recommendation without most figures
    near_limit : tuple of int
        The recommended k and larger ones of which chance may have decided: see `near_limit`.
    """

    supported: tuple[int, ...]
    recommended: int | None
    gain_peak: int | None
    reason: str
    plain: str
    near_limit: tuple[int, ...] = ()


def verdict(evidence: KEvidence) -> KVerdict:
    """Return which k the evidence supports, and what to choose. See the module for the rule."""
    ks = evidence.table["k"].tolist()
    supported = tuple(k for k in ks if verdict_for(evidence, k).supported)
    recommended = max(supported, default=None)
    peak = gain_peak(evidence)
    near = near_limit(evidence, [k for k in ks if k >= (recommended or 0)])
    said = _in_words(evidence, supported, peak)
    reason = said + _near_in_words(evidence, near)
    return KVerdict(supported, recommended, peak, reason, _without_figures(said), near)


def verdict_for(evidence: KEvidence, k: int, stabilities: Sequence[float | None] = ()) -> KSupport:
    """Return whether the evidence supports a k that was looked at, and why.

    Parameters
    ----------
    stabilities : of the segments at hand, from `segment_stability`; None or NaN where it is not known
    """
    row = evidence.row(k)
    failures, near = _failures(row), near_limit(evidence, [k])
    unstable = {
        segment: stability
        for segment, stability in enumerate(stabilities)
        if stability is not None and stability < LEAST_STABILITY
    }
    all_but = () if failures else tuple(unstable)
    if unstable and not row["jaccard_min"] < LEAST_STABILITY:
        failures.insert(0, _unstable_in_words(unstable))
    said = f"{'; '.join(failures) or _strengths(row)}."
    is_supported = f"k = {k} is {'not ' if failures else ''}supported"
    reason = f"{is_supported}: {said}{_near_in_words(evidence, near)}"
    return KSupport(not failures, reason, _without_figures(said), all_but, near)


def gain_peak(evidence: KEvidence) -> int | None:
    """Return the smallest k whose held-out gain is within one standard error of the best.

    Only of k whose gain is above the nulls'; None if there are none, or if the best is above them by
    less than two standard errors: of few customers, the best of many k gains something by chance.
    """
    rows = [row for row in map(evidence.row, evidence.table["k"].tolist()) if _gains(row)]
    if not rows:
        return None
    best = max(rows, key=itemgetter("held_out_gain"))
    if best["held_out_gain"] - _floor(best) < LEAST_STEP_ERRORS * best["held_out_gain_se"]:
        return None
    least = best["held_out_gain"] - best["held_out_gain_se"]
    return int(next(row["k"] for row in rows if row["held_out_gain"] >= least))


def near_limit(evidence: KEvidence, ks: Sequence[int]) -> tuple[int, ...]:
    """Return those k that chance in the splits may have put on one side of the least transfer ARI.

    Their transfer ARI is within a standard error of it, and nothing else speaks against them.
    """
    rows = [evidence.row(k) for k in ks]
    return tuple(
        int(row["k"])
        for row in rows
        if abs(row["transfer_ari"] - LEAST_TRANSFER) <= row["transfer_ari_se"]
        and not _failures({**row, "transfer_ari": 1.0})
    )


def _gains(row: Mapping[str, float]) -> bool:
    return bool(row["held_out_gain"] - _floor(row) >= LEAST_GAIN_ABOVE_NULL)


def _floor(row: Mapping[str, float]) -> float:
    """Return the gain that a k must be above: the greatest null's, and 0."""
    return max(row["held_out_gain_null_max"], 0.0)


def _failures(row: Mapping[str, float]) -> list[str]:
    """Return what speaks against a k, in words; nothing if it is supported.

    What is not known of these data speaks against it, too; that nulls have no transfer ARI does not.
    """
    failures = []
    stability, transfer, gain = (
        row[name] for name in ("jaccard_min", "transfer_ari", "held_out_gain")
    )
    too_few_differ = np.isnan(stability) or np.isnan(transfer)
    if too_few_differ:
        failures.append(TOO_FEW_DIFFER)
    if stability < LEAST_STABILITY:
        failures.append(
            f"other customers would not lead to all of these segments again (the least stable one's "
            f"Jaccard similarity is {short_of(stability, [LEAST_STABILITY])}, {LEAST_STABILITY} is needed)"
        )
    null = row["transfer_ari_null_max"]
    if transfer < LEAST_TRANSFER:
        beside = _beside(null, "; at most {} without any segments")
        failures.append(
            f"what tells the segments of some customers does not tell those of others (transfer ARI "
            f"{short_of(transfer, [LEAST_TRANSFER])}, {LEAST_TRANSFER} is needed{beside})"
        )
    elif _as_on_nulls(row):
        failures.append(
            f"what customers have tells their segment no better than without any segments (transfer "
            f"ARI {transfer:.2f}; at most {null:.2f} there)"
        )
    if np.isnan(gain):
        why = "" if too_few_differ else f"{NOTHING_TO_HIDE}, so "
        failures.append(f"{why}whether the segment helps to predict is not known")
    elif not _gains(row):
        null = row["held_out_gain_null_max"]
        more, words = "", ", at most {} without any segments"
        if null >= LEAST_GAIN_ABOVE_NULL:  # who is more active has less popular items, too
            more, words = " more than it does without any segments", "; at most {} there"
        failures.append(
            f"knowing the segment does not help to predict hidden interactions{more} "
            f"({decimal(gain, 3)} bits{_beside(null, words, digits=3)})"
        )
    elif not row["held_out_step"] > LEAST_STEP_ERRORS * row["held_out_step_se"]:
        failures.append("fewer segments predict hidden interactions as well")
    return failures


def _unstable_in_words(unstable: Mapping[int, float]) -> str:
    which = ", ".join(
        f"segment {segment}: {short_of(stability, [LEAST_STABILITY])}"
        for segment, stability in unstable.items()
    )
    return (
        f"other customers would not lead to all of these segments again (Jaccard similarity of {which}; "
        f"{LEAST_STABILITY} is needed)"
    )


def _without_figures(words: str) -> str:
    """Return words of this module without what it puts in parentheses."""
    return re.sub(r" \([^()]*\)", "", words)


def _near_in_words(evidence: KEvidence, near: Sequence[int]) -> str:
    """Return a sentence on the k near the limit; nothing if there are none."""
    if not near:
        return ""
    which = ", ".join(map(str, near))
    figures = ", ".join(short_of(evidence.row(k)["transfer_ari"], [LEAST_TRANSFER]) for k in near)
    more = ", or --evidence full," if evidence.n_splits < FULL.n_splits else ""
    return (
        f" Close to the limit of {LEAST_TRANSFER}, within a standard error: k = {which} (transfer ARI "
        f"{figures}); another seed{more} may say otherwise."
    )


def _strengths(row: Mapping[str, float]) -> str:
    beside = _beside(row["transfer_ari_null_max"], ", at most {} without any segments")
    return (
        f"other customers lead to the same segments (least Jaccard similarity "
        f"{row['jaccard_min']:.2f}), what customers have tells their segment (transfer ARI "
        f"{row['transfer_ari']:.2f}{beside}), and "
        f"the segment helps to predict hidden interactions ({row['held_out_gain']:.2f} bits)"
    )


def _beside(null: float, words: str, digits: int = 2) -> str:
    """Return the words with the figure of the nulls; nothing if they have none."""
    return "" if np.isnan(null) else words.format(decimal(null, digits))


def _comes_again(row: Mapping[str, float]) -> bool:
    return row["jaccard_min"] >= LEAST_STABILITY and row["transfer_ari"] >= LEAST_TRANSFER


def _as_on_nulls(row: Mapping[str, float]) -> bool:
    """Return whether transfer ARI is hardly above the nulls'; False if they have none."""
    return row["transfer_ari"] < row["transfer_ari_null_max"] + LEAST_TRANSFER_ABOVE_NULL


def _in_words(evidence: KEvidence, supported: tuple[int, ...], peak: int | None) -> str:
    if not supported:
        return _none_in_words(evidence, peak)
    best = max(supported)
    row = evidence.row(best)
    last = int(evidence.table["k"][-1])
    words = f"k = {best} is the largest number of segments that the evidence supports: "
    words += f"{_strengths(row)}."
    share, null = row["activity_share"], row["activity_share_null"]
    if share - np.nan_to_num(null) >= NOTABLE_SHARE:
        beside = _beside(null, ", {} without segments")
        words += (
            f" They differ in activity, too ({share:.2f} of its variance lies between them{beside}): some "
            "may be the heavy and the light customers of one taste."
        )
    if best == last:
        words += f" More than {best} were not tried."
    if peak is not None and peak > best:
        where = (
            f"still rises at k = {peak}, the last looked at"
            if peak == last
            else f"levels off at k = {peak}"
        )
        words += (
            f" Held-out gain {where} ({evidence.row(peak)['held_out_gain']:.2f} bits "
            f"against {row['held_out_gain']:.2f}): choose {best} to name and follow segments, for they "
            f"come back with other customers; choose {peak}{' or more' if peak == last else ''} to "
            "predict or recommend, where borders may be arbitrary."
        )
    return words


def _range_in_words(ks: Sequence[int]) -> str:
    """Return which k were looked at: ``from 2 to 50``."""
    if len(ks) == 1:
        return f"(only k = {ks[0]} was tried)"
    step = ks[1] - ks[0]
    return f"from {ks[0]} to {ks[-1]}" + (f" in steps of {step}" if step > 1 else "")


def _none_in_words(evidence: KEvidence, peak: int | None) -> str:
    ks = evidence.table["k"].tolist()
    none = f"no supported k {_range_in_words(ks)}"
    if np.isnan(evidence.table["held_out_gain"]).all():
        too_few_differ = np.isnan(evidence.table["jaccard_min"]).all()
        why = TOO_FEW_DIFFER if too_few_differ else NOTHING_TO_HIDE
        return f"{none}: {why}, so whether segments help to predict is not known."
    again = [k for k in ks if _comes_again(evidence.row(k))]
    beyond_nulls = [k for k in again if not _as_on_nulls(evidence.row(k))]
    if again:
        but = (
            "those predict hidden interactions no better than fewer, or none, would"
            if beyond_nulls
            else "what customers have tells them no better than without any segments"
        )
        which = ", ".join(map(str, beyond_nulls or again))
        why = f"other customers would lead to the same groups (k = {which}), but {but}"
    elif peak is None and (evidence.table["activity_share"] >= NOTABLE_SHARE).any():
        why = (
            "these customers differ in activity, not in taste, as far as segments on these components "
            "show"
        )
    elif peak is None:
        why = "segments predict hidden interactions no better than without any segments"
    else:
        why = "tastes differ, but not in groups that other customers would lead to again"
    if peak is None:
        worth = "What is predicted is who has what, not the values."
    else:
        gain = evidence.row(peak)["held_out_gain"]
        worth = (
            f"Segments help to predict (k = {peak}: {gain:.2f} bits per hidden interaction, and no k "
            "surely more); do not take their borders for real."
        )
    doubt = (
        doubt_of_sample(evidence.n_customers, "miss small segments") if evidence.is_sample else ""
    )
    return (
        f"{none}: {why}. {worth} Another weighting, score norm or number of components may do "
        f"better.{doubt}"
    )
