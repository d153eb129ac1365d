"""What is read as one file: a file, or those in a folder that are written alike, one after another.

They come in the order of their paths. Empty ones are left out, and those that say how the others were
written: hidden or beginning with an underscore, or in such a folder (``_SUCCESS``, ``.part-0.crc``). What
links lead to is read once.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from segcli.errors import InputError
from segcli.inputs import tables
from segcli.inputs.batches import Batch, Lines
from segcli.inputs.dialect import BlankError
from segcli.inputs.form import Form
from segcli.inputs.locations import Location, is_folder
from segcli.inputs.text_table import TextTable

P = TypeVar("P", Path, str)
T = TypeVar("T")

_LEAVE_OUT = (
    "To leave out a file that is no such table, move it, or let its name begin with '_' or '.'."
)

# Folders by which tables are known that do not say in their paths which of their files are valid.
_TABLES = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}


@dataclass(frozen=True)
class Part:
    """A part of a file.

    Attributes
    ----------
    table : the file
    file : the name by which messages and rejects know it
    number : of the part among those of all files
    content : what the table's `read` takes
    """

    table: tables.Table
    file: str
    number: int
    content: Lines | Batch


@dataclass
class Source:
    """One file or several.

    Attributes
    ----------
    first : the file that says how all are written
    files : the files' names by their paths; from the folder on, where it is one
    form : what the user says of them
    digests : once `parts` has read a file, its name and SHA-256
    doubts : once `parts` has opened a file, what to look at twice in how it is written
    """

    first: tables.Table
    files: Mapping[Path, str]
    form: Form
    digests: list[tuple[str, str]] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def parts(self, columns: Sequence[int]) -> Iterator[Part]:
        """Yield the parts of all files.

        Raises
        ------
        InputError
            If a file has other columns than the first.
        """
        self.digests, self.doubts = [], []
        number = 0
        n_files = len(self.files)
        for i, (path, file) in enumerate(self.files.items(), start=1):
            table = self.first
            if path != table.path:
                try:
                    table = open_like(table, path, file, self.form)
                except BlankError:
                    self.digests.append((file, sha256_of(path)))
                    continue
            self.doubts += doubts_about(table, file)
            of_files = f", file {i:,} of {n_files:,}" if n_files > 1 else ""
            for content in table.parts(columns, of_files=of_files):
                yield Part(table, file, number, content)
                number += 1
            self.digests.append((file, _digest(table)))


def list_files(path: Path) -> dict[Path, str]:
    """Return the files to read at a path, and their names.

    Raises
    ------
    InputError
        If it is a folder without files that hold rows, or some of it cannot be listed.
    """
    if not is_folder(path):
        return {path: path.name}
    try:
        found = list(_walk(path, {path.resolve()}))
    except OSError as error:
        msg = f"{error.filename} cannot be read: {error.strerror}."
        raise InputError(msg) from error
    if not found:
        refuse_empty(path)
    return {file: file.relative_to(path).as_posix() for file in found}


@contextmanager
def unchanged(files: Iterable[Path]) -> Iterator[None]:
    """Refuse files that another program writes while the block reads them: no half of one is used.

    Parameters
    ----------
    files : those that are not there are the reader's to miss

    Raises
    ------
    InputError
        Also instead of what the block says of a file that was not whole.
    """
    before = {path: _state(path) for path in files}
    refused = None
    try:
        yield
    except InputError as error:
        refused = error
    for path, state in before.items():
        if _state(path) != state:
            msg = (
                f"{path} changed while it was being read. Ingest it once it is complete, or a copy."
            )
            raise InputError(msg) from refused
    if refused is not None:
        raise refused


def refuse_empty(folder: Location) -> None:
    """Refuse a folder without files that hold rows.

    Raises
    ------
    InputError
    """
    msg = f"{folder} holds no files with rows. Name a folder of CSV or Parquet files."
    raise InputError(msg)


def doubts_about_folder(folder: Location, is_folder: Callable[[str], bool]) -> list[str]:
    """Return whether a folder may hold files of which the rows are no longer valid, in a sentence.

    Parameters
    ----------
    folder : or a file, of which nothing is said
    is_folder : tells whether there is a folder at a place
    """
    kind = next((kind for name, kind in _TABLES.items() if is_folder(f"{folder}/{name}")), None)
    if kind is None:
        return []
    return [
        f"{folder} is a table of {kind}, which keeps files of older versions, too: all were read. Write "
        "the rows of one version to a folder of their own."
    ]


def is_hidden(name: str) -> bool:
    """Return whether a file is left out, by its path from the folder on."""
    return any(part.startswith(("_", ".")) for part in name.split("/"))


def open_first(
    files: Collection[P],
    open_file: Callable[[P], tables.Table],
    choose: Callable[[tables.Table], T],
) -> tuple[tables.Table, T]:
    """Return the first file that shows how it is written: one with a row besides what may be a header.

    Also what ``choose`` returns of it, such as its columns.

    Raises
    ------
    InputError
        If it cannot be read, or none holds anything; as ``choose``.
    """
    found, blank = None, None
    for path in files:
        try:
            with _told_how_to_leave_out(path, files):
                table = open_file(path)
        except BlankError as error:
            blank = blank or error
            continue
        if not isinstance(table, TextTable) or len(table.dialect.sample) > 1:
            found = table
            break
        found = found or table
    if found is None:
        assert blank is not None  # there are files
        raise blank
    with _told_how_to_leave_out(found.path, files):
        return found, choose(found)


@contextmanager
def _told_how_to_leave_out(path: Path | str, files: Iterable[Path | str]) -> Iterator[None]:
    """Add to what is wrong with a file how to leave it out, if some of the files end in another suffix."""
    try:
        yield
    except BlankError:
        raise
    except InputError as error:
        suffix = Path(path).suffix
        if all(Path(file).suffix == suffix for file in files):
            raise
        msg = f"{error} {_LEAVE_OUT}"
        raise InputError(msg) from error


def open_like(first: tables.Table, path: Path, file: str, form: Form) -> tables.Table:
    """Return a file as a table, refusing one that has other columns than the first.

    One has a header only if the first has: it may be a header alone.

    Raises
    ------
    InputError
    """
    dialect = first.dialect if isinstance(first, TextTable) else None
    with _told_how_to_leave_out(path, [first.path]):
        table = tables.open_table(
            path,
            delimiter=dialect.delimiter if dialect is not None else None,
            header=True if dialect is not None and dialect.header else form.header,
            encoding=form.encoding,
        )
    if (table.names, table.n_columns) != (first.names, first.n_columns):
        msg = (
            f"{file} has different columns from {first.path.name}: {_listed(table)} instead of "
            f"{_listed(first)}. Files of one folder must have the same format. {_LEAVE_OUT}"
        )
        raise InputError(msg)
    return table


def doubts_about(table: tables.Table, file: str) -> list[str]:
    """Return what to look at twice in how a file of that name is written, in sentences."""
    doubts = table.dialect.doubts if isinstance(table, TextTable) else ()
    return [f"{file}, {doubt}" for doubt in doubts]


def digest_of(files: Iterable[tuple[str, str]]) -> str:
    """Return one digest of several files, given by their names and digests."""
    lines = sorted(f"{sha256}  {file}\n" for file, sha256 in files)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def digest_at(path: Path) -> str:
    """Return the digest of a file, or one of all that are read in a folder."""
    files = list_files(path)
    if list(files) == [path]:
        return sha256_of(path)
    return digest_of((file, sha256_of(each)) for each, file in files.items())


def sha256_of(path: Path) -> str:
    """Return a file's digest."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(folder: Path, met: set[Path]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if is_hidden(path.name):
            continue
        status = path.stat()  # or an error, for a link that leads nowhere
        place = path.resolve()
        if place in met:  # by way of a link
            continue
        met.add(place)
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(path, met)
        elif stat.S_ISREG(status.st_mode) and status.st_size:
            yield path


def _state(path: Path) -> tuple[int, int] | None:
    """Return what is another once a file has been written to or replaced."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _digest(table: tables.Table) -> str:
    """Return the SHA-256 of a file that has been read, most often known from that."""
    known = table.digest.hexadecimal() if isinstance(table, TextTable) else None
    return known if known is not None else sha256_of(table.path)


def _listed(table: tables.Table) -> str:
    return ", ".join(table.names) if table.names is not None else f"{table.n_columns} without names"
