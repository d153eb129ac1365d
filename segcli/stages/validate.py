"""validate: are the segments real? Naive Bayes, stability and held-out gain, each beside its null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segcli import plots
from segcli.artifacts import Columns, Stage, open_stage
from segcli.artifacts.catalogue import (
    CLUSTERING,
    CONFUSION_MATRIX,
    CONFUSION_PLOT,
    K_VERDICT,
    MATRIX,
    SEGMENTATION,
    SEGMENTS,
    VALIDATION,
)
from segcli.engine import Engine
from segcli.numerics.agreement import Agreement
from segcli.numerics.evidence import KEvidence, evidence_level, gather_evidence
from segcli.numerics.naive_bayes import UNASSIGNED, by_sign
from segcli.numerics.ranks import rank
from segcli.numerics.recipe import Recipe
from segcli.numerics.stability import graded
from segcli.numerics.validation import (
    N_FOLDS,
    agreement_on_null,
    evaluate_naive_bayes,
    judge_segment,
    measure,
    no_evidence_in_words,
    share_trusted,
    unassigned_in_words,
)
from segcli.numerics.verdict import KSupport, verdict_for
from segcli.stages.memory import require_memory_for
from segcli.words import counted, decimal, in_percent

KEPT_PER_ITEM_AND_SEGMENT = 8
"""Numbers: sums of a fold, of all, the model, and blocks' sums that wait to be added."""

KEPT_PER_CUSTOMER = 20
"""Numbers: ranks, room to order them, labels, folds, and what is predicted."""


@dataclass(frozen=True)
class Validation:
    """What validate found; all but ``wrote`` is `validation.json`.

    Attributes
    ----------
    k : int
    n_folds : int, of the cross-validation
    n_customers : int, in segments
    n_unassigned : int, in none; naive Bayes and the segments' figures leave them out
    in_sample : float
        Agreement of naive Bayes with the labels that it was trained on. It carries no information
        about whether the segments are real: it is high on data without any, too.
    cross_validated : float
        The same for customers that the model did not see.
    largest_share : float
        The agreement of always guessing the largest segment.
    measures : tuple of dict
        Every measure with its title, value, null band and explanation; see
        `segcli.numerics.validation.Measure`.
    evidence : dict or None, on what the measures rest: n_customers, is_sample, n_splits, n_nulls
    verdict : dict
        ``supported`` (None if there is no evidence); ``all_but``, the segments without which it would
        be, as nothing but their stability speaks against it; ``recommended_k``, what explore-k said of
        these components last (None if it recommends none, or did not look); ``near_limit``, this k
        if chance in the splits may have decided; in words, ``reason``, the same without figures,
        ``plain``, and, where the segments are not supported and explore-k knows better ones,
        ``next_step``, with the command for it, if there is one, in ``next_command``.
    segments : tuple of dict
        Per segment: customers, precision and recall of both evaluations (NaN, in the file null, of
        nobody), stability, grade, and a verdict in words.
    wrote : tuple of str, the files written
    """

    k: int
    n_folds: int
    n_customers: int
    n_unassigned: int
    in_sample: float
    cross_validated: float
    largest_share: float
    measures: tuple[dict[str, Any], ...]
    evidence: dict[str, Any] | None
    verdict: dict[str, Any]
    segments: tuple[dict[str, Any], ...]
    wrote: tuple[str, ...]

    @property
    def supported(self) -> bool:
        """Whether the evidence supports the segmentation; False if there is none."""
        return self.verdict["supported"] is True

    @property
    def recommended(self) -> bool:
        """Whether the segmentation is supported and has as many segments as explore-k recommends."""
        return self.supported and self.verdict["recommended_k"] == self.k

    def document(self) -> dict[str, Any]:
        """Return what `validation.json` holds."""
        return {name: value for name, value in vars(self).items() if name != "wrote"}

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        title = max(len(row["title"]) for row in self.measures)
        header = f"{'':>{title}}  these data  without segments"
        others = f"; {self.n_unassigned:,} unassigned" if self.n_unassigned else ""
        return [
            f"{counted(self.k, 'segment')} of {counted(self.n_customers, 'customer')}{others}.",
            header if self.evidence else f"{'':>{title}}  these data",
            *(
                f"{row['title']:>{title}}  {decimal(row['value']):>10}  {_band(row):>16}".rstrip()
                for row in self.measures
            ),
            "In-sample agreement is no evidence. Guessing the largest segment for everyone reaches "
            f"{self.largest_share:.2f}.",
            *filter(
                None,
                [
                    unassigned_in_words(self.n_unassigned, beside_nulls=self.evidence is not None),
                    no_evidence_in_words(self.measures),
                ],
            ),
            " segment  customers  precision  recall  stability  grade",
            *(
                f"{row['segment']:>8}  {row['customers']:>9,}"
                f"  {decimal(row['cross_validated_precision']):>9}"
                f"  {decimal(row['cross_validated_recall']):>6}  {graded(row['stability']):>9}"
                f"  {row['grade'] or '–'}"
                for row in self.segments
            ),
            f"Precision and recall of naive Bayes, {self.n_folds}-fold cross-validated.",
            *self._stabilities(),
            f"Verdict: {self.verdict['reason']}",
            *self._what_to_do(),
        ]

    def _what_to_do(self) -> list[str]:
        """Return what to do for better segments, in a line; none if there is nothing."""
        step, command = self.verdict["next_step"], self.verdict["next_command"]
        if step is None:
            return []
        return [step if command is None else f"{step} With RUN for the run directory: {command}"]

    def _stabilities(self) -> list[str]:
        """Return why the least stable segment need not be that of the table, if both are known."""
        if self.evidence is None or not any(row["grade"] for row in self.segments):
            return []
        return [
            "Stability and grade are of these segments. The least stable segment, silhouette and activity "
            "share above are of segments made anew, in the same way as on data without segments. The "
            "verdict asks both to be stable."
        ]


def run(run_dir: Path, *, evidence: str | None, engine: Engine, seed: int) -> Validation:
    """Read the matrix and the segments; write `VALIDATION`, `CONFUSION_MATRIX` and its plot.

    Raises
    ------
    ChoiceError
        If these data cannot bear the evidence that is asked for.
    """
    with open_stage(run_dir, "validate", {"evidence": evidence}, seed=seed) as stage:
        matrix = stage.load(MATRIX)  # its entries are still on the disk
        segmentation = stage.load(SEGMENTATION)
        require_memory_for(
            stage,
            engine,
            per_customer=KEPT_PER_CUSTOMER,
            per_item=KEPT_PER_ITEM_AND_SEGMENT * segmentation.k,
        )
        clustering = stage.load(CLUSTERING)
        k = segmentation.k
        recipe = Recipe.of(segmentation.pca)
        labels = stage.load(SEGMENTS)["segment"]
        sizes = np.bincount(labels[labels != UNASSIGNED])
        blocks = engine.blocks(matrix)
        ranks = rank(blocks)
        told = by_sign(matrix)
        evaluations = evaluate_naive_bayes(
            blocks if told is matrix else engine.blocks(told),
            labels,
            k,
            customer_ranks=ranks.customers,
            seed=seed,
        )
        plot = plots.draw(plots.confusion_matrix, evaluations)
        level, no_evidence = evidence_level(evidence, matrix, [k])
        gathered = judged = None
        if level is not None:
            (gathered,) = gather_evidence(
                matrix,
                [recipe],
                list(range(2, k + 1)),  # all, as explore-k does, to come upon the same partitions
                ranks=ranks,
                seed=seed,
                level=level,
                engine=engine,
                ask_null=partial(agreement_on_null, k=k, seed=seed),
            )
            judged = verdict_for(gathered, k, [row["stability"] for row in clustering["segments"]])
        found = Validation(
            k=k,
            n_folds=N_FOLDS,
            n_customers=int(sizes.sum()),
            n_unassigned=matrix.shape[0] - int(sizes.sum()),
            in_sample=evaluations["in_sample"].accuracy,
            cross_validated=evaluations["cross_validated"].accuracy,
            largest_share=float(sizes.max() / sizes.sum()),
            measures=tuple(asdict(one) for one in measure(evaluations, gathered, k)),
            evidence=_rests_on(gathered),
            verdict=_verdict(judged, clustering, no_evidence, _explored(stage, recipe)),
            segments=tuple(_segment_rows(evaluations, clustering, judged, no_evidence)),
            wrote=(),
        )
        stage.save(CONFUSION_MATRIX, confusion_table(evaluations))
        stage.save(CONFUSION_PLOT, plot.png())
        stage.save(VALIDATION, found.document())
    return replace(found, wrote=tuple(stage.writes))


def confusion_table(evaluations: dict[str, Agreement]) -> Columns:
    """Return both confusion matrices, a row per evaluation and segment.

    ``predicted_<label>``: how many customers of the row's segment naive Bayes takes for that one's.

    Parameters
    ----------
    evaluations : by their names, in sample and cross-validated
    """
    both = np.vstack([result.confusion for result in evaluations.values()])
    k = both.shape[1]
    return {
        "evaluation": [name for name in evaluations for _ in range(k)],
        "segment": np.tile(np.arange(k), len(evaluations)),
        **{f"predicted_{label}": both[:, label] for label in range(k)},
    }


def _rests_on(gathered: KEvidence | None) -> dict[str, Any] | None:
    if gathered is None:
        return None
    names = ("n_customers", "is_sample", "n_splits", "n_nulls")
    return {name: getattr(gathered, name) for name in names}


def _explored(stage: Stage, recipe: Recipe) -> dict[str, Any] | None:
    """Return what explore-k said last, if it looked at the same components and norms."""
    said: dict[str, Any] | None = stage.peek(K_VERDICT)
    return said if said is not None and recipe.is_of(said) else None


def _verdict(
    judged: KSupport | None,
    clustering: Mapping[str, Any],
    no_evidence: str | None,
    explored: Mapping[str, Any] | None,
) -> dict[str, Any]:
    recommended_k = explored["recommended"] if explored is not None else None
    if judged is None:
        reason = no_evidence or "No evidence was gathered, so nothing is known."
        return {
            "supported": None,
            "all_but": [],
            "near_limit": [],
            "recommended_k": recommended_k,
            "reason": reason,
            "plain": reason,
            "next_step": None,
            "next_command": None,
        }
    graded = ""
    segments = clustering["segments"]
    grades = [row["grade"] for row in segments]
    if any(grades):
        share = share_trusted(
            grades,
            [row["customers"] for row in segments],
            n_customers=sum(clustering["sizes"]),
        )
        graded = (
            f" {in_percent(share)} of all customers are in segments that are stable by themselves."
        )
    next_step, next_command = (None, None) if judged.supported else _next_step(clustering, explored)
    return {
        "supported": judged.supported,
        "all_but": list(judged.all_but),
        "near_limit": list(judged.near_limit),
        "recommended_k": recommended_k,
        "reason": judged.reason + graded,
        "plain": judged.plain + graded,
        "next_step": next_step,
        "next_command": next_command,
    }


def _next_step(
    clustering: Mapping[str, Any], explored: Mapping[str, Any] | None
) -> tuple[str | None, str | None]:
    """Return what explore-k says of better segments, and the command that makes them; None for none."""
    if explored is None:
        return None, None
    k = explored["recommended"]
    if k == clustering["k"]:  # of these very segments it knows nothing
        k = max((fewer for fewer in explored["supported"] if fewer < k), default=None)
        if k is None:
            return None, None
    if k is None:
        none = "Of the numbers of segments that explore-k looked at, the evidence supports none."
        return none, None
    return (
        f"The evidence of explore-k supports {counted(k, 'segment')}.",
        f"segcli cluster RUN --n-components {clustering['n_components']} --n-clusters {k}",
    )


def _segment_rows(
    evaluations: dict[str, Agreement],
    clustering: Mapping[str, Any],
    judged: KSupport | None,
    no_evidence: str | None,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {name: row[name] for name in ("segment", "customers", "stability", "grade")}
        for row in clustering["segments"]
    ]
    for name, result in evaluations.items():
        for row, precision, recall in zip(rows, result.precision, result.recall, strict=True):
            row[f"{name}_precision"] = float(precision)
            row[f"{name}_recall"] = float(recall)
    for row in rows:
        row["verdict"] = judge_segment(
            row["grade"],
            row["cross_validated_precision"],
            row["cross_validated_recall"],
            supported=judged.supported if judged is not None else None,
            can_be_graded=no_evidence is None and len(clustering["segments"]) > 1,
            was_sought=clustering["evidence"] is not None,
        )
    return rows


def _band(row: Mapping[str, Any]) -> str:
    low, high = row["null_low"], row["null_high"]
    if low is None or np.isnan(low):
        return ""
    lowest, highest = decimal(low), decimal(high)
    return lowest if lowest == highest else f"{lowest} to {highest}"
