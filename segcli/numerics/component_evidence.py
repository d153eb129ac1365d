"""How many components the data support: against the null, and by predicting what was held out.

Two questions are asked, because a curve of explained variance alone answers with the elbow one wants
to see. *Parallel analysis*: does a component hold more variance than the same component of nulls
(`segcli.numerics.nulls`)? *Bi-cross-validation*: do that many components predict a block of customers and
items that they have not seen? Its curve, too, stands beside a null's.

Customers and items are first put in the order of their ranks, so that neither their names nor the
order of the rows matters. No matrix is made dense: centring is a low-rank correction of a sparse one.

References
----------
Horn (1965), "A rationale and test for the number of factors in factor analysis", Psychometrika 30,
179-185, doi:10.1007/BF02289447.
Buja & Eyuboglu (1992), "Remarks on parallel analysis", Multivar. Behav. Res. 27, 509-540,
doi:10.1207/s15327906mbr2704_2.
Bi-cross-validation: see `segcli.numerics.bi_cross_validation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Engine
from segcli.engine.rows import squared_norms
from segcli.errors import AllAlikeError, ChoiceError
from segcli.numerics import costs
from segcli.numerics.bi_cross_validation import BiCrossValidation, bi_cross_validate
from segcli.numerics.deflated import Deflated, leading_singular
from segcli.numerics.levels import (
    LARGEST_SAMPLE,
    LEAST_CUSTOMERS,
    choose_level,
    doubt_of_sample,
    quick_sample_size,
)
from segcli.numerics.nulls import swapped
from segcli.numerics.pca import n_components_limit
from segcli.numerics.ranks import Ranks, ranks_by_position, sample_in_rank_order
from segcli.numerics.weighting import fit_weighting

NULL_QUANTILE = 0.95
LEAST_COMPONENTS = 2
LEAST_ITEMS = 4

_PURPOSE = 31  # keys this module's random streams, and with a 3 that of bi-cross-validation


@dataclass(frozen=True)
class ComponentEvidenceLevel:
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


FULL = ComponentEvidenceLevel(5, 8, LARGEST_SAMPLE)


def quick_level(X: sp.csr_array) -> ComponentEvidenceLevel:
    """Return how much evidence is quickly gathered of an unweighted matrix."""
    return ComponentEvidenceLevel(2, 4, quick_sample_size(X.shape[0], X.nnz))


def component_evidence_level(
    asked: str | None, X: sp.csr_array
) -> tuple[ComponentEvidenceLevel | None, str | None]:
    """Return how much evidence to gather, or None and why there can be none: see `choose_level`.

    Parameters
    ----------
    asked : "quick", "full", "none", or None for as much as is quick and possible
    X : csr_array of shape (n_customers, n_items), unweighted

    Raises
    ------
    ChoiceError
        If a level is asked for, and there are too few customers or items.
    """
    n_customers, n_items = X.shape
    trouble = None
    if n_customers < LEAST_CUSTOMERS or n_items < LEAST_ITEMS:
        trouble = (
            f"{n_customers:,} customers with {n_items:,} items are too few to be split into halves: "
            f"evidence needs at least {LEAST_CUSTOMERS} customers and {LEAST_ITEMS} items"
        )
    return choose_level(asked, {"quick": quick_level(X), "full": FULL}, trouble)


@dataclass(frozen=True)
class ComponentEvidence:
    """What the data say about the number of components.

    Attributes
    ----------
    weighting : str
    n_customers : int
        Customers on whom the evidence rests: all, or the sample.
    is_sample : bool
    ratios : ndarray of shape (n_components,)
        Shares of explained variance of the sample; the whole matrix's where it is the sample.
    null_ratios : ndarray of shape (n_nulls, n_components), the same of each null
    prediction, null_prediction : BiCrossValidation, of the data and of the last null
    n_parallel : int
        Leading components that exceed the null's limit, up to the first that does not.
    n_predictive : int
        The fewest components that predict held-out blocks as well as any number; 0 where they do so no
        better than the null's.
    recommended : int, the smaller of the two, but at least 2 (and at most n_components)
    reason : str, why, in a sentence or two
    """

    weighting: str
    n_customers: int
    is_sample: bool
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
    def null_mean(self) -> np.ndarray:
        """The nulls' mean ratio of each component, of shape (n_components,)."""
        return np.asarray(self.null_ratios.mean(axis=0))

    @property
    def null_limit(self) -> np.ndarray:
        """The ratio that a component must exceed, of shape (n_components,)."""
        return null_limit(self.null_ratios)


def gather_component_evidence(
    X: sp.csr_array,
    weighting: str,
    *,
    engine: Engine,
    ranks: Ranks,
    n_components: int,
    seed: int,
    level: ComponentEvidenceLevel,
    more: bool = True,
) -> ComponentEvidence:
    """Return the evidence for the number of components, and a recommendation.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted
    weighting : one of `segcli.numerics.weighting.NAMES`; fitted anew to the sample and to each null
    engine : runs the nulls and the folds
    ranks : of X's customers and items
    n_components : the most to consider; cut to what the sample can have
    seed : int
    level : how much to gather
    more : whether X may have more components

    Raises
    ------
    ChoiceError
        If the sample has fewer than 4 customers or 4 items, or no variance.
    """
    sample = sample_in_rank_order(X, ranks, level.n_customers, seed=seed, stream=(_PURPOSE, 0))
    n_customers, n_items = sample.shape[0], sample.shape[1] if sample.nnz else 0
    if min(n_customers, n_items) < LEAST_ITEMS:
        msg = (
            f"{n_customers} customers with {n_items} items are too few to say how many "
            "components they support"
        )
        raise ChoiceError(msg)
    limit = n_components_limit(*sample.shape)
    weighted = _weighted(sample, weighting)
    ratios = explained_variance_ratios(weighted, min(n_components, limit), seed=seed)
    is_sample = n_customers < X.shape[0]
    if not len(ratios):
        if not is_sample:
            raise AllAlikeError
        msg = f"{n_customers:,} customers, taken at random, do not differ"
        raise ChoiceError(msg)

    n_nulls = level.n_nulls
    null_ratios = np.zeros((n_nulls, len(ratios)))
    tasks = [
        partial(_on_null, sample, weighting, j, len(ratios), seed, kept=j == n_nulls - 1)
        for j in range(n_nulls)
    ]
    made = engine.run_tasks(
        tasks,
        "components of the null",
        seconds=costs.seconds_of_passes(sample),
        room=costs.room_of_passes(sample, n_components),
    )
    for j, (found, _) in enumerate(made):
        null_ratios[j, : len(found)] = found
    null_prediction, prediction = bi_cross_validate(
        [next(null for _, null in made if null is not None), weighted],
        ranks=ranks_by_position(sample),
        n_components=len(ratios),
        n_folds=level.n_folds,
        seed=seed,
        engine=engine,
    )
    n_parallel = count_leading(ratios, null_limit(null_ratios))
    n_predictive = prediction.n_components if prediction.is_below(null_prediction) else 0
    recommended, reason = recommend(
        n_parallel, n_predictive, len(ratios), more=more and n_components < limit
    )
    if recommended < len(ratios) and is_sample:
        reason += doubt_of_sample(n_customers, "show fewer components than all customers would")
    return ComponentEvidence(
        weighting=weighting,
        n_customers=n_customers,
        is_sample=is_sample,
        ratios=ratios,
        null_ratios=null_ratios,
        prediction=prediction,
        null_prediction=null_prediction,
        n_parallel=n_parallel,
        n_predictive=n_predictive,
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

    Parameters
    ----------
    ratios, limit : ndarrays of shape (n_components,), 0 to 1
    """
    return int(np.argmin(np.append(ratios > limit, False)))


def recommend(
    n_parallel: int, n_predictive: int, n_components: int, *, more: bool
) -> tuple[int, str]:
    """Return a number of components and the reason for it in words.

    The smaller of the two suggestions, for a component that fails either question is not one to
    segment by; but at least 2, with a warning, because fewer leave little to look at.

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
            f"{_all(n_components)} more variance than without segments, and "
            f"help{'s' * (n_components == 1)} to predict held-out customers and items."
        )
        if more:
            words += " There may be more: raise --max-components to see."
        return recommended, words
    found = (
        f"{_leading(n_parallel, n_components)} more variance than without segments, and "
        f"{_predicting(n_predictive)}"
    )
    if smaller < LEAST_COMPONENTS:  # not "one is supported": activity alone can make one
        how_many = "more than one component" if smaller else "any components"
        return recommended, (
            f"Little supports {how_many}: {found}. Another --weighting may show more; "
            f"{recommended} {'is' if recommended == 1 else 'are'} for a look only."
        )
    advice = "both say the same" if n_parallel == n_predictive else "the smaller is the safer"
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
    _, s, _ = leading_singular(centred, n_components, rng)
    return np.asarray(s**2 / total)


def _weighted(X: sp.csr_array, name: str) -> Deflated:
    return Deflated.of(fit_weighting(ONE_THREAD.blocks(X), name).apply(X))


def _on_null(
    sample: sp.csr_array, weighting: str, j: int, n_components: int, seed: int, *, kept: bool
) -> tuple[np.ndarray, Deflated | None]:
    """Return the ratios of the j-th null and, if it is to be kept, the null itself, weighted."""
    rng = np.random.default_rng([seed, _PURPOSE, 1, j])
    null = _weighted(swapped(sample, rng=rng), weighting)
    ratios = explained_variance_ratios(null, n_components, seed=seed)
    return ratios, null if kept else None


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
        return "none predict held-out customers and items any better than without segments"
    return f"{n} predict{'s' * (n == 1)} held-out customers and items as well as any number"
