"""Are the planted segments found, at any size? Beside scikit-learn's k-means on the same scores.

    python benchmarks/planted.py --size movielens-25m --seeds 0 1 2

segcli   ingest, explore-pca, cluster with the default weighting, pearson
KMeans   `KMeans(k, n_init=10)` on the scores that cluster has written

k is the number of planted segments. For each seed, of the planted data and of the programs, a line: the
adjusted Rand index of either's segments with the planted ones (1: the same), their inertia, and how
long cluster and KMeans take, whole processes. Prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from pipeline import adjusted_rand_index
from processes import data_file, run_python

N_STARTS = 10
LABELS = "kmeans.csv"
INERTIA = "kmeans.json"


def main() -> None:
    """Print a line for each seed."""
    command = argparse.ArgumentParser(
        description="Planted segments, found again; options as for data.py."
    )
    command.add_argument("--seeds", type=int, nargs="+", default=[0])
    command.add_argument("--score-norm", default="log", help="as of explore-pca")
    command.add_argument("--n-components", default="10", help="as of cluster")
    options, of_data = command.parse_known_args()
    print(
        "| seed | k | segcli, ARI | KMeans, ARI | inertia ÷ KMeans's | cluster, s | KMeans, s |\n"
        "|--:|--:|--:|--:|--:|--:|--:|"
    )
    for seed in options.seeds:
        file = data_file([*of_data, "--seed", str(seed)])
        with tempfile.TemporaryDirectory() as folder:
            made = line(file, Path(folder), seed, options.score_norm, options.n_components)
            print(made, flush=True)


def line(file: Path, run: Path, seed: int, score_norm: str, n_components: str) -> str:
    """Return what the two find and take, as a row of the table; ``run`` is an empty folder."""
    planted = segments(file.with_name("truth.csv"))
    k = len(set(planted.values()))
    chance = ("--seed", str(seed), "--evidence", "none")
    run_python(["-m", "segcli", "ingest", str(file), str(run)])
    run_python(["-m", "segcli", "explore-pca", str(run), "--score-norm", score_norm, *chance])
    sizes = ("--n-components", n_components, "--n-clusters", str(k))
    cluster = run_python(["-m", "segcli", "cluster", str(run), *sizes, *chance])
    kmeans = run_python([__file__, "--as", str(run), str(k), str(seed)])
    aris = [
        adjusted_rand_index(
            Counter(
                (planted[customer], segment) for customer, segment in segments(run / name).items()
            )
        )
        for name in ("segments.csv", LABELS)
    ]
    ours = json.loads((run / "clustering.json").read_text())["inertia"]
    theirs = json.loads((run / INERTIA).read_text())
    return (
        f"| {seed} | {k} | {aris[0]:.3f} | {aris[1]:.3f} | {ours / theirs:.4f} "
        f"| {cluster.seconds:.1f} | {kmeans.seconds:.1f} |"
    )


def segments(path: Path) -> dict[str, str]:
    """Return each customer's segment."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["customer"]: row["segment"] for row in csv.DictReader(file)}


def fit_kmeans(run: Path, k: int, seed: int) -> None:
    """Write the segments and the inertia of the best of 10 starts on the scores of a run."""
    import numpy as np  # noqa: PLC0415 (whoever measures must stay small)
    import pandas as pd  # noqa: PLC0415
    from sklearn.cluster import KMeans  # noqa: PLC0415

    scores = np.load(run / "projected.npz")["scores"]
    fit = KMeans(k, n_init=N_STARTS, random_state=seed).fit(scores)
    customers = pd.read_csv(run / "customers.csv", dtype=str)["customer"]
    table = pd.DataFrame({"customer": customers, "segment": fit.labels_})
    table.to_csv(run / LABELS, index=False)
    (run / INERTIA).write_text(json.dumps(fit.inertia_))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        _, _, folder, number, chance = sys.argv
        fit_kmeans(Path(folder), int(number), int(chance))
    else:
        main()
