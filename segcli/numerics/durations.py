"""About how long tasks take, for whoever decides whether it pays to start processes for them.

Measured on two cores, and right within a factor of two or three. No result depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import scipy.sparse as sp

_PER_INTERACTION = 1.5e-6
_PER_CUSTOMER_AND_CENTER = 5e-7
_PER_INTERACTION_AND_K = 1.5e-7


def of_passes(X: sp.csr_array) -> float:
    """Return the seconds of components, or a null, of a matrix."""
    return X.nnz * _PER_INTERACTION


def of_fit(X: sp.csr_array, ks: Sequence[int]) -> float:
    """Return the seconds of a recipe fitted to a matrix, and of what is then measured, for each k."""
    partitions = X.shape[0] * sum(ks) * _PER_CUSTOMER_AND_CENTER
    return of_passes(X) + partitions + X.nnz * len(ks) * _PER_INTERACTION_AND_K
