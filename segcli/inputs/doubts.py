"""What to look at twice in interactions that were read: nothing is changed, but it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segcli.inputs.arrow import to_numpy
from segcli.inputs.values import POINT, how_to_write, is_number, is_number_somehow
from segcli.words import counted

# What databases, spreadsheets, shops and devices write where there is nothing.
_NOTHING = (
    r"^(?i:\\N|null|<null>|\(null\)|#null!|#?n/?a|<na>|nan|nat|none|\(none\)|\(blank\)|\(not set\)"
    r"|undefined|unknown|anonymous|guest|-+|\?+|0{8}-0{4}-0{4}-0{4}-0{12})$"
)
_ROUNDED = r"^\d(?:[.,]\d+)?[eE]\+\d+$"
_IN_QUOTES = r"""^=?(?:".*"|'.*')$"""
_SHOWN = 3
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+").fullmatch
_BELOW = re.compile(r"[+-]?\d{1,3}").fullmatch


def doubtful_ids(role: str, ids: pa.Array, n_interactions: np.ndarray) -> list[str]:
    """Return sentences on ids that most likely are none, no longer what they were, or of another column.

    Parameters
    ----------
    role : ``customer`` or ``item``
    ids : string array of length n
    n_interactions : integer ndarray of shape (n,)
    """
    found = []
    nothing = _places(ids, _NOTHING)
    if len(nothing):
        found.append(
            f"No real {role}? {_some(ids, n_interactions, nothing)}. If so, leave the field empty: "
            "the row is then rejected."
        )
    rounded = _places(ids, _ROUNDED)
    if len(rounded):
        found.append(
            f"Rounded? {role.capitalize()} {_some(ids, n_interactions, rounded)}. Spreadsheets shorten "
            "long numbers so that several become one: export them as text."
        )
    in_quotes = _places(ids, _IN_QUOTES)
    if 2 * len(in_quotes) > len(ids):  # of a few it may be their name
        found.append(
            f"Quotes are part of {role} {_some(ids, n_interactions, in_quotes)}. They enclose a field "
            "only if they are double, right after a delimiter, and doubled inside."
        )
    twice = _alike_but_for_case(ids)
    if len(twice):
        occur = "occurs" if len(twice) == 1 else "occur"
        found.append(
            f"Twice? {counted(len(twice), role)} also {occur} in other capitals, such as "
            f"'{twice[0].as_py()}'. Ids are case-sensitive: write the same id in one way."
        )
    if (n_interactions == 1).all():
        other = "item" if role == "customer" else "customer"
        found.append(
            f"Each {role} has only one {other}, which makes no segments. Is the column right? Name it "
            f"with --{role}."
        )
    return found


def _alike_but_for_case(ids: pa.Array) -> pa.Array:
    """Return one of the ids of each group that differ by case alone; no id is there twice."""
    lower = pc.utf8_lower(ids)
    if lower.equals(ids):
        return ids[:0]
    counts = pc.value_counts(lower)
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    return ids.take(pc.index_in(several, value_set=lower))


def _places(ids: pa.Array, pattern: str) -> np.ndarray:
    """Return the places of the ids that a pattern fits."""
    return np.flatnonzero(to_numpy(pc.match_substring_regex(ids, pattern)))


def _some(ids: pa.Array, n_interactions: np.ndarray, places: np.ndarray) -> str:
    """Return ids with their interactions, the largest first; a few of many."""
    places = places[np.argsort(-n_interactions[places], kind="stable")]
    some = [
        f"'{ids[i].as_py()}' ({counted(int(n_interactions[i]), 'interaction')})"
        for i in places[:_SHOWN].tolist()
    ]
    more = len(places) - len(some)
    return ", ".join(some) + (f" and {more:,} more" if more else "")


def doubtful_values(read: Sequence[str], rejected: Sequence[str], decimal: str) -> list[str]:
    """Return sentences on values that most likely are written otherwise than they are read.

    Parameters
    ----------
    read : some of the values as they are written
    rejected : some of those that are no numbers
    decimal : what they are read with, ``point`` or ``comma``
    """
    found = []
    otherwise = list(filter(is_number_somehow, rejected))
    if otherwise:
        how = how_to_write(otherwise, decimal)
        found.append(f"Values such as '{otherwise[0].strip()}' are rejected. {how}")
    if decimal != POINT:
        return found
    texts = [value.strip() for value in read]
    with_points = [text for text in texts if _THOUSANDS(text)]
    n_below = sum(_BELOW(text) is not None for text in texts)
    one = next(filter(is_number, with_points), None)
    if one is not None and n_below and len(with_points) + n_below == len(texts):
        found.append(
            f"Value '{one}' is read with a decimal point, not as {one.replace('.', '')}. If points "
            "separate thousands, leave them out."
        )
    return found
