"""The engine for data that one machine cannot hold: Apache Spark.

Spark schedules and survives lost workers; the arithmetic is the local engine's, on the same blocks,
added in the same order, so that the results have the same bits. Blocks lie in files on storage that
every worker mounts: in the run directory's matrix itself, or in a folder beside it that is removed in
the end. A pass is a table of task numbers that Spark hands out; a task reads its blocks from the
files, and large results come back by way of files too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from segcli import progress
from segcli.engine.blocks import Blocks, Result
from segcli.engine.local import BLOCK_ENTRIES, LONG, SURELY_LONG, LocalEngine, alone, cut
from segcli.engine.places import entries, lay_out
from segcli.engine.rows import Matrix
from segcli.engine.scratch import FOLDER, Scratch, Writer, loads, place_of
from segcli.engine.session import (
    explain,
    open_session,
    quiet,
    raise_lost_interrupt,
    reason_of,
    require_pyspark,
    spark_errors,
)
from segcli.engine.spark_blocks import SparkBlocks
from segcli.engine.worker import (
    ANSWERS,
    Failure,
    FileWork,
    KeyedRows,
    Order,
    Work,
    answer_files,
    answer_ranges,
    answer_tasks,
    not_shared,
    source_rows,
    version,
)
from segcli.errors import InputError, ResourceError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DEFAULT_MASTER = "local[*]"

IDLE_SECONDS = 90.0
"""How long a cluster may have tasks and no worker at any of them before it is given up."""

HERE_ENTRIES = 1 << 22
"""Stored entries up to which a matrix in memory, such as scores, is mapped over here, not sent out."""

_PACKAGES = {
    "s3a": "org.apache.hadoop:hadoop-aws:{hadoop}",
    "abfs": "org.apache.hadoop:hadoop-azure:{hadoop}",
    "abfss": "org.apache.hadoop:hadoop-azure:{hadoop}",
    "gs": "com.google.cloud.bigdataoss:gcs-connector:VERSION",
}
"""What Spark lacks as it comes, by the scheme of URLs; some packages go by the version of Hadoop."""

_TELL_SECONDS = 0.1
_LOOK_SECONDS = 5.0


@dataclass
class SparkEngine:
    """Map over blocks on the workers of a Spark cluster, or on this machine's cores.

    Spark starts with the first blocks or tasks. Close the engine to stop it and to remove what it
    left in the run directory.

    Attributes
    ----------
    master : URL of the cluster; ``local[*]`` for this machine's cores
    folder : the run directory, on storage that every worker mounts at the same path
    n_partitions : tasks per pass; None: one per core of the cluster. The result does not depend on it
    block_entries : as of the local engine: sums have the same bits only if this is the same
    here_entries : up to so many stored entries, a matrix that this process holds is not sent out
    n_bytes_received : the arrays of all passes so far that came to this process
    """

    master: str
    folder: Path
    n_partitions: int | None = None
    block_entries: int = BLOCK_ENTRIES
    here_entries: int = HERE_ENTRIES
    n_bytes_received: int = 0
    _open: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        require_pyspark()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop Spark, if it was started, and remove the folder in the run directory."""
        self._open.close()

    @cached_property
    def session(self) -> SparkSession:
        """The Spark session, started when it is first asked for."""
        return self._open.enter_context(open_session(self.master))

    @cached_property
    def scratch(self) -> Scratch:
        """Where arrays pass between processes; whatever a killed command left there is removed."""
        scratch = Scratch(self.folder.resolve() / FOLDER)
        scratch.remove()
        self._open.callback(scratch.remove)
        return scratch

    @property
    def holds_matrix(self) -> bool:
        """Whether a matrix has to fit into this process's memory: it lies in files."""
        return False

    @property
    def n_tasks(self) -> int:
        """Into how many tasks a pass is cut."""
        return self.n_partitions or int(self.session.sparkContext.defaultParallelism)

    def blocks(self, matrix: Matrix) -> Blocks:
        """Return ``matrix`` as the blocks that the local engine would cut.

        One that is mapped from a file is read there by the workers; any other is written to files
        first, or, if it is small, stays here.
        """
        stored = entries(matrix)
        if place_of(stored) is None and stored.size <= self.here_entries:
            return LocalEngine(block_entries=self.block_entries).blocks(matrix)
        self.session  # noqa: B018 (its errors first, before anything is written)
        place = lay_out(matrix, self.scratch)
        return SparkBlocks(place, cut(matrix, self.block_entries), self)

    def run_tasks(
        self,
        tasks: Sequence[Callable[[], Result]],
        what: str,
        *,
        seconds: float = 0,
        room: int = 0,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Result]:
        """Return what each task returns, in order: long ones on the cluster, else here.

        What is to be done ``meanwhile`` comes first: most of it may be work for the cluster too. How much
        room a worker has is Spark's to know.
        """
        if meanwhile is not None:
            meanwhile()

        results: list[Result] = []

        def tell(n: int) -> None:
            progress.report(what, n, len(tasks))

        def run_here(some: Sequence[Callable[[], Result]]) -> None:
            for task in some:
                results.append(alone(task))
                tell(len(results))

        if seconds < SURELY_LONG:
            begun = time.monotonic()
            run_here(tasks[:1])
            if (time.monotonic() - begun) * len(tasks[1:]) < LONG:
                run_here(tasks[1:])
                return results
        work = _Tasks(tuple(tasks[len(results) :]))
        with self.collecting(work, len(work.tasks), lambda n: tell(len(results) + n)) as found:
            return results + found

    def collecting(
        self,
        work: Work,
        n_tasks: int,
        tell: Callable[[int], None] | None = None,
        *,
        copied: bool = True,
    ) -> AbstractContextManager[list[Any]]:
        """Return a context that holds the results of ``work`` for task 0, 1, …, in order.

        Unless they are ``copied``, large arrays in them are mapped from files that are gone once
        the context is left.

        Parameters
        ----------
        work : what to do
        n_tasks : how often
        tell : called with the number of tasks done, whenever it has grown

        Raises
        ------
        ResourceError
            If the cluster cannot do it: no worker takes a task, the package or the storage is
            missing there, workers are lost again and again.
        """

        def table(message: bytes) -> DataFrame:
            return self._numbers(n_tasks).mapInArrow(partial(answer_tasks, message), ANSWERS)

        return self._collected(work, table, n_tasks, tell=tell, copied=copied)

    def collecting_ranges(
        self, source: KeyedRows, n_tasks: int, n_ranges: int
    ) -> AbstractContextManager[list[Any]]:
        """Return a context that holds what is made of ranges of keys, in the order of keys.

        The rows of ``source`` are sorted by their key, the bytes of its UTF-8; rows of equal keys
        come together, in any order.

        Parameters
        ----------
        source : where rows come from, and what to make of them
        n_tasks : how many parts the source has
        n_ranges : into how many ranges of about equal numbers of rows to cut the keys; a range
            may be empty, and then nothing is made of it
        """

        def table(message: bytes) -> DataFrame:
            rows = self._numbers(n_tasks).mapInArrow(partial(source_rows, message), source.schema)
            ranges = rows.repartitionByRange(n_ranges, "key").sortWithinPartitions("key")
            return ranges.mapInArrow(partial(answer_ranges, message), ANSWERS)

        return self._collected(source, table, n_ranges)

    def collecting_files(
        self, work: FileWork, paths: Sequence[str]
    ) -> AbstractContextManager[list[Any]]:
        """Return a context that holds the results of ``work`` for files at URLs, in order.

        Spark opens them, each as a whole and less than 2 GB.
        """
        numbers = {path: number for number, path in enumerate(paths)}

        def table(message: bytes) -> DataFrame:
            files = self.session.read.format("binaryFile").load(
                [_as_pattern(path) for path in paths]
            )
            contents = files.select("path", "content")
            return contents.mapInArrow(partial(answer_files, message, numbers), ANSWERS)

        return self._collected(work, table, len(paths))

    def list_files(self, url: str) -> list[str]:
        """Return the paths of the files under a URL, sorted: none that are empty, few that are hidden.

        What links lead to is among them as often as Hadoop meets it.

        Raises
        ------
        InputError
            If Spark cannot list them.
        """
        try:
            files = self.session.read.format("binaryFile").option("recursiveFileLookup", "true")
            rows = files.load(url).select("path").collect()
        except spark_errors() as error:
            msg = f"{url} cannot be read: {reason_of(error)}"
            if "FileSystem" in msg:
                msg += (
                    ". Give Spark the package for such URLs: "
                    f"PYSPARK_SUBMIT_ARGS='--packages {self._package_for(url)} pyspark-shell'."
                )
            raise InputError(msg) from error
        return sorted(row.path for row in rows)

    def is_folder(self, url: str) -> bool:
        """Return whether a URL is of a folder; False if that cannot be told."""
        context: Any = self.session.sparkContext
        try:
            path = context._jvm.org.apache.hadoop.fs.Path(url)
            files = path.getFileSystem(context._jsc.hadoopConfiguration())
            return bool(files.getFileStatus(path).isDirectory())
        except spark_errors():
            return False

    def _package_for(self, url: str) -> str:
        """Return what Maven calls the package that opens such URLs."""
        package = _PACKAGES.get(url.partition("://")[0], "GROUP:NAME:VERSION")
        java: Any = self.session.sparkContext._jvm
        return package.format(hadoop=java.org.apache.hadoop.util.VersionInfo.getVersion())

    def _numbers(self, n: int) -> DataFrame:
        return self.session.range(0, n, 1, n)

    @contextmanager
    def _collected(
        self,
        work: Any,
        table: Callable[[bytes], DataFrame],
        n_tasks: int,
        *,
        tell: Callable[[int], None] | None = None,
        copied: bool = True,
    ) -> Iterator[list[Any]]:
        """Yield the answers that Spark fills a table with, once it is told the message, in order."""
        scratch = self.scratch.subfolder()
        try:
            message = Writer(scratch).dumps(Order(work, scratch, version()))
            try:
                with quiet():
                    answering = table(message)
            except spark_errors() as error:
                raise explain(error, self.master) from error
            rows = self._collect(answering, n_tasks, tell)
            rows.sort(key=lambda row: int(row.number))
            with self.using_storage():
                answers = [loads(bytes(row.answer), copied=copied) for row in rows]
            for answer in answers:
                if isinstance(answer, Failure):
                    raise answer.error
            yield answers
        finally:
            scratch.remove()

    @contextmanager
    def using_storage(self) -> Iterator[None]:
        """Say that it is not shared, if what workers wrote is not there for the block to read.

        Raises
        ------
        ResourceError
        """
        try:
            yield
        except OSError as error:
            raise not_shared(error, self.master) from error

    def _collect(self, table: Any, n_tasks: int, tell: Callable[[int], None] | None) -> list[Any]:
        """Return a table's rows; meanwhile tell of the tasks done, and do not wait for ever."""
        raise_lost_interrupt()
        context = self.session.sparkContext
        tracker, group = context.statusTracker(), f"segcli-{time.monotonic_ns()}"

        def collect() -> list[Any]:
            context.setJobGroup(group, "segcli", interruptOnCancel=True)
            return table.collect()  # type: ignore[no-any-return]

        n_done, busy = 0, time.monotonic()
        done: Future[list[Any]] = self._thread.submit(collect)
        try:
            while not _ended(done, _LOOK_SECONDS if tell is None else _TELL_SECONDS):
                for stage in _stages(tracker, group):
                    if stage.numActiveTasks:
                        busy = time.monotonic()
                    while tell is not None and n_done < min(stage.numCompletedTasks, n_tasks - 1):
                        n_done += 1
                        tell(n_done)
                if time.monotonic() - busy > IDLE_SECONDS:
                    raise _nobody_works(self.master)
            rows = done.result()
        except spark_errors() as error:
            raise explain(error, self.master) from error
        except BaseException:
            context.cancelJobGroup(group)
            raise
        while tell is not None and n_done < n_tasks:
            n_done += 1
            tell(n_done)
        return rows

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return self._open.enter_context(ThreadPoolExecutor(1))


@dataclass(frozen=True)
class _Tasks:
    tasks: tuple[Callable[[], Any], ...]

    def run(self, number: int) -> Any:
        return self.tasks[number]()


def _nobody_works(master: str) -> ResourceError:
    return ResourceError(
        f"no worker of {master} has had a task for {IDLE_SECONDS:.0f} seconds. Is the master up, and are "
        "there workers with free cores and memory?"
    )


def _ended(future: Future[Any], seconds: float) -> bool:
    """Wait for so long at most; return whether it has ended."""
    try:
        future.exception(seconds)
    except TimeoutError:
        return False
    return True


def _stages(tracker: Any, group: str) -> Iterator[Any]:
    for job in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job)
        for stage in info.stageIds if info is not None else ():
            found = tracker.getStageInfo(stage)
            if found is not None:
                yield found


def _as_pattern(path: str) -> str:
    """Return the pattern that this path alone matches: Spark takes every path for a pattern."""
    return re.sub(r"([][{}*?\\])", r"\\\1", path)
