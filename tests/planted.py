"""Data whose segments are known, because they were planted; and data with none."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Design:
    """How customers are made.

    Every item belongs to one segment, whose customers pick it ``contrast`` times as often as others
    do, beside its own popularity (Zipf). How much a customer picks has nothing to do with the segment.
    """

    shares: tuple[float, ...]
    spread: float  # standard deviation of log activity
    values: str  # "stars" or "counts"
    n_customers: int = 1200
    n_items: int = 600
    median_items: int = 30
    contrast: float = 12.0

    @property
    def k(self):
        return len(self.shares)


EQUAL = (0.25, 0.25, 0.25, 0.25)
UNEQUAL = (0.5, 0.25, 0.12, 0.08, 0.05)

DESIGNS = {
    "equal, even, stars": Design(EQUAL, 0.2, "stars"),
    "equal, uneven, counts": Design(EQUAL, 1.0, "counts"),
    "unequal, even, counts": Design(UNEQUAL, 0.2, "counts"),
    "unequal, uneven, stars": Design(UNEQUAL, 1.0, "stars"),
}


def plant(design, seed):
    """Return a matrix and the true segment of each row."""
    rng = np.random.default_rng([77, seed])
    n, m = design.n_customers, design.n_items
    sizes = np.floor(n * np.array(design.shares)).astype(int)
    sizes[0] += n - sizes.sum()
    truth = rng.permutation(np.repeat(np.arange(design.k), sizes))
    genre = rng.permutation(np.arange(m) % design.k)
    popularity = (rng.permutation(m) + 1.0) ** -0.7
    chances = popularity * np.where(genre == truth[:, None], design.contrast, 1.0)
    activity = design.median_items * np.exp(design.spread * rng.standard_normal(n))
    n_picks = np.clip(np.rint(activity), 5, m // 6).astype(int)
    # The first to come of exponential waiting times: a draw without replacement by chances.
    waiting = rng.exponential(size=(n, m)) / chances
    picked = np.argsort(np.argsort(waiting, axis=1), axis=1) < n_picks[:, None]
    return csr_array(np.where(picked, draw_values(design.values, (n, m), rng), 0.0)), truth


def unplanted(design, seed):
    """Return a matrix made in the same way, in which all customers have the same taste."""
    one = Design((1.0,), design.spread, design.values, design.n_customers, design.n_items)
    return plant(one, seed)[0]


def with_sizes(X, seed, *, of_customers=0.0, of_items=0.0, spread=0.5):
    """Return X with plays for values: what customers and items add, of these spreads, and chance."""
    rng = np.random.default_rng([78, seed])
    rows, columns = X.nonzero()
    logs = spread * rng.standard_normal(X.nnz)
    logs += (of_customers * rng.standard_normal(X.shape[0]))[rows]
    logs += (of_items * rng.standard_normal(X.shape[1]))[columns]
    return csr_array((np.ceil(np.exp(logs)), (rows, columns)), shape=X.shape)


def draw_values(kind, shape, rng):
    """Return stars from 1 to 5, or counts with a heavy tail; both say nothing of the segment."""
    if kind == "stars":
        return rng.integers(1, 6, shape).astype(float)
    return np.ceil(np.exp(1.5 * rng.standard_normal(shape)))
