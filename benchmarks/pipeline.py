"""All six stages of segcli beside the script that a careful data scientist would write instead.

    python benchmarks/pipeline.py --size movielens-1m --repeats 3
    python benchmarks/pipeline.py --data u.data --programs segcli "script (KMeans)"

segcli is `segcli run`, with the weighting and the choices of the scripts: raw values, 50
components of which 10 are used, k = 2, 4, ..., 50 on these and in full, 26 segments.

segcli                    without evidence: `--evidence none`
segcli, six commands      likewise, as six processes in a row, each of which imports and reads anew
segcli, quick evidence    every figure beside the same on data without segments
segcli, full evidence     likewise, with more of them
script (KMeans)           pandas and scikit-learn, sparse: the same plots and tables, naive Bayes in
                          sample and cross-validated, models kept. One process: imports once, reads once.
                          One start for each k, as is scikit-learn's default, and 10 for the segments
script (MiniBatchKMeans)  likewise, with MiniBatchKMeans on the full matrix
segcli, three k           segcli without evidence, k = 10, 30, 50: what the next is compared with
2015 form                 dense: all components, k-means of 10 starts (the default of the time) for
                          three k, naive Bayes in sample

The programs take turns, and each process is whole, imports included. In the first table a figure is the
median over the turns; a ratio is the median over the turns of a program's figure divided by segcli's of
the same turn. CPU is user plus system time, workers included; memory is the peak of the largest
process: segcli's has another beside it, which draws, and more where evidence is gathered in several at
once. The second table asks how good the partitions are: inertia divided by segcli's at the same k, all k
and seeds together (above 1: worse than segcli), how often it rises from one k to the next, and the
adjusted Rand index of the segments with the planted ones.

`--data FILE` takes real data: text whose first three columns are customer, item and value, with commas
or tabs, with or without a header. Prints Markdown.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING

from processes import (
    ALIGNED,
    COLUMNS,
    Cost,
    cells,
    data_file,
    in_a_row,
    read_into_memory,
    run_python,
    turn_order,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SEGCLI = "segcli"
SIX_COMMANDS = "segcli, six commands"
QUICK = "segcli, quick evidence"
FULL = "segcli, full evidence"
SEGCLI_THREE = "segcli, three k"
KMEANS = "script (KMeans)"
MINI_BATCH = "script (MiniBatchKMeans)"
FORM_OF_2015 = "2015 form"

PROGRAMS = [
    *(SEGCLI, SIX_COMMANDS, QUICK, FULL),
    *(KMEANS, MINI_BATCH, SEGCLI_THREE, FORM_OF_2015),
]
EVIDENCE = {
    SEGCLI: "none",
    SIX_COMMANDS: "none",
    QUICK: "quick",
    FULL: "full",
    SEGCLI_THREE: "none",
}
THREE_KS = range(10, 51, 20)

N_COMPONENTS_HELD = 50
N_COMPONENTS = 10
N_SEGMENTS = 26
N_STARTS = 10
N_FOLDS = 5
N_TOP = 10

#: What every program leaves in its folder: k, inertia_reduced, inertia_full; and customer, segment.
K_SCORES = "k_scores.csv"
SEGMENTS = "segments.csv"


def main() -> None:
    """Take turns, and print what the programs cost and how good their partitions are."""
    command = argparse.ArgumentParser(
        description="segcli beside scripts with scikit-learn; other options as for data.py."
    )
    command.add_argument("--size", default="movielens-1m", help="as for data.py")
    command.add_argument("--data", type=Path, metavar="FILE", help="real data instead")
    command.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="of planted data and of the programs"
    )
    command.add_argument("--repeats", type=int, default=3, help="turns for each seed")
    command.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    command.add_argument("--k-max", type=int, default=50, help="of all but those with three k")
    command.add_argument("--k-step", type=int, default=2)
    options, of_data = command.parse_known_args()
    if options.data and of_data:
        command.error(f"--data FILE has no use for {' '.join(of_data)}")
    needed = {*options.programs, *map(beside, options.programs)}
    names = [name for name in PROGRAMS if name in needed]
    ks = range(2, options.k_max + 1, options.k_step)
    turns: list[dict[str, Cost]] = []
    found: list[dict[str, Found]] = []
    for seed in options.seeds:
        made = ["--size", options.size, *of_data, "--seed", str(seed)]
        file = options.data or data_file(made)
        truth = None if options.data else file.with_name("truth.csv")
        for _ in range(options.repeats):
            read_into_memory(file)
            order = turn_order(names, len(turns))
            both = {name: measure(name, file, ks, seed, truth) for name in order}
            turns.append({name: cost for name, (cost, _) in both.items()})
            found.append({name: what for name, (_, what) in both.items()})
    print(f"| program | {COLUMNS} |\n|---|{ALIGNED}|")
    for name in names:
        print(f"| {name} | {cells(turns, name, beside(name))} |")
    print(
        "\n| program | full inertia ÷ segcli's, mean | least | greatest | reduced, mean | least | "
        "greatest | full rises | reduced rises | ARI with the planted |\n|---|" + "--:|" * 9
    )
    for name in names:
        print(f"| {name} | {quality_cells(found, name)} |")


def beside(name: str) -> str:
    """Return the segcli that a program is compared with: the one that tries the same k."""
    return SEGCLI_THREE if name in {SEGCLI_THREE, FORM_OF_2015} else SEGCLI


@dataclass(frozen=True)
class Found:
    """What a program found.

    Attributes
    ----------
    full, reduced : the inertia for each k, on the full matrix and on the first components
    ari : adjusted Rand index of the segments with the planted ones; None if these are not known
    """

    full: dict[int, float]
    reduced: dict[int, float]
    ari: float | None


def measure(name: str, file: Path, ks: range, seed: int, truth: Path | None) -> tuple[Cost, Found]:
    """Return what a program takes from the file of interactions to the report, and what it found."""
    if beside(name) == SEGCLI_THREE:
        ks = THREE_KS
    scratch = truth.parent.parent if truth else None  # real data may lie where nobody may write
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        if name in EVIDENCE:
            run = Path(folder) / "run"
            commands = segcli_commands(name, file, run, ks, seed)
            cost = in_a_row([run_python(["-m", "segcli", *words]) for words in commands])
        else:
            run = Path(folder)
            numbers = map(str, (ks.start, ks.stop, ks.step, seed))
            cost = run_python([__file__, "--as", name, str(file), folder, *numbers])
        return cost, _read_found(run, truth)


def segcli_commands(
    name: str, file: Path, run: Path, ks: range, seed: int
) -> Sequence[Sequence[str]]:
    """Return the words of the one command that does it all, or of the six."""
    chance = ("--seed", str(seed), "--evidence", EVIDENCE[name])
    weighting = ("--weighting", "raw")
    components = ("--n-components", str(N_COMPONENTS))
    sweep = ("--k-min", str(ks[0]), "--k-max", str(ks[-1]), "--k-step", str(ks.step))
    segments = ("--n-clusters", str(N_SEGMENTS))
    top = ("--top", str(N_TOP))
    if name != SIX_COMMANDS:
        choices = (*weighting, *components, *sweep, *segments, *top, *chance)
        return [("run", str(file), str(run), *choices)]
    return [
        ("ingest", str(file), str(run)),
        ("explore-pca", str(run), *weighting, *chance),
        ("explore-k", str(run), *components, *sweep, *chance),
        ("cluster", str(run), *components, *segments, *chance),
        ("validate", str(run), *chance),
        ("report", str(run), *top, "--evidence", EVIDENCE[name]),
    ]


def _read_found(run: Path, truth: Path | None) -> Found:
    scores = _rows(run / K_SCORES)
    full, reduced = (
        {int(row["k"]): float(row[column]) for row in scores}
        for column in ("inertia_full", "inertia_reduced")
    )
    if truth is None:
        return Found(full, reduced, None)
    planted = {row["customer"]: row["segment"] for row in _rows(truth)}
    segments = {row["customer"]: row["segment"] for row in _rows(run / SEGMENTS)}
    pairs = Counter((planted[customer], segment) for customer, segment in segments.items())
    return Found(full, reduced, adjusted_rand_index(pairs))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def adjusted_rand_index(counts: Counter[tuple[str, str]]) -> float:
    """Return how far two labelings agree, from how often each pair of labels occurs."""
    rows: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    for (row, column), n in counts.items():
        rows[row] += n
        columns[column] += n
    both, one, other = (
        sum(comb(n, 2) for n in labels.values()) for labels in (counts, rows, columns)
    )
    expected = one * other / comb(counts.total(), 2)
    return (both - expected) / ((one + other) / 2 - expected)


def quality_cells(found: Sequence[dict[str, Found]], name: str) -> str:
    """Return how good a program's partitions are, over all turns, as cells."""
    ratios, rises = [], []
    for curve in ("full", "reduced"):
        mine = [getattr(turn[name], curve) for turn in found]
        segclis = [getattr(turn[beside(name)], curve) for turn in found]
        ratio = [a[k] / b[k] for a, b in zip(mine, segclis, strict=True) for k in a]
        ratios += [f"{what(ratio):.4f}" for what in (statistics.mean, min, max)]
        steps = [now > before for a in mine for before, now in pairwise(a.values())]
        rises.append(f"{sum(steps)} of {len(steps)}")
    aris = [turn[name].ari for turn in found]
    ari = "–" if None in aris else f"{statistics.mean(aris):.3f}"
    return " | ".join([*ratios, *rises, ari])


# The scripts: each imports what it needs, and no more.
# ruff: noqa: PLC0415


def sparse_script(file: Path, folder: Path, ks: range, seed: int, *, mini_batch: bool) -> None:
    """Do what the six stages do, on a sparse matrix; keep what the next step needs."""
    import joblib
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.decomposition import PCA
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.naive_bayes import MultinomialNB

    table = read_triplets(file)
    rows, customers = pd.factorize(table["customer"], sort=True)
    columns, items = pd.factorize(table["item"], sort=True)
    matrix = sp.csr_matrix((table["value"].to_numpy("float64"), (rows, columns)))
    del table, rows, columns
    with (folder / "matrix.npz").open("wb") as opened:
        sp.save_npz(opened, matrix, compressed=False)
    pd.Series(customers, name="customer").to_csv(folder / "customers.csv", index=False)
    pd.Series(items, name="item").to_csv(folder / "items.csv", index=False)

    n_components = min(N_COMPONENTS_HELD, min(matrix.shape) - 1)
    pca = PCA(n_components, svd_solver="arpack", random_state=seed)
    scores = pca.fit_transform(matrix)
    joblib.dump(pca, folder / "pca.joblib")
    plot_variance(pca.explained_variance_ratio_, folder)

    reduced = np.ascontiguousarray(scores[:, :N_COMPONENTS])
    np.save(folder / "reduced.npy", reduced)
    on_full = MiniBatchKMeans if mini_batch else KMeans
    inertias = []
    for k in ks:
        on_scores = KMeans(k, n_init="auto", random_state=seed).fit(reduced)
        in_full = on_full(k, n_init="auto", random_state=seed).fit(matrix)
        inertias.append((k, on_scores.inertia_, in_full.inertia_))
    write_inertias(inertias, folder)

    model = KMeans(N_SEGMENTS, n_init=N_STARTS, random_state=seed).fit(reduced)
    joblib.dump(model, folder / "kmeans.joblib")
    write_segments(customers, model.labels_, folder)

    folds = KFold(N_FOLDS, shuffle=True, random_state=seed)
    in_sample = MultinomialNB().fit(matrix, model.labels_).predict(matrix)
    held_out = cross_val_predict(MultinomialNB(), matrix, model.labels_, cv=folds)
    write_agreement(model.labels_, {"in sample": in_sample, "cross-validated": held_out}, folder)

    tfidf = TfidfTransformer().fit_transform(matrix)
    n_customers = len(customers)
    member = sp.csr_array((np.ones(n_customers), (model.labels_, np.arange(n_customers))))
    write_top_items((member @ tfidf).toarray(), model.labels_, items, folder)


def dense_script(file: Path, folder: Path, ks: range, seed: int) -> None:
    """Do it as in 2015: a dense matrix, all components, ten starts for each k."""
    import joblib
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.naive_bayes import MultinomialNB

    table = read_triplets(file)
    wide = table.pivot_table("value", "customer", "item", aggfunc="sum", fill_value=0)
    matrix = wide.to_numpy("float64")
    customers, items = wide.index, wide.columns
    del table, wide

    pca = PCA(svd_solver="full")
    reduced = np.ascontiguousarray(pca.fit_transform(matrix)[:, :N_COMPONENTS])
    joblib.dump(pca, folder / "pca.joblib")
    plot_variance(pca.explained_variance_ratio_, folder)

    inertias = []
    for k in ks:
        on_scores = KMeans(k, n_init=N_STARTS, random_state=seed).fit(reduced)
        in_full = KMeans(k, n_init=N_STARTS, random_state=seed).fit(matrix)
        inertias.append((k, on_scores.inertia_, in_full.inertia_))
    write_inertias(inertias, folder)

    model = KMeans(N_SEGMENTS, n_init=N_STARTS, random_state=seed).fit(reduced)
    joblib.dump(model, folder / "kmeans.joblib")
    write_segments(customers, model.labels_, folder)

    in_sample = MultinomialNB().fit(matrix, model.labels_).predict(matrix)
    write_agreement(model.labels_, {"in sample": in_sample}, folder)

    tfidf = TfidfTransformer().fit_transform(matrix).toarray()
    sums = np.array([tfidf[model.labels_ == segment].sum(axis=0) for segment in range(N_SEGMENTS)])
    write_top_items(sums, model.labels_, items, folder)


def read_triplets(file: Path) -> pd.DataFrame:
    """Return the columns customer, item, value."""
    import pandas as pd

    with file.open(encoding="utf-8") as opened:
        first = opened.readline()
    delimiter = "\t" if "\t" in first else ","
    value = first.split(delimiter)[2].strip()
    return pd.read_csv(
        file,
        engine="c",
        sep=delimiter,
        header=None if value.replace(".", "", 1).isdecimal() else 0,
        usecols=[0, 1, 2],
        names=["customer", "item", "value"],
    )


def plot_variance(ratios: np.ndarray, folder: Path) -> None:
    import numpy as np

    figure, axes = _new_figure()
    axes.plot(np.arange(1, len(ratios) + 1), ratios, marker=".")
    axes.set(xlabel="component", ylabel="share of the variance")
    figure.savefig(folder / "explained_variance.png", dpi=150)


def write_inertias(inertias: Sequence[tuple[int, float, float]], folder: Path) -> None:
    import pandas as pd

    table = pd.DataFrame(inertias, columns=["k", "inertia_reduced", "inertia_full"])
    table.to_csv(folder / K_SCORES, index=False)
    figure, axes = _new_figure()
    for name in ("inertia_reduced", "inertia_full"):
        axes.plot(table["k"], table[name] / table[name].iloc[0], marker=".", label=name)
    axes.set(xlabel="k", ylabel="inertia, as a share of the first")
    axes.legend()
    figure.savefig(folder / "inertia.png", dpi=150)


def write_segments(customers: Iterable[object], labels: np.ndarray, folder: Path) -> None:
    import pandas as pd

    table = pd.DataFrame({"customer": customers, "segment": labels})
    table.to_csv(folder / SEGMENTS, index=False)


def write_agreement(labels: np.ndarray, predicted: dict[str, np.ndarray], folder: Path) -> None:
    """Write how often naive Bayes agrees, and the confusion matrix of the last prediction."""
    from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score

    lines = [f"{name} {accuracy_score(labels, found):.3f}\n" for name, found in predicted.items()]
    (folder / "agreement.txt").write_text("".join(lines), encoding="utf-8")
    figure, axes = _new_figure()
    last = list(predicted.values())[-1]
    ConfusionMatrixDisplay.from_predictions(labels, last, include_values=False, ax=axes)
    figure.savefig(folder / "confusion_matrix.png", dpi=150)


def write_top_items(
    sums: np.ndarray, labels: np.ndarray, items: Sequence[object], folder: Path
) -> None:
    """Write each segment's size and its items of greatest mean tf-idf.

    ``sums`` are the segments' sums of tf-idf, an ndarray of shape (k, n_items).
    """
    import numpy as np

    lines = []
    for segment, (total, size) in enumerate(zip(sums, np.bincount(labels), strict=True)):
        lines.append(f"{segment} ({size} customers)\n")
        for item in np.argsort(-total)[:N_TOP]:
            lines.append(f"{items[item]} {total[item] / size:.6f}\n")
        lines.append("\n")
    (folder / "report.txt").write_text("".join(lines), encoding="utf-8")


def _new_figure():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt.subplots()


SCRIPTS = {
    KMEANS: lambda *given: sparse_script(*given, mini_batch=False),
    MINI_BATCH: lambda *given: sparse_script(*given, mini_batch=True),
    FORM_OF_2015: dense_script,
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        _, _, as_name, path, out, start, stop, step, seed = sys.argv
        SCRIPTS[as_name](Path(path), Path(out), range(int(start), int(stop), int(step)), int(seed))
    else:
        main()
