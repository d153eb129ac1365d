"""The control groups that Linux holds a process in, such as its container's or its unit's.

They may grant less than the machine has. See ``man cgroups``; version 1 has a tree of folders for each
controller, version 2 a single one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT, OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def control_groups(controller: str) -> Iterator[tuple[Path, int]]:
    """Yield the folders of this process's groups, from its own up, each with its version, 1 or 2.

    Within a container those above it are not there, and its own may stand at the top.

    Parameters
    ----------
    controller : whose limits are asked for, such as ``memory`` or ``cpu``
    """
    try:
        lines = os.fsdecode(OF_PROCESS.read_bytes()).splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath(path)
        if not group.is_absolute():  # no kernel writes that
            continue
        if not controllers:
            mounted, version = ROOT, 2
        elif controller in controllers.split(","):
            mounted, version = ROOT / controller, 1
        else:
            continue
        for each in (group, *group.parents):
            yield mounted / each.relative_to("/"), version


def words_in(path: Path) -> list[str]:
    """Return the words that a file of a control group holds; none if it is absent."""
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def number(word: str) -> int | None:
    """Return a number; None for another word, such as "max"."""
    try:
        return int(word)
    except ValueError:
        return None
