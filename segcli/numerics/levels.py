"""How much evidence to gather: what was asked for, what the data can bear, and of how many customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import scipy.sparse as sp

from segcli.errors import ChoiceError

NONE = "none"
DEFAULT = "quick"

LEAST_CUSTOMERS = 20
"""With fewer, their halves, and what rounds of hiding leave, are too little to look at."""

SMALLEST_SAMPLE, LARGEST_SAMPLE = 5_000, 20_000
SAMPLE_INTERACTIONS = 2_000_000
"""Customers, and interactions, that a sample may have. The more items customers share out their
interactions among, the more of both it takes to show what all of them show: of planted data with 30,000
items and 83 interactions each, 5,000 customers show two of twelve segments, 20,000 five or more."""

PARTLY_LUCK = "The best of several is partly luck: see whether another --seed agrees."

T = TypeVar("T")


def trouble_with_negatives(X: sp.csr_array) -> str | None:
    """Return why data cannot bear evidence on who has what, if values are below 0; None if none are."""
    if X.data.min() < 0:
        return "evidence needs counts or ratings of 0 or more, and the matrix has negative values"
    return None


def customers_in_words(n_customers: int, *, is_sample: bool) -> str:
    """Return how many customers evidence rests on, and how to have it rest on more.

    Parameters
    ----------
    n_customers : how many it rests on
    is_sample : whether there are more
    """
    words = f"{n_customers:,} customers"
    if not is_sample:
        return words
    is_largest = n_customers >= LARGEST_SAMPLE
    hint = "" if is_largest else f"; --evidence full takes up to {LARGEST_SAMPLE:,}"
    return f"{words} (a sample{hint})"


def doubt_of_sample(n_customers: int, may: str) -> str:
    """Return what a sample may not have shown, and whether --evidence full takes a larger one.

    Parameters
    ----------
    n_customers : how many the sample has
    may : what it may do, such as "miss small segments"
    """
    larger = "" if n_customers >= LARGEST_SAMPLE else "; --evidence full takes more"
    return f" A sample of {n_customers:,} customers may {may}{larger}."


def quick_sample_size(n_customers: int, n_interactions: int) -> int:
    """Return how many customers quick evidence is of, at most; full evidence is of `LARGEST_SAMPLE`.

    As many as have `SAMPLE_INTERACTIONS` between them, for interactions are what evidence is made of, and
    what it costs; but no fewer than `SMALLEST_SAMPLE`, and no more than are looked at in full.

    Parameters
    ----------
    n_customers, n_interactions : of the whole data
    """
    as_many = SAMPLE_INTERACTIONS * n_customers // max(n_interactions, 1)
    return min(max(SMALLEST_SAMPLE, as_many), LARGEST_SAMPLE)


def choose_level(
    asked: str | None, levels: Mapping[str, T], trouble: str | None
) -> tuple[T | None, str | None]:
    """Return how much evidence to gather, or None and the reason why there can be none.

    Parameters
    ----------
    asked : a name of ``levels``, "none", or None for as much as is quick and possible
    levels : what each name stands for
    trouble : why these data cannot bear any evidence; None if they can

    Returns
    -------
    level : what the name stands for; None for none
    no_evidence : str or None, a sentence; None, too, where none is asked for

    Raises
    ------
    ChoiceError
        If a level is asked for that these data cannot bear.
    """
    if asked == NONE:
        return None, None
    if trouble is not None:
        return None, why_none(asked, trouble)
    return levels[asked or DEFAULT], None


def why_none(asked: str | None, trouble: str) -> str:
    """Return why no evidence was gathered, a sentence.

    Parameters
    ----------
    asked : a level's name; None for as much as is possible
    trouble : why these data cannot bear any

    Raises
    ------
    ChoiceError
        If a level is asked for.
    """
    if asked is None:
        return f"No evidence was gathered: {trouble}."
    msg = f"{trouble}. Use --evidence none."
    raise ChoiceError(msg)
