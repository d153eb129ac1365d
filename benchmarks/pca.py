"""50 principal components, beside scikit-learn's PCA by ARPACK.

    python benchmarks/pca.py --size movielens-25m --seeds 0 1 2
    python benchmarks/pca.py --data u.data

segcli   what `explore-pca` fits
ARPACK   `PCA(50, svd_solver="arpack")`, exact to the machine's precision

Both are given the same sparse matrix of raw values; the seconds are of the fit alone, the memory is the
peak of a process that reads the matrix and fits. For each seed, of the planted data and of the programs,
a line: what both take, and the greatest relative error of a share of the variance, taking ARPACK's as
right. `--data FILE` takes real data, text as `segcli ingest` reads it. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from processes import Cost, data_file, run_python

N_COMPONENTS = 50
PROGRAMS = ("segcli", "ARPACK")


def main() -> None:
    """Print a line for each seed."""
    command = argparse.ArgumentParser(
        description="50 components of the sparse matrix; other options as for data.py."
    )
    command.add_argument("--data", type=Path, metavar="FILE", help="real data instead")
    command.add_argument("--seeds", type=int, nargs="+", default=[0])
    options, of_data = command.parse_known_args()
    if options.data and of_data:
        command.error(f"--data FILE has no use for {' '.join(of_data)}")
    print(
        "| seed | segcli, s | ARPACK, s | time ÷ segcli's | segcli, MB | ARPACK, MB | greatest error |\n"
        "|--:|--:|--:|--:|--:|--:|--:|"
    )
    for seed in options.seeds:
        file = options.data or data_file([*of_data, "--seed", str(seed)])
        with tempfile.TemporaryDirectory() as folder:
            print(line(file, Path(folder), seed), flush=True)


def line(file: Path, run: Path, seed: int) -> str:
    """Return what the two take and find, as a row of the table; ``run`` is an empty folder."""
    run_python(["-m", "segcli", "ingest", str(file), str(run)])
    order = PROGRAMS if seed % 2 else PROGRAMS[::-1]
    measured = {name: measure(name, run, seed) for name in order}
    (ours, cost, shares), (theirs, other_cost, right) = (measured[name] for name in PROGRAMS)
    error = max(abs(a / b - 1) for a, b in zip(shares, right, strict=True))
    return (
        f"| {seed} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} | {cost.memory:,.0f} "
        f"| {other_cost.memory:,.0f} | {error:.0e} |"
    )


def measure(name: str, run: Path, seed: int) -> tuple[float, Cost, list[float]]:
    """Return the seconds of a program's fit, what its process took, and the shares of variance."""
    answer = run / "answer.json"
    cost = run_python([__file__, "--as", name, str(run), str(seed)])
    found = json.loads(answer.read_text())
    return found["seconds"], cost, found["shares"]


def fit(name: str, run: Path, seed: int) -> None:
    """Fit as a program does, and write how long that took and what it found."""
    import scipy.sparse as sp  # noqa: PLC0415 (whoever measures must stay small)

    matrix = sp.csr_array(sp.load_npz(run / "matrix.npz"))
    fitted = fit_segcli if name == "segcli" else fit_arpack
    seconds, shares = fitted(matrix, seed)
    (run / "answer.json").write_text(json.dumps({"seconds": seconds, "shares": shares}))


def fit_segcli(matrix: object, seed: int) -> tuple[float, list[float]]:
    """Return the seconds that segcli takes, and the shares of variance."""
    from segcli.engine import LocalEngine, single_threaded_blas  # noqa: PLC0415
    from segcli.numerics.pca import fit_pca  # noqa: PLC0415
    from segcli.numerics.ranks import rank  # noqa: PLC0415
    from segcli.numerics.weighting import fit_weighting, weigh  # noqa: PLC0415

    with single_threaded_blas():
        X = LocalEngine().blocks(matrix)
        items = rank(X).items
        start = time.perf_counter()
        weighting = fit_weighting(X, "raw")
        pca = fit_pca(weigh(X, weighting), weighting, N_COMPONENTS, item_ranks=items, seed=seed)
        return time.perf_counter() - start, pca.explained_variance_ratio.tolist()


def fit_arpack(matrix: object, seed: int) -> tuple[float, list[float]]:
    """Return the seconds that scikit-learn takes, and the shares of variance."""
    from sklearn.decomposition import PCA  # noqa: PLC0415

    start = time.perf_counter()
    pca = PCA(N_COMPONENTS, svd_solver="arpack", random_state=seed).fit(matrix)
    return time.perf_counter() - start, pca.explained_variance_ratio_.tolist()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        _, _, program, folder, number = sys.argv
        fit(program, Path(folder), int(number))
    else:
        main()
