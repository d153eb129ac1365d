"""Time and memory of `segcli ingest` beside scripts with pandas and polars that do the same.

    python benchmarks/ingest.py --size movielens-25m --repeats 3

Each is a process of its own, from start to end, imports included: reads the file, gives customers and
items codes in the order of their ids, adds up repeated pairs, and writes the matrix (uncompressed) and
the ids. segcli also checks every row, digests what it read and wrote, and writes a manifest. The
programs take turns; a figure is the median over the turns; a ratio is the median over the turns of a
program's figure divided by segcli's of the same turn. CPU is user plus system time, memory is the
process's peak.

Needs the dependency group `bench`. Writes a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SEGCLI = "segcli"


def main() -> None:
    """Take turns, and print a row for each kind of input and program."""
    command = argparse.ArgumentParser(
        description="segcli ingest beside pandas and polars; other options as for data.py."
    )
    command.add_argument("--repeats", type=int, default=3)
    command.add_argument("--ids", nargs="+", default=["integer", "string"])
    command.add_argument("--orders", nargs="+", default=["sorted", "shuffled"])
    command.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    options, of_data = command.parse_known_args()
    print("| ids | order | program | seconds | CPU seconds | peak memory, MB | time ÷ segcli's | "
          "CPU ÷ segcli's | memory ÷ segcli's |\n|---|---|---|--:|--:|--:|--:|--:|--:|")  # fmt: skip
    for ids in options.ids:
        for order in options.orders:
            file = data_file([*of_data, "--ids", ids, "--order", order])
            turns = []
            for turn in range(options.repeats):
                subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)  # into memory
                first = turn % len(options.programs)  # no program is always the first
                order_of_turn = options.programs[first:] + options.programs[:first]
                turns.append({name: measure(name, file) for name in order_of_turn})
            for name in options.programs:
                print(f"| {ids} | {order} | {name} | {_row(turns, name)} |", flush=True)


def data_file(options: list[str]) -> Path:
    """Return the interactions that `data.py` makes; in a process of its own.

    A process is born with its parent's peak memory: this one stays small.
    """
    script = Path(__file__).with_name("data.py")
    made = subprocess.run(
        [sys.executable, str(script), *options], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(made.stdout.strip()) / "interactions.csv"


@dataclass(frozen=True)
class Cost:
    """What one process took: seconds by the clock and of CPU, and its peak memory in MB."""

    seconds: float
    cpu: float
    memory: float


def measure(name: str, file: Path) -> Cost:
    """Return what a program takes to ingest a file."""
    with tempfile.TemporaryDirectory(dir=file.parent.parent) as folder:
        if name == SEGCLI:
            words = ["-m", "segcli", "ingest", str(file), str(Path(folder) / "run")]
        else:
            words = [__file__, "--as", name, str(file), folder]
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        msg = f"{name} failed on {file}"
        raise RuntimeError(msg)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6)


def _row(turns: list[dict[str, Cost]], name: str) -> str:
    mine = [turn[name] for turn in turns]
    seconds, cpu, memory = (
        statistics.median(getattr(cost, what) for cost in mine)
        for what in ("seconds", "cpu", "memory")
    )
    cells = [f"{seconds:.2f}", f"{cpu:.2f}", f"{memory:,.0f}"]
    for what in ("seconds", "cpu", "memory"):
        if SEGCLI not in turns[0]:
            cells.append("–")
            continue
        ratios = [getattr(turn[name], what) / getattr(turn[SEGCLI], what) for turn in turns]
        cells.append(f"{statistics.median(ratios):.2f}")
    return " | ".join(cells)


# The scripts: each imports what it needs, and no more.
# ruff: noqa: PLC0415


def with_pandas(file: Path, folder: Path, engine: str) -> None:
    import pandas as pd
    import scipy.sparse as sp

    table = pd.read_csv(file, engine=engine)
    rows, customers = pd.factorize(table["customer"], sort=True)
    columns, items = pd.factorize(table["item"], sort=True)
    values = table["value"].to_numpy(dtype="float64")
    del table
    _write_matrix(sp.coo_array((values, (rows, columns))), folder)
    pd.Series(customers, name="customer").to_csv(folder / "customers.csv", index=False)
    pd.Series(items, name="item").to_csv(folder / "items.csv", index=False)


def with_polars(file: Path, folder: Path) -> None:
    import polars as pl
    import scipy.sparse as sp

    table = pl.read_csv(file)
    codes = {}
    for name in ("customer", "item"):
        column = table[name]
        ids = column.unique().sort()
        if column.dtype == pl.String:
            codes[name] = column.cast(pl.Enum(ids)).to_physical().to_numpy()
        else:
            codes[name] = ids.search_sorted(column).to_numpy()
        pl.DataFrame({name: ids}).write_csv(folder / f"{name}s.csv")
    values = table["value"].to_numpy()
    del table, column
    _write_matrix(sp.coo_array((values, (codes["customer"], codes["item"]))), folder)


def _write_matrix(pairs: object, folder: Path) -> None:
    import scipy.sparse as sp

    matrix = sp.csr_array(pairs)
    matrix.sum_duplicates()
    with (folder / "matrix.npz").open("wb") as file:
        sp.save_npz(file, matrix, compressed=False)


PROGRAMS = {
    SEGCLI: None,
    "pandas (C)": lambda file, folder: with_pandas(file, folder, "c"),
    "pandas (pyarrow)": lambda file, folder: with_pandas(file, folder, "pyarrow"),
    "polars": with_polars,
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        PROGRAMS[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
