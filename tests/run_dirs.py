"""Run directories for the tests of the command line: one made per session, copied per test."""

import atexit
import contextlib
import functools
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from click.testing import CliRunner, Result

from segcli.cli import main

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "sample_data"
STAGES = {
    "ingest": ("ingest", "ratings.csv", "run"),
    "explore-pca": ("explore-pca", "run", "--max-components", "4"),
    "explore-k": ("explore-k", "run", "--n-components", "2", "--k-max", "4"),
    "cluster": ("cluster", "run", "--n-components", "2", "--n-clusters", "3"),
    "validate": ("validate", "run"),
    "report": ("report", "run", "--top", "3"),
}
LATER = tuple(STAGES)[1:]


def ratings(n_customers: int = 60, n_items: int = 12) -> str:
    """Return a CSV of three plain tastes: each customer rates most of a third of the items."""
    rng = np.random.default_rng(5)
    rows = ["customer,item,value"]
    for customer in range(n_customers):
        for item in range(n_items):
            liked = item % 3 == customer % 3
            if rng.random() < (0.8 if liked else 0.15):
                rows.append(f"c{customer:03},i{item:02},{rng.integers(3, 6)}")
    return "\n".join(rows) + "\n"


def invoke(*args: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="segcli")


def ok(*args: object) -> Result:
    """Run the command line and insist that it ends well."""
    result = invoke(*args)
    assert result.exit_code == 0, (args, result.output, result.exception)
    return result


def environment(**extra: str) -> dict[str, str]:
    """Return an environment for a subprocess that finds this segcli from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **extra}


def process(
    *args: object,
    cwd: Path,
    env: dict[str, str] | None = None,
    prefix: Sequence[str] = (),
    errors: str = "strict",
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m segcli`` in a process of its own."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "segcli", *map(str, args)],
        cwd=cwd,
        env=env if env is not None else environment(),
        capture_output=True,
        text=True,
        errors=errors,
        timeout=120,
        check=False,
    )


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file under a folder, and the name of every folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "a folder"
        )
    return found


@contextlib.contextmanager
def left_alone(folder: Path) -> Iterator[None]:
    """Insist that the block changes no file or folder under a folder."""
    before = digests(folder)
    yield
    assert digests(folder) == before


def states(run: Path) -> dict[str, str]:
    """Return each stage's state as ``segcli status --json`` tells it."""
    document = json.loads(ok("status", run, "--json").stdout)
    return {stage["stage"]: stage["state"] for stage in document["stages"]}


def assert_whole(run: Path) -> None:
    """Insist that the manifest is true of the files, and that nothing else lies about."""
    document = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    recorded = {}
    for record in document["stages"].values():
        recorded.update(record["writes"])
    found = digests(run)
    found.pop("manifest.json")
    assert found == recorded


def assert_one_line(result: Result | subprocess.CompletedProcess[str], *words: str) -> str:
    """Insist on exit status 1 and one line on stderr that holds each of ``words``; return it."""
    status = result.exit_code if isinstance(result, Result) else result.returncode
    lines = result.stderr.splitlines()
    assert (status, len(lines), result.stdout) == (1, 1, ""), (status, result.stderr, result.stdout)
    assert lines[0].startswith("Error: ")
    for word in words:
        assert word in lines[0], (word, lines[0])
    return lines[0]


def command_in(line: str) -> list[str]:
    """Return the arguments of the command that an error line tells the user to run."""
    return shlex.split(line.rpartition("Run: segcli ")[2])


@dataclass(frozen=True)
class Workplace:
    """A folder with ``ratings.csv`` and a finished run directory in it."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def ratings(self) -> Path:
        return self.folder / "ratings.csv"

    def change_one_row(self) -> None:
        """Give one row of the input another value."""
        lines = self.ratings.read_text().splitlines()
        customer, item, value = lines[1].split(",")
        lines[1] = f"{customer},{item},{9 - int(value)}"
        self.ratings.write_text("\n".join(lines) + "\n")


@functools.cache
def template() -> Path:
    """Return a folder in which all six stages have run, made once and removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="segcli-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "ratings.csv").write_text(ratings())
    with contextlib.chdir(folder):
        for args in STAGES.values():
            ok(*args)
    return folder


def workplace_in(folder: Path) -> Workplace:
    """Return a copy of the finished run directory, with its input beside it."""
    shutil.copytree(template(), folder, dirs_exist_ok=True)
    return Workplace(folder)


def name_segments(run: Path, names: Sequence[str]) -> None:
    """Make the report of a run anew with a person's names for its segments; one may be blank."""
    table = pd.read_csv(run / "segment_summary.csv").assign(name=list(names))
    table.to_csv(run.with_name("names.csv"), index=False)
    ok("report", run, "--top", "3", "--segment-names", run.with_name("names.csv"))


def table(place: Workplace, name: str) -> pd.DataFrame:
    """Return a table of the run directory; ids and names are texts."""
    return pd.read_csv(place.run / name, dtype={"item": str, "customer": str, "name": str})


def document(place: Workplace, name: str) -> Any:
    """Return a JSON document of the run directory."""
    return json.loads((place.run / name).read_text())
