"""How many components the data support: against the null, and by predicting what was held out.

Two questions are asked, because a curve of explained variance alone answers with the elbow one wants
to see. *Parallel analysis*: does a component hold more variance than the same component of data with
the same row and column counts and no segments? *Bi-cross-validation*: do that many components predict
a block of customers and items that they have not seen? Its curve, too, stands beside a null's.

Customers and items are first put in the order of their ranks, so that neither their names nor the
order of the rows matters. No matrix is made dense: centring is a low-rank correction of a sparse one.

References
----------
Horn (1965), "A rationale and test for the number of factors in factor analysis", Psychometrika 30,
179-185, doi:10.1007/BF02289447.
Buja & Eyuboglu (1992), "Remarks on parallel analysis", Multivar. Behav. Res. 27, 509-540,
doi:10.1207/s15327906mbr2704_2.
Owen & Perry (2009), "Bi-cross-validation of the SVD and the nonnegative matrix factorization", Ann.
Appl. Stat. 3, 564-594, doi:10.1214/08-AOAS227.
Breiman, Friedman, Olshen & Stone (1984), "Classification and Regression Trees", section 3.4.3 (the
one-standard-error rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp

from segcli import progress
from segcli.engine import ONE_THREAD, Blocks, Engine
from segcli.engine.rank_one import SparseMinusRankOne
from segcli.errors import ChoiceError
from segcli.numerics import durations
from segcli.numerics.eigenpairs import leading_eigenpairs
from segcli.numerics.levels import choose_level
from segcli.numerics.nulls import swapped
from segcli.numerics.pca import n_components_limit
from segcli.numerics.ranks import Ranks, ranks_by_position, shuffled
from segcli.numerics.weighting import fit_weighting, squared_norms

NULL_QUANTILE = 0.95
LEAST_COMPONENTS = 2
LEAST_CUSTOMERS = 20
LEAST_ITEMS = 4

_TOLERANCE = 1e-4
_OVERSAMPLING = 10
_NEGLIGIBLE = 1e-11  # of the largest eigenvalue: rounding
_PURPOSE = 31  # keys this module's random streams


@dataclass(frozen=True)
class Level:
    """How much evidence to gather.

    Attributes
    ----------
    n_nulls : int, nulls for parallel analysis
    n_folds : int, folds of bi-cross-validation, of the data and of one null
    n_customers : int, how many customers to work on, at most
    """

    n_nulls: int
    n_folds: int
    n_customers: int


LEVELS = {"quick": Level(2, 4, 4_000), "full": Level(5, 8, 16_000)}


def component_evidence_level(
    asked: str | None, n_customers: int, n_items: int
) -> tuple[Level | None, str | None]:
    """Return how much evidence to gather, or None and why there can be none: see `choose_level`."""
    trouble = None
    if n_customers < LEAST_CUSTOMERS or n_items < LEAST_ITEMS:
        trouble = (
            f"{n_customers:,} customers with {n_items:,} items are too few to be split into halves: "
            f"evidence needs at least {LEAST_CUSTOMERS} customers and {LEAST_ITEMS} items"
        )
    return choose_level(asked, LEVELS, trouble)


@dataclass(frozen=True)
class BiCrossValidation:
    """Errors of predicting held-out blocks from p components.

    Attributes
    ----------
    errors : ndarray of shape (n_components + 1,), for p = 0, 1, ...
        Squared error as a share of that of the item means, over all folds: 1 at p = 0, less is better,
        above 1 the components mislead. Components that a block does not have change nothing.
    by_fold : ndarray of shape (n_folds, n_components + 1), the same of each fold
    """

    errors: np.ndarray
    by_fold: np.ndarray

    @property
    def n_components(self) -> int:
        """The smallest p within one standard error of the least error; 0 where none predict anything.

        The standard error is that of the difference, over folds. The curve is flat about its least: the
        p there is a matter of chance, and on planted segments too large by one or two.
        """
        above = self.by_fold - self.by_fold[:, [np.argmin(self.errors)]]
        n_folds = len(above)
        spread = above.std(axis=0, ddof=1) if n_folds > 1 else np.zeros(above.shape[1])
        return int(np.argmax(above.mean(axis=0) <= spread / np.sqrt(n_folds)))


@dataclass(frozen=True)
class ComponentEvidence:
    """What the data say about the number of components.

    Attributes
    ----------
    weighting : str
    n_customers : int, customers in the sample that all of this was computed on
    n_customers_total : int, customers there are
    ratios : ndarray of shape (n_components,)
        Shares of explained variance of the sample; the whole matrix's where it is the sample.
    null_ratios : ndarray of shape (n_nulls, n_components), the same of each null
    prediction, null_prediction : BiCrossValidation, of the data and of the last null
    n_parallel : int
        Leading components that exceed the null's limit, up to the first that does not.
    n_predictive : int, the fewest components that predict held-out blocks as well as any number
    recommended : int, the smaller of the two, but at least 2 (and at most n_components)
    reason : str, why, in a sentence or two
    """

    weighting: str
    n_customers: int
    n_customers_total: int
    ratios: np.ndarray
    null_ratios: np.ndarray
    prediction: BiCrossValidation
    null_prediction: BiCrossValidation
    n_parallel: int
    n_predictive: int
    recommended: int
    reason: str

    @property
    def n_components(self) -> int:
        """How many components were looked at."""
        return len(self.ratios)

    @property
    def n_nulls(self) -> int:
        """How many nulls parallel analysis compared with."""
        return len(self.null_ratios)

    @property
    def n_folds(self) -> int:
        """How many folds bi-cross-validation had."""
        return len(self.prediction.by_fold)

    @property
    def is_sample(self) -> bool:
        """Whether the evidence rests on a sample of the customers."""
        return self.n_customers < self.n_customers_total

    @property
    def null_mean(self) -> np.ndarray:
        """The nulls' mean ratio of each component, of shape (n_components,)."""
        return np.asarray(self.null_ratios.mean(axis=0))

    @property
    def null_limit(self) -> np.ndarray:
        """The ratio that a component must exceed, of shape (n_components,)."""
        return null_limit(self.null_ratios)


def gather_component_evidence(
    X: Blocks,
    weighting: str,
    *,
    engine: Engine,
    ranks: Ranks,
    n_components: int,
    seed: int,
    n_nulls: int = LEVELS["full"].n_nulls,
    n_folds: int = LEVELS["full"].n_folds,
    sample_size: int = LEVELS["full"].n_customers,
) -> ComponentEvidence:
    """Return the evidence for the number of components, and a recommendation.

    Parameters
    ----------
    X : sparse blocks of shape (n_customers, n_items), unweighted
    weighting : one of `segcli.numerics.weighting.NAMES`; fitted anew to the sample and to each null
    engine : runs the nulls and the folds
    ranks : of X's customers and items
    n_components : the most to consider; cut to what the sample can have
    seed : int
    n_nulls, n_folds : see `Level`; both at least 1
    sample_size : of more customers than that, so many are drawn

    Raises
    ------
    ChoiceError
        If there are fewer than 4 customers or 4 items, or no variance.
    """
    sample = _sample(X, ranks, sample_size, np.random.default_rng([seed, _PURPOSE, 0]))
    if min(sample.shape) < LEAST_ITEMS:
        msg = (
            f"{sample.shape[0]} customers with {sample.shape[1]} items are too few to say how many "
            "components they support. Use --evidence none, or ingest more data."
        )
        raise ChoiceError(msg)
    limit = n_components_limit(*sample.shape)
    weighted = _weighted(sample, weighting)
    ratios = explained_variance_ratios(weighted, min(n_components, limit), seed=seed)
    if not len(ratios):
        msg = "all customers have the same values for the same items: there is nothing to segment."
        raise ChoiceError(msg)

    null_ratios = np.zeros((n_nulls, len(ratios)))
    tasks = [
        partial(_on_null, sample, weighting, j, len(ratios), seed, kept=j == n_nulls - 1)
        for j in range(n_nulls)
    ]
    made = engine.run_tasks(tasks, "components of the null", seconds=durations.of_passes(sample))
    for j, (found, _) in enumerate(made):
        null_ratios[j, : len(found)] = found
    null_prediction, prediction = bi_cross_validate_all(
        [next(null for _, null in made if null is not None), weighted],
        ranks=ranks_by_position(sample),
        n_components=len(ratios),
        n_folds=n_folds,
        seed=seed,
        engine=engine,
    )
    n_parallel = count_leading(ratios, null_limit(null_ratios))
    recommended, reason = recommend(
        n_parallel, prediction.n_components, len(ratios), more=n_components < limit
    )
    return ComponentEvidence(
        weighting=weighting,
        n_customers=sample.shape[0],
        n_customers_total=X.shape[0],
        ratios=ratios,
        null_ratios=null_ratios,
        prediction=prediction,
        null_prediction=null_prediction,
        n_parallel=n_parallel,
        n_predictive=prediction.n_components,
        recommended=recommended,
        reason=reason,
    )


def null_limit(null_ratios: np.ndarray) -> np.ndarray:
    """Return each component's 95 % quantile over the nulls: the largest of fewer than 21.

    Parameters
    ----------
    null_ratios : ndarray of shape (n_nulls, n_components)
    """
    return np.asarray(np.quantile(null_ratios, NULL_QUANTILE, axis=0, method="higher"))


def count_leading(ratios: np.ndarray, limit: np.ndarray) -> int:
    """Return how many leading ratios exceed their limits, up to the first that does not.

    Once one fails, the next would be compared with data that the failed one is still part of.
    """
    return int(np.argmin(np.append(ratios > limit, False)))


def recommend(
    n_parallel: int, n_predictive: int, n_components: int, *, more: bool
) -> tuple[int, str]:
    """Return a number of components and the reason for it in words.

    The smaller of the two suggestions, for a component that fails either question is not one to
    segment by; but at least 2, with a warning, because fewer leave nothing to look at.

    Parameters
    ----------
    n_parallel, n_predictive : what parallel analysis and bi-cross-validation suggest
    n_components : how many were looked at
    more : whether the data have more
    """
    smaller = min(n_parallel, n_predictive)
    recommended = min(max(smaller, LEAST_COMPONENTS), n_components)
    if smaller == n_components:
        words = (
            f"{_all(n_components)} more variance than without segments, and help to predict held-out "
            "customers and items."
        )
        if more:
            words += " There may be more: raise --max-components to see."
        return recommended, words
    found = (
        f"{_leading(n_parallel, n_components)} more variance than without segments, and "
        f"{_predicting(n_predictive)}"
    )
    if smaller < LEAST_COMPONENTS:
        return recommended, (
            f"Little supports any components: {found}. Another --weighting may show more; "
            f"{recommended} is the least to work with."
        )
    if n_parallel == n_predictive:
        advice = "both say the same"
    elif n_parallel > n_predictive:
        advice = "the smaller is the safer"
    else:
        advice = "the smaller is the safer, a few more may help to predict"
    return recommended, f"{found[0].upper()}{found[1:]}; {advice}."


def explained_variance_ratios(weighted: Deflated, n_components: int, *, seed: int) -> np.ndarray:
    """Return the leading components' shares of the variance, 0 to 1, to about four digits.

    Fewer than ``n_components`` come back where the matrix has fewer; none where nothing varies.
    """
    centred = weighted.centred(weighted.column_means())
    total = centred.squared_norm()
    if total <= 1e-12 * float(squared_norms(weighted.sparse).sum()):
        return np.empty(0)
    rng = np.random.default_rng([seed, _PURPOSE, 2])
    _, s, _ = _leading_singular(centred, n_components, rng)
    return np.asarray(s**2 / total)


def bi_cross_validate(
    weighted: Deflated,
    *,
    ranks: Ranks,
    n_components: int,
    n_folds: int,
    seed: int,
    engine: Engine = ONE_THREAD,
) -> BiCrossValidation:
    """Return the errors of predicting a quarter of the matrix from the other three, by components.

    In each fold half of the customers and half of the items, drawn by rank, are held out. With

        [A  B]   A: held-out customers × held-out items
        [C  D]   D: the others × the others

    centred by the item means of the lower half, A is predicted by ``B pinv(D_p) C``, where ``D_p`` is
    D cut to its first p components. Halves err towards few components and are the steadiest; smaller
    blocks ask for more components, and each draw for another number.

    Parameters
    ----------
    weighted : the weighted matrix, of shape (n_customers, n_items)
    ranks : of its customers and items
    n_components : the largest p
    n_folds : at least 1
    engine : runs the folds

    References
    ----------
    Owen & Perry (2009), Ann. Appl. Stat. 3, 564-594, doi:10.1214/08-AOAS227, equation 3.1.
    """
    return bi_cross_validate_all(
        [weighted],
        ranks=ranks,
        n_components=n_components,
        n_folds=n_folds,
        seed=seed,
        engine=engine,
    )[0]


def bi_cross_validate_all(
    matrices: Sequence[Deflated],
    *,
    ranks: Ranks,
    n_components: int,
    n_folds: int,
    seed: int,
    engine: Engine = ONE_THREAD,
) -> list[BiCrossValidation]:
    """Return what `bi_cross_validate` says of each of some matrices of one shape, on the same folds."""
    folds = [
        partial(
            _fold_errors,
            weighted,
            ranks,
            n_components,
            np.random.default_rng([seed, _PURPOSE, 3, fold]),
        )
        for weighted in matrices
        for fold in range(n_folds)
    ]
    results = engine.run_tasks(
        folds, "bi-cross-validation", seconds=durations.of_passes(matrices[0].sparse)
    )
    return [
        _over_folds(results[i * n_folds : (i + 1) * n_folds], n_components)
        for i in range(len(matrices))
    ]


def _over_folds(
    results: Sequence[tuple[float, np.ndarray]], n_components: int
) -> BiCrossValidation:
    """Return the errors of all folds together, from each fold's squared norm and squared errors."""
    totals = np.zeros(len(results))
    errors = np.zeros((len(results), n_components + 1))
    for fold, (total, found) in enumerate(results):
        totals[fold] = total
        errors[fold, : len(found)] = found
        errors[fold, len(found) :] = found[-1]
    if totals.sum() <= 0:  # nothing varies in any held-out block: nothing to predict
        return BiCrossValidation(np.ones(n_components + 1), np.ones(errors.shape))
    by_fold = errors / np.where(totals > 0, totals, np.inf)[:, None]
    return BiCrossValidation(errors.sum(axis=0) / totals.sum(), by_fold)


@dataclass(frozen=True)
class Deflated:
    """A sparse matrix minus one of low rank, ``sparse - left @ right.T``, never made dense.

    Attributes
    ----------
    sparse : csr_array of shape (n, m)
    left : ndarray of shape (n, r)
    right : ndarray of shape (m, r)
    """

    sparse: sp.csr_array
    left: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, matrix: sp.csr_array | SparseMinusRankOne) -> Deflated:
        """Return the same matrix in this form."""
        if isinstance(matrix, SparseMinusRankOne):
            return cls(matrix.sparse, matrix.row_factors[:, None], matrix.column_factors[:, None])
        n, m = matrix.shape
        return cls(matrix, np.empty((n, 0)), np.empty((m, 0)))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        n, m = self.sparse.shape
        return n, m

    @property
    def T(self) -> Deflated:  # noqa: N802 (as numpy's)
        """The transpose."""
        return Deflated(sp.csr_array(self.sparse.T), self.right, self.left)

    def __matmul__(self, W: np.ndarray) -> np.ndarray:
        """Return the product with a dense matrix of shape (m, b)."""
        return np.asarray(self.sparse @ W - self.left @ (self.right.T @ W))

    def block(self, rows: np.ndarray, columns: np.ndarray) -> Deflated:
        """Return the rows and columns at the given positions, in the order given."""
        sparse = sp.csr_array(self.sparse[rows][:, columns])
        sparse.sort_indices()
        return Deflated(sparse, self.left[rows], self.right[columns])

    def column_means(self) -> np.ndarray:
        """Return the mean of each column, of shape (m,)."""
        sums = np.asarray(self.sparse.sum(axis=0)) - self.right @ self.left.sum(axis=0)
        return np.asarray(sums / self.shape[0])

    def centred(self, means: np.ndarray) -> Deflated:
        """Return the matrix with ``means`` taken from its columns."""
        ones = np.ones((self.shape[0], 1))
        return Deflated(
            self.sparse, np.hstack([self.left, ones]), np.column_stack([self.right, means])
        )

    def squared_norm(self) -> float:
        """Return the sum of all squared entries."""
        cross = np.sum(self.left * (self.sparse @ self.right))
        low_rank = np.sum((self.left.T @ self.left) * (self.right.T @ self.right))
        return float(squared_norms(self.sparse).sum() - 2 * cross + low_rank)


def _sample(X: Blocks, ranks: Ranks, size: int, rng: np.random.Generator) -> sp.csr_array:
    """Return at most ``size`` customers, and the items they have, both in the order of ranks."""
    rows = ranks.customer_order
    if len(rows) > size:
        drawn = shuffled(ranks.customers, rng)[:size]
        rows = drawn[np.argsort(ranks.customers[drawn])]
    sample = sp.csr_array(X.take(rows))
    present = np.bincount(sample.indices, minlength=sample.shape[1]) > 0
    order = ranks.item_order
    sample = sp.csr_array(sample[:, order[present[order]]])
    sample.sort_indices()
    return sample


def _weighted(X: sp.csr_array, name: str) -> Deflated:
    return Deflated.of(fit_weighting(ONE_THREAD.blocks(X), name).apply(X))


def _on_null(
    sample: sp.csr_array, weighting: str, j: int, n_components: int, seed: int, *, kept: bool
) -> tuple[np.ndarray, Deflated | None]:
    """Return the ratios of the j-th null and, if it is to be kept, the null itself, weighted."""
    rng = np.random.default_rng([seed, _PURPOSE, 1, j])
    null = _weighted(swapped(sample, ranks=ranks_by_position(sample), rng=rng), weighting)
    ratios = explained_variance_ratios(null, n_components, seed=seed)
    return ratios, null if kept else None


def _fold_errors(
    weighted: Deflated, ranks: Ranks, n_components: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Return the held-out block's squared norm, and its squared error for p = 0, 1, ...

    With ``D_p = U S V'`` the prediction is ``F G`` for ``F = B V / S`` and ``G = U' C``, so all errors
    come from products as small as p × p.
    """
    customers, items = shuffled(ranks.customers, rng), shuffled(ranks.items, rng)
    out_rows, in_rows = np.split(customers, [len(customers) // 2])
    out_columns, in_columns = np.split(items, [len(items) // 2])
    C, D = weighted.block(in_rows, out_columns), weighted.block(in_rows, in_columns)
    out_means, in_means = C.column_means(), D.column_means()
    A = weighted.block(out_rows, out_columns).centred(out_means)
    B = weighted.block(out_rows, in_columns).centred(in_means)
    C, D = C.centred(out_means), D.centred(in_means)
    limit = min(n_components, n_components_limit(*D.shape))
    U, s, V = _leading_singular(D, limit, rng)
    F, G = (B @ V) / s, (C.T @ U).T
    total = A.squared_norm()
    explained = np.cumsum(np.sum(F * (A @ G.T), axis=0))
    products = (F.T @ F) * (G @ G.T)
    predicted = np.diag(np.cumsum(np.cumsum(products, axis=0), axis=1))
    return total, np.concatenate([[total], total - 2 * explained + predicted])


def _leading_singular(
    M: Deflated, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U, s and V of the leading singular triplets, those of no size left out.

    Works on the smaller side, so that many items cost no more than the customers in the sample.
    """
    if M.shape[0] < M.shape[1]:
        V, s, U = _leading_singular(M.T, n, rng)
        return U, s, V
    transposed = M.T
    start = rng.standard_normal((M.shape[1], min(n + _OVERSAMPLING, M.shape[1])))
    n = min(n, start.shape[1])
    with progress.unheard():
        squares, V = leading_eigenpairs(
            lambda W: transposed @ (M @ W), start, n, tolerance=_TOLERANCE
        )
    kept = squares > _NEGLIGIBLE * max(squares.max(initial=0.0), np.finfo(float).tiny)
    s, V = np.sqrt(squares[kept]), V[:, kept]
    return (M @ V) / s, s, V


def _all(n: int) -> str:
    return "The one component there is holds" if n == 1 else f"All {n} components hold"


def _leading(n: int, n_components: int) -> str:
    if n == 0:
        return "no component holds"
    if n == n_components:
        return f"all {n} components hold"
    return "only the first component holds" if n == 1 else f"the first {n} components hold"


def _predicting(n: int) -> str:
    if n == 0:
        return "none predict held-out customers and items"
    return f"{n} predict{'s' * (n == 1)} held-out customers and items as well as any number"
