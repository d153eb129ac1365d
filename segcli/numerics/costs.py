"""About how long tasks take and how much room, for whoever decides whether to start processes for them.

Measured on two cores. Seconds are right within a factor of two or three; bytes are enough, and up to four
times what is taken. No result depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import scipy.sparse as sp

_SECONDS_PER_INTERACTION = 1.5e-6
_SECONDS_PER_CUSTOMER_AND_CENTER = 5e-7
_SECONDS_PER_INTERACTION_AND_K = 1.5e-7

_BYTES_PER_INTERACTION = 120
_BYTES_PER_ITEM = 8 * 40
"""The vectors that PCA holds at a time, and a few more."""

_BYTES_PER_ITEM_AND_SEGMENT = 8 * 4


def seconds_of_passes(X: sp.csr_array) -> float:
    """Return the seconds of components, or a null, of a matrix."""
    return X.nnz * _SECONDS_PER_INTERACTION


def seconds_of_fit(X: sp.csr_array, ks: Sequence[int]) -> float:
    """Return the seconds of a recipe fitted to a matrix, and of what is then measured, for each k."""
    partitions = X.shape[0] * sum(ks) * _SECONDS_PER_CUSTOMER_AND_CENTER
    return seconds_of_passes(X) + partitions + X.nnz * len(ks) * _SECONDS_PER_INTERACTION_AND_K


def room_of_passes(X: sp.csr_array, n_components: int = 0) -> int:
    """Return the bytes of a null of a matrix, or of its components."""
    return X.nnz * _BYTES_PER_INTERACTION + X.shape[1] * 8 * (20 + 2 * n_components)


def room_of_fit(X: sp.csr_array, ks: Sequence[int], *, more: int = 0) -> int:
    """Return the bytes of a recipe fitted to a matrix, and of what is then measured, one k after another.

    Parameters
    ----------
    more : figures of each item in each segment that are held besides
    """
    per_item = _BYTES_PER_ITEM + max(ks, default=0) * (_BYTES_PER_ITEM_AND_SEGMENT + 8 * more)
    return X.nnz * _BYTES_PER_INTERACTION + X.shape[1] * per_item
