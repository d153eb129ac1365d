"""The sweep over k on the full matrix, beside scikit-learn's KMeans with 10 starts for each k.

    python benchmarks/sweep.py --size movielens-1m --seeds 0 1 2
    python benchmarks/sweep.py --data u.data

segcli   `explore-k` without evidence, one process: it sweeps the 10 components too
KMeans   one process that reads the matrix and fits `KMeans(k, n_init=10)` to it for each k

Both see the same matrix of raw values, and the same k = 2, 4, ..., 50. For each seed, of the planted
data and of the programs, a line: what both take, and segcli's inertia divided by KMeans's (below 1:
segcli's is the better), with how often it rises from one k to the next. `--data FILE` takes real data,
text as `segcli ingest` reads it. Prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from processes import data_file, read_into_memory, run_python

N_COMPONENTS = 10
N_STARTS = 10
INERTIAS = "kmeans.csv"


def main() -> None:
    """Print a line for each seed."""
    command = argparse.ArgumentParser(
        description="The sweep on the full matrix; other options as for data.py."
    )
    command.add_argument("--data", type=Path, metavar="FILE", help="real data instead")
    command.add_argument("--seeds", type=int, nargs="+", default=[0])
    command.add_argument("--k-max", type=int, default=50)
    command.add_argument("--k-step", type=int, default=2)
    options, of_data = command.parse_known_args()
    if options.data and of_data:
        command.error(f"--data FILE has no use for {' '.join(of_data)}")
    ks = range(2, options.k_max + 1, options.k_step)
    print(
        "| seed | segcli, s | KMeans, s | time ÷ segcli's | inertia ÷ KMeans's, mean | least | greatest "
        "| rises |\n|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for seed in options.seeds:
        file = options.data or data_file([*of_data, "--seed", str(seed)])
        with tempfile.TemporaryDirectory() as folder:
            print(line(file, Path(folder), ks, seed), flush=True)


def line(file: Path, run: Path, ks: range, seed: int) -> str:
    """Return what the two take and find, as a row of the table; ``run`` is an empty folder."""
    chance = ("--seed", str(seed), "--evidence", "none")
    run_python(["-m", "segcli", "ingest", str(file), str(run)])
    run_python(["-m", "segcli", "explore-pca", str(run), "--weighting", "raw", *chance])
    read_into_memory(run / "matrix.npz")
    sweep = ("--k-min", str(ks[0]), "--k-max", str(ks[-1]), "--k-step", str(ks.step))
    words = ("explore-k", str(run), "--n-components", str(N_COMPONENTS), *sweep, *chance)
    segcli = run_python(["-m", "segcli", *words])
    numbers = map(str, (ks.start, ks.stop, ks.step, seed))
    kmeans = run_python([__file__, "--as", str(run), *numbers])
    found = [float(row["inertia_full"]) for row in _rows(run / "k_scores.csv")]
    best = [float(row["inertia"]) for row in _rows(run / INERTIAS)]
    ratios = [mine / other for mine, other in zip(found, best, strict=True)]
    steps = [now > before for before, now in pairwise(found)]
    quality = " | ".join(f"{what(ratios):.4f}" for what in (statistics.mean, min, max))
    return (
        f"| {seed} | {segcli.seconds:.1f} | {kmeans.seconds:.1f} "
        f"| {kmeans.seconds / segcli.seconds:.1f} | {quality} | {sum(steps)} of {len(steps)} |"
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fit_kmeans(run: Path, ks: range, seed: int) -> None:
    """Write the best inertia of 10 starts for each k on the full matrix."""
    import scipy.sparse as sp  # noqa: PLC0415 (whoever measures must stay small)
    from sklearn.cluster import KMeans  # noqa: PLC0415

    matrix = sp.load_npz(run / "matrix.npz")
    with (run / INERTIAS).open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["k", "inertia"])
        for k in ks:
            fit = KMeans(k, n_init=N_STARTS, random_state=seed).fit(matrix)
            out.writerow([k, fit.inertia_])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        _, _, folder, start, stop, step, number = sys.argv
        fit_kmeans(Path(folder), range(int(start), int(stop), int(step)), int(number))
    else:
        main()
