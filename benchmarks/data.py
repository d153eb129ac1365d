"""Planted data of any size: customers in known segments, popular and rare items, stars or counts.

    python benchmarks/data.py --size movielens-25m --ids string --order shuffled

Prints the folder. It holds ``interactions.csv`` (customer, item, value) and ``truth.csv`` (customer,
segment), and is made only once: in ``--cache``, or where ``SEGCLI_BENCH_DATA`` says, by default
``segcli-bench`` in the folder for temporary files. The same choice gives the same bytes.

Activity is log-normal; a popularity of Zipf's kind holds within each segment, and a customer draws
from the own segment's favourites or, else, from everyone's. Pairs are distinct.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

#: Customers, items and interactions.
SIZES = {
    "small": (2_000, 1_000, 60_000),
    "movielens-1m": (6_040, 3_706, 1_000_000),
    "2m": (40_000, 20_000, 2_000_000),
    "5m": (60_000, 30_000, 5_000_000),
    "movielens-25m": (162_541, 59_047, 25_000_000),
    "50m": (325_082, 59_047, 50_000_000),
    "netflix": (480_189, 17_770, 100_000_000),
}
OWN = 0.5  # the share of draws from the own segment's favourites
_DRAWS = 1 << 22
_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Plan:
    """What to plant.

    Attributes
    ----------
    values : ``stars`` (0.5 to 5; higher for the own segment's items) or ``counts`` (heavy-tailed)
    ids : ``integer`` or ``string`` (14 letters and digits)
    order : of the rows: ``sorted`` by customer and item, or ``shuffled``
    """

    n_customers: int
    n_items: int
    n_interactions: int
    n_segments: int = 12
    values: str = "stars"
    ids: str = "integer"
    order: str = "sorted"
    seed: int = 0

    @property
    def name(self) -> str:
        """The folder's name."""
        sizes = f"{self.n_customers}x{self.n_items}x{self.n_interactions}x{self.n_segments}"
        return f"{sizes}-{self.values}-{self.ids}-{self.order}-{self.seed}"


@dataclass(frozen=True)
class Planted:
    """Interactions, and the truth behind them.

    Attributes
    ----------
    customers, items : int32 ndarrays of shape (n_interactions,)
    values : float32 ndarray of shape (n_interactions,)
    segments : int16 ndarray of shape (n_customers,)
    """

    customers: np.ndarray
    items: np.ndarray
    values: np.ndarray
    segments: np.ndarray


def plant(plan: Plan) -> Planted:
    """Return distinct pairs, sorted by customer and item; each customer and item has one or more."""
    n, m, total = plan.n_customers, plan.n_items, plan.n_interactions
    if not max(n, m) <= total <= n * m // 4:
        msg = f"{total:,} interactions do not fit {n:,} × {m:,}: a quarter of the pairs at most"
        raise ValueError(msg)
    rng = np.random.default_rng(plan.seed)
    shares = rng.dirichlet(np.full(plan.n_segments, 5.0))
    segments = rng.choice(plan.n_segments, n, p=shares).astype(np.int16)
    activity = np.cumsum(rng.lognormal(0.0, 1.0, n) + 0.1)
    orders = np.array([rng.permutation(m) for _ in range(plan.n_segments + 1)], dtype=np.int32)

    def draw(size: int) -> np.ndarray:
        customers = np.searchsorted(activity, rng.random(size) * activity[-1]).clip(max=n - 1)
        own = np.where(rng.random(size) < OWN, segments[customers], plan.n_segments)
        # Zipf with a shoulder: rank r is drawn in proportion to about 1 / (r + m / 100).
        ranks = m / 100 * (101.0 ** rng.random(size) - 1)
        return customers * m + orders[own, ranks.astype(np.int64).clip(max=m - 1)]

    once = [np.arange(n) * m + draw(n) % m, rng.integers(0, n, m) * m + np.arange(m)]
    keys = np.unique(np.concatenate(once))
    needed = len(keys)
    base = keys
    while len(keys) < total:
        parts = [draw(_DRAWS) for _ in range(1 + (total - len(keys)) // _DRAWS)]
        keys = np.unique(np.concatenate([keys, *parts]))
    surplus = len(keys) - total
    spare = np.setdiff1d(rng.choice(len(keys), surplus + needed, replace=False),
                         np.searchsorted(keys, base))  # fmt: skip
    keys = np.delete(keys, rng.permutation(spare)[:surplus])
    customers, items = (part.astype(np.int32) for part in np.divmod(keys, m))
    rank_by_segment = np.argsort(orders, axis=1).astype(np.int32)
    liked = rank_by_segment[segments[customers], items] < m // 10
    values = _values(plan.values, liked, rng)
    return Planted(customers, items, values, segments)


def _values(kind: str, liked: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(len(liked), dtype=np.float32)
    if kind == "stars":
        stars = np.rint(2 * (np.where(liked, 4.0, 3.2).astype(np.float32) + noise)) / 2
        return stars.clip(0.5, 5.0)
    counts: np.ndarray = np.exp(np.where(liked, 3.0, 1.5).astype(np.float32) + 1.5 * noise)
    return np.ceil(counts)


def make(plan: Plan, cache: Path | None = None) -> Path:
    """Return the folder of a plan's files, made if it is not there."""
    folder = (cache or default_cache()) / plan.name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    pending = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        _write(plan, plant(plan), pending)
        pending.rename(folder)
    finally:
        shutil.rmtree(pending, ignore_errors=True)
    return folder


def default_cache() -> Path:
    """Return the folder that data are kept in."""
    return Path(os.environ.get("SEGCLI_BENCH_DATA") or Path(tempfile.gettempdir()) / "segcli-bench")


def _write(plan: Plan, planted: Planted, folder: Path) -> None:
    rng = np.random.default_rng(plan.seed + 1)
    if plan.ids == "integer":
        # As in MovieLens: every customer number is used, of the item numbers about a quarter.
        customers = np.arange(1, plan.n_customers + 1)
        items = np.sort(rng.choice(plan.n_items * 7 // 2, plan.n_items, replace=False)) + 1
    else:
        customers = _names(plan.n_customers, 1)
        items = _names(plan.n_items, 2)
    order = slice(None) if plan.order == "sorted" else rng.permutation(plan.n_interactions)
    texts, codes = np.unique(planted.values, return_inverse=True)
    stars = plan.values == "stars"
    written = pa.array([f"{v:.1f}" if stars else f"{v:.0f}" for v in texts])
    columns = [
        (pa.array(customers), planted.customers[order]),
        (pa.array(items), planted.items[order]),
        (written, codes.astype(np.int32)[order]),
    ]
    schema = pa.schema(
        [
            (name, c.type)
            for name, (c, _) in zip(("customer", "item", "value"), columns, strict=True)
        ]
    )
    plain = pacsv.WriteOptions(include_header=False, quoting_style="none")
    with (folder / "interactions.csv").open("wb") as file:
        file.write(b"customer,item,value\n")
        with pacsv.CSVWriter(file, schema, write_options=plain) as writer:
            for start in range(0, plan.n_interactions, 1 << 20):
                part = slice(start, start + (1 << 20))
                arrays = [texts.take(pa.array(codes[part])) for texts, codes in columns]
                writer.write(pa.record_batch(arrays, schema=schema))
    truth = pa.table({"customer": customers, "segment": planted.segments})
    pacsv.write_csv(truth, folder / "truth.csv")


def _names(n: int, salt: int) -> list[str]:
    """Return distinct ids of 14 letters and digits in no order."""
    mixed = (np.arange(n, dtype=np.uint64) + np.uint64(salt << 40)) * np.uint64(_GOLDEN)
    return [f"A{np.base_repr(int(value), 36):0>13}" for value in mixed]


def main() -> None:
    """Make what the command line asks for; print its folder."""
    command = argparse.ArgumentParser(
        description="Make planted data; print the folder.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--size", choices=SIZES, default="small")
    command.add_argument("--segments", type=int, default=12)
    command.add_argument("--values", choices=["stars", "counts"], default="stars")
    command.add_argument("--ids", choices=["integer", "string"], default="integer")
    command.add_argument("--order", choices=["sorted", "shuffled"], default="sorted")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--cache", type=Path, help="the folder to keep data in")
    o = command.parse_args()
    plan = Plan(*SIZES[o.size], o.segments, o.values, o.ids, o.order, o.seed)
    print(make(plan, o.cache))


if __name__ == "__main__":
    main()
