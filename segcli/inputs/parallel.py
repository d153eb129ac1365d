"""Work on parts in threads, and take the results in the order of the parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from segcli.cores import n_cores

S = TypeVar("S")
T = TypeVar("T")

_MOST = 4  # more wait for memory, and each thread holds a block


@dataclass(frozen=True)
class Threads:
    """Some threads. Made by :func:`open_threads`."""

    n: int
    pool: ThreadPoolExecutor

    def map(self, work: Callable[[S], T], parts: Iterable[S]) -> Iterator[T]:
        """Yield ``work(part)`` of each part; parts are taken only a few ahead of the results."""
        waiting: deque[Future[T]] = deque()
        for part in parts:
            waiting.append(self.pool.submit(work, part))
            del part  # it may be large
            if len(waiting) > self.n:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def open_threads() -> Iterator[Threads]:
    """Open a thread for each processor that may be used, up to four."""
    n = min(n_cores(), _MOST)
    pool = ThreadPoolExecutor(n)
    try:
        yield Threads(n, pool)
    finally:
        pool.shutdown(cancel_futures=True)
