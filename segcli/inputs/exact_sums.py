"""Sums that do not depend on the order of what is added.

A float64 is cut into limbs: whole multiples, below 2^26, of fixed powers of two. Limbs of the same
power add up without rounding, in any order and in any grouping. Only to make one number of them again
rounds, to within a unit in the last place.
Numbers are of the sizes that values may have, and 0: see `segcli.inputs.values`.
"""

from __future__ import annotations

import numpy as np

#: The limbs of some numbers: by place, how many times 2^(26 place) each holds; a float64 ndarray.
Limbs = dict[int, np.ndarray]

_BITS = 26
_GRID, _ROOM = 2.0**20, 2.0**53


def plain_are_exact(values: np.ndarray) -> bool:
    """Return whether plain float64 sums of some of these values cannot round, in any order.

    It is so of stars and of counts.
    """
    scaled = values.astype(np.float64) * _GRID
    return bool(np.abs(scaled).sum() < _ROOM) and bool((np.rint(scaled) == scaled).all())


def cut(values: np.ndarray) -> Limbs:
    """Return the limbs of finite numbers; a place where all are zero is left out."""
    rest = np.asarray(values, dtype=np.float64)
    limbs: Limbs = {}
    place = (int(np.frexp(np.abs(rest).max(initial=0.0))[1]) - 1) // _BITS
    while rest.any():
        whole = np.trunc(_scaled(rest, -place))
        if whole.any():
            limbs[place] = whole
            rest = rest - _scaled(whole, place)
        place -= 1
    return limbs


def carry(limbs: Limbs) -> Limbs:
    """Return limbs of the same numbers, each within ±2^25: there is one such form of a number."""
    carried: Limbs = {}
    if not limbs:
        return carried
    place, over = min(limbs), np.zeros(len(next(iter(limbs.values()))))
    while place <= max(limbs) or over.any():
        whole = limbs.get(place, 0.0) + over
        over = np.floor(whole / 2.0**_BITS + 0.5)
        carried[place] = whole - over * 2.0**_BITS
        place += 1
    return carried


def rounded(limbs: Limbs, n: int) -> np.ndarray:
    """Return the ``n`` numbers whose limbs these are."""
    limbs = carry(limbs)
    total = np.zeros(n)
    for place in sorted(limbs):  # from below: what a float64 can hold is then not rounded
        total = total + _scaled(limbs[place], place)
    return total


def _scaled(values: np.ndarray, places: int) -> np.ndarray:
    """Return values times 2^(26 places), in two steps that cannot leave the range too early."""
    half = _BITS * places // 2
    scaled: np.ndarray = np.ldexp(np.ldexp(values, half), _BITS * places - half)
    return scaled
