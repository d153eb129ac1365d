"""Time and memory of `segcli ingest` beside scripts with pandas and polars that do the same.

    python benchmarks/ingest.py --size movielens-25m --repeats 3
    python benchmarks/ingest.py --size movielens-25m --format parquet
    python benchmarks/ingest.py --size movielens-25m --format quoted

Each is a process of its own, from start to end, imports included: reads the file, gives customers and
items codes in the order of their ids, adds up repeated pairs, and writes the matrix (uncompressed) and
the ids. segcli also checks every row, digests what it read and wrote, and writes a manifest. The
programs take turns; a figure is the median over the turns; a ratio is the median over the turns of a
program's figure divided by segcli's of the same turn. CPU is user plus system time, memory is the
process's peak.

Needs the dependency group `bench`. Writes a Markdown table.
"""

# Whoever measures must stay small.
# ruff: noqa: PLC0415

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from processes import (
    ALIGNED,
    COLUMNS,
    Cost,
    cells,
    data_file,
    read_into_memory,
    run_python,
    turn_order,
)

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
    command.add_argument("--format", choices=["csv", "quoted", "parquet"], default="csv")
    options, of_data = command.parse_known_args()
    if options.format == "parquet":  # which pandas reads in one way only
        options.programs = [name for name in options.programs if name != "pandas (C)"]
    print(f"| ids | order | program | {COLUMNS} |\n|---|---|---|{ALIGNED}|")
    for ids in options.ids:
        for order in options.orders:
            file = data_file([*of_data, "--ids", ids, "--order", order])
            if options.format in WRITERS:
                file = written_as(options.format, file)
            turns = []
            for turn in range(options.repeats):
                read_into_memory(file)
                names = turn_order(options.programs, turn)
                turns.append({name: measure(name, file) for name in names})
            for name in options.programs:
                print(f"| {ids} | {order} | {name} | {cells(turns, name, SEGCLI)} |", flush=True)


def written_as(kind: str, file: Path) -> Path:
    """Return the same rows in another format, as pyarrow writes it; made once."""
    made = file.with_suffix({"parquet": ".parquet", "quoted": ".quoted.csv"}[kind])
    if not made.exists():
        run_python([__file__, "--as", kind, str(file), str(made)])
    return made


def measure(name: str, file: Path) -> Cost:
    """Return what a program takes to ingest a file."""
    with tempfile.TemporaryDirectory(dir=file.parent.parent) as folder:
        if name == SEGCLI:
            return run_python(["-m", "segcli", "ingest", str(file), str(Path(folder) / "run")])
        return run_python([__file__, "--as", name, str(file), folder])


# The scripts: each imports what it needs, and no more.


def with_pandas(file: Path, folder: Path, engine: str) -> None:
    import pandas as pd
    import scipy.sparse as sp

    is_parquet = file.suffix == ".parquet"
    table = pd.read_parquet(file) if is_parquet else pd.read_csv(file, engine=engine)
    rows, customers = pd.factorize(table["customer"], sort=True)
    columns, items = pd.factorize(table["item"], sort=True)
    values = table["value"].to_numpy(dtype="float64")
    del table
    _write_matrix(sp.coo_array((values, (rows, columns))), folder)
    pd.Series(customers, name="customer").to_csv(folder / "customers.csv", index=False)
    pd.Series(items, name="item").to_csv(folder / "items.csv", index=False)


def write_parquet(file: Path, made: Path) -> None:
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    unfinished = made.with_suffix(".unfinished")
    pq.write_table(pacsv.read_csv(file), unfinished)
    unfinished.rename(made)


def write_quoted(file: Path, made: Path) -> None:
    import pyarrow.csv as pacsv

    unfinished = made.with_suffix(".unfinished")
    with (
        pacsv.open_csv(file) as rows,
        pacsv.CSVWriter(
            unfinished, rows.schema, write_options=pacsv.WriteOptions(quoting_style="all_valid")
        ) as writer,
    ):
        for batch in rows:
            writer.write_batch(batch)
    unfinished.rename(made)


def with_polars(file: Path, folder: Path) -> None:
    import polars as pl
    import scipy.sparse as sp

    table = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file)
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
WRITERS = {"parquet": write_parquet, "quoted": write_quoted}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        (WRITERS | PROGRAMS)[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
