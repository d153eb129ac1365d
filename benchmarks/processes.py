"""What whole processes take: seconds, CPU and peak memory, in turns, and their ratios.

A process is born with its parent's peak memory, so whoever measures must stay small: no NumPy here,
nor in the scripts that use this before they start what they measure.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

COLUMNS = (
    "seconds | CPU seconds | peak memory, MB | time ÷ segcli's | CPU ÷ segcli's | memory ÷ segcli's"
)
"""The heads of what `cells` returns."""

ALIGNED = "--:|--:|--:|--:|--:|--:"


@dataclass(frozen=True)
class Cost:
    """What a program took.

    Attributes
    ----------
    seconds : by the clock
    cpu : seconds of user and system time, of the processes it started too
    memory : MB at the peak of its largest process
    """

    seconds: float
    cpu: float
    memory: float


def data_file(options: Sequence[str]) -> Path:
    """Return the interactions that `data.py` makes; in a process of its own."""
    script = Path(__file__).with_name("data.py")
    made = subprocess.run(
        [sys.executable, str(script), *options], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(made.stdout.strip()) / "interactions.csv"


def turn_order(names: Sequence[str], turn: int) -> list[str]:
    """Return the names in the order of a turn: none is always the first."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def read_into_memory(file: Path) -> None:
    """Read a file, so that whoever is first does not wait for the disk."""
    subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)


def run_python(words: Sequence[str]) -> Cost:
    """Return what ``python WORDS`` takes, from start to end."""
    _compile_segcli()
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6)


@cache
def _compile_segcli() -> None:
    """Write the bytecode of segcli, as an installer does: that of what it is compared with is there."""
    package = Path(__file__).parents[1] / "segcli"
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(package)], check=True)


def in_a_row(costs: Sequence[Cost]) -> Cost:
    """Return the cost of processes that ran one after the other."""
    return Cost(
        sum(cost.seconds for cost in costs),
        sum(cost.cpu for cost in costs),
        max(cost.memory for cost in costs),
    )


def cells(turns: Sequence[dict[str, Cost]], name: str, beside: str) -> str:
    """Return a program's medians over the turns, and those of its ratios to ``beside``, as cells."""
    names = [field.name for field in fields(Cost)]
    seconds, cpu, memory = (
        statistics.median(getattr(turn[name], what) for turn in turns) for what in names
    )
    found = [f"{seconds:.2f}", f"{cpu:.2f}", f"{memory:,.0f}"]
    for what in names:
        if beside not in turns[0]:
            found.append("–")
            continue
        ratios = [getattr(turn[name], what) / getattr(turn[beside], what) for turn in turns]
        found.append(f"{statistics.median(ratios):.2f}")
    return " | ".join(found)
