"""Interactions with all that ingest has an opinion on, in one file and in a folder of parts."""

from pathlib import Path

import numpy as np
import pandas as pd
from run_dirs import ok

#: What ingest may be told of them.
OPTIONS = (
    (),
    ("--duplicates", "mean"),
    ("--duplicates", "last"),
    ("--duplicates", "last", "--timestamp", "timestamp"),
    ("--negative", "net"),
)

ARTIFACTS = ("matrix.npz", "customers.csv", "items.csv")


def interactions(n: int = 4000) -> pd.DataFrame:
    """Return rows, some of which cannot be used."""
    rng = np.random.default_rng(11)
    values = np.round(rng.gamma(2, 3, n) * rng.choice([1e-9, 1, 1e9], n), 12)
    values[rng.random(n) < 0.01] *= -1
    values[rng.random(n) < 0.01] = np.nan
    customers = rng.integers(0, 300, n).astype(str)
    customers[rng.random(n) < 0.01] = " "
    return pd.DataFrame(
        {
            "customer": customers,
            "item": [f"é{item}" for item in rng.integers(0, 80, n)],
            "value": values,
            "timestamp": rng.integers(0, 50, n),
        }
    )


def write_rows(rows: pd.DataFrame, path: Path) -> None:
    """Write rows as the path's suffix says."""
    if path.suffix == ".parquet":
        rows.to_parquet(path, row_group_size=900)
    else:
        rows.to_csv(path, index=False)


def write_parts(table: pd.DataFrame, folder: Path, kind: str) -> None:
    """Write rows to three files, one of them in a folder below, beside what is no part."""
    (folder / "below").mkdir(parents=True)
    for i, rows in enumerate(np.array_split(np.arange(len(table)), 3)):
        write_rows(table.iloc[rows], folder / ("below" if i == 0 else "") / f"part-{i}.{kind}")
    (folder / "_SUCCESS").touch()
    (folder / f"_note={kind}").write_text("no rows")  # Spark itself would read it
    (folder / ".part-0.crc").write_text("no rows")


def assert_same_as_whole(whole: Path, run: Path) -> None:
    """Insist that the parts of `interactions` gave what one file of them gave; rejects name the part."""
    for artifact in ARTIFACTS:
        assert (whole / artifact).read_bytes() == (run / artifact).read_bytes(), artifact
    expected, found = (pd.read_csv(each / "rejects.csv") for each in (whole, run))
    assert found["reason"].tolist() == expected["reason"].tolist()
    before = np.cumsum([0, *(len(rows) for rows in np.array_split(np.arange(4000), 3))])
    number = found["file"].str.extract(r"part-(\d)")[0].astype(int).to_numpy()
    assert (found["row"] + before[number]).tolist() == expected["row"].tolist()


def ingested(source: object, run: Path, *options: str) -> Path:
    """Run ingest and return the run directory."""
    ok("ingest", source, run, *options)
    return run
