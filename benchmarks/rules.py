"""Which rule chooses k right? segcli's verdict beside those one would otherwise go by.

    pip install --group bench
    python benchmarks/rules.py --nulls u.data

Data without segments, where the right answer is none: nulls of a real matrix, and customers made with
one taste. Planted data, where it is the true k. All rules judge as many components of the same weighting;
segcli and prediction strength make them anew from parts of the data, the others judge the same scores.
Prints a row per rule: how often it is right, of each kind of data.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from kneed import KneeLocator
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
from sklearn.mixture import GaussianMixture
from verdicts import N_COMPONENTS, draw_null, judge, ranks_of, read

from segcli.engine import LocalEngine, single_threaded_blas
from segcli.numerics.ranks import in_rank_order
from segcli.numerics.recipe import Recipe, fit_recipe

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from planted import DESIGNS, plant, unplanted

NONE = 1
FAINT = 4.0
"""How many times as often as others a segment's customers pick its items; in the designs it is 12."""
WITHOUT = ("equal, even, stars", "equal, uneven, counts")
N_REFERENCES = 10


def gap_statistic(scores, inertias, seed):
    """Return the k of Tibshirani, Walther & Hastie (2001); the scores lie along principal axes already."""
    rng = np.random.default_rng([2026, seed])
    least, most = scores.min(axis=0), scores.max(axis=0)
    logs = np.empty((N_REFERENCES, len(inertias)))
    for row in logs:
        reference = rng.uniform(least, most, scores.shape)
        row[:] = [np.log(kmeans(reference, k, seed).inertia_) for k in inertias]
    gaps = logs.mean(axis=0) - np.log(list(inertias.values()))
    errors = logs.std(axis=0) * np.sqrt(1 + 1 / N_REFERENCES)
    ks = list(inertias)
    enough = np.flatnonzero(gaps[:-1] >= gaps[1:] - errors[1:])
    return ks[enough[0]] if len(enough) else ks[-1]


def kmeans(scores, k, seed):
    return KMeans(k, n_init=4, random_state=seed).fit(scores)


def choose(X, ks, weighting, seed):
    """Return what each rule chooses, by its name."""
    evidence, found = judge(X, weighting, ks, seed, "quick")
    ordered = in_rank_order(X, ranks_of(X))
    scores = fit_recipe(ordered, Recipe(weighting, N_COMPONENTS), [2], seed=seed).scores
    fits = {k: kmeans(scores, k, seed) for k in (NONE, *ks)}
    inertias = {k: fit.inertia_ for k, fit in fits.items()}
    mixtures = {k: GaussianMixture(k, random_state=seed).fit(scores).bic(scores) for k in fits}
    strong = evidence.table["k"][evidence.table["prediction_strength"] >= 0.8]
    elbow = KneeLocator(
        list(inertias), list(inertias.values()), curve="convex", direction="decreasing"
    )

    def best(score, sign=1):
        return max(ks, key=lambda k: sign * score(scores, fits[k].labels_))

    return {
        "segcli": found.recommended or NONE,
        "prediction strength of 0.8": max(strong, default=NONE),
        "gap statistic": gap_statistic(scores, inertias, seed),
        "BIC of Gaussian mixtures": min(mixtures, key=mixtures.get),
        "HDBSCAN": max(HDBSCAN(copy=True).fit(scores).labels_.max() + 1, NONE),
        "silhouette": best(silhouette_score),
        "Calinski-Harabasz": best(calinski_harabasz_score),
        "Davies-Bouldin": best(davies_bouldin_score, -1),
        "elbow of inertia (kneed)": elbow.elbow or NONE,
    }


def kinds_of_data(path, weightings, repeats):
    """Yield the title of each kind of data, its weighting, and draws: functions, and the right k."""
    real = read(path)
    for weighting in weightings:
        draws = [(partial(draw_null, real, i), NONE) for i in range(repeats)]
        for name in WITHOUT:
            draws += [(partial(unplanted, DESIGNS[name], i), NONE) for i in range(repeats)]
        yield f"none, {weighting}", weighting, draws
    for title, contrast in (("planted", None), ("faint", FAINT)):
        designs = [replace(one, contrast=contrast or one.contrast) for one in DESIGNS.values()]
        draws = [(partial(plant_matrix, one, i), one.k) for one in designs for i in range(repeats)]
        yield f"{title}, pearson", "pearson", draws


def plant_matrix(design, seed):
    return plant(design, seed)[0]


def right(draw, true_k, ks, weighting, seed):
    return {rule: k == true_k for rule, k in choose(draw(), ks, weighting, seed).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nulls", type=Path, metavar="U_DATA", required=True)
    parser.add_argument("--weightings", nargs="+", default=("raw", "l2", "pearson"))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--k-max", type=int, default=15)
    options = parser.parse_args()
    begun = time.monotonic()
    ks = range(2, options.k_max + 1)
    columns = {}
    with single_threaded_blas():
        for title, weighting, draws in kinds_of_data(
            options.nulls, options.weightings, options.repeats
        ):
            tasks = [
                partial(right, draw, true_k, ks, weighting, seed)
                for seed, (draw, true_k) in enumerate(draws)
            ]
            found = LocalEngine().run_tasks(tasks, title)
            columns[f"{title} ({len(tasks)})"] = [
                sum(one[rule] for one in found) for rule in found[0]
            ]
            rules = list(found[0])
    print("| right, of so many | " + " | ".join(columns) + " |")
    print("|---|" + "--:|" * len(columns))
    for rule, counts in zip(rules, zip(*columns.values(), strict=True), strict=True):
        print(f"| {rule} | " + " | ".join(map(str, counts)) + " |")
    print(f"\n{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
