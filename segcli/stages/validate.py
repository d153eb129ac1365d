"""validate: whether naive Bayes can tell the segments from the interactions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from segcli import plots
from segcli.artifacts import open_stage
from segcli.artifacts.catalogue import (
    CONFUSION_MATRIX,
    CONFUSION_PLOT,
    MATRIX,
    SEGMENTATION,
    SEGMENTS,
    VALIDATION,
)
from segcli.engine import Engine
from segcli.numerics import naive_bayes
from segcli.numerics.agreement import Agreement, agreement
from segcli.numerics.ranks import rank

N_FOLDS = 5


@dataclass(frozen=True)
class Validation:
    """What validate found.

    Attributes
    ----------
    k : int
    in_sample : float
        Agreement of naive Bayes with the labels that it was trained on. It carries no information
        about whether the segments are real: it is 1.00 on data without any.
    cross_validated : float
        The same for customers that the model did not see.
    largest_share : float
        The agreement of always guessing the largest segment.
    segments : tuple of dict
        Per segment: size, and precision and recall of both evaluations.
    wrote : tuple of str, the files written
    """

    k: int
    n_folds: int
    in_sample: float
    cross_validated: float
    largest_share: float
    segments: tuple[dict[str, Any], ...]
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        return [
            f"Naive Bayes agrees with the {self.k} segments for",
            f"  {self.in_sample:>6.1%} of the customers it was trained on (in-sample: no evidence, it is "
            "as high on data without segments),",
            f"  {self.cross_validated:>6.1%} of customers it had not seen ({self.n_folds}-fold "
            "cross-validated);",
            f"  {self.largest_share:>6.1%} would come of always guessing the largest segment.",
            " segment  customers   in-sample            cross-validated",
            "                      precision  recall    precision  recall",
            *(
                f"{row['segment']:>8}  {row['customers']:>9,}   {row['in_sample_precision']:>9.2f}"
                f"  {row['in_sample_recall']:>6.2f}    {row['cross_validated_precision']:>9.2f}"
                f"  {row['cross_validated_recall']:>6.2f}"
                for row in self.segments
            ),
        ]


def run(run_dir: Path, *, engine: Engine, seed: int) -> Validation:
    """Read `MATRIX` and `SEGMENTS`; write `VALIDATION`, `CONFUSION_MATRIX` and its plot."""
    with open_stage(run_dir, "validate", {}, seed=seed) as stage:
        X = engine.blocks(stage.load(MATRIX))
        k = stage.load(SEGMENTATION).k
        labels = stage.load(SEGMENTS)["segment"].to_numpy()
        model = naive_bayes.fit_naive_bayes(X, labels, k)
        in_sample = agreement(labels, naive_bayes.predict(X, model), k)
        held_out = naive_bayes.cross_predict(
            X, labels, k, customer_ranks=rank(X).customers, n_folds=N_FOLDS, seed=seed
        )
        cross_validated = agreement(labels, held_out, k)
        evaluations = {"in_sample": in_sample, "cross_validated": cross_validated}
        stage.save(CONFUSION_MATRIX, confusion_table(evaluations))
        stage.save(CONFUSION_PLOT, plots.confusion_matrix(evaluations))
        found = Validation(
            k=k,
            n_folds=N_FOLDS,
            in_sample=in_sample.accuracy,
            cross_validated=cross_validated.accuracy,
            largest_share=float(in_sample.confusion.sum(axis=1).max() / len(labels)),
            segments=tuple(_segment_rows(evaluations)),
            wrote=(),
        )
        stage.save(VALIDATION, validation_document(found))
    return Validation(**{**vars(found), "wrote": tuple(stage.writes)})


def confusion_table(evaluations: dict[str, Agreement]) -> pd.DataFrame:
    """Return both confusion matrices, a row per evaluation and cluster label."""
    tables = []
    for name, result in evaluations.items():
        table = pd.DataFrame(result.confusion)
        table.columns = [f"predicted_{label}" for label in range(len(table))]
        table.insert(0, "evaluation", name)
        table.insert(1, "segment", range(len(table)))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def validation_document(found: Validation) -> dict[str, Any]:
    """Return what `validation.json` holds."""
    facts = {name: value for name, value in vars(found).items() if name != "wrote"}
    return {**facts, "segments": list(found.segments)}


def _segment_rows(evaluations: dict[str, Agreement]) -> list[dict[str, Any]]:
    sizes = next(iter(evaluations.values())).confusion.sum(axis=1)
    rows: list[dict[str, Any]] = [
        {"segment": label, "customers": int(size)} for label, size in enumerate(sizes)
    ]
    for name, result in evaluations.items():
        for row, precision, recall in zip(rows, result.precision, result.recall, strict=True):
            row[f"{name}_precision"] = float(precision)
            row[f"{name}_recall"] = float(recall)
    return rows
