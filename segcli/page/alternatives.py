"""What each picture shows, in a sentence or two for those who do not see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segcli.words import counted, in_percent

Document = Mapping[str, Any]


def segment_sizes(summary: Sequence[Document]) -> str:
    """Return what `segment_sizes.png` shows: the largest segment, and the one most out of proportion."""
    words = (
        "Bars for each segment: its share of the customers beside its share of the interactions. "
        f"Segment 0 has {_shares(summary[0])}"
    )
    farthest = max(summary, key=lambda row: abs(row["interactions_share"] - row["share"]))
    if farthest["segment"]:
        words += f"; farthest apart are those of segment {farthest['segment']}, {_shares(farthest)}"
    return f"{words}."


def explained_variance(said: Document | None) -> str:
    """Return what `explained_variance.png` shows; ``said`` is `components_verdict.json`, if any."""
    if not said:
        return (
            "Two curves by component: the share of the variance that each holds, which falls, and the "
            "share of all up to it, which rises."
        )
    suggested = said["suggestions"]
    return (
        "Three panels by component: the share of the variance that each holds, on these data and on data "
        f"without segments, with a mark at {suggested['parallel_analysis']}; the error of predicting "
        f"held-out blocks, on both, with a mark at {suggested['bi_cross_validation']}; and the share of "
        "all up to it."
    )


def k_evidence(said: Document | None) -> str:
    """Return what `k_evidence.png` shows; ``said`` is `k_verdict.json`, if any."""
    words = (
        "Six panels by number of segments, each with a curve of these data and one of data without "
        "segments: prediction strength, transfer ARI, held-out gain, Jaccard stability, silhouette and "
        "activity share."
    )
    if not said:
        return words
    if not said["supported"]:
        return f"{words} No number is marked as supported."
    return f"{words} Marked as supported: {', '.join(map(str, said['supported']))}."


def inertia(on_the_table: Document | None, n_components: int) -> str:
    """Return what `inertia.png` shows; ``on_the_table`` is what `clustering.json` has of explore-k."""
    words = (
        "Two curves that fall as the number of segments grows: the share of the variance within segments, "
        "on the components and on the full matrix."
    )
    row = (on_the_table or {}).get("k_scores")
    if row:
        reduced, full = (
            in_percent(row["inertia_reduced_share"]),
            in_percent(row["inertia_full_share"]),
        )
        words += (
            f" With {counted(row['k'], 'segment')} it is {reduced} on "
            f"{counted(n_components, 'component')} and {full} on the full matrix."
        )
    return words


def confusion_matrix(validation: Document | None) -> str:
    """Return what `confusion_matrix.png` shows."""
    words = (
        "Two matrices, in-sample and cross-validated: each segment by what the classifier guesses."
    )
    if not validation:
        return words
    in_sample, cross_validated = map(
        in_percent, (validation["in_sample"], validation["cross_validated"])
    )
    return (
        f"{words} On the diagonal, guessed right, are {in_sample} of the customers in-sample and "
        f"{cross_validated} cross-validated."
    )


def _shares(row: Document) -> str:
    return f"{in_percent(row['share'])} and {in_percent(row['interactions_share'])}"
