"""Means of what is known, and their errors."""

from __future__ import annotations

import numpy as np


def nan_mean(values: np.ndarray) -> np.ndarray:
    """Return the means over the first axis of what is not NaN; NaN where nothing is."""
    counts = np.isfinite(values).sum(axis=0)
    sums = np.nansum(values, axis=0)
    return np.asarray(
        np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)
    )


def standard_error(values: np.ndarray) -> np.ndarray:
    """Return that of the means over the first axis; 0 of a single value, NaN where one is NaN."""
    n = len(values)
    spread = values.std(axis=0, ddof=1) if n > 1 else np.zeros(values.shape[1:])
    return np.asarray(spread / np.sqrt(n))
