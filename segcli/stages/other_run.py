"""The run directory of another run, such as last month's, beside the one that a stage works in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from segcli.artifacts import manifest
from segcli.errors import RunDirectoryError


def other_run(folder: Path, run_dir: Path) -> Path:
    """Return the run directory of an earlier time itself, where ``folder`` is a link to it.

    Raises
    ------
    RunDirectoryError
        If it is the one in ``run_dir``, or none.
    """
    itself = Path(os.path.realpath(folder))
    if itself == Path(os.path.realpath(run_dir)):
        msg = f"{folder} is this run itself. Name the run directory of an earlier run."
        raise RunDirectoryError(msg)
    # Of its files, an old run may have been left with few.
    if not (folder / manifest.NAME).is_file():
        what = "is not a run directory" if folder.exists() else "does not exist"
        msg = f"{folder} {what}. Name the run directory of an earlier run."
        raise RunDirectoryError(msg)
    return itself if folder.is_symlink() else folder


def name_of(run_dir: Path) -> str:
    """Return the name of a run directory's folder, whatever the path by which it is given."""
    return Path(os.path.realpath(run_dir)).name


def given_names(names: Sequence[str], marked_by: Sequence[str]) -> list[str]:
    """Return the names that a person gave; empty where one is no more than what marks the segment."""
    return [name if name != marks else "" for name, marks in zip(names, marked_by, strict=True)]
