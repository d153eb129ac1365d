"""JSON as segcli writes it, to files and to standard output: no number that JSON does not have."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return a document as JSON text; not-a-number and infinity are written as null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=indent is None, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
