"""What a worker of a Spark cluster does: it takes tasks by number, and answers with what it found.

An answer that is large lies in a file, and the row that goes back to the driver names it. What no other
attempt would mend is an answer too: Spark would repeat the task and, in the end, hide why it failed.
"""

from __future__ import annotations

import errno
import importlib.metadata
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from segcli.engine.local import alone
from segcli.engine.scratch import Scratch, Writer, loads
from segcli.errors import ResourceError, SegcliError

ANSWERS = "number long, answer binary"
"""The columns of answers, as Spark writes types."""

_NOT_SHARED = (errno.ENOENT, errno.EACCES, errno.ESTALE, errno.EIO, errno.ENOTDIR, errno.EROFS)


class Work(Protocol):
    """What the tasks of a pass do; it can be pickled."""

    def run(self, number: int) -> Any:
        """Return the result of a task."""


class FileWork(Protocol):
    """What is done with files that Spark opens; it can be pickled."""

    def run(self, number: int, copy: Path) -> Any:
        """Return the result for a file, of which ``copy`` is one in a local folder."""


class KeyedRows(Protocol):
    """Rows with a key, in parts, and what to make of a range of keys; it can be pickled."""

    @property
    def schema(self) -> str:
        """The rows' columns as Spark writes types; one is ``key string``."""

    def rows(self, number: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a part."""

    def make(self, rows: pa.Table) -> Any:
        """Return what becomes of a range of keys, given all its rows, sorted by key."""


@dataclass(frozen=True)
class Order:
    """What a worker is sent: the work, and who sends it."""

    work: Any
    scratch: Scratch
    version: str


@dataclass(frozen=True)
class Failure:
    """An error on a worker that no other attempt would mend."""

    error: Exception


def answer_tasks(message: bytes, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Do the tasks whose numbers Spark hands over; run by a worker."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield _as_row(number, _one_answer(message, "run", number))


def answer_files(
    message: bytes, numbers: dict[str, int], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Do the work for files that Spark hands over, path and content; run by a worker."""
    for batch in batches:
        for path, content in zip(*batch.columns, strict=True):
            number = numbers[path.as_py()]
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(folder, path.as_py().rpartition("/")[2])
                copy.write_bytes(content.as_buffer())
                yield _as_row(number, _one_answer(message, "run", number, copy))


def source_rows(message: bytes, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a source's parts whose numbers Spark hands over; run by a worker."""
    order: Order = loads(message)
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield from order.work.rows(number)


def answer_ranges(message: bytes, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Make of a range of keys what is to be made of it; run by a worker."""
    from pyspark import TaskContext

    first = next((batch for batch in batches if batch.num_rows), None)
    if first is not None:
        rows = pa.Table.from_batches([first, *batches])
        number = TaskContext.get().partitionId()
        yield _as_row(number, _one_answer(message, "make", rows))


def _as_row(number: int, answer: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"number": pa.array([number]), "answer": pa.array([answer], pa.binary())}
    )


def _one_answer(message: bytes, method: str, *args: Any) -> bytes:
    """Return the answer of a method of the work, or why there is none."""
    try:
        order: Order = loads(message)
    except OSError as error:
        return Writer(Scratch(Path())).dumps(Failure(not_shared(error, _here())))
    writer = Writer(order.scratch, in_place=False)
    if order.version != version():
        msg = (
            f"worker {_here()} has segcli {version()}, and this is {order.version}. Install the "
            "same version on every worker."
        )
        return writer.dumps(Failure(ResourceError(msg)))
    try:
        return writer.dumps(alone(partial(getattr(order.work, method), *args)))
    except SegcliError as error:
        return writer.dumps(Failure(error))
    except MemoryError:
        msg = f"worker {_here()} has too little memory for its share. Use more workers, or larger ones."
        return writer.dumps(Failure(ResourceError(msg)))
    except OSError as error:
        return writer.dumps(Failure(not_shared(error, _here())))
    except Exception as error:  # noqa: BLE001 (it is raised again where it can be seen)
        return writer.dumps(Failure(error))


def version() -> str:
    """Return the version of segcli that this process would run."""
    return importlib.metadata.version("segcli")


def _here() -> str:
    return socket.gethostname()


def not_shared(error: OSError, where: str) -> Exception:
    """Return the error for storage that a process cannot use; a full disk stays what it is."""
    if error.errno not in _NOT_SHARED:
        return error
    return ResourceError(
        f"{error.filename or 'the run directory'} cannot be used on {where} ({error.strerror}). The "
        "run directory must be on storage that every worker mounts at the same path, and must stay "
        "there."
    )
