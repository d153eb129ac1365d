"""The rows that cannot be used: kept with their file, number, reason and text, never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress, islice

import numpy as np

from segcli.inputs.values import CODES, REASONS
from segcli.words import shortened


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

    def table(self) -> dict[str, np.ndarray]:
        """Return a table's columns: file, row, reason and text, in the order of the files."""
        position = {file: i for i, file in enumerate(dict.fromkeys(self._files))}
        lengths = [len(rows) for rows in self._rows]
        places = np.repeat([position[file] for file in self._files], lengths).astype(np.int64)
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        codes = np.concatenate([np.zeros(0, np.uint8), *self._codes])
        texts = np.array([text for texts in self._texts for text in texts], dtype=object)
        order = np.lexsort((rows, places))
        return {
            "file": np.array([*position], dtype=object)[places[order]],
            "row": rows[order],
            "reason": np.array(REASONS, dtype=object)[codes[order]],
            "text": texts[order],
        }

    def texts(self, reason: str, most: int) -> list[str]:
        """Return the texts of the first rejects for a reason, at most so many."""
        parts = zip(self._codes, self._texts, strict=True)
        found = (text for codes, texts in parts for text in compress(texts, codes == CODES[reason]))
        return list(islice(found, most))

    def first(self) -> str:
        """Return the first reject in one line: where it stands, why, and its text."""
        table = self.table()
        text = shortened(table["text"][0])
        return f"row {table['row'][0]} of {table['file'][0]}, {table['reason'][0]}: {text!r}"
