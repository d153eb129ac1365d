"""What the figures come to, in words for someone who has never heard of the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segcli.numerics.activity import LARGE_SHARE
from segcli.numerics.description import Echo
from segcli.numerics.log_odds import LEAST_CUSTOMERS
from segcli.words import counted, in_percent

ANSWERS = {
    True: "Yes, as far as these data can tell.",
    False: "No. The evidence does not support them.",
    None: "Nobody knows: this was not tested.",
}

ADVICE = {
    True: "Name them, follow them over time, and act on them; mind the grade of each. There need not be "
    "a gap between them: a taste that runs evenly from one end to the other is also cut in the same "
    "places again, and customers on either side of a border may be much alike.",
    False: "Take them as one way to sort customers, not as kinds of customers that exist, and mind the "
    "grade of each: with other customers, any that is “not trusted” would come out differently.",
    None: "Take them as one way to sort customers, not as kinds of customers that exist.",
}

NOT_ALL = "Not all of them."

NOT_ALL_ADVICE = (
    "Those that are stable can be named, followed over time and acted on; with other customers, the "
    "others would come out differently. Mind the grade of each."
)

MOST = 0.5
"""From this share on, what a segment's customers have is what they are in it for."""

SAID_SINCE = (
    "What explore-k says of these components is newer than this verdict.",
    "segcli validate RUN",
)
"""Step and command; before, explore-k may have recommended another number, none, or not have looked."""


@dataclass(frozen=True)
class Verdict:
    """Whether the segments are real.

    Attributes
    ----------
    supported : bool or None, None where nobody knows
    answer : str, a few words
    plain : str, why, in one or more sentences without figures
    reason : str, the same with its figures
    advice : str, what to do with the segments
    next_step : str or None, what to do for better ones
    next_command : str or None, the command for that, RUN being the run directory
    """

    supported: bool | None
    answer: str
    plain: str
    reason: str
    advice: str
    next_step: str | None
    next_command: str | None


@dataclass(frozen=True)
class Since:
    """What has become of an earlier run's segments, and of the names that a person gave them.

    Attributes
    ----------
    run : str, the name of its folder
    n_both : int, customers in both runs
    n_stayed : int, those of them who are in the same segment
    names_carried : tuple of dict with segment, earlier_segment and name
    names_lost : tuple of dict with earlier_segment and name: no segment is the same
    """

    run: str
    n_both: int
    n_stayed: int
    names_carried: tuple[dict[str, Any], ...]
    names_lost: tuple[dict[str, Any], ...]


def disliked_in_words(n_disliked: int) -> str:
    """Return what becomes of interactions of a value below 0 where it is said what customers have."""
    are = "is" if n_disliked == 1 else "are"
    return (
        f"What marks a segment is what its customers like: {counted(n_disliked, 'interaction')} of a "
        f"value below 0 {are} taken for not having the item."
    )


def verdict(
    validation: Mapping[str, Any] | None,
    clustering: Mapping[str, Any] | None,
    k: int,
    *,
    k_said: Mapping[str, Any] | None = None,
) -> Verdict:
    """Return the verdict of ``validate``; without evidence there, what ``explore-k`` had said of k.

    Advice of ``validate`` that is not by what ``explore-k`` says of these components now, in ``k_said``,
    gives way to the advice to run it again.
    """
    supported = None
    by: Mapping[str, Any] = {
        "reason": "These segments have not been validated. Run segcli validate."
    }
    said = (clustering or {}).get("on_the_table")
    found = (validation or {}).get("verdict")
    if said and said.get("k_scores") and k > 1:  # of one segment there is no evidence
        supported, by = k in said["supported"], said
    if found and (found["supported"] is not None or supported is None):
        supported, by = found["supported"], found
    step = [(found or {}).get(name) for name in ("next_step", "next_command")]
    if found and found["supported"] is False and k_said is not None:
        now = k_said["recommended"]
        step = step if found.get("recommended_k", now) == now else [*SAID_SINCE]
    plain = _sentence(by.get("plain", by["reason"]))  # older files have the reason only
    if by.get("near_limit"):
        plain += f" {_close_in_words(by['near_limit'], k)}"
    answer, advice = ANSWERS[supported], ADVICE[supported]
    if found and found.get("all_but") and len(found["all_but"]) < k:
        answer, advice = NOT_ALL, NOT_ALL_ADVICE
    return Verdict(supported, answer, plain, _sentence(by["reason"]), advice, *step)


def _close_in_words(near: Sequence[int], k: int) -> str:
    """Return that chance may have decided on numbers of segments."""
    of = "" if list(near) == [k] else f" for {' and '.join(map(str, near))} segments"
    return f"The verdict was a close call{of}: the same tests with other random draws may say otherwise."


def findings(
    clustering: Mapping[str, Any] | None,
    echo: Echo | None,
    echo_null: Echo | None,
) -> list[str]:
    """Return what else there is to know before one believes in the segments, a sentence each."""
    found = []
    if clustering and clustering.get("activity_share") is not None:
        found.append(
            activity_in_words(clustering["activity_share"], clustering.get("activity_share_null"))
        )
    if echo is not None:
        found.append(echo_in_plain_words(echo, echo_null))
    return found


def stabilities_in_words(
    summary: Sequence[Mapping[str, Any]],
    validation: Mapping[str, Any] | None,
    clustering: Mapping[str, Any] | None,
) -> str | None:
    """Return why the least stable segment of `validate` is not that of `cluster`; None without both."""
    measures = {row["measure"]: row["value"] for row in (validation or {}).get("measures", ())}
    looked_at, rests_on = (
        (document or {}).get("evidence") for document in (validation, clustering)
    )
    found = [row["stability"] for row in summary if row["stability"] is not None]
    if measures.get("jaccard_min") is None or not (looked_at and rests_on and found):
        return None
    whom = (
        f"a sample of {looked_at['n_customers']:,} customers"
        if looked_at["is_sample"]
        else "all customers"
    )
    return (
        f"The least stable segment in this table ({measures['jaccard_min']:.2f}) need not match the "
        f"least stability under “Each segment” ({min(found):.2f}). Both say how much of a segment is "
        f"found again from half of the customers. But the first is of segments that {whom} were put into "
        "once more, by a shorter search, in the same way as data without segments, and is a mean over "
        f"{2 * looked_at['n_splits']} halves; the second is of the segments on this page, a mean over "
        f"{2 * rests_on['n_splits']} halves. The grades go by the second, the verdict by both. "
        "Silhouette and activity share in this table are also of the segments made once more; for those "
        "on this page, the activity share may differ a little."
    )


def activity_in_words(share: float, null: float | None) -> str:
    """Return how much of the segmentation is how active customers are."""
    beside = f" ({in_percent(null)} in data without segments)" if null is not None else ""
    words = (
        f"The segments account for {in_percent(share)} of the differences in how many items customers have"
        f"{beside}"
    )
    if share > LARGE_SHARE:
        words += ": heavy and light customers are mostly in different segments"
    return words + "."


def echo_in_plain_words(echo: Echo, null: Echo | None) -> str:
    """Return how much of what marks the segments holds on unseen interactions, for all to understand."""
    times = f"{echo.unseen:.1f}"
    words = (
        "To test what marks the segments, a part of the interactions was hidden and the segments were "
        "made again from the rest. Among the hidden ones, what marks a segment is typically "
        f"{times} times as common in it as elsewhere"
    )
    if null is not None:
        by_chance = f"{null.unseen:.1f}"
        words += (
            f"; in data without segments, {by_chance} times"
            if float(times) > float(by_chance)
            else f": no more than in data without segments ({by_chance} times)"
        )
    return words + "."


def echo_in_words(echo: Echo, null: Echo | None) -> str:
    """Return how much of what marks the segments holds on unseen interactions."""
    words = (
        f"What marks a segment is a median {echo.unseen:.1f} times as frequent in it as elsewhere on "
        "interactions hidden while the segments were remade and their items chosen anew "
        f"({echo.in_sample:.1f} times on all)"
    )
    if null is not None:
        words += f"; in data without segments, {null.unseen:.1f} times ({null.in_sample:.1f} times)"
    return words + "."


def since_in_words(since: Since) -> list[str]:
    """Return which names were carried over, which were not, and how many customers stayed."""
    carried = ", ".join(str(row["segment"]) for row in since.names_carried)
    words = f"Segments that keep their name from {since.run}: {carried or 'none'}."
    if since.names_lost:
        words += (
            f" Names that no segment keeps: {'; '.join(row['name'] for row in since.names_lost)}."
        )
    share = in_percent(since.n_stayed / since.n_both)
    return [
        words,
        f"Customers in both: {since.n_both:,}, of whom {since.n_stayed:,} ({share}) are in the same "
        "segment.",
    ]


def is_named(summary: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a person gave any of the segments a name."""
    return any(row["name"] != row["marked_by"] for row in summary)


def same_names_in_words(summary: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which segments have the same name, and what comes of it; nothing if nobody named any."""
    segments: dict[str, list[str]] = {}
    for row in summary if is_named(summary) else ():
        segments.setdefault(row["name"], []).append(str(row["segment"]))
    return [
        f"Segments {', '.join(shared[:-1])} and {shared[-1]} have the same name, {name}: in "
        "named_segments.csv only their numbers tell them apart."
        for name, shared in segments.items()
        if name and len(shared) > 1
    ]


def nameless_in_words(n_customers: int) -> str:
    """Return why no item marks a segment of so many customers."""
    if not n_customers:
        return "all its customers are unassigned"
    return "too few customers to tell" if n_customers < LEAST_CUSTOMERS else "no item stands out"


def another_in_words(together: float) -> str:
    """Return what it means that so few of a segment's customers are in it again, made from a part."""
    few = f"only {together:.0%}" if together >= 0.005 else "next to none" if together else "none"
    return (
        f"Made from part of the interactions, this segment comes out different: {few} of its customers "
        "are together again. The unseen figures describe that other segment."
    )


def entrance_in_words(items: Sequence[Mapping[str, Any]]) -> str | None:
    """Return why what most of a segment's customers have is rare there unseen; None if it is not.

    Parameters
    ----------
    items : those that mark the segment, rows of `characteristic_items.csv`
    """
    names = [
        row["name"]
        for row in items
        if row["share"] >= MOST and row["unseen_times"] is not None and row["unseen_times"] < 1
    ]
    if not names:
        return None
    return (
        f"Most customers here have {' and '.join(names)}, and many from whom that was hidden landed "
        "in other segments: so it is rare here among unseen interactions. Customers are in this segment "
        "for that, more than for what else they have."
    )


def _sentence(text: str) -> str:
    text = text.strip()
    begin = text if text.startswith("k =") else text[:1].upper() + text[1:]
    return begin + ("" if begin.endswith(".") else ".")
