"""Read back what joblib wrote, without running what a file of another's making would have run."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import numpy_pickle

_ARRAY_CLASSES = frozenset(
    {
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.memmap",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
    }
)


def load(path: Path, *, admitted: Sequence[str]) -> Any:
    """Return the object in a file.

    Parameters
    ----------
    admitted : the classes that may be in it, as ``module.name``, besides those of arrays

    Raises
    ------
    pickle.UnpicklingError
        If it holds anything else. Of a damaged file all that `pickle` can raise.
    """
    with path.open("rb") as file:
        return _Unpickler(str(path), file, admitted=admitted).load()


class _PlainArrayWrapper(numpy_pickle.NumpyArrayWrapper):  # type: ignore[misc]
    """joblib's note of an array to come, refusing arrays of objects.

    joblib before 1.6 reads those with the standard unpickler, which would run whatever it is told to.
    """

    def read_array(self, *args: Any, **kwargs: Any) -> Any:
        if self.dtype.hasobject:
            msg = "it holds an array of objects, which segcli never writes"
            raise pickle.UnpicklingError(msg)
        return super().read_array(*args, **kwargs)


class _Unpickler(numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
    """joblib's unpickler, refusing every class that is not expected."""

    def __init__(self, filename: str, file: Any, *, admitted: Sequence[str]) -> None:
        super().__init__(filename, file, ensure_native_byte_order=False)
        self._admitted = _ARRAY_CLASSES | set(admitted)

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self._admitted:
            msg = f"it holds {module}.{name}, which segcli never writes"
            raise pickle.UnpicklingError(msg)
        found = super().find_class(module, name)
        if found is np.memmap:  # pickle can call it, and it would write over any file
            return np.ndarray
        return _PlainArrayWrapper if found is numpy_pickle.NumpyArrayWrapper else found
