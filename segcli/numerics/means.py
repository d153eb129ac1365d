"""Means of what is known."""

from __future__ import annotations

import numpy as np


def nan_mean(values: np.ndarray) -> np.ndarray:
    """Return the means over the first axis of what is not NaN; NaN where nothing is."""
    counts = np.isfinite(values).sum(axis=0)
    sums = np.nansum(values, axis=0)
    return np.asarray(
        np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=counts > 0)
    )
