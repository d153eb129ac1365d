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
from collections.abc import Iterator
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
    "wide": (30_000, 100_000, 3_000_000),
    "movielens-25m": (162_541, 59_047, 25_000_000),
    "many-customers": (3_000_000, 20_000, 25_000_000),
    "few-items": (2_000_000, 500, 25_000_000),
    "many-items": (500_000, 1_000_000, 25_000_000),
    "50m": (325_082, 59_047, 50_000_000),
    "netflix": (480_189, 17_770, 100_000_000),
}
OWN = 0.5  # the share of draws from the own segment's favourites
_VERSION = 2  # of the bytes that a choice gives
_DRAWS = 1 << 22  # draws made at a time; their number is a multiple of this
_ROWS = 1 << 20  # rows valued or written at a time
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
        return f"{sizes}-{self.values}-{self.ids}-{self.order}-{self.seed}-v{_VERSION}"


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
    """Return distinct pairs, sorted by customer and item; each customer and item has one or more.

    Pairs are drawn with repeats until there are enough distinct ones; of those in excess, random
    ones are dropped. It takes about 12 bytes of memory for each interaction.
    """
    n, m, total = plan.n_customers, plan.n_items, plan.n_interactions
    if not n + m <= total <= n * m // 4:
        msg = f"{n:,} × {m:,} take {n + m:,} interactions to a quarter of the pairs, not {total:,}"
        raise ValueError(msg)
    rng = np.random.default_rng(plan.seed)
    shares = rng.dirichlet(np.full(plan.n_segments, 5.0))
    segments = rng.choice(plan.n_segments, n, p=shares).astype(np.int16)
    activity = rng.lognormal(0.0, 1.0, n) + 0.1
    activity /= activity.sum()
    orders = np.array([rng.permutation(m) for _ in range(plan.n_segments + 1)], dtype=np.int32)
    rank_by_segment = np.argsort(orders, axis=1).astype(np.int32)

    n_draws = _draws_for(total, activity, rank_by_segment)
    blocks = _draw(n_draws, activity, segments, orders, rng)
    while sum(len(block.keys) for block in blocks) < total:
        n_draws += _DRAWS
        blocks = _draw(n_draws, activity, segments, orders, rng)

    customers, items = np.empty(total, np.int32), np.empty(total, np.int32)
    spare = sum(len(block.keys) - len(block.needed) for block in blocks)
    surplus = sum(len(block.keys) for block in blocks) - total
    end = 0
    for block in _emptied(blocks):
        free = np.delete(np.arange(len(block.keys)), np.searchsorted(block.keys, block.needed))
        # As many of the block's as a draw of the surplus from all blocks at once would drop.
        dropped = int(rng.hypergeometric(surplus, spare - surplus, len(free)))
        spare, surplus = spare - len(free), surplus - dropped
        keys = np.delete(block.keys, rng.choice(free, dropped, replace=False, shuffle=False))
        start, end = end, end + len(keys)
        np.floor_divide(keys, m, out=customers[start:end], casting="unsafe")
        np.remainder(keys, m, out=items[start:end], casting="unsafe")
        customers[start:end] += block.first
    values = np.empty(total, np.float32)
    for start in range(0, total, _ROWS):
        part = slice(start, start + _ROWS)
        liked = rank_by_segment[segments[customers[part]], items[part]] < m // 10
        values[part] = _values(plan.values, liked, rng)
    return Planted(customers, items, values, segments)


@dataclass(frozen=True)
class _Block:
    """Distinct pairs of consecutive customers.

    Attributes
    ----------
    first : the first customer
    keys : sorted uint32 ndarray, (customer - first) * n_items + item
    needed : those of the keys by which each customer and item has one
    """

    first: int
    keys: np.ndarray
    needed: np.ndarray


def _draw(
    n_draws: int,
    activity: np.ndarray,
    segments: np.ndarray,
    orders: np.ndarray,
    rng: np.random.Generator,
) -> list[_Block]:
    """Return what is distinct of so many draws, and a pair for each customer and for each item.

    A draw takes a customer by activity (it sums to 1) and an item that is popular with the
    customer's segment or with all; ``orders`` has items by falling popularity, a row for each
    segment and one for all.
    """
    n, (everyone, m) = len(activity), (len(orders) - 1, orders.shape[1])
    popular = orders.ravel()

    def draw(customers: np.ndarray) -> np.ndarray:
        size = len(customers)
        own = rng.random(size, dtype=np.float32) < OWN
        # Zipf with a shoulder: rank r is drawn in proportion to about 1 / (r + m / 100).
        ranks = (m / 100 * (np.exp(np.log(101.0) * rng.random(size)) - 1)).astype(np.int64)
        rows = np.where(own, segments[customers], everyone).astype(np.int64)
        return popular[rows * m + ranks.clip(max=m - 1)]

    counts = rng.multinomial(n_draws, activity)
    # What a customer has at least is drawn as by anyone, so that it says nothing of the segment.
    given = draw(rng.choice(n, n, p=activity))
    takers = rng.integers(0, n, m)  # a customer for each item
    by_taker = np.argsort(takers, kind="stable")
    step = max(min(n * _DRAWS // n_draws, (1 << 32) // m), 1)  # keys fit 32 bits
    blocks = []
    for first in range(0, n, step):
        block = np.arange(first, min(first + step, n))
        low, high = np.searchsorted(takers, [first, first + step], sorter=by_taker)
        taken = by_taker[low:high]
        needed = _distinct(
            np.concatenate([block, takers[taken]]), np.concatenate([given[block], taken]), first, m
        )
        customers = np.repeat(block, counts[block])
        keys = _distinct(customers, draw(customers), first, m)
        blocks.append(_Block(first, _sorted_unique(np.concatenate([keys, needed])), needed))
    return blocks


def _distinct(customers: np.ndarray, items: np.ndarray, first: int, m: int) -> np.ndarray:
    return _sorted_unique(((customers - first) * m + items).astype(np.uint32))


def _sorted_unique(keys: np.ndarray) -> np.ndarray:
    keys.sort()  # many times as fast as np.unique, which hashes
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])]


def _emptied(blocks: list[_Block]) -> Iterator[_Block]:
    """Yield the blocks in order and forget each, so that its memory is free."""
    blocks.reverse()
    while blocks:
        yield blocks.pop()


def _draws_for(total: int, activity: np.ndarray, rank_by_segment: np.ndarray) -> int:
    """Return the least multiple of ``_DRAWS`` expected to hit ``total`` distinct pairs or more."""
    m = rank_by_segment.shape[1]
    by_rank = np.diff(np.log1p(np.arange(m + 1) * (100 / m))) / np.log(101.0)
    # All segments' items are as unequal as the first's.
    shares = OWN * by_rank[rank_by_segment[0]] + (1 - OWN) * by_rank[rank_by_segment[-1]]
    draws = np.geomspace(1e-3, 1e9, 500)
    distinct = [-np.expm1(-count * shares).sum() for count in draws]
    n_draws = -(-total // _DRAWS) * _DRAWS
    while np.interp(np.log(n_draws * activity), np.log(draws), distinct).sum() < total:
        n_draws += _DRAWS
    return n_draws


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
    order = None
    if plan.order == "shuffled":
        order = np.arange(plan.n_interactions, dtype=np.uint32)
        rng.shuffle(order)
    unit, decimals = (0.5, 1) if plan.values == "stars" else (1.0, 0)
    amounts = np.arange(planted.values.max() / unit + 1) * unit
    texts = [
        pa.array(customers).cast(pa.string()),
        pa.array(items).cast(pa.string()),
        pa.array([f"{amount:.{decimals}f}" for amount in amounts]),
    ]
    schema = pa.schema([(name, pa.string()) for name in ("customer", "item", "value")])
    plain = pacsv.WriteOptions(include_header=False, quoting_style="none")
    with (folder / "interactions.csv").open("wb") as file:
        file.write(b"customer,item,value\n")
        with pacsv.CSVWriter(file, schema, write_options=plain) as writer:
            for start in range(0, plan.n_interactions, _ROWS):
                part = slice(start, start + _ROWS)
                rows = part if order is None else order[part]
                codes = [
                    planted.customers[rows],
                    planted.items[rows],
                    (planted.values[rows] / unit).astype(np.int32),
                ]
                arrays = [t.take(pa.array(c)) for t, c in zip(texts, codes, strict=True)]
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
