"""What every file in the run directory was made from: ``manifest.json``.

A stage's record holds its parameters, seed, library versions, and the SHA-256 of every file it read
and wrote. No clock, no host name, no absolute path: equal runs give equal manifests. A stage is stale
when a file that it read has been written anew, with other bytes, since.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from segcli.errors import RunDirectoryError

NAME = "manifest.json"
FORMAT = 1
_CHOICES = {
    "explore-k": ("--n-components", "P"),
    "cluster": ("--n-components", "P", "--n-clusters", "K"),
    "label": ("--segments-from", "EARLIER"),
}
"""What a stage that has never run must be told."""
_FILES = {"items", "segment_names", "segment_names_from", "segments_from"}
"""Parameters that are the name of a file of the user's, or of another run directory."""
_LIBRARIES = ("segcli", "numpy", "scipy", "pandas", "pyarrow", "matplotlib", "joblib")


@dataclass(frozen=True)
class Record:
    """One stage's entry: what it was asked, what it read, what it wrote."""

    parameters: Mapping[str, Any]
    seed: int | None
    inputs: Mapping[str, Mapping[str, Any]]
    reads: Mapping[str, str]
    writes: Mapping[str, str]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """The records of all the stages that have run, by stage."""

    stages: Mapping[str, Record]

    def writer(self, name: str) -> str | None:
        """Return the stage that wrote the file ``name``, or None."""
        return next((s for s, record in self.stages.items() if name in record.writes), None)

    def with_record(self, stage: str, record: Record) -> Manifest:
        """Return a manifest in which ``record`` stands for ``stage``."""
        return Manifest({**self.stages, stage: record})

    def outdated(self, stage: str) -> tuple[str, str] | None:
        """Return the first stage to run again before ``stage`` can be believed, and the changed file.

        None means that ``stage`` was made from files as they are recorded now. The search goes
        upstream first: mending the answer's stage, then asking again, leads back here.
        """
        reads = {
            name: (digest, writer)
            for name, digest in self.stages[stage].reads.items()
            if (writer := self.writer(name)) is not None
        }
        for writer in dict.fromkeys(writer for _, writer in reads.values()):
            upstream = self.outdated(writer)
            if upstream is not None:
                return upstream
        for name, (digest, writer) in reads.items():
            if self.stages[writer].writes[name] != digest:
                return stage, name
        return None


def read(run_dir: Path) -> Manifest:
    """Return the run directory's manifest; an empty one where there is none.

    Raises
    ------
    RunDirectoryError
        If the file is not a manifest that this version can read.
    """
    path = run_dir / NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Manifest({})
    except (ValueError, RecursionError) as error:
        msg = f"{path} is damaged ({error}). Use a new run directory."
        raise RunDirectoryError(msg) from error
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        msg = f"{path} has format {found}; this segcli reads format {FORMAT}. Use a new run directory."
        raise RunDirectoryError(msg)
    try:
        manifest = Manifest({name: _record(entry) for name, entry in document["stages"].items()})
        for name, record in manifest.stages.items():
            manifest.outdated(name)  # stages that read from one another in a circle never end
            command(name, run_dir, record)  # nor is every value one of a choice
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError) as error:
        msg = f"{path} is damaged ({error}). Use a new run directory."
        raise RunDirectoryError(msg) from error
    return manifest


def _record(entry: Mapping[str, Any]) -> Record:
    """Return the record in ``entry``; raise if a field or a file name is not what `write` writes."""
    record = Record(**entry)
    for name in ("parameters", "inputs", "reads", "writes", "versions"):
        if not isinstance(getattr(record, name), dict):
            msg = f"{name} is not an object"
            raise TypeError(msg)
    if record.seed is not None and type(record.seed) is not int:
        msg = f"seed is {record.seed!r}"
        raise TypeError(msg)
    for name in (*record.reads, *record.writes):
        # Files are read, replaced and deleted by these names: none may lead out of the directory.
        if name != Path(name).name or name.startswith("."):
            msg = f"{name!r} is not a file of the run directory"
            raise ValueError(msg)
    return record


def write(path: Path, manifest: Manifest, order: tuple[str, ...]) -> None:
    """Write ``manifest`` to ``path``, its stages in the order of the pipeline."""
    stages = {name: asdict(manifest.stages[name]) for name in order if name in manifest.stages}
    document = {"format": FORMAT, "stages": stages}
    # ASCII, because a file name of the user's may hold bytes that are no UTF-8.
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="ascii", newline="\n")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def versions() -> Mapping[str, str]:
    """Return the versions on which a result may depend."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def command(stage: str, run_dir: Path, record: Record | None) -> str:
    """Return the command line that runs ``stage`` again, as it was run the last time."""
    quoted = subprocess.list2cmdline if sys.platform == "win32" else shlex.join
    return quoted(["segcli", *_words(stage, run_dir, record)])


def _words(stage: str, run_dir: Path, record: Record | None) -> Iterator[str]:
    yield stage
    if stage == "ingest":
        names = record.inputs if record is not None else {}
        yield _file(names["interactions"]["name"]) if "interactions" in names else "INTERACTIONS"
    yield _path(str(run_dir))
    if record is None:
        yield from _CHOICES.get(stage, ())
        return
    for name, value in record.parameters.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            yield option
        elif value is not None:
            yield from (option, _file(value) if name in _FILES else str(value))
    if record.seed:
        yield from ("--seed", str(record.seed))


def _file(name: str) -> str:
    """Return a file of the user's as a command names it; its folder is not recorded."""
    return _path(name) if Path(name).exists() else f"FOLDER/{name}"


def _path(name: str) -> str:
    """Return a path as no command takes it for an option."""
    return f"./{name}" if name.startswith("-") else name
