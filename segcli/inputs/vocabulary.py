"""Give ids codes while a file is being read, in any order and from several threads.

A code is 0, 1, 2, … in the order in which ids are met, so it depends on threads: it is good for
telling ids apart until `Vocabulary.places` puts them in order. An id may have two codes, as a number
and as a text; it has one place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segcli.inputs.arrow import scalar, strings, to_arrow, to_numpy
from segcli.inputs.keys import LONGEST, NONE, Keys, words_of

_MARKED = -2
_FLOAT = r"^-?\d+\.0$"
_AT_ONCE = 1 << 16  # so that what is made on the way stays in a processor's cache
_MOST_BYTES = (1 << 31) - 1  # that offsets of 32 bits reach
_LARGEST = 1 << 24  # of the numbers that are looked up by themselves


class Vocabulary:
    """The ids met so far, as they were written."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n = 0
        self._parts: list[pa.Array] = []
        self._numbers = np.full(1 << 12, NONE, dtype=np.int32)
        self._large = Keys()
        self._texts = Keys()
        self._long: dict[str, int] = {}

    def __len__(self) -> int:
        return self._n

    def encode(self, ids: pa.Array) -> np.ndarray:
        """Return the codes of ids, `NONE` for those that are empty or white space.

        Parameters
        ----------
        ids : strings, or uint32 for ids that were written as numbers without leading zeros
        """
        if pa.types.is_string(ids.type):
            return self._encode_texts(ids)
        numbers = to_numpy(ids)
        if len(numbers) and numbers.max() >= _LARGEST:
            return self._encode_keys(
                ids, self._large, lambda ids: [to_numpy(ids).astype(np.uint64)]
            )
        return self._encode_numbers(numbers)

    def places(self, used: np.ndarray, *, several: bool) -> tuple[pa.Array, np.ndarray]:
        """Return the ids in use, sorted by code point, and the place of each code among them.

        White space around an id is taken off, and ``.0`` if all `are_floats`.

        Parameters
        ----------
        used : boolean ndarray of shape (n_codes,)
        several : whether they are of several files
        """
        codes = np.flatnonzero(used)
        texts = pc.utf8_trim_whitespace(_joined(self._parts).take(to_arrow(codes)))
        if are_floats(texts, several=several):
            texts = plain_numbers(texts)
        encoded = texts.dictionary_encode()
        order = to_numpy(pc.sort_indices(encoded.dictionary))
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        places = np.zeros(len(used), dtype=np.int32)
        places[codes] = place[to_numpy(encoded.indices)]
        return encoded.dictionary.take(to_arrow(order)), places

    def texts(self) -> pa.Array:
        """Return the id of each code, as it was written but for white space around it."""
        return pc.utf8_trim_whitespace(_joined([strings([]), *self._parts]))

    def _encode_numbers(self, numbers: np.ndarray) -> np.ndarray:
        table = self._numbers  # another thread may put a longer one in its place
        codes: np.ndarray = table.take(numbers, mode="clip")
        if len(codes) and (codes.min() < 0 or numbers.max() >= len(table)):
            with self._lock:
                self._learn_numbers(numbers)
                codes = self._numbers[numbers]
        return codes

    def _learn_numbers(self, numbers: np.ndarray) -> None:
        size = 1 << int(numbers.max()).bit_length()
        if size > len(self._numbers):
            more = np.full(size - len(self._numbers), NONE, dtype=np.int32)
            self._numbers = np.concatenate([self._numbers, more])
        new = numbers[self._numbers[numbers] < 0]
        self._numbers[new] = _MARKED
        new = np.flatnonzero(self._numbers == _MARKED)
        self._numbers[new] = self._append(to_arrow(new).cast(pa.string()))

    def _encode_texts(self, ids: pa.Array) -> np.ndarray:
        long = to_numpy(pc.binary_length(ids)) > LONGEST
        if not long.any():
            return self._encode_keys(ids, self._texts, words_of)
        short = self._encode_keys(
            pc.if_else(to_arrow(long), scalar(""), ids), self._texts, words_of
        )
        with self._lock:
            for row in np.flatnonzero(long):
                text = ids[row].as_py()
                if text not in self._long and text.strip():
                    self._long[text] = int(self._append(strings([text]))[0])
                short[row] = self._long.get(text, NONE)
        return short

    def _encode_keys(
        self, ids: pa.Array, keys: Keys, words_of: Callable[[pa.Array], list[np.ndarray]]
    ) -> np.ndarray:
        codes = np.empty(len(ids), dtype=np.int32)
        for start in range(0, len(ids), _AT_ONCE):
            piece = ids.slice(start, _AT_ONCE)
            words = words_of(piece)
            firsts = _first_of_runs(words)
            n = len(piece)
            if len(firsts) > n // 2:
                found = self._find_or_learn(piece, words, keys, words_of)
            else:  # as in a file in the order of its customers
                words = [word[firsts] for word in words]
                found = self._find_or_learn(piece.take(to_arrow(firsts)), words, keys, words_of)
                found = np.repeat(found, np.diff(firsts, append=n))
            codes[start : start + n] = found
        return codes

    def _find_or_learn(
        self,
        ids: pa.Array,
        words: list[np.ndarray],
        keys: Keys,
        words_of: Callable[[pa.Array], list[np.ndarray]],
    ) -> np.ndarray:
        codes = keys.find(words)
        missing = codes == NONE
        if missing.any():
            encoded = ids.filter(to_arrow(missing)).dictionary_encode()
            distinct = encoded.dictionary
            with self._lock:
                learnt = keys.find(words_of(distinct))
                texts = distinct.cast(pa.string())
                new = (learnt == NONE) & ~to_numpy(is_blank(texts))
                chosen = to_arrow(new)
                learnt[new] = self._append(texts.filter(chosen))
                keys.add(words_of(distinct.filter(chosen)), learnt[new])
            codes[missing] = learnt[to_numpy(encoded.indices)]
        return codes

    def _append(self, texts: pa.Array) -> np.ndarray:
        """Return the codes of new ids."""
        codes = np.arange(self._n, self._n + len(texts), dtype=np.int32)
        self._n += len(texts)
        self._parts.append(texts)
        return codes


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    """Return strings as one array; of many, one whose offsets are wide enough."""
    if sum(part.nbytes for part in parts) > _MOST_BYTES:
        parts = [part.cast(pa.large_string()) for part in parts]
    return pa.concat_arrays(parts)


def _first_of_runs(words: list[np.ndarray]) -> np.ndarray:
    """Return where a key is another than the one before."""
    is_first = np.ones(len(words[0]), dtype=bool)
    np.not_equal(words[0][1:], words[0][:-1], out=is_first[1:])
    for word in words[1:]:
        is_first[1:] |= word[1:] != word[:-1]
    return np.flatnonzero(is_first)


def are_floats(ids: pa.Array, *, several: bool) -> bool:
    """Return whether all ids end in ``.0``, as a float column's whole numbers are written.

    Of ``several`` files, whether all that are not whole numbers do: a column is one of floats where any
    of its ids is missing, so that some files may be written so and others not.
    """
    pattern = r"^-?\d+(\.0)?$" if several else _FLOAT
    return bool(pc.all(pc.match_substring_regex(ids, pattern), min_count=0).as_py())


def plain_numbers(ids: pa.Array) -> pa.Array:
    """Return ids, whole numbers that end in ``.0`` without it."""
    is_float = pc.match_substring_regex(ids, _FLOAT)
    return pc.if_else(is_float, pc.utf8_slice_codeunits(ids, 0, -2), ids)


def is_blank(texts: pa.Array) -> pa.Array:
    """Return where strings are empty or nothing but white space."""
    return pc.equal(pc.utf8_trim_whitespace(texts), scalar(""))
