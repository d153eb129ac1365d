"""How much evidence to gather: what was asked for, and what the data can bear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import scipy.sparse as sp

from segcli.errors import ChoiceError

NONE = "none"
DEFAULT = "quick"

PARTLY_LUCK = "The best of several is partly luck: see whether another --seed agrees."

T = TypeVar("T")


def trouble_with_negatives(X: sp.csr_array) -> str | None:
    """Return why data cannot bear evidence on who has what, if values are below 0; None if none are."""
    if X.nnz and X.data.min() < 0:
        return "evidence needs counts or ratings of 0 or more, and the matrix has negative values"
    return None


def customers_in_words(n_customers: int, most: int, *, is_sample: bool) -> str:
    """Return how many customers evidence rests on, and how to have it rest on more.

    Parameters
    ----------
    n_customers : how many it rests on
    most : how many the highest level takes
    is_sample : whether there are more
    """
    words = f"{n_customers:,} customers"
    if not is_sample:
        return words
    hint = f"; --evidence full takes up to {most:,}" if n_customers < most else ""
    return f"{words} (a sample{hint})"


def choose_level(
    asked: str | None, levels: Mapping[str, T], trouble: str | None
) -> tuple[T | None, str | None]:
    """Return how much evidence to gather, or None and the reason why there can be none.

    Parameters
    ----------
    asked : a name of ``levels``, "none", or None for as much as is quick and possible
    levels : what each name stands for
    trouble : why these data cannot bear any evidence; None if they can

    Raises
    ------
    ChoiceError
        If a level is asked for that these data cannot bear.
    """
    if asked == NONE:
        return None, None
    if trouble is None:
        return levels[asked or DEFAULT], None
    if asked is None:
        return None, f"No evidence was gathered: {trouble}."
    msg = f"{trouble}. Use --evidence none."
    raise ChoiceError(msg)
