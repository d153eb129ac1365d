"""What validate says of one segmentation: every measure beside its null, and of each segment a sentence.

The measures go from what flatters to what does not. In-sample agreement is high without any
segments too; under cross-validation the labels still saw every customer; transfer and held-out gain use
what the clustering has not seen. Whether they support this k, `segcli.numerics.verdict` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Blocks
from segcli.numerics import naive_bayes
from segcli.numerics.agreement import Agreement, agreement
from segcli.numerics.evidence import KEvidence
from segcli.numerics.recipe import FittedRecipe
from segcli.numerics.stability import NOT_TRUSTED
from segcli.words import counted

N_FOLDS = 5
TOLD_APART = 0.75
"""Precision and recall, cross-validated, from which on customers can be told to be of a segment."""

_ALSO_WITHOUT_SEGMENTS = ("jaccard_min", "prediction_strength", "silhouette")


@dataclass(frozen=True)
class Measure:
    """One measure of a segmentation, beside the same on data without segments.

    Attributes
    ----------
    measure : str, the measure's name in `k_scores.csv`, or "in_sample" or "cross_validated"
    title : str, for a person
    value : float
    null_low, null_high : float or None, smallest and largest over the nulls; None without evidence
    explanation : str, what the number says, in one sentence
    """

    measure: str
    title: str
    value: float
    null_low: float | None
    null_high: float | None
    explanation: str


WORDS = {
    "in_sample": (
        "In-sample agreement",
        "naive Bayes, asked about the customers it was trained on; no evidence, since it is high "
        "without any segments too",
    ),
    "cross_validated": (
        "Cross-validated agreement",
        "naive Bayes, asked about customers it was not trained on; their labels still come from a "
        "clustering that saw them",
    ),
    "transfer_ari": (
        "Transfer ARI",
        "segments of one half of the customers, told by what they have, against the other half's own; "
        "1 is best, 0 is chance",
    ),
    "held_out_gain": (
        "Held-out gain, bits",
        "what the segment says of each interaction hidden from the clustering, beyond popularity; 0 is "
        "nothing, 1 makes it twice as probable",
    ),
    "jaccard_min": (
        "Least stable segment",
        "how much of it is found again from half of the customers (Jaccard similarity); stable from 0.75",
    ),
    "prediction_strength": (
        "Prediction strength",
        "in the worst segment, the share of pairs that other customers' segments keep together; real "
        "segments reach 0.8",
    ),
    "silhouette": (
        "Silhouette",
        "how much nearer customers are to their own segment than to the next; 1 is best",
    ),
    "activity_share": (
        "Activity share",
        "the share of the differences in activity that the segments explain; near 1 they sort heavy from "
        "light customers",
    ),
}
"""Title and explanation of each measure, in the order in which they are shown."""


def evaluate_naive_bayes(
    X: Blocks, labels: np.ndarray, k: int, *, customer_ranks: np.ndarray, seed: int
) -> dict[str, Agreement]:
    """Return how well naive Bayes agrees with the labels, ``in_sample`` and ``cross_validated``.

    Customers in no segment are left out.

    Parameters
    ----------
    X : sparse blocks of shape (n_customers, n_items), non-negative, unweighted
    labels : ndarray of shape (n_customers,), values in 0..k-1 or `naive_bayes.UNASSIGNED`
    customer_ranks : ndarray of shape (n_customers,)

    Raises
    ------
    ChoiceError
        If a value is negative.
    """
    model = naive_bayes.fit_naive_bayes(X, labels, k)
    held_out = naive_bayes.cross_predict(
        X, labels, k, customer_ranks=customer_ranks, n_folds=N_FOLDS, seed=seed
    )
    predicted = {"in_sample": naive_bayes.predict(X, model), "cross_validated": held_out}
    assigned = labels != naive_bayes.UNASSIGNED
    return {name: agreement(labels[assigned], one[assigned], k) for name, one in predicted.items()}


def agreement_on_null(
    null: sp.csr_array, full: FittedRecipe, *, k: int, seed: int
) -> dict[str, float] | None:
    """Return how well naive Bayes agrees with the segments of a null, for `gather_evidence` to ask.

    Parameters
    ----------
    null : csr_array of shape (n_customers, n_items), in rank order
    full : the recipe fitted to it
    k, seed : int

    Returns
    -------
    dict
        The accuracy ``in_sample`` and ``cross_validated``; None if the null has no k segments.
    """
    labels = next((fit.labels for fit in full.partitions if fit.k == k), None)
    if labels is None:
        return None
    evaluations = evaluate_naive_bayes(
        ONE_THREAD.blocks(null), labels, k, customer_ranks=np.arange(null.shape[0]), seed=seed
    )
    return {name: result.accuracy for name, result in evaluations.items()}


def measure(evaluations: dict[str, Agreement], evidence: KEvidence | None, k: int) -> list[Measure]:
    """Return every measure there is of a segmentation into k, in the order of `WORDS`.

    The evidence is from `gather_evidence` that asked each null for `agreement_on_null`.
    """
    nulls = [answer for answer in evidence.null_answers if answer] if evidence is not None else []
    values = {
        name: (result.accuracy, [answer[name] for answer in nulls])
        for name, result in evaluations.items()
    }
    if evidence is not None:
        row = evidence.row(k)
        for name in WORDS:
            if name in row:
                values[name] = row[name], [row[f"{name}_null_min"], row[f"{name}_null_max"]]
    return [
        Measure(
            measure=name,
            title=title,
            value=values[name][0],
            null_low=min(values[name][1], default=None),
            null_high=max(values[name][1], default=None),
            explanation=explanation,
        )
        for name, (title, explanation) in WORDS.items()
        if name in values
    ]


def no_evidence_in_words(measures: Sequence[Mapping[str, Any]]) -> str | None:
    """Return in words which measures of stability and distance are as high on nulls; None if none is.

    Parameters
    ----------
    measures : of one segmentation, with the fields of `Measure`
    """
    high = [
        row["title"].lower()
        for row in measures
        if row["measure"] in _ALSO_WITHOUT_SEGMENTS
        and None not in (row["value"], row["null_high"])
        and row["null_high"] >= row["value"]
    ]
    if not high:
        return None
    titles = " and ".join(filter(None, (", ".join(high[:-1]), high[-1])))
    are, themselves = ("are", "themselves") if len(high) > 1 else ("is", "itself")
    return (
        f"{titles[0].upper()}{titles[1:]} {are} as high without segments, and so no evidence by "
        f"{themselves}: customers split by activity, or a few odd ones set apart, are found again and lie "
        "apart, too."
    )


def unassigned_in_words(n_unassigned: int, *, beside_nulls: bool) -> str | None:
    """Return in words what leaving out the unassigned does to naive Bayes' figures; None without any.

    Parameters
    ----------
    n_unassigned : customers in no segment
    beside_nulls : whether agreement stands beside that on nulls, of which all customers are in segments
    """
    if not n_unassigned:
        return None
    left_out = counted(n_unassigned, "unassigned customer")
    beside = "; agreement without segments is of all customers" if beside_nulls else ""
    return (
        f"Agreement, precision and recall leave out {left_out}, the hardest to tell, and so "
        f"flatter{beside}."
    )


def judge_segment(
    grade: str | None,
    precision: float,
    recall: float,
    *,
    supported: bool | None,
    can_be_graded: bool = True,
    was_sought: bool = False,
) -> str:
    """Return what to think of one segment, in a sentence.

    Parameters
    ----------
    grade : Hennig's word for its stability, or None if unknown
    precision, recall : of naive Bayes under cross-validation; NaN, of nobody
    supported : whether the evidence supports the segmentation as a whole; None if there is none
    can_be_graded : whether these data and this k can bear evidence
    was_sought : whether segments that are found again were looked for
    """
    told = min(precision, recall) >= TOLD_APART
    if grade is None and was_sought:
        return (
            "Its stability is not known: no trial had customers of it and this many segments. Fewer "
            "segments, with more customers in each, may tell."
        )
    if grade is None:
        return "Its stability " + (
            "is not known: run segcli cluster with --evidence quick."
            if can_be_graded
            else "cannot be known."
        )
    if grade == NOT_TRUSTED:
        return "Do not act on it alone: other customers would not have led to it."
    if grade == "pattern":
        return "Something is there, but who belongs to it is doubtful."
    if np.isnan(recall):
        return "It is found again, but no customer lands in it surely enough to be assigned to it."
    if not told:
        return "It is found again, but what customers have does not tell well who belongs to it."
    if supported is None:
        return "It holds by itself; validate gathered no evidence on the segmentation as a whole."
    if not supported:
        return "It holds by itself, though the segmentation as a whole is not supported."
    return "It can be trusted: it is found again, and what customers have tells who belongs to it."


def share_trusted(grades: Sequence[str | None], sizes: Sequence[int], *, n_customers: int) -> float:
    """Return the share of all customers who are in segments that are stable or better, 0 to 1.

    Parameters
    ----------
    grades, sizes : of each segment; the unassigned are in none
    n_customers : all customers, the unassigned too
    """
    stable = sum(
        size for grade, size in zip(grades, sizes, strict=True) if grade and "stable" in grade
    )
    return stable / max(n_customers, 1)
