"""Which method makes the better segments? segcli's beside others that make as many, on real data.

    python benchmarks/methods.py DATA

DATA is the folder of `weightings.py`. Every method gets the same matrices and makes k segments; k-means,
mixtures and co-clustering choose among as many starts, by their own measure. Gaussian mixture and Ward
get the scores that segcli's k-means gets.

- held-out gain: a fifth of the interactions is hidden, the rest segmented; how many bits is each hidden
  one worth to whoever knows the segment (`segcli.numerics.held_out`)?
- transfer ARI: both halves of the customers are segmented; naive Bayes learns one's and labels the other
  (`segcli.numerics.stability`)
- found again: adjusted Rand index of all customers' segments with those of either half, in that half

Prints a table in Markdown for each set, means over the seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import AgglomerativeClustering, KMeans, SpectralCoclustering
from sklearn.decomposition import NMF, LatentDirichletAllocation, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import normalize
from weightings import SETS, read

from segcli.engine import LocalEngine, single_threaded_blas
from segcli.numerics.held_out import bits_gained, hide, mean_gain
from segcli.numerics.levels import SMALLEST_SAMPLE
from segcli.numerics.ranks import rank, sample_in_rank_order
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.stability import halves, transfer_ari

N_COMPONENTS = 10
N_STARTS = 4
N_REPEATS = 2
KS = (4, 10)


def segcli(X, k, seed, weighting="pearson", score_norm=None):
    recipe = Recipe(weighting, N_COMPONENTS, score_norm)
    return fit_recipe(X, recipe, [k], seed=seed).partitions[-1].labels


def scores_of(X, seed):
    return fit_recipe(X, Recipe("pearson", N_COMPONENTS), [2], seed=seed).scores


def kmeans(scores, k, seed):
    return KMeans(k, n_init=N_STARTS, random_state=seed).fit_predict(scores)


def tfidf(X):
    return TfidfTransformer(sublinear_tf=True).fit_transform(sp.csr_matrix(X))


def who_has_what(X):
    return sp.csr_matrix((np.ones(X.nnz), X.indices, X.indptr), shape=X.shape)


def lsa(X, k, seed, unit=False):
    svd = TruncatedSVD(N_COMPONENTS, algorithm="arpack", random_state=seed)
    scores = svd.fit_transform(tfidf(X))
    return kmeans(normalize(scores) if unit else scores, k, seed)


def gaussian_mixture(X, k, seed):
    scores = scores_of(X, seed)
    choice = {"n_init": N_STARTS, "random_state": seed, "reg_covar": 1e-6 * scores.var()}
    return GaussianMixture(k, **choice).fit_predict(scores)


def ward(X, k, seed):
    return AgglomerativeClustering(k).fit_predict(scores_of(X, seed))


def nmf(X, k, seed):
    model = NMF(k, init="nndsvda", random_state=seed, max_iter=500)
    weights = model.fit_transform(tfidf(X))
    # How long a factor is, and how heavy its weights, is arbitrary: only their product is fitted.
    return (weights * np.linalg.norm(model.components_, axis=1)).argmax(axis=1)


def lda(X, k, seed):
    model = LatentDirichletAllocation(k, random_state=seed, max_iter=40)
    return model.fit_transform(who_has_what(X)).argmax(axis=1)


def coclustering(X, k, seed):
    B = who_has_what(X)
    B = B[:, np.unique(B.indices)]
    return SpectralCoclustering(k, random_state=seed, n_init=N_STARTS).fit(B).row_labels_


def multinomial_mixture(X, k, seed):
    """Return the classes of a mixture of multinomials (latent classes), the likeliest of several fits.

    Half of them start from chance, the others from k-means of the rows at length 1: from chance alone
    they fit badly where items are many.
    """
    B = who_has_what(X)
    starts = []
    for i in range(N_STARTS // 2):
        starts.append(np.random.default_rng([seed, i]).dirichlet(np.full(k, 0.3), B.shape[0]))
        found = kmeans(normalize(B), k, N_STARTS * seed + i)
        starts.append(0.9 * np.eye(k)[found] + 0.1 / k)
    fits = [expectation_maximisation(B, start) for start in starts]
    return max(fits, key=lambda fit: fit[0])[1]


def expectation_maximisation(B, shares, most_steps=200):
    """Return the log-likelihood and each row's likeliest class, from shares of the classes to start with.

    To each class's counts an interaction per item is added, dealt out by popularity.
    """
    popularity = np.asarray(B.sum(axis=0)).ravel() / B.nnz
    before = -np.inf
    for _ in range(most_steps):
        counts = (B.T @ shares).T + popularity * B.shape[1] + 1e-12
        logs = B @ np.log(counts / counts.sum(axis=1, keepdims=True)).T
        logs += np.log(shares.mean(axis=0) + 1e-12)
        largest = logs.max(axis=1, keepdims=True)
        shares = np.exp(logs - largest)
        sums = shares.sum(axis=1, keepdims=True)
        shares /= sums
        likelihood = float((largest + np.log(sums)).sum())
        if likelihood - before <= 1e-6 * abs(likelihood):
            break
        before = likelihood
    return likelihood, shares.argmax(axis=1)


def activity(X, k, seed):
    order = np.argsort(np.diff(X.indptr), kind="stable")
    labels = np.empty(len(order), dtype=int)
    labels[order] = np.arange(len(order)) * k // len(order)
    return labels


METHODS = {
    "segcli (pearson, norms: log)": segcli,
    "segcli, norms: kept": partial(segcli, score_norm="kept"),
    "segcli, norms: unit": partial(segcli, score_norm="unit"),
    "segcli, raw: the recipe of 2015": partial(segcli, weighting="raw"),
    "TF-IDF, SVD, k-means": lsa,
    "TF-IDF, SVD, normalized, k-means": partial(lsa, unit=True),
    "Gaussian mixture on segcli's scores": gaussian_mixture,
    "Ward on segcli's scores": ward,
    "NMF of TF-IDF": nmf,
    "LDA": lda,
    "mixture of multinomials": multinomial_mixture,
    "spectral co-clustering": coclustering,
    "equal parts by activity": activity,
}


def measure(X, method, k, seed):
    """Return held-out gain, transfer ARI, and how far the segments are found again."""
    warnings.filterwarnings("ignore", category=UserWarning)  # of models not yet converged

    def labels_of(matrix):  # numbered without gaps: some methods leave a segment empty
        return np.unique(method(matrix, k, seed), return_inverse=True)[1].ravel()

    bits, n_hidden, transfers, again = 0, 0, [], []
    full = labels_of(X)
    for repeat in range(N_REPEATS):
        parts = hide(X, rng=np.random.default_rng([seed, 21, repeat]))
        bits = bits + bits_gained(parts, labels_of(parts.seen), k)
        n_hidden = n_hidden + np.diff(parts.hidden.indptr)
        both = halves(X.shape[0], repeat, seed=seed)
        one, other = ((X[half], labels_of(X[half])) for half in both)
        transfers += [transfer_ari(*one, *other), transfer_ari(*other, *one)]
        again += [
            adjusted_rand_score(full[half], labels)
            for half, (_, labels) in zip(both, (one, other), strict=True)
        ]
    return mean_gain(bits, n_hidden)[0], np.mean(transfers), np.mean(again)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="the folder of the sets")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default: 3)")
    options = parser.parse_args()
    begun = time.monotonic()
    with single_threaded_blas():
        for label, (file, *columns) in SETS.items():
            if not (options.data / file).exists():
                print(f"{label} is left out: {options.data / file} is absent.")
                continue
            X = read(options.data / file, columns)
            X = sample_in_rank_order(X, rank(LocalEngine(1).blocks(X)), SMALLEST_SAMPLE, seed=0)
            print(f"\n{label}, {X.shape[0]:,} customers\n")
            print(
                "| method | held-out gain, bits, k = 4 | k = 10 | transfer ARI, k = 4 | k = 10 "
                "| found again, k = 4 | k = 10 |"
            )
            print("|---|" + 6 * "--:|")
            for name, method in METHODS.items():
                tasks = [
                    partial(measure, X, method, k, seed)
                    for k in KS
                    for seed in range(options.seeds)
                ]
                found = np.array(list(LocalEngine().run_tasks(tasks, name)))
                means = found.reshape(len(KS), options.seeds, 3).mean(axis=1)
                cells = [f"{x:.{3 if i == 0 else 2}f}" for i in range(3) for x in means[:, i]]
                print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\n{time.monotonic() - begun:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
