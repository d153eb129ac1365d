"""Run one stage in a run directory: checked loads, atomic saves, one manifest record.

A save goes to a hidden folder of the run directory. On a clean exit that folder, with the new
manifest in it, is renamed to ``.segcli-commit`` — the one instant at which the new artifacts become the
truth — and its files are moved into place. A stage that dies earlier leaves the previous artifacts
whole; one that dies later is finished by the next command that opens the directory.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from segcli.artifacts import catalogue, manifest
from segcli.artifacts.formats import Artifact, MatrixSize, SparseMatrix
from segcli.artifacts.shapes import check_shape
from segcli.engine import scratch
from segcli.errors import ResourceError, RunDirectoryError

R = TypeVar("R")
W = TypeVar("W")

_PENDING = ".segcli-pending"
_COMMIT = ".segcli-commit"

_Identity = tuple[int, int]
_HELD: set[_Identity] = set()
"""The run directories that are locked for several stages, and of which no stage is open."""


class _InUseError(RunDirectoryError):
    """Another segcli command uses the run directory."""


@dataclass
class Stage:
    """An open stage: load what it needs, save what it makes. Made by :func:`open_stage`."""

    name: str
    run_dir: Path
    records: manifest.Manifest
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    reads: dict[str, str] = field(default_factory=dict)
    writes: dict[str, str] = field(default_factory=dict)

    def load(self, artifact: Artifact[R, Any]) -> R:
        """Return an artifact that an earlier stage wrote, and note its digest.

        Raises
        ------
        RunDirectoryError
            If it is missing, altered or stale; the message names the command to run.
        """
        digest = check(self.run_dir, self.records, artifact)
        self.reads[artifact.name] = digest
        return _read(self.run_dir, self.records, artifact)

    def has(self, artifact: Artifact[Any, Any]) -> bool:
        """Return whether an artifact that this stage can do without is there, and fresh."""
        try:
            check(self.run_dir, self.records, artifact)
        except RunDirectoryError:
            return False
        return True

    def peek(self, artifact: Artifact[R, Any]) -> R | None:
        """Return an artifact as it stands now, without resting on it; None if missing or not fresh.

        For what is noted beside a result and does not bear on it: a later change of the artifact
        does not make this stage stale.
        """
        return _read(self.run_dir, self.records, artifact) if self.has(artifact) else None

    def size_of_matrix(self) -> MatrixSize | None:
        """Return how large the matrix is; None if that cannot be told: loading it will say why."""
        path = self.run_dir / catalogue.MATRIX.name
        try:
            return SparseMatrix().size(path)
        except (ValueError, OSError):
            return None

    def save(self, artifact: Artifact[Any, W], value: W) -> None:
        """Write an artifact; it takes its place when the stage ends well."""
        if artifact.stage != self.name:
            msg = f"{artifact.name} belongs to {artifact.stage}, not to {self.name}"
            raise ValueError(msg)
        pending = self.run_dir / _PENDING
        pending.mkdir(exist_ok=True)
        path = pending / artifact.name
        artifact.format.write(path, value)
        with ThreadPoolExecutor(1) as beside:  # the disk leaves the processor with nothing to do
            digest = beside.submit(manifest.digest, path)
            _to_disk(path)  # here and not all at the end: what is large may be saved by a thread
            self.writes[artifact.name] = digest.result()

    def note_input(self, role: str, path: Path) -> None:
        """Note the digest of a file of the user's that this stage reads."""
        self.note_digest(role, path.name, manifest.digest(path))

    def note_digest(self, role: str, name: str, sha256: str | None) -> None:
        """Note what of the user's this stage reads by a digest that is known; None where there is none."""
        self.inputs[role] = {"name": name, "sha256": sha256}


@contextmanager
def open_stage(
    run_dir: Path, name: str, parameters: Mapping[str, Any], *, seed: int | None = None
) -> Iterator[Stage]:
    """Open a stage; commit what it saved if the block ends well, and nothing otherwise.

    Raises
    ------
    RunDirectoryError
        If the directory is absent (for a stage other than ``ingest``), is a file, cannot be
        written, is in use by another segcli, or holds a file of the user's under an artifact's name.
    ResourceError
        If the disk is full.
    """
    with _entered(run_dir, [name]):
        stage = Stage(name, run_dir, manifest.read(run_dir))
        try:
            yield stage
            record = manifest.Record(
                parameters=dict(parameters),
                seed=seed,
                inputs=stage.inputs,
                reads=stage.reads,
                writes=stage.writes,
                versions=manifest.versions(),
            )
            _commit(run_dir, stage.records.with_record(name, record))
        finally:
            shutil.rmtree(run_dir / _PENDING, ignore_errors=True)
            shutil.rmtree(run_dir / scratch.FOLDER, ignore_errors=True)


@contextmanager
def hold(run_dir: Path, stages: Sequence[str]) -> Iterator[None]:
    """Keep other segcli commands out of a run directory for the block, in which ``stages`` are opened.

    Raises
    ------
    RunDirectoryError
        As `open_stage`, for any of the stages.
    """
    with _entered(run_dir, stages) as directory:
        _HELD.add(directory)
        try:
            yield
        finally:
            _HELD.discard(directory)


@contextmanager
def _entered(run_dir: Path, stages: Sequence[str]) -> Iterator[_Identity]:
    """Lock a run directory in which the stages may write; made for ``ingest``, removed if left empty."""
    made = _enter(run_dir, create="ingest" in stages)
    try:
        with _locked(run_dir) as directory, _disk_errors(run_dir):
            recover(run_dir)
            records = manifest.read(run_dir)
            for name in stages:
                _refuse_foreign_files(run_dir, records, name)
            yield directory
    finally:
        for folder in made:  # only what was made here, and only while it is empty
            if not any(folder.iterdir()):
                folder.rmdir()


def read_artifact(run_dir: str | Path, artifact: Artifact[R, Any]) -> R:
    """Return one artifact of a run directory, checked against the manifest.

    Raises
    ------
    RunDirectoryError
        If it is missing, altered or stale; the message names the command to run.
    """
    folder = Path(run_dir)
    _enter(folder, create=False)
    records = manifest.read(folder)
    check(folder, records, artifact)
    return _read(folder, records, artifact)


def check(run_dir: Path, records: manifest.Manifest, artifact: Artifact[Any, Any]) -> str:
    """Return the digest of an artifact that is present, unaltered and fresh.

    Raises
    ------
    RunDirectoryError
        If it is not; the message names the command to run.
    """
    path = run_dir / artifact.name
    record = records.stages.get(artifact.stage)
    again = manifest.command(artifact.stage, run_dir, record)
    if record is None or artifact.name not in record.writes:
        msg = f"{path} is missing: {artifact.stage} has not run here. Run: {again}"
        raise RunDirectoryError(msg)
    outdated = records.outdated(artifact.stage)
    if outdated is not None:
        stale, changed = outdated
        rerun = manifest.command(stale, run_dir, records.stages[stale])
        msg = f"{path} is stale: {changed} has changed since {stale} ran. Run: {rerun}"
        raise RunDirectoryError(msg)
    if not path.is_file():
        msg = f"{path} is missing: it was removed after {artifact.stage} wrote it. Run: {again}"
        raise RunDirectoryError(msg)
    digest = manifest.digest(path)
    if digest != record.writes[artifact.name]:
        msg = f"{path} was altered or cut short after {artifact.stage} wrote it. Run: {again}"
        raise RunDirectoryError(msg)
    return digest


def refuse_to_lose_names(run_dir: Path) -> None:
    """Refuse to write over a `segment_summary.csv` that a person has edited.

    Not to take its names either: it would be their only copy, and the next report may go without.

    Raises
    ------
    RunDirectoryError
    """
    artifact = catalogue.SEGMENT_SUMMARY
    record = manifest.read(run_dir).stages.get(artifact.stage)
    path = run_dir / artifact.name
    written = record.writes.get(artifact.name) if record is not None else None
    if written is None or not path.is_file() or _is(path, written):
        return
    msg = (
        f"{path} was edited after report wrote it, and would be overwritten. To keep the edit, move the "
        "file and name it with --segment-names; to drop it, remove the file."
    )
    raise RunDirectoryError(msg)


@dataclass(frozen=True)
class StageState:
    """What `segcli status` says of one stage.

    ``state`` is ``fresh``, ``stale``, ``altered`` or ``not run``; ``reason`` says why it is not fresh,
    and ``command`` what to run; None if that would be refused: ``reason`` then says what to do first.
    """

    stage: str
    state: str
    reason: str | None
    command: str | None
    parameters: Mapping[str, Any]
    seed: int | None
    writes: tuple[str, ...]


def is_run_directory(folder: Path) -> bool:
    """Return whether a stage has run in a folder."""
    return (folder / manifest.NAME).is_file() and (folder / catalogue.MATRIX.name).is_file()


def describe(run_dir: Path) -> list[StageState]:
    """Return the state of each stage of a run directory, in the order of the pipeline.

    After them `label`, if it has run: few directories are for that.

    Raises
    ------
    RunDirectoryError
        If it is none, or its manifest is damaged.
    """
    _enter(run_dir, create=False)
    if os.access(run_dir, os.W_OK):
        with suppress(_InUseError), _locked(run_dir):  # who uses it has recovered it
            recover(run_dir)
    records = manifest.read(run_dir)
    stages = [*catalogue.STAGES]
    if catalogue.LABELLING in records.stages:
        stages.append(catalogue.LABELLING)
    return [_state(run_dir, records, stage) for stage in stages]


def _state(run_dir: Path, records: manifest.Manifest, stage: str) -> StageState:
    record = records.stages.get(stage)
    again: str | None = manifest.command(stage, run_dir, record)
    if record is None:
        return StageState(stage, "not run", None, again, {}, None, ())
    state, reason = "fresh", None
    outdated = records.outdated(stage)
    changed = [n for n, d in record.writes.items() if not _is(run_dir / n, d)]
    if outdated is not None:
        state, reason = "stale", f"{outdated[1]} has changed since {outdated[0]} ran."
    elif changed:
        state, reason = "altered", f"{changed[0]} was altered or removed."
    if stage == catalogue.SEGMENT_SUMMARY.stage:
        try:
            refuse_to_lose_names(run_dir)
        except RunDirectoryError as error:
            reason, again = str(error), None
    return StageState(
        stage, state, reason, again, record.parameters, record.seed, tuple(record.writes)
    )


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and manifest.digest(path) == digest


def _read(run_dir: Path, records: manifest.Manifest, artifact: Artifact[R, Any]) -> R:
    path = run_dir / artifact.name
    try:
        value = artifact.format.read(path)
        check_shape(artifact.name, value)
    except ValueError as error:
        again = manifest.command(artifact.stage, run_dir, records.stages.get(artifact.stage))
        msg = f"{path} cannot be read: {error}. Run: {again}"
        raise RunDirectoryError(msg) from error
    return value


def _enter(run_dir: Path, *, create: bool) -> list[Path]:
    """Check that the run directory is one; return the folders that had to be made, deepest first."""
    if run_dir.is_dir():
        return []
    if run_dir.exists():
        msg = f"{run_dir} is a file, not a run directory. Name a folder, new or made by segcli ingest."
        raise RunDirectoryError(msg)
    if run_dir.is_symlink():
        msg = (
            f"{run_dir} is a link to {run_dir.readlink()}, which does not exist. Is a disk not mounted? "
            "Make that folder, or name another."
        )
        raise RunDirectoryError(msg)
    if not create:
        msg = f"{run_dir} does not exist. Run: {manifest.command('ingest', run_dir, None)}"
        raise RunDirectoryError(msg)
    made = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    try:
        run_dir.mkdir(parents=True)
    except OSError as error:
        msg = f"{run_dir} cannot be made: {error.strerror}. Name a folder that you can write to."
        raise RunDirectoryError(msg) from error
    return made


@contextmanager
def _locked(run_dir: Path) -> Iterator[_Identity]:
    """Lock the run directory for the block; no file is left behind.

    Where `hold` has locked it for several stages, one of them at a time.
    """
    if not os.access(run_dir, os.W_OK | os.X_OK):
        msg = f"{run_dir} cannot be written to. Change its permissions or name another folder."
        raise RunDirectoryError(msg)
    status = run_dir.stat()
    directory = status.st_dev, status.st_ino
    if directory in _HELD:
        _HELD.discard(directory)
        try:
            yield directory
        finally:
            _HELD.add(directory)
        return
    if sys.platform == "win32":  # no advisory locks on folders there
        yield directory
        return
    import fcntl  # noqa: PLC0415 (absent on Windows)

    handle = os.open(run_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"{run_dir} is in use by another segcli command. Wait for it to end."
            raise _InUseError(msg) from error
        except OSError:  # a file system without locks: go on as without
            pass
        yield directory
    finally:
        os.close(handle)


@contextmanager
def _disk_errors(run_dir: Path) -> Iterator[None]:
    """Turn the errors of a full or failing disk into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            msg = f"{run_dir} cannot hold more: {error.strerror}. This stage changed nothing; free space."
            raise ResourceError(msg) from error
        raise


def _refuse_foreign_files(run_dir: Path, records: manifest.Manifest, stage: str) -> None:
    """Refuse to write over a file that segcli did not write."""
    for artifact in vars(catalogue).values():
        if not isinstance(artifact, Artifact) or artifact.stage != stage:
            continue
        path = run_dir / artifact.name
        if path.is_dir() or (path.exists() and records.writer(artifact.name) is None):
            msg = (
                f"{path} is in the way: segcli did not write it. "
                "Move it, or use another run directory."
            )
            raise RunDirectoryError(msg)


def _commit(run_dir: Path, records: manifest.Manifest) -> None:
    pending = run_dir / _PENDING
    pending.mkdir(exist_ok=True)
    order = (*catalogue.STAGES, catalogue.LABELLING)
    manifest.write(pending / manifest.NAME, records, order)
    _to_disk(pending / manifest.NAME)
    pending.rename(run_dir / _COMMIT)
    recover(run_dir)


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk: from a commit on, it is the truth."""
    with path.open("rb+") as file:  # Windows waits only for who may write
        os.fsync(file.fileno())


def recover(run_dir: Path) -> None:
    """Finish a commit that was interrupted, and drop what an interrupted stage left.

    Safe to repeat: each file is moved in one step, the manifest last.

    Raises
    ------
    RunDirectoryError
        If a file cannot be replaced, such as one that is open in another program on Windows.
    """
    shutil.rmtree(run_dir / _PENDING, ignore_errors=True)
    shutil.rmtree(run_dir / scratch.FOLDER, ignore_errors=True)
    commit = run_dir / _COMMIT
    if not commit.is_dir():
        return
    if (commit / manifest.NAME).exists():
        before, after = manifest.read(run_dir), manifest.read(commit)
        for stage, record in after.stages.items():
            old = before.stages.get(stage)
            for name in set(old.writes) - set(record.writes) if old is not None else ():
                with _replaceable(run_dir / name):
                    (run_dir / name).unlink(missing_ok=True)
        artifacts = [path.name for path in sorted(commit.iterdir()) if path.name != manifest.NAME]
        for name in (*artifacts, manifest.NAME):
            with _replaceable(run_dir / name):
                (commit / name).replace(run_dir / name)
    commit.rmdir()


@contextmanager
def _replaceable(path: Path) -> Iterator[None]:
    """Say which file cannot be replaced, and that the rest of what was done is not lost."""
    try:
        yield
    except PermissionError as error:
        msg = (
            f"{path} cannot be replaced: {error.strerror}. Close what has it open, or change its rights; "
            "the next segcli command then puts in place what this stage has done."
        )
        raise RunDirectoryError(msg) from error
