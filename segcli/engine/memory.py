"""How much memory there is; what would need more is refused in time; what is freed is used again."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from segcli.control_groups import control_groups, number, words_in
from segcli.errors import ResourceError

# What a control group calls its limit, what is used of it, and files kept in memory.
_OF_VERSION = {
    1: (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_active_file", "total_inactive_file"),
    ),
    2: ("memory.max", "memory.current", ("active_file", "inactive_file")),
}

# From glibc's malloc.h, with what they are set to: until 2.35, it takes no more for the second.
_TRIM_THRESHOLD, _TRIMMED = -1, 256 << 20
_MMAP_THRESHOLD, _MAPPED = -3, 32 << 20
_ARENA_MAX, _ARENAS = -8, 1


def reuse_freed_memory() -> None:
    """Let this process keep what it frees for what it needs next, where its C library is glibc.

    By itself glibc gives much of an array back to the system when it is freed, and the system clears each
    page of the next. The stages make and free arrays of some megabytes all the time, in several threads;
    with one heap for all of these they need less memory too. To be called before there are threads of
    our own; it leaves alone what the user has set (``MALLOC_TRIM_THRESHOLD_`` and the like). What is
    still kept when a stage ends, `release_freed_memory` gives back. See ``man mallopt``.
    """
    mallopt = _of_c_library("mallopt")
    if mallopt is None or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt(_MMAP_THRESHOLD, _MAPPED)
    mallopt(_TRIM_THRESHOLD, _TRIMMED)
    mallopt(_ARENA_MAX, _ARENAS)


def release_freed_memory() -> None:
    """Give what this process has freed and kept back to the system, where its C library is glibc."""
    trim = _of_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _of_c_library(name: str) -> Callable[..., int] | None:
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # not glibc: no such function, or no such library
        return None
    return found


def require_memory(n_bytes: float, *, work: str, way_out: str) -> None:
    """Refuse work that needs more memory than is free.

    Parameters
    ----------
    n_bytes : float, what the work is estimated to need
    work : what needs it, to begin the message with
    way_out : what to do instead, a sentence

    Raises
    ------
    ResourceError
        With both figures and the way out.
    """
    if n_bytes <= available_memory():
        return
    release_freed_memory()
    available = available_memory()
    if n_bytes > available:
        msg = (
            f"{work} needs about {_gigabytes(n_bytes)} of memory, but {_gigabytes(available)} is free. "
            f"{way_out}"
        )
        raise ResourceError(msg)


def available_memory() -> int:
    """Return the bytes that this process may still take without swapping.

    What the machine has free, or less where the process, or a control group that it is in, such as
    its container, is held to a limit. Where the system tells none of them, there is no limit.
    """
    left = min((*_left_of_machine(), *_left_in_control_groups()), default=sys.maxsize)
    return max(left, 0)


def _left_of_machine() -> Iterator[int]:
    """Yield the bytes that the machine has free, and those that the process's own limit leaves."""
    with suppress(OSError, psutil.Error):  # such as a Linux that shows no ``/proc``
        yield int(psutil.virtual_memory().available)
        if hasattr(psutil, "RLIMIT_AS"):
            soft, _ = psutil.Process().rlimit(psutil.RLIMIT_AS)
            if soft >= 0:  # of addresses, in use or not
                yield int(soft) - int(psutil.Process().memory_info().vms)


def _left_in_control_groups() -> Iterator[int]:
    """Yield the bytes that each control group with a limit may still take.

    The files that the kernel keeps in memory until it is needed count as free.
    """
    for group, version in control_groups("memory"):
        limit, usage, files = _OF_VERSION[version]
        most = _number_in(group / limit)
        if most is not None:
            used = (_number_in(group / usage) or 0) - _sum_in(group / "memory.stat", files)
            yield most - max(used, 0)


def _sum_in(path: Path, names: Sequence[str]) -> int:
    """Return the sum of some of the numbers that a file names; 0 if it is absent or holds no such."""
    words = words_in(path)
    counts = dict(zip(words[::2], words[1::2], strict=False))
    return sum(number(counts.get(name, "")) or 0 for name in names)


def _number_in(path: Path) -> int | None:
    """Return the number that a file holds; None if it is absent or holds a word, such as "max"."""
    words = words_in(path)
    return number(words[0]) if words else None


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
