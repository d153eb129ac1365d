"""What a later stage reads of an artifact: that a file is as recorded does not say that it is whole.

A shape is a type, several of which any will do (None: null), a list of one shape, or an object with
those of its fields. A field whose name ends in ``?`` may be missing, as files of older versions are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_NUMBER = (float, int)
_COUNTS = {"n_customers": int, "is_sample": bool, "n_splits": int}
_IN_WORDS = {"reason": str, "plain?": str, "near_limit?": [int]}
_SAID_OF_K = {"supported": [int], "recommended": (int, None), **_IN_WORDS}

_SHAPES: Mapping[str, Any] = {
    "segments.csv": {"distance": np.ndarray, "membership": np.ndarray},
    "k_scores.csv": {"k": np.ndarray},
    "components_verdict.json": {
        "suggestions": {"parallel_analysis": int, "bi_cross_validation": int},
        "reason": str,
        "n_customers": int,
        "is_sample": bool,
    },
    "k_verdict.json": {
        **_SAID_OF_K,
        "gain_peak": (int, None),
        "weighting": str,
        "n_components": int,
        "score_norm?": str,
    },
    "clustering.json": {
        "k": int,
        "n_components": int,
        "because?": (str, None),
        "min_membership": (*_NUMBER, None),
        "activity_share?": (*_NUMBER, None),
        "activity_share_null?": (*_NUMBER, None),
        "evidence": (_COUNTS, None),
        "segments": [
            {
                "segment": int,
                "customers": int,
                "stability": (*_NUMBER, None),
                "grade": (str, None),
            }
        ],
        "sizes": [int],
        "on_the_table?": (
            {
                **_SAID_OF_K,
                "k_scores": (
                    {
                        "k": int,
                        "inertia_reduced_share": _NUMBER,
                        "inertia_full_share": _NUMBER,
                    },
                    None,
                ),
            },
            None,
        ),
    },
    "validation.json": {
        "k": int,
        "n_unassigned?": int,
        "in_sample": _NUMBER,
        "cross_validated": _NUMBER,
        "measures": [
            {
                "measure": str,
                "title": str,
                "value": (*_NUMBER, None),
                "null_low": (*_NUMBER, None),
                "null_high": (*_NUMBER, None),
                "explanation": str,
            }
        ],
        "evidence": (_COUNTS, None),
        "verdict": {
            "supported": (bool, None),
            "all_but?": [int],
            "recommended_k?": (int, None),
            **_IN_WORDS,
            "next_step": (str, None),
            "next_command?": (str, None),
        },
        "segments": [
            {
                "segment": int,
                "customers": int,
                "cross_validated_precision": (*_NUMBER, None),
                "cross_validated_recall": (*_NUMBER, None),
                "stability": (*_NUMBER, None),
                "grade": (str, None),
                "verdict": str,
            }
        ],
    },
}


def check_shape(name: str, value: Any) -> None:
    """Refuse what was read of an artifact if it lacks what a later stage reads, or has it of another kind.

    Raises
    ------
    ValueError
    """
    shape = _SHAPES.get(name, object)
    found = _trouble(value, shape, "")
    if found is None and isinstance(shape, dict) and "segments" in shape:
        numbers = [row["segment"] for row in value["segments"]]
        if numbers != list(range(value["k"])):
            found = f"segments are not those of k = {value['k']}"
    if found is not None:
        raise ValueError(found)


def _trouble(value: Any, shape: Any, place: str) -> str | None:
    """Return what is wrong with a value, in words; None if nothing is."""
    if isinstance(shape, tuple):
        found = [_trouble(value, one, place) for one in shape]
        return None if None in found else found[0]
    if isinstance(shape, dict) and isinstance(value, dict):
        for field, of in shape.items():
            name = field.removesuffix("?")
            if name in value:
                found_in = _trouble(value[name], of, f"{place}.{name}" if place else name)
            else:
                found_in = f"{place or 'it'} has no {name}" if name == field else None
            if found_in is not None:
                return found_in
        return None
    if isinstance(shape, list) and isinstance(value, list):
        rows = (_trouble(one, shape[0], f"{place}[{i}]") for i, one in enumerate(value))
        return next((found_in for found_in in rows if found_in is not None), None)
    kind = type(shape) if isinstance(shape, dict | list) else shape
    is_one = value is None if kind is None else isinstance(value, kind)
    if is_one and not (isinstance(value, bool) and kind in _NUMBER):
        return None
    return f"{place or 'it'} is no {_KINDS.get(kind, 'null')}"


_KINDS = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    float: "number",
    int: "whole number",
    np.ndarray: "column",
}
