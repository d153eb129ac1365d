"""The six stages on Spark beside the local engine, stage by stage; and what a pass costs.

    python benchmarks/spark.py --size movielens-25m
    python benchmarks/spark.py --laws

The first reads planted interactions from Parquet, one file for the local engine and a folder of parts
for Spark, and runs each stage on the one and then on the other, in processes of their own: a ratio
compares neighbours in time. At the end the artifacts are compared, byte by byte. Memory is the peak of
the largest process: for Spark that may be the Java of the driver, and on one machine, with
``--master local[*]``, that is where the workers' Java is too.

``--laws`` asks for one pass, the centred matrix's transpose times itself times 16 columns (PCA takes 8 at
a time): seconds against interactions, and bytes that come to the driver against items.

Prints Markdown.
"""

from __future__ import annotations

import argparse
import filecmp
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from processes import Cost, data_file, read_into_memory, run_python

N_PARTS = 8
N_COMPONENTS, N_CLUSTERS, K_MAX = 10, 26, 50
WIDTH = 16
REPEATS = 5

CONVERT = """
import sys, pyarrow as pa, pyarrow.csv as pacsv, pyarrow.parquet as pq
from pathlib import Path
source, file, folder, n = *map(Path, sys.argv[1:4]), int(sys.argv[4])
table = pacsv.read_csv(source)
pq.write_table(table, file, row_group_size=-(-len(table) // n))
folder.mkdir()
for i in range(n):
    start, stop = (len(table) * j // n for j in (i, i + 1))
    pq.write_table(table.slice(start, stop - start), folder / f"part-{i:05}.parquet")
"""


def stages(evidence: str) -> dict[str, list[str]]:
    """Return each stage's options."""
    return {
        "ingest": [],
        "explore-pca": ["--evidence", evidence],
        "explore-k": [
            *("--n-components", str(N_COMPONENTS), "--k-max", str(K_MAX)),
            *("--evidence", evidence),
        ],
        "cluster": [
            *("--n-components", str(N_COMPONENTS), "--n-clusters", str(N_CLUSTERS)),
            *("--evidence", evidence),
        ],
        "validate": ["--evidence", evidence],
        "report": ["--evidence", evidence],
    }


def compare(size: str, master: str, evidence: str) -> None:
    source = data_file(["--size", size])
    file, folder = (source.with_name(name) for name in ("interactions.parquet", "parquet"))
    if not folder.is_dir():
        words = [sys.executable, "-c", CONVERT, source, file, folder, str(N_PARTS)]
        subprocess.run(words, check=True)
    with tempfile.TemporaryDirectory() as place:
        runs = {name: Path(place, name) for name in ("local", "spark")}
        inputs = {"local": file, "spark": folder}
        engines = {"local": [], "spark": ["--engine", "spark", "--master", master]}
        print("| stage | local, s | Spark, s | ratio | local, MB | Spark, MB |")
        print("|---|--:|--:|--:|--:|--:|")
        total = {"local": 0.0, "spark": 0.0}
        for stage, options in stages(evidence).items():
            costs = {}
            for name, run in runs.items():
                read_into_memory(file)
                first = [str(inputs[name])] if stage == "ingest" else []
                words = ["-m", "segcli", stage, *first, str(run), *options, *engines[name]]
                costs[name] = run_python(words)
                total[name] += costs[name].seconds
            print(row(stage, costs), flush=True)
        seconds = (total["local"], total["spark"])
        print(
            f"| all six | {seconds[0]:.1f} | {seconds[1]:.1f} | {seconds[1] / seconds[0]:.2f} | | |"
        )
        print(f"\n{same(runs['local'], runs['spark'])}")


def row(stage: str, costs: dict[str, Cost]) -> str:
    here, there = costs["local"], costs["spark"]
    return (
        f"| {stage} | {here.seconds:.1f} | {there.seconds:.1f} | "
        f"{there.seconds / here.seconds:.2f} | {here.memory:,.0f} | {there.memory:,.0f} |"
    )


def same(one: Path, two: Path) -> str:
    """Return which files differ, in words; the manifest names the input, which does."""
    names = sorted(path.name for path in one.iterdir() if path.name != "manifest.json")
    other = [name for name in names if not filecmp.cmp(one / name, two / name, shallow=False)]
    found = f"{len(names) - len(other)} of {len(names)} artifacts are the same, byte by byte."
    return f"{found} Others: {', '.join(other)}." if other else found


def laws(master: str) -> None:
    from data import Plan  # what imports NumPy comes after what measures processes

    print(
        "| interactions | items | local, s per pass | Spark, s per pass | MB to the driver per pass |"
    )
    print("|--:|--:|--:|--:|--:|")
    for n_interactions in (1_000_000, 2_000_000, 4_000_000, 8_000_000):
        one_law(Plan(n_interactions // 100, 20_000, n_interactions), master)
    for n_items in (25_000, 50_000, 100_000):
        one_law(Plan(20_000, n_items, 2_000_000), master)


def one_law(plan: Any, master: str) -> None:
    import numpy as np
    import scipy.sparse as sp
    from data import plant

    from segcli.engine import LocalEngine
    from segcli.engine.spark import SparkEngine

    planted = plant(plan)
    shape = (plan.n_customers, plan.n_items)
    values = planted.values.astype(np.float64)
    X = sp.csr_array((values, (planted.customers, planted.items)), shape=shape)
    W = np.random.default_rng(0).standard_normal((plan.n_items, WIDTH))
    with (
        tempfile.TemporaryDirectory() as folder,
        SparkEngine(master, Path(folder), here_entries=0) as engine,
    ):
        blocks, beside = engine.blocks(X), LocalEngine().blocks(X)
        seconds = {}
        for name, each in (("spark", blocks), ("local", beside)):
            each.map_sum(gram, W)  # the first pass waits for workers to start
            received, start = engine.n_bytes_received, time.perf_counter()
            for _ in range(REPEATS):
                each.map_sum(gram, W)
            seconds[name] = (time.perf_counter() - start) / REPEATS
            if name == "spark":
                n_bytes = (engine.n_bytes_received - received) / REPEATS
    print(
        f"| {plan.n_interactions:,} | {plan.n_items:,} | {seconds['local']:.2f} | "
        f"{seconds['spark']:.2f} | {n_bytes / 1e6:.1f} |",
        flush=True,
    )


def gram(block: Any, W: Any) -> tuple[Any]:
    return (block.matrix.T @ (block.matrix @ W),)


def main() -> None:
    command = argparse.ArgumentParser(
        description="Compare the engines, or measure a pass.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--size", default="movielens-1m", help="as of data.py")
    command.add_argument("--master", default="local[*]")
    command.add_argument("--evidence", choices=["none", "quick", "full"], default="none")
    command.add_argument("--laws", action="store_true", help="measure a pass instead")
    o = command.parse_args()
    if o.laws:
        laws(o.master)
    else:
        compare(o.size, o.master, o.evidence)


if __name__ == "__main__":
    main()
