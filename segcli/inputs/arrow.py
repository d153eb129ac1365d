"""Arrays from numpy to Arrow and back.

pyarrow does it too, but loads pandas on the way, where it is installed: `pa.array`, `pa.scalar` and
`to_numpy` do, until version 26 a type's `to_pandas_dtype`, and any function of `pyarrow.compute` that is
given a plain number or string, `fill_null` and a table's `group_by` and `sort_by`. That takes longer than
to ingest a small file, which needs no pandas.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def to_arrow(values: np.ndarray) -> pa.Array:
    """Return booleans or numbers as an Arrow array; of numbers nothing is copied."""
    n, kind = len(values), pa.from_numpy_dtype(values.dtype)
    content = np.packbits(values, bitorder="little") if pa.types.is_boolean(kind) else values
    return pa.Array.from_buffers(kind, n, [None, pa.py_buffer(np.ascontiguousarray(content))])


def to_numpy(array: pa.Array) -> np.ndarray:
    """Return an Arrow array of booleans or numbers, without nulls; of numbers nothing is copied."""
    if array.null_count:
        msg = f"{array.null_count} entries are null"
        raise ValueError(msg)
    n, start = len(array), array.offset
    is_boolean = pa.types.is_boolean(array.type)
    content = array.buffers()[1]
    if content is None:  # of an empty array
        return np.zeros(n, bool if is_boolean else _numpy_type(array.type))
    if is_boolean:
        bits = np.frombuffer(content, dtype=np.uint8)
        return np.unpackbits(bits, count=start + n, bitorder="little")[start:].view(bool)
    kind = _numpy_type(array.type)
    return np.frombuffer(content, kind, count=n, offset=start * kind.itemsize)


def _numpy_type(kind: pa.DataType) -> np.dtype:
    """Return the type of the same numbers in numpy."""
    kinds = ((pa.types.is_floating, "f"), (pa.types.is_signed_integer, "i"))
    letter = next((letter for is_kind, letter in kinds if is_kind(kind)), "u")
    return np.dtype(f"{letter}{kind.bit_width // 8}")


def strings(texts: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow array."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def without_nulls(texts: pa.Array) -> pa.Array:
    """Return strings, empty where there is none."""
    return pc.coalesce(texts, scalar(""))


def scalar(value: float | str) -> pa.Scalar:
    """Return a number or a text as functions of `pyarrow.compute` take it."""
    return strings([value])[0] if isinstance(value, str) else to_arrow(np.array([value]))[0]
