"""How each kind of artifact is written to a file and read back.

A format writes the same bytes for the same value: no clock, no host, no library version. Every file
can be read with ordinary tools (`scipy.sparse.load_npz`, `numpy.load`, `pandas.read_csv`,
`joblib.load`).
"""

from __future__ import annotations

import csv
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from segcli.jsontext import to_json

R_co = TypeVar("R_co", covariant=True)
W_contra = TypeVar("W_contra", contravariant=True)

#: A table by its columns; no data frame: pandas takes a third of a small stage's time to load.
Columns = Mapping[str, Sequence[Any] | np.ndarray]

_WRITTEN = 1 << 19  # entries at a time
_LONGEST = 2**31 - 1  # what a C long holds everywhere
_ROWS = 1 << 10  # of a table at a time: many more at once, and the collector looks through them all

_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    pickle.UnpicklingError,
    OSError,
    EOFError,
    LookupError,
    AttributeError,
    TypeError,
    NotImplementedError,
    OverflowError,
)
"""What the readers of damaged files raise, apart from `ValueError`."""


class Format(Protocol[R_co, W_contra]):
    """A way to keep values of a type in a file; those read may be more special than those written."""

    def write(self, path: Path, value: W_contra) -> None:
        """Write ``value`` to ``path``."""

    def read(self, path: Path) -> R_co:
        """Return the value in ``path``; raise `ValueError` if it does not hold one."""


@dataclass(frozen=True)
class Artifact(Generic[R_co, W_contra]):
    """A file of the run directory: its name, the stage that writes it, and its format."""

    name: str
    stage: str
    format: Format[R_co, W_contra]


@dataclass(frozen=True)
class MatrixSize:
    """How large a matrix is."""

    n_customers: int
    n_items: int
    n_interactions: int


class SparseMatrix:
    """A CSR matrix as `scipy.sparse.save_npz` writes it, uncompressed.

    It is read by mapping the file into memory: what is not used is not read, and an engine can hand
    other processes the place of the entries instead of the entries.
    """

    def write(self, path: Path, value: Sequence[sp.csr_array]) -> None:
        """Write the matrix whose blocks of rows are ``value``, one below another."""
        shape = sum(block.shape[0] for block in value), value[0].shape[1]
        n_entries = sum(block.nnz for block in value)
        index = np.int32 if max(n_entries, *shape) < 2**31 else np.int64
        row_ends = np.cumsum(np.concatenate([[0], *(np.diff(block.indptr) for block in value)]))
        # What `save_npz` writes, in a third of its time, and without the matrix in one piece.
        with zipfile.ZipFile(path, "w") as packed:
            indices, data = [block.indices for block in value], [block.data for block in value]
            _write_member(packed, "indices", indices, index, (n_entries,))
            _write_member(packed, "indptr", [row_ends], index, row_ends.shape)
            _write_member(packed, "format", [np.array([b"csr"])], "S3", ())
            _write_member(packed, "shape", [np.array(shape)], np.int64, (2,))
            _write_member(packed, "data", data, np.float64, (n_entries,))
            _write_member(packed, "_is_array", [np.array([True])], np.bool_, ())

    def read(self, path: Path) -> sp.csr_array:
        try:
            with path.open("rb") as file:  # numpy leaves a path open when it holds no zip
                with zipfile.ZipFile(file) as members:
                    names = ("data", "indices", "indptr")
                    data, indices, indptr = (_mapped(path, members, name) for name in names)
                file.seek(0)
                with np.load(file, allow_pickle=False) as small:
                    shape = tuple(small["shape"].tolist())
                return sp.csr_array((data, indices, indptr), shape=shape)
        except _DAMAGE as error:
            raise ValueError(str(error)) from error

    def size(self, path: Path) -> MatrixSize:
        """Return the size of the matrix in ``path`` without reading its entries, or raise `ValueError`."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as parts:
                n_customers, n_items = parts["shape"].tolist()
                return MatrixSize(n_customers, n_items, int(parts["indptr"][-1]))
        except _DAMAGE as error:
            raise ValueError(str(error)) from error


def _write_member(
    packed: zipfile.ZipFile,
    name: str,
    pieces: Sequence[np.ndarray],
    kind: npt.DTypeLike,
    shape: tuple[int, ...],
) -> None:
    """Write an array that is in pieces as a member of an npz."""
    descr = np.lib.format.dtype_to_descr(np.dtype(kind))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    with packed.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for piece in pieces:
            for start in range(0, len(piece), _WRITTEN):
                member.write(piece[start : start + _WRITTEN].astype(kind, copy=False).data)


def _mapped(path: Path, members: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return an array of an uncompressed npz, mapped into memory; writing to it changes no file."""
    info = members.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        msg = f"{name} is compressed, which segcli never writes"
        raise ValueError(msg)
    with path.open("rb") as file:
        # The file's name and padding stand before each member, of lengths that only stand there.
        file.seek(info.header_offset)
        *_, n_name, n_extra = struct.unpack("<4s5H3L2H", file.read(30))
        file.seek(n_name + n_extra, 1)
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        if kind.hasobject:
            msg = f"{name} is an array of objects, which segcli never writes"
            raise ValueError(msg)
        if shape[0] == 0:
            return np.empty(0, kind)
        return np.memmap(path, kind, "c", file.tell(), shape)


class Arrays:
    """Named dense arrays as `numpy.savez` writes them."""

    def write(self, path: Path, value: Mapping[str, np.ndarray]) -> None:
        with path.open("wb") as file:  # np.savez would append .npz to a bare path
            np.savez(file, **value)  # type: ignore[arg-type]  # none is called allow_pickle

    def read(self, path: Path) -> Mapping[str, np.ndarray]:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except _DAMAGE as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Table:
    """A table as CSV. Columns named in ``text`` are strings, written as `Text` is, all others numbers.

    It is read back as arrays: of strings, of whole numbers, or of numbers with NaN for what is missing.
    """

    text: tuple[str, ...] = ()

    def write(self, path: Path, value: Columns) -> None:
        # What pandas' `to_csv` writes, in a third of its time: there may be half a million customers.
        cells = {name: _cells(column, missing="") for name, column in value.items()}
        # A reader takes a bare carriage return for the end of a row, yet csv does not quote it.
        returns = any("\r" in "".join(map(str, cells[name])) for name in self.text)
        quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n", quoting=quoting)
            writer.writerow(cells)
            writer.writerows(zip(*cells.values(), strict=True))

    def read(self, path: Path) -> dict[str, np.ndarray]:
        csv.field_size_limit(_LONGEST)  # an id may be of any length
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            try:
                names = next(rows, [])
                if lacking := [name for name in self.text if name not in names]:
                    msg = f"it has no column {lacking[0]}"
                    raise ValueError(msg)
                array = [_texts if name in self.text else _numbers for name in names]
                parts = [[of([])] for of in array]
                while some := list(islice(rows, _ROWS)):
                    columns = zip(*some, strict=True)
                    for of, part, cells in zip(array, parts, columns, strict=True):
                        part.append(of(cells))
            except csv.Error as error:
                raise ValueError(str(error)) from error
        return {name: np.concatenate(part) for name, part in zip(names, parts, strict=True)}


NO_SEGMENT = "unassigned"
"""What stands for a segment where a customer belongs to none; -1 in memory."""


@dataclass(frozen=True)
class SegmentTable(Table):
    """A table with a text column ``segment``; in memory whole numbers from 0 up, -1 for the unassigned."""

    def write(self, path: Path, value: Columns) -> None:
        segments = np.asarray(value["segment"]).tolist()
        named = [str(one) if one >= 0 else NO_SEGMENT for one in segments]
        super().write(path, {**value, "segment": named})

    def read(self, path: Path) -> dict[str, np.ndarray]:
        table = super().read(path)
        named = table["segment"].tolist()
        segments = [-1 if one == NO_SEGMENT else int(one) for one in named]
        return {**table, "segment": np.array(segments, dtype=np.int64)}


def records(table: Columns) -> list[dict[str, Any]]:
    """Return a table's rows as dicts of plain Python values, None for what is missing."""
    cells = {name: _cells(column, missing=None) for name, column in table.items()}
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def from_records(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Columns:
    """Return rows, which may be none, as a table of the columns named."""
    return {name: [row[name] for row in rows] for name in names}


def _cells(column: Any, *, missing: str | None) -> list[Any]:
    """Return the values of a column as plain Python's, and what stands for those that are missing."""
    values: list[Any] = column.tolist() if isinstance(column, np.ndarray) else list(column)
    if isinstance(column, np.ndarray) and column.dtype.kind in "biu":
        return values
    return [missing if value is None or value != value else value for value in values]


def _texts(cells: Sequence[str]) -> np.ndarray:
    """Return an array of strings, each of its own length."""
    texts = np.empty(len(cells), dtype=object)
    texts[:] = cells
    return texts


def _numbers(cells: Sequence[str]) -> np.ndarray:
    """Return an array of whole numbers, or of any with NaN for what is missing."""
    try:
        return np.array(list(map(int, cells)), dtype=np.int64)
    except (ValueError, OverflowError):
        return np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float64)


class Text:
    r"""Plain text in UTF-8; bytes of a file's name that are none are spelled out: ``\udce4``."""

    def write(self, path: Path, value: str) -> None:
        path.write_text(value, encoding="utf-8", errors="backslashreplace", newline="\n")

    def read(self, path: Path) -> str:
        return path.read_text(encoding="utf-8")


class Json:
    """A JSON document. Not-a-number is written as null."""

    def write(self, path: Path, value: Any) -> None:
        Text().write(path, to_json(value, indent=2) + "\n")  # JSON spells out the same

    def read(self, path: Path) -> Any:
        return json.loads(path.read_text(encoding="utf-8"))


class Picture:
    """The bytes of a PNG."""

    def write(self, path: Path, value: bytes) -> None:
        path.write_bytes(value)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()


@dataclass(frozen=True)
class Model:
    """An object of our own classes as joblib writes it.

    Unpickling runs code, so reading admits only the classes named in ``classes`` (``module.name``)
    and what joblib needs for arrays.
    """

    classes: tuple[str, ...]

    def write(self, path: Path, value: object) -> None:
        import joblib

        joblib.dump(value, path, compress=0, protocol=5)

    def read(self, path: Path) -> Any:
        from segcli.artifacts.unpickling import load

        try:
            value = load(path, admitted=self.classes)
        except _DAMAGE as error:
            raise ValueError(str(error)) from error
        if not _is_whole(value) or _full_name(value) != self.classes[0]:
            msg = f"it does not hold a whole {self.classes[0]}"
            raise ValueError(msg)
        return value


def _is_whole(value: Any) -> bool:
    """Return whether an object of our own classes, and those in it, have all their fields."""
    if not is_dataclass(value):
        return True
    return all(
        hasattr(value, one.name) and _is_whole(getattr(value, one.name)) for one in fields(value)
    )


def _full_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
