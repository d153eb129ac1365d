"""What is chosen for all stages at once, held against the data before the first that takes long."""

from __future__ import annotations

from pathlib import Path

from segcli.artifacts.catalogue import MATRIX
from segcli.artifacts.formats import SparseMatrix
from segcli.numerics.evidence import require_evidence
from segcli.numerics.kmeans import check_ks
from segcli.numerics.pca import check_n_components
from segcli.stages.explore_k import choose_ks


def check_choices(
    run_dir: Path,
    *,
    n_components: int,
    k_min: int,
    k_max: int | None,
    k_step: int,
    n_clusters: int,
    evidence: str | None,
    min_membership: float | None,
    require: str | None,
) -> None:
    """Refuse what the stages to come would refuse for the matrix alone.

    What only the work shows, such as customers who are all the same, is left to them, and so is what the
    first of them refuses before it works.

    Raises
    ------
    ChoiceError
    """
    path = run_dir / MATRIX.name
    size = SparseMatrix().size(path)
    check_n_components(n_components, size.n_customers, size.n_items, option="--n-components")
    choose_ks(k_min, k_max, k_step, n_customers=size.n_customers)
    check_ks([n_clusters], size.n_customers)
    if min_membership is None and require is None:
        return
    option = f"--require {require}" if require else f"--min-membership {min_membership:g}"
    require_evidence(option, evidence, SparseMatrix().read(path), [n_clusters])
