"""Hand arrays to other processes through files on storage that all of them share.

A message is a pickle in which every large array is replaced by the place of a file that holds it. Who
opens the message maps the file into memory, so a large array is neither copied into the message nor
read where only a part of it is needed.
"""

from __future__ import annotations

import io
import pickle
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

FOLDER = ".segcli-spark"
"""The folder in a run directory that holds what passes between processes while a stage runs."""

LARGE = 1 << 16
"""Bytes from which on an array goes into a file of its own."""


@dataclass(frozen=True)
class ArrayPlace:
    """Where an array is: ``shape`` of ``dtype`` from byte ``offset`` of the file at ``path``."""

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int = 0
    order: Literal["C", "F"] = "C"

    def open(self) -> np.ndarray:
        """Return the array, mapped into memory; what is written to it stays in this process.

        Raises
        ------
        OSError
            If the file is not there or cannot be read.
        """
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        kind = np.dtype(self.dtype)
        return np.memmap(self.path, kind, "c", self.offset, self.shape, self.order)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return a copy of a range along the first axis of an array in C order.

        Raises
        ------
        OSError
            If the file is not there or is too short.
        """
        kind, width = np.dtype(self.dtype), int(np.prod(self.shape[1:], dtype=np.int64))
        n = (stop - start) * width
        if not n:
            return np.empty((stop - start, *self.shape[1:]), kind)
        offset = self.offset + start * width * kind.itemsize
        values = np.fromfile(self.path, kind, n, offset=offset)
        if len(values) != n:
            raise FileNotFoundError(2, "a part of it is missing", self.path)
        return values.reshape(stop - start, *self.shape[1:])


@dataclass(frozen=True)
class _InMessage:
    """A small array, in the message itself.

    numpy's own pickle comes back with a type that equals the usual one without being it, which shows
    in the bytes of a model that is saved later.
    """

    dtype: str
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    content: bytes

    def open(self) -> np.ndarray:
        values = np.frombuffer(bytearray(self.content), np.dtype(self.dtype))
        return values.reshape(self.shape, order=self.order)


def place_of(array: np.ndarray) -> ArrayPlace | None:
    """Return where an array is that is a piece of a file mapped into memory; None for any other."""
    base: Any = array
    while isinstance(base, np.ndarray) and not (
        isinstance(base, np.memmap) and not isinstance(base.base, np.ndarray)
    ):
        base = base.base
    if not isinstance(base, np.memmap) or base.filename is None or not array.flags.c_contiguous:
        return None
    ahead = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return ArrayPlace(str(base.filename), array.dtype.str, array.shape, base.offset + ahead)


def _order(array: np.ndarray) -> Literal["C", "F"]:
    return "C" if array.flags.c_contiguous or not array.flags.f_contiguous else "F"


@dataclass
class Scratch:
    """A folder for messages and arrays; it exists once something is in it.

    Attributes
    ----------
    folder : absolute, at the same path for every process
    """

    folder: Path

    def spill(self, array: np.ndarray) -> ArrayPlace:
        """Write an array to a new file."""
        path = self.new_path("array")
        order = _order(array)
        with path.open("wb") as file:
            (np.ascontiguousarray(array) if order == "C" else array.T).tofile(file)
        return ArrayPlace(str(path), array.dtype.str, array.shape, order=order)

    def new_path(self, name: str) -> Path:
        """Return a path that no other process, nor another attempt of this one, will use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{name}-{uuid.uuid4().hex}"

    def subfolder(self) -> Scratch:
        """Return a new scratch inside this one."""
        return Scratch(self.new_path("pass"))

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class Writer:
    """Writes messages whose large arrays lie in a scratch folder, each once however often it is sent.

    Attributes
    ----------
    scratch : where the arrays go
    in_place : whether an array that is mapped from a file may be left where it is
    """

    scratch: Scratch
    in_place: bool = True
    _places: dict[int, tuple[np.ndarray, ArrayPlace | _InMessage]] = field(default_factory=dict)

    def dumps(self, thing: Any) -> bytes:
        """Return a message."""
        from pyspark import cloudpickle

        file = io.BytesIO()
        pickler = type("Pickler", (cloudpickle.Pickler,), {"persistent_id": self._persistent_id})
        pickler(file, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
        return file.getvalue()

    def _persistent_id(self, thing: Any) -> ArrayPlace | _InMessage | None:
        if type(thing) not in (np.ndarray, np.memmap) or thing.dtype.kind not in "biufcSUM":
            return None
        known = self._places.get(id(thing))
        if known is None:
            # The array is kept beside its place: another could get its id once it is gone.
            known = self._places[id(thing)] = thing, self._placed(thing)
        return known[1]

    def _placed(self, array: np.ndarray) -> ArrayPlace | _InMessage:
        if array.nbytes < LARGE:
            order = _order(array)
            return _InMessage(array.dtype.str, array.shape, order, array.tobytes(order))
        return (place_of(array) if self.in_place else None) or self.scratch.spill(array)


def loads(message: bytes, *, copied: bool = False) -> Any:
    """Return what a message holds; large arrays are mapped from their files, or read if ``copied``.

    Raises
    ------
    OSError
        If a file is not there or cannot be read.
    """
    return (_Copying if copied else _Mapping)(io.BytesIO(message)).load()


class _Mapping(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return pid.open()


class _Copying(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return np.array(pid.open())
