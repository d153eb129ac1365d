"""Which weighting? All six, measured on four sets of real data, with several seeds.

    python benchmarks/weightings.py DATA

DATA is a folder with `ml-100k/u.data`, `lastfm-2k/user_artists.dat`, `msweb/visits.csv` and
`online-retail/online_retail.csv.gz`; sets that are absent are left out, and said to be. Each is read by
`segcli ingest` and measured as `segcli explore-pca --compare-weightings` does. Prints tables in
Markdown, means over the seeds; see benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from segcli.artifacts import read_artifact
from segcli.artifacts.catalogue import MATRIX
from segcli.engine import LocalEngine, single_threaded_blas
from segcli.numerics.ranks import rank
from segcli.numerics.recipe_comparison import compare_recipes, of_each_weighting
from segcli.numerics.weighting import NAMES

SETS = {
    "ML-100K, stars": ("ml-100k/u.data",),
    "Last.fm, plays": ("lastfm-2k/user_artists.dat",),
    "msweb, visits": ("msweb/visits.csv",),
    "Online Retail, quantities": (
        "online-retail/online_retail.csv.gz",
        *("--customer", "CustomerID", "--item", "StockCode", "--value", "Quantity"),
    ),
}


def read(path, options):
    """Return a file as the matrix that segcli makes of it."""
    with tempfile.TemporaryDirectory() as run:
        command = [sys.executable, "-m", "segcli", "ingest", str(path), run, *options]
        subprocess.run(command, check=True, capture_output=True)
        return read_artifact(run, MATRIX)


def measure(X, seeds, label):
    """Return one line per seed and weighting."""
    ranks = rank(LocalEngine(1).blocks(X))
    lines = []
    for seed in seeds:
        found = compare_recipes(X, of_each_weighting(), "weighting", ranks=ranks, seed=seed)
        table = pd.DataFrame(list(found.candidates))
        lines.append(table.assign(chosen=table["name"] == found.recommended, seed=seed))
        print(f"{label}, seed {seed}: {found.reason}", file=sys.stderr, flush=True)
    return pd.concat(lines, ignore_index=True)


def gain(lines):
    return f"{lines['gain'].mean():.3f} (k {lines['gain_k'].median():.0f})"


def behind(lines):
    if not lines["behind"].any():
        return "–"
    return f"{lines['behind'].mean():.3f} ± {lines['behind_se'].mean():.3f}"


def transfer(lines):
    k = f"k {lines['transfer_k'].median():.0f}"
    return f"{lines['transfer_ari'].mean():.2f}, {lines['transfer_ari_null'].mean():.2f} ({k})"


def activity(lines):
    return f"{lines['activity_share'].mean():.2f}, {lines['activity_share_null'].mean():.2f}"


def variance(lines):
    return f"{lines['variance_held'].mean():.1%}"


def chosen(lines):
    return f"{lines['chosen'].sum()} of {len(lines)}"


FIGURES = {
    "Held-out gain at its peak, bits per hidden interaction": gain,
    "The null's gain at its peak": lambda lines: f"{lines['gain_null'].mean():.3f}",
    "Gain behind the best, and the standard error of that": behind,
    "Transfer ARI, and the null's, at the k up to 8 where they differ most": transfer,
    "Activity share, and the null's, at that k": activity,
    "Variance held by 10 components (no measure of quality)": variance,
    "How often recommended": chosen,
}


def table(measured, figure):
    """Return the Markdown table of one figure: weightings by sets."""
    rows = [["weighting", *measured], ["---"] * (len(measured) + 1)]
    for name in NAMES:
        own = [lines[lines["name"] == name] for lines in measured.values()]
        rows.append([name, *(figure(lines) for lines in own)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="the folder of the four sets")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default: 3)")
    parser.add_argument("--sets", nargs="+", default=["all"], help="words of their names")
    options = parser.parse_args()
    begun = time.monotonic()
    measured = {}
    with single_threaded_blas():
        for label, (file, *columns) in SETS.items():
            if options.sets != ["all"] and not any(word in label for word in options.sets):
                continue
            if not (options.data / file).exists():
                print(f"{label} is left out: {options.data / file} is absent.")
                continue
            X = read(options.data / file, columns)
            measured[label] = measure(X, range(options.seeds), label)
    for title, figure in FIGURES.items():
        print(f"\n{title}:\n\n{table(measured, figure)}")
    print(f"\n{options.seeds} seeds, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
