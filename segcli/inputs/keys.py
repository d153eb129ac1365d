"""Find the codes of many keys at once: a hash table in arrays.

A key is one or more 64-bit words. pyarrow's ``index_in`` builds its table anew for each batch; this
one stays, and threads may read it while one writes: a reader may miss a key that is being written,
but never takes one for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import as_strided

NONE = -1
LONGEST = 128  # bytes of a text that is made a key

_ODD = 0x9E3779B97F4A7C15
_WORD = 8
# After a text's last byte comes one that UTF-8 does not have, so that texts of any length differ.
_END = 0xFF
_KEPT = np.array([0, *((1 << 8 * n) - 1 for n in range(_WORD + 1))], dtype=np.uint64)
_ENDED = np.array([0, *(_END << 8 * n for n in range(_WORD)), 0], dtype=np.uint64)


def words_of(texts: pa.Array) -> list[np.ndarray]:
    """Return strings as keys.

    Parameters
    ----------
    texts : strings without nulls, none longer than `LONGEST`

    Returns
    -------
    list of uint64 ndarrays of shape (n,), the first words, the second ones, …
    """
    n = len(texts)
    _, offsets, data = texts.buffers()
    if not n or data is None:
        return [np.full(n, _ENDED[1])]
    limits = np.frombuffer(offsets, dtype=np.int32, count=n + 1, offset=4 * texts.offset)
    first, last = int(limits[0]), int(limits[-1])
    starts, lengths = limits[:-1] - np.int32(first), np.diff(limits)
    shortest, longest = int(lengths.min()), int(lengths.max())
    n_words = longest // _WORD + 1
    text = np.frombuffer(data, dtype=np.uint8)[first:last]
    if shortest == longest >= _WORD:  # as many ids are; the same words, sooner
        return _words_of_length(text, longest)
    padded = np.zeros(last - first + _WORD * (n_words + 1), dtype=np.uint8)
    padded[: last - first] = text
    anywhere = as_strided(padded[:_WORD].view("<u8"), (len(padded) - _WORD,), (1,), writeable=False)
    words = []
    for i in range(n_words):
        word = anywhere[starts + np.int32(_WORD * i)]
        if shortest < _WORD * (i + 1):
            left = (lengths - np.int32(_WORD * i - 1)).clip(0, _WORD + 1)
            word &= _KEPT[left]
            word |= _ENDED[left]
        words.append(word)
    return words


def _words_of_length(text: np.ndarray, length: int) -> list[np.ndarray]:
    """Return texts of one length, one after another, as keys; a word or more each."""
    n, n_left = len(text) // length, length % _WORD

    def word_at(position: int) -> np.ndarray:
        first = text[position : position + _WORD].view("<u8")
        return as_strided(first, (n,), (length,), writeable=False)

    words = [word_at(start).copy() for start in range(0, length - n_left, _WORD)]
    if not n_left:
        return [*words, np.full(n, _ENDED[1])]
    # The last word begins before what is left, so as not to read beyond the last text.
    last = word_at(length - _WORD) >> np.uint64(8 * (_WORD - n_left))
    last |= np.uint64(_END << 8 * n_left)
    return [*words, last]


class Keys:
    """Distinct keys and their codes, which are 0, 1, 2, … in any order."""

    def __init__(self) -> None:
        self._table = _Table.of_size(1 << 10, 1)
        self._codes = np.zeros(0, dtype=np.int32)

    def find(self, words: Sequence[np.ndarray]) -> np.ndarray:
        """Return the codes of keys, int32; `NONE` for those that were not added.

        Parameters
        ----------
        words : uint64 ndarrays of shape (n,)
        """
        return self._table.find(words)

    def add(self, words: Sequence[np.ndarray], codes: np.ndarray) -> None:
        """Add keys that are distinct and new; one thread at a time.

        Parameters
        ----------
        words : uint64 ndarrays of shape (n,)
        codes : int32 ndarray of shape (n,)
        """
        if not len(codes):
            return
        table, old = self._table, self._codes
        largest = int(codes.max())
        n_words = max(len(words), len(table.words))
        if largest >= table.room or n_words > len(table.words):
            room = max(table.room, 1 << (largest + 1).bit_length())
            wider = _Table.of_size(room, n_words)
            wider.add([word[old] for word in table.words], old)
            table = wider
        table.add(words, codes)
        self._table, self._codes = table, np.concatenate([old, codes])


@dataclass(frozen=True)
class _Table:
    """Slots with codes in them, a quarter full at most, and the words of each code."""

    slots: np.ndarray
    words: tuple[np.ndarray, ...]

    @classmethod
    def of_size(cls, room: int, n_words: int) -> _Table:
        words = tuple(np.zeros(room, dtype=np.uint64) for _ in range(n_words))
        return cls(np.full(8 * room, NONE, dtype=np.int32), words)

    @property
    def room(self) -> int:
        return len(self.words[0])

    def find(self, words: Sequence[np.ndarray]) -> np.ndarray:
        slots = self._first_slots(words)
        codes: np.ndarray = self.slots[slots]
        rows = np.flatnonzero(~self._hold(codes, words))
        rows = rows[codes[rows] != NONE]
        while len(rows):
            slots[rows] = (slots[rows] + 1) & (len(self.slots) - 1)
            found = self.slots[slots[rows]]
            codes[rows] = found
            right = self._hold(found, [word[rows] for word in words]) | (found == NONE)
            rows = rows[~right]
        return codes

    def add(self, words: Sequence[np.ndarray], codes: np.ndarray) -> None:
        for mine, theirs in zip(self.words, words, strict=False):
            mine[codes] = theirs
        slots = self._first_slots(words)
        rows = np.arange(len(codes))
        while len(rows):
            free = rows[self.slots[slots[rows]] == NONE]
            self.slots[slots[free]] = codes[free]
            rows = rows[self.slots[slots[rows]] != codes[rows]]
            slots[rows] = (slots[rows] + 1) & (len(self.slots) - 1)

    def _hold(self, codes: np.ndarray, words: Sequence[np.ndarray]) -> np.ndarray:
        """Return whether codes are those of keys; what it says of `NONE` does not matter."""
        codes = codes.astype(np.intp)  # once, not for each word
        held: np.ndarray = self.words[0][codes] == words[0]
        for i in range(1, max(len(words), len(self.words))):
            theirs = words[i] if i < len(words) else np.uint64(0)
            held &= (self.words[i][codes] if i < len(self.words) else np.uint64(0)) == theirs
        return held

    def _first_slots(self, words: Sequence[np.ndarray]) -> np.ndarray:
        # Words that are 0 change nothing: keys may be given with more of them, or fewer.
        hashed = words[0] * np.uint64(_ODD)
        for i, word in enumerate(words[1:], start=2):
            hashed += word * np.uint64(pow(_ODD, i, 1 << 64))
        hashed ^= hashed >> np.uint64(32)
        hashed *= np.uint64(_ODD)
        hashed >>= np.uint64(64 - (len(self.slots) - 1).bit_length())
        slots: np.ndarray = hashed.view(np.int64)
        return slots
