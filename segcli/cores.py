"""How many cores there are to work on."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from segcli.control_groups import control_groups, number, words_in


def n_cores() -> int:
    """Return the cores that this process may use, or as many as a control group grants it the time of.

    A container on a machine of 64 cores may be granted the time of two: with more threads than that,
    the kernel would stop them all for a part of each tenth of a second.
    """
    return max(1, min([_n_to_run_on(), *map(math.ceil, _granted())]))


def _n_to_run_on() -> int:
    if hasattr(os, "sched_getaffinity"):  # absent on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _granted() -> Iterator[float]:
    """Yield how many cores' time each control group with a limit grants."""
    for group, version in control_groups("cpu"):
        if version == 2:
            words = words_in(group / "cpu.max")
        else:
            words = [*words_in(group / "cpu.cfs_quota_us"), *words_in(group / "cpu.cfs_period_us")]
        quota, period = map(number, words) if len(words) == 2 else (None, None)
        if quota is not None and quota > 0 and period:
            yield quota / period
