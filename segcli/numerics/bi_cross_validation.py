"""How many components predict a block of customers and items that they have not seen.

References
----------
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

from segcli.engine import ONE_THREAD, Engine
from segcli.numerics import costs
from segcli.numerics.deflated import Deflated, leading_singular
from segcli.numerics.means import standard_error
from segcli.numerics.pca import n_components_limit
from segcli.numerics.ranks import Ranks, shuffled

_STREAM = 31, 3  # keys this module's random streams


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
        above = self.by_fold - self._least[:, None]
        return int(np.argmax(above.mean(axis=0) <= standard_error(above)))

    def is_below(self, other: BiCrossValidation) -> bool:
        """Return whether the least error is below another's, of the same folds, by three standard errors.

        Of few items each row's sum tells something of the rest, so components predict where there is
        nothing but sums too. Three, for an error from four folds is none too sure itself.
        """
        lower = other._least - self._least
        return bool(lower.mean() > 3 * standard_error(lower))

    @property
    def _least(self) -> np.ndarray:
        """Each fold's error at the p of the least error of all."""
        return np.asarray(self.by_fold[:, np.argmin(self.errors)])


def bi_cross_validate(
    matrices: Sequence[Deflated],
    *,
    ranks: Ranks,
    n_components: int,
    n_folds: int,
    seed: int,
    engine: Engine = ONE_THREAD,
) -> list[BiCrossValidation]:
    """Return the errors of predicting a quarter of each matrix from the other three, by components.

    In each fold half of the customers and half of the items, drawn by rank, are held out. With

        [A  B]   A: held-out customers × held-out items
        [C  D]   D: the others × the others

    centred by the item means of the lower half, A is predicted by ``B pinv(D_p) C``, where ``D_p`` is
    D cut to its first p components. Halves err towards few components and are the steadiest; smaller
    blocks ask for more components, and each draw for another number.

    Parameters
    ----------
    matrices : weighted, all of the same shape (n_customers, n_items), and split alike
    ranks : of their customers and items
    n_components : the largest p
    n_folds : at least 1
    engine : runs the folds

    References
    ----------
    Owen & Perry (2009), Ann. Appl. Stat. 3, 564-594, doi:10.1214/08-AOAS227, equation 3.1.
    """
    folds = [
        partial(
            _fold_errors,
            weighted,
            ranks,
            n_components,
            np.random.default_rng([seed, *_STREAM, fold]),
        )
        for weighted in matrices
        for fold in range(n_folds)
    ]
    results = engine.run_tasks(
        folds,
        "bi-cross-validation",
        seconds=costs.seconds_of_passes(matrices[0].sparse),
        room=costs.room_of_passes(matrices[0].sparse, n_components),
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
    U, s, V = leading_singular(D, limit, rng)
    F, G = (B @ V) / s, (C.T @ U).T
    total = A.squared_norm()
    explained = np.cumsum(np.sum(F * (A @ G.T), axis=0))
    products = (F.T @ F) * (G @ G.T)
    predicted = np.diag(np.cumsum(np.cumsum(products, axis=0), axis=1))
    return total, np.concatenate([[total], total - 2 * explained + predicted])
