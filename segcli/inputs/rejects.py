"""The rows that cannot be used: kept with their file, number, reason and text, never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from segcli.inputs.values import CODES, REASONS


@dataclass
class Rejects:
    """Rows set aside, in the order of their files.

    Attributes
    ----------
    n_rows : rows read so far, rejects included, the header and blank lines not
    """

    n_rows: int = 0
    _files: list[str] = field(default_factory=list)
    _rows: list[np.ndarray] = field(default_factory=list)
    _codes: list[np.ndarray] = field(default_factory=list)
    _texts: list[Sequence[str]] = field(default_factory=list)

    def add(self, file: str, rows: np.ndarray, codes: np.ndarray, texts: Sequence[str]) -> None:
        """Set rows aside.

        Parameters
        ----------
        file : the file's name
        rows : ndarray of shape (n,), 1-based record numbers in the file
        codes : ndarray of shape (n,), indices into `REASONS`
        texts : the rows as they stand in the file, n of them
        """
        if len(rows):
            self._files.append(file)
            self._rows.append(np.asarray(rows, dtype=np.int64))
            self._codes.append(np.asarray(codes, dtype=np.uint8))
            self._texts.append(texts)

    def add_malformed(self, file: str, rows: Sequence[tuple[int, str]]) -> None:
        """Set aside rows, given as number and text, that have the wrong number of fields."""
        code = np.full(len(rows), CODES["wrong number of fields"])
        self.add(file, np.array([n for n, _ in rows], dtype=np.int64), code, [t for _, t in rows])

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._rows)

    def by_reason(self) -> dict[str, int]:
        """Return the number of rejects by reason, reasons without any left out."""
        counts = np.zeros(len(REASONS), dtype=np.int64)
        for codes in self._codes:
            counts += np.bincount(codes, minlength=len(REASONS))
        return {reason: int(n) for reason, n in zip(REASONS, counts, strict=True) if n}

    def table(self) -> pd.DataFrame:
        """Return a table of file, row, reason and text, in the order of the files."""
        if not self._rows:
            columns = {"file": [], "row": np.zeros(0, np.int64), "reason": [], "text": []}
            return pd.DataFrame(columns)
        lengths = [len(rows) for rows in self._rows]
        table = pd.DataFrame(
            {
                "file": np.repeat(np.array(self._files, dtype=object), lengths),
                "row": np.concatenate(self._rows),
                "reason": np.array(REASONS, dtype=object)[np.concatenate(self._codes)],
                "text": [text for texts in self._texts for text in texts],
            }
        )
        position = {file: i for i, file in enumerate(dict.fromkeys(self._files))}
        order = np.lexsort((table["row"], table["file"].map(position)))
        return table.iloc[order].reset_index(drop=True)

    def first(self, file: str | None = None) -> str:
        """Return the first reject in one line: where it stands, why, and its text."""
        table = self.table()
        if file is not None:
            table = table[table["file"] == file]
        row = table.iloc[0]
        text = str(row["text"])
        text = text if len(text) <= 80 else text[:79] + "…"
        return f"row {row['row']} of {row['file']}, {row['reason']}: {text!r}"
