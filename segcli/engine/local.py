"""The default engine: this machine, its threads, blocks that are views of one matrix in memory.

The rows are cut by content alone and BLAS is held to one thread, so the number of threads changes no
bit of a result. Threads pay because scipy's sparse kernels and BLAS release the interpreter lock.
Tasks are many small steps that hold it, so they run in processes of their own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from segcli import progress
from segcli.cores import n_cores
from segcli.engine.blocks import Arrays, Block, Blocks, Result
from segcli.engine.memory import available_memory
from segcli.engine.rows import Matrix, revalued, row_range, sparse_part
from segcli.engine.sums import add_blocks
from segcli.errors import ResourceError

BLOCK_ENTRIES = 1 << 18
"""Stored entries per block, at most: few enough to stay in the cache, enough to outweigh the call."""

ENTRIES_PER_COLUMN = 16
"""A block function may return an array per column: this many entries per column keep that cheap."""

LONG = 4.0
"""Seconds of work from which on processes are started for it, which takes one or two."""

SURELY_LONG = 1.0
"""Seconds: if a task is expected to take so long, processes are started without timing the first one."""

PROCESS = 200_000_000
"""Bytes that have to be free for each process besides what its tasks need: for libraries, and to spare."""


_KILLED = (
    "a process that gathered evidence was killed, as systems do where memory is short. Run it again with "
    "--threads 1, which starts none, or with less --evidence, or with more memory."
)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread: its sums would depend on how many, and blocks keep all cores busy."""
    with threadpool_limits(1, user_api="blas"):
        yield


@dataclass(frozen=True)
class LocalEngine:
    """Map over blocks on ``n_threads`` threads (one per core that it may use if None)."""

    n_threads: int | None = None
    block_entries: int = BLOCK_ENTRIES

    @property
    def holds_matrix(self) -> bool:
        """Whether a matrix has to fit into this process's memory: it does."""
        return True

    def blocks(self, matrix: Matrix) -> Blocks:
        """Return ``matrix`` as blocks, cut by `cut`."""
        return LocalBlocks(matrix, cut(matrix, self.block_entries), self.n_threads or n_cores())

    def run_tasks(
        self,
        tasks: Sequence[Callable[[], Result]],
        what: str,
        *,
        seconds: float = 0,
        room: int = 0,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Result]:
        """Return what each task returns, in order: long ones in processes, else one after another.

        No more processes are started than have room.

        Raises
        ------
        ResourceError
            If a process was killed.
        """
        results: list[Result] = []
        for result in self._run(tasks, seconds, room, meanwhile):
            results.append(result)
            progress.report(what, len(results), len(tasks))
        return results

    def _run(
        self,
        tasks: Sequence[Callable[[], Result]],
        seconds: float,
        room: int,
        meanwhile: Callable[[], object] | None,
    ) -> Iterator[Result]:
        n_threads, rest = self.n_threads or n_cores(), tasks
        # In `segcli run` an earlier stage may have started processes: those wait for more.
        if n_threads > 1 and seconds < SURELY_LONG and not _have_started.is_set():
            begun = time.monotonic()
            yield from map(alone, tasks[:1])
            rest = tasks[1:]
            if (time.monotonic() - begun) * len(rest) < LONG:
                n_threads = 1
        n_processes = min(n_threads, len(rest), available_memory() // (PROCESS + room))
        if n_processes <= 1 or not _can_start_processes():
            if meanwhile is not None:
                meanwhile()
            yield from map(alone, rest)
        else:
            yield from _in_processes(rest, n_processes, meanwhile)


@dataclass(frozen=True)
class LocalBlocks:
    """Row blocks of a matrix in this process's memory."""

    matrix: Matrix
    bounds: tuple[int, ...]
    n_threads: int

    @property
    def shape(self) -> tuple[int, int]:
        """(n_customers, n_columns)."""
        return self.matrix.shape

    def map_sum(self, function: Callable[..., Arrays], *args: Any) -> Arrays:
        """Return the sums of the blocks' arrays, in the order of `segcli.engine.sums`."""
        return add_blocks(self._map(function, args)).total()

    def map_rows(self, function: Callable[..., Arrays], *args: Any) -> Arrays:
        """Return the blocks' arrays, stacked in row order; only a few are held beside the stack.

        Their type is the first block's. A later one that it cannot hold is refused: no value is cut.
        """
        parts = self._map(function, args)
        stacks: Arrays = ()
        for (start, stop), arrays in zip(pairwise(self.bounds), parts, strict=True):
            if not stacks:
                n_rows = self.bounds[-1]
                stacks = tuple(np.empty((n_rows, *part.shape[1:]), part.dtype) for part in arrays)
            for stack, part in zip(stacks, arrays, strict=True):
                np.copyto(stack[start:stop], part, casting="safe")
        return stacks

    def transform(self, function: Callable[..., Matrix], *args: Any) -> Blocks:
        """Return the transformed matrix, computed now; it keeps nothing but its values."""
        whole = revalued(self.matrix, self._map(function, args))
        return LocalBlocks(whole, self.bounds, self.n_threads)

    def take(self, rows: np.ndarray) -> Matrix:
        """Return the rows at the given positions."""
        return self.matrix[rows]

    def _map(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Iterator[Any]:
        def call(start: int, stop: int) -> Any:
            return function(Block(start, stop, row_range(self.matrix, start, stop)), *args)

        spans = list(pairwise(self.bounds))
        if self.n_threads == 1 or len(spans) == 1:
            yield from (call(*span) for span in spans)
            return
        pool = _threads(self.n_threads)
        # Keep only a few results ahead of the one being added: memory stays flat.
        todo = iter(spans)
        ahead = [pool.submit(call, *s) for s in islice(todo, 2 * self.n_threads)]
        try:
            while ahead:
                yield ahead.pop(0).result()
                ahead.extend(pool.submit(call, *s) for s in islice(todo, 1))
        finally:  # after an error: the threads go on to other work, and not to what is left of this
            wait([future for future in ahead if not future.cancel()])


@cache
def _threads(n: int) -> ThreadPoolExecutor:
    """Return threads that stay: to start them takes as long as a block of a small matrix."""
    return ThreadPoolExecutor(n)


_have_started = threading.Event()

ONE_THREAD = LocalEngine(n_threads=1)
"""All in this process, one thing after another."""


def alone(task: Callable[[], Result]) -> Result:
    """Run a task as it would run in a process of its own: unheard, on one thread."""
    with progress.unheard(), single_threaded_blas():
        return task()


def _in_processes(
    tasks: Sequence[Callable[[], Result]],
    n_processes: int,
    meanwhile: Callable[[], object] | None,
) -> Iterator[Result]:
    """Yield what each task returns, in order; the rest is as `LocalEngine.run_tasks` says."""
    # Only here: most commands start no process.
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415

    import joblib  # noqa: PLC0415

    _have_started.set()
    parallel = joblib.Parallel(n_jobs=n_processes, return_as="generator")
    with warnings.catch_warnings():
        # joblib replaces a process that has grown, and warns as if that were a fault; and of what is
        # left undone after an error.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        warnings.filterwarnings(
            "ignore", "[0-9]+ tasks (which were still|have been successfully)", UserWarning
        )
        with _deaf_to_interrupts():
            found = parallel(joblib.delayed(_in_process)(task, os.getpid()) for task in tasks)
        with _deaf_to_dropped_tasks(), closing(found):
            if meanwhile is not None:
                meanwhile()
            try:
                yield from found
            except BrokenProcessPool as error:
                raise ResourceError(_KILLED) from error


@contextmanager
def _deaf_to_dropped_tasks() -> Iterator[None]:
    """Let joblib's thread say nothing where it trips over a task on its way, as all are dropped.

    That is after an error or Ctrl-C, which is told as it is; the thread would write a traceback too.
    """
    say = threading.excepthook

    def say_what_is_ours(error: threading.ExceptHookArgs) -> None:
        is_joblibs = error.thread is not None and error.thread.name == "ExecutorManagerThread"
        if not (is_joblibs and issubclass(error.exc_type, KeyError)):
            say(error)

    threading.excepthook = say_what_is_ours
    try:
        yield
    finally:
        threading.excepthook = say


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C within the block, and let processes that are started there ignore it for ever.

    They end with the one that they work for, and would write tracebacks on the way. Blocking the
    signal instead, so that none is lost here, does not do: loky unblocks it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is None:  # a handler that cannot be set again
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _can_start_processes() -> bool:
    """Return whether joblib can start any: where ``/dev/shm`` is absent, or full, there are no semaphores.

    Joblib would then run here what is meant for other processes, and is to end with the one it works for.
    """
    import joblib  # noqa: PLC0415 (most commands start no process)

    return bool(joblib.effective_n_jobs(2) > 1)


def _in_process(task: Callable[[], Result], parent: int) -> Result:
    """Run a task in a process that ends with the one that it works for, even if that is killed."""
    _end_with(parent)
    return alone(task)


@cache
def _end_with(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def cut(matrix: Matrix, block_entries: int) -> tuple[int, ...]:
    """Return row positions that cut a matrix into blocks of about equal numbers of entries.

    They depend on the content alone. Blocks have ``block_entries`` at most, or, if that is more,
    `ENTRIES_PER_COLUMN` for each column; and no fewer than half of it, but for a matrix that has fewer.
    A row is not cut, so both hold within one row.
    """
    block_entries = max(block_entries, ENTRIES_PER_COLUMN * matrix.shape[1])
    n_rows = matrix.shape[0]
    if isinstance(matrix, np.ndarray):
        ends = np.arange(n_rows + 1, dtype=np.int64) * matrix.shape[1]
    else:
        ends = np.asarray(sparse_part(matrix).indptr, dtype=np.int64)
    n_blocks = max(1, -(-int(ends[-1]) // block_entries))
    targets = np.linspace(0, ends[-1], n_blocks + 1)[1:-1]
    cuts = np.searchsorted(ends, targets)
    return tuple(np.unique(np.concatenate([[0], cuts, [n_rows]])).tolist())
