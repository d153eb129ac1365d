"""How often the verdict on k is right: on nulls, where no k is, and on planted data.

    python benchmarks/verdicts.py --nulls u.data --sizes --planted

On nulls of a real matrix (`segcli.numerics.nulls`: no segments) every verdict but "no supported k"
is wrong. So it is on data with one taste, whose customers and items have large values or small ones
(`--sizes`): there transfer ARI should be as high on the null. On planted data the true k must be among
the supported, and k-means at that k must find the planted segments (adjusted Rand index). Prints a row
per weighting, and a row per design.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import adjusted_rand_score

from segcli.engine import LocalEngine, single_threaded_blas
from segcli.numerics.evidence import FULL, gather_evidence, quick_level
from segcli.numerics.levels import LARGEST_SAMPLE
from segcli.numerics.nulls import swapped
from segcli.numerics.ranks import in_rank_order, rank
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.verdict import verdict
from segcli.numerics.weighting import NAMES

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from planted import DESIGNS, Design, plant, unplanted, with_sizes

N_COMPONENTS = 10
ONE_TASTE = Design((1.0,), 1.0, "counts", n_items=100, median_items=12)


def ranks_of(X):
    return rank(LocalEngine(1).blocks(X))


def judge(X, weighting, ks, seed, level, n_components=N_COMPONENTS):
    level = FULL if level == "full" else replace(quick_level(X), n_customers=LARGEST_SAMPLE)
    (evidence,) = gather_evidence(
        X,
        [Recipe(weighting, n_components)],
        ks,
        ranks=ranks_of(X),
        seed=seed,
        level=level,
    )
    return evidence, verdict(evidence)


def read(path):
    customer, item, value = np.loadtxt(path, dtype=np.int64, usecols=(0, 1, 2), unpack=True)
    return sp.csr_array((value.astype(np.float64), (customer - 1, item - 1)))


def draw_null(X, i):
    return swapped(in_rank_order(X, ranks_of(X)), rng=np.random.default_rng([2026, i]))


def judge_null(X, i, ks, level, weighting):
    evidence, found = judge(draw_null(X, i), weighting, ks, i, level)
    table = evidence.table
    above = np.nanmax(table["held_out_gain"] - table["held_out_gain_null_max"])
    return not found.supported, np.nanmax(table["transfer_ari"]), above


def judge_sizes(i, ks, level, weighting):
    X = with_sizes(unplanted(ONE_TASTE, i), i, of_customers=0.7, of_items=1.5)
    evidence, found = judge(X, weighting, ks, i, level)
    highest = (np.nanmax(evidence.table[name]) for name in ("transfer_ari", "transfer_ari_null"))
    return not found.supported, *highest


def judge_planted(design, i, ks, level, weighting):
    X, truth = plant(design, i)
    _, found = judge(X, weighting, ks, i, level)
    ranks = ranks_of(X)
    fit = fit_recipe(in_rank_order(X, ranks), Recipe(weighting, N_COMPONENTS), [design.k], seed=i)
    return found, adjusted_rand_score(truth[ranks.customer_order], fit.partitions[0].labels)


def on_nulls(path, ks, n, level, weightings):
    X = read(path)
    print(f"\n{n} nulls of {path.name}, k from {ks[0]} to {ks[-1]}, {level} evidence\n")
    print("| weighting | no supported k | highest transfer ARI | highest gain above nulls, bits |")
    print("|---|---|---|---|")
    for weighting in weightings:
        tasks = [partial(judge_null, X, i, ks, level, weighting) for i in range(n)]
        right, transfers, gains = zip(*LocalEngine().run_tasks(tasks, "nulls"), strict=True)
        print(
            f"| {weighting} | {sum(right)} of {n} | {max(transfers):.2f} | {max(gains):.3f} |",
            flush=True,
        )


def on_sizes(ks, n, level, weightings):
    print(f"\n{n} draws of one taste, values of any size, k to {ks[-1]}, {level} evidence\n")
    print("| weighting | no supported k | highest transfer ARI, median | the null's |")
    print("|---|---|---|---|")
    for weighting in weightings:
        tasks = [partial(judge_sizes, i, ks, level, weighting) for i in range(n)]
        right, transfers, nulls = zip(*LocalEngine().run_tasks(tasks, "draws"), strict=True)
        print(
            f"| {weighting} | {sum(right)} of {n} | {np.median(transfers):.2f} "
            f"| {np.median(nulls):.2f} |",
            flush=True,
        )


def on_planted(ks, n, level, weighting):
    print(
        f"\nPlanted data, {weighting}, {n} draws of each design, k to {ks[-1]}, {level} evidence\n"
    )
    print("| design | true k | supported | recommended | least ARI | median ARI |")
    print("|---|---|---|---|---|---|")
    for name, design in DESIGNS.items():
        tasks = [partial(judge_planted, design, i, ks, level, weighting) for i in range(n)]
        found, recovered = zip(*LocalEngine().run_tasks(tasks, "draws"), strict=True)
        supported = sum(design.k in one.supported for one in found)
        recommended = sum(design.k == one.recommended for one in found)
        print(
            f"| {name} | {design.k} | {supported} of {n} | {recommended} of {n} "
            f"| {min(recovered):.2f} | {np.median(recovered):.2f} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nulls", type=Path, metavar="U_DATA", help="MovieLens 100K's u.data")
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--weightings", nargs="+", default=NAMES)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--k-max", type=int, default=15)
    parser.add_argument("--evidence", choices=("quick", "full"), default="quick")
    options = parser.parse_args()
    begun = time.monotonic()
    ks = range(2, options.k_max + 1)
    with single_threaded_blas():
        if options.nulls:
            on_nulls(options.nulls, ks, options.repeats, options.evidence, options.weightings)
        if options.sizes:
            on_sizes(ks, options.repeats, options.evidence, options.weightings)
        if options.planted:
            for weighting in options.weightings:
                on_planted(ks, options.repeats, options.evidence, weighting)
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
