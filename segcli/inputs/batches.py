"""Rows of a table as columns that know their row numbers, and their text.

A text column holds the strings in the file, but for those that are said to be numbers (`Kinds`), as
long as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segcli.inputs.arrow import scalar, to_arrow, without_nulls
from segcli.inputs.quoting import find_inside

#: What to try text columns as: uint32 for ids, float64 for values. A column in which something reads
#: otherwise, or has leading zeros, is struck out, and comes as strings from then on.
Kinds = dict[int, pa.DataType]


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a table.

    Attributes
    ----------
    rows : int64 ndarray of shape (n,), the rows' numbers; from 1, in this part of the file or in all
    columns : arrays of length n by 0-based column
    delimiter : what stands between the fields of a row's text
    n_records : the records of this part, the header and blank lines included
    malformed : number and text of the records with too few or too many fields
    """

    rows: np.ndarray
    columns: dict[int, pa.Array]
    delimiter: str
    n_records: int
    malformed: list[tuple[int, str]] = field(default_factory=list)

    def texts(self, mask: np.ndarray) -> list[str]:
        """Return the rows under ``mask`` as lines of text, quoted where they must be."""
        chosen = to_arrow(mask)
        fields = [
            _as_field(column.filter(chosen), self.delimiter) for column in self.columns.values()
        ]
        joined = pc.binary_join_element_wise(
            *fields, scalar(self.delimiter), null_handling="replace"
        )
        texts: list[str] = joined.to_pylist()
        return texts

    def after(self, n_records: int) -> Self:
        """Return the same rows, numbered as those after so many records."""
        malformed = [(n_records + number, text) for number, text in self.malformed]
        return replace(self, rows=self.rows + n_records, malformed=malformed)

    def under(self, mask: np.ndarray) -> Batch:
        """Return the rows under a mask."""
        chosen = to_arrow(mask)
        columns = {i: column.filter(chosen) for i, column in self.columns.items()}
        return replace(self, rows=self.rows[mask], columns=columns)


@dataclass(frozen=True)
class Lines:
    """Whole records of a file, a row each; ``before`` others are numbered before the first."""

    text: bytes
    before: int


@dataclass(frozen=True)
class LineBatch(Batch):
    """Rows of which the text is there; they may be several lines each where fields are ``quoted``."""

    lines: Lines = field(kw_only=True)
    separator: bytes = field(kw_only=True)
    quoted: bool = field(kw_only=True)

    def after(self, n_records: int) -> Self:
        """Return the same rows, numbered as those after so many records."""
        lines = replace(self.lines, before=self.lines.before + n_records)
        return replace(super().after(n_records), lines=lines)

    def texts(self, mask: np.ndarray) -> list[str]:
        """Return the rows under ``mask`` as they stand in the file."""
        text = self.lines.text
        data = np.frombuffer(text, dtype=np.uint8)
        ends = data == ord("\n")
        if b"\r" in text:
            ends[:-1] |= (data[:-1] == ord("\r")) & ~ends[1:]
        places = np.flatnonzero(ends)
        if self.quoted:
            places = places[~find_inside(text, self.separator)[places]]
        starts = np.concatenate([[0], places + 1, [len(data)]])
        numbers = self.rows[mask] - self.lines.before
        limits = zip(starts[numbers - 1].tolist(), starts[numbers].tolist(), strict=True)
        return [
            as_written(text[start:end].decode("utf-8"), self.separator, self.delimiter)
            for start, end in limits
        ]


def numbered(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches, numbered in the whole file."""
    done = 0
    for batch in batches:
        yield batch.after(done)
        done += batch.n_records


def as_written(text: str, separator: bytes, delimiter: str) -> str:
    """Return a line with its delimiters as they stand in the file, and without its end."""
    return text.rstrip("\r\n").replace(separator.decode(), delimiter)


def _as_field(column: pa.Array, delimiter: str) -> pa.Array:
    text = column if pa.types.is_string(column.type) else column.cast(pa.string())
    text = without_nulls(text)
    if delimiter not in (",", ";"):
        return text
    doubled = pc.replace_substring(text, '"', '""')
    quote = scalar('"')
    quoted = pc.binary_join_element_wise(quote, doubled, quote, scalar(""))
    return pc.if_else(pc.match_substring_regex(text, f'[{delimiter}"\r\n]'), quoted, text)
