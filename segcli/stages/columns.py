"""Columns that more than one stage reads or writes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def titles_of(items: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return what a person calls each item of `items.csv`: its name, or its id where it has none."""
    return np.where(items["name"] != "", items["name"], items["item"])


def distance_column(distances: np.ndarray) -> list[float]:
    """Return distances to centers to six digits, as tables of customers have them."""
    return [float(f"{distance:.6g}") for distance in distances.tolist()]
