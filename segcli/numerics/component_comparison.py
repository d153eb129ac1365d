"""How many components? Several numbers of them, by the segments that each supports.

How many components hold more than data without segments, or predict what is held out, is a ceiling
(`segcli.numerics.component_evidence`). Segments made on fewer may be found again where those made on all
are not: the more components, the more ways there are to cut, and the more chance has to say in which.

The rule (`recommend`). For each number of components the evidence names the largest supported k
(`segcli.numerics.verdict`). The largest held-out gain at that k decides, as it is in the same unit for
all; of those within one standard error of it (Breiman et al. 1984) the fewest components are
recommended.

References
----------
Those of `segcli.numerics.verdict`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Engine
from segcli.numerics.evidence import KEvidence, KEvidenceLevel, gather_evidence
from segcli.numerics.levels import PARTLY_LUCK
from segcli.numerics.pca import n_components_limit
from segcli.numerics.ranks import Ranks
from segcli.numerics.recipe import Recipe
from segcli.numerics.verdict import verdict
from segcli.words import counted, decimal

NUMBERS = (2, 3, 4, 6, 8, 10, 15, 20, 30, 40, 50)
"""Numbers of components to try: dense where a step counts."""

LARGEST_K = 20
"""Beyond it, no data seen so far had a supported k."""

Candidate = dict[str, Any]
"""What there is to say of one number of components."""

_AT_K = ("held_out_gain", "held_out_gain_se", "transfer_ari", "jaccard_min", "activity_share")


@dataclass(frozen=True)
class ComponentComparison:
    """The segments that each number of components supports.

    Attributes
    ----------
    candidates : tuple of dict, the fewest components first
        - n_components
        - supported: list of int, the supported k
        - k: the largest of them; None where there is none
        - held_out_gain, held_out_gain_se, transfer_ari, jaccard_min, activity_share: as in
          `segcli.numerics.evidence.KEvidence`, of that k; None where there is none
        - gain_peak: the k from which on more segments predict no better; None where none predict
        - gain_at_peak: its held-out gain
    recommended : int or None, a number of components
    reason : str, the recommendation in words
    weighting, score_norm : as asked for
    ks : tuple of int, the numbers of segments tried
    n_customers : int
        Customers on whom the comparison rests: all, or the sample.
    is_sample : bool
    n_splits, n_nulls : int
    """

    candidates: tuple[Candidate, ...]
    recommended: int | None
    reason: str
    weighting: str
    score_norm: str | None
    ks: tuple[int, ...]
    n_customers: int
    is_sample: bool
    n_splits: int
    n_nulls: int


def compare_components(
    X: sp.csr_array,
    weighting: str,
    score_norm: str | None,
    numbers: Sequence[int],
    *,
    ranks: Ranks,
    seed: int,
    level: KEvidenceLevel,
    ks: Sequence[int],
    engine: Engine = ONE_THREAD,
) -> ComponentComparison:
    """Return the segments that each number of components supports, and which to take. See the module.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted, that can bear evidence
    weighting, score_norm : as of `Recipe`
    numbers : increasing numbers of components
    ranks : the ranks of X's customers and items
    seed : int
    level : how much evidence to gather
    ks : increasing numbers of segments, from 2 up
    engine : gathers the evidence
    """
    gathered = gather_evidence(
        X,
        [Recipe(weighting, n_components, score_norm) for n_components in numbers],
        ks,
        ranks=ranks,
        seed=seed,
        level=level,
        engine=engine,
    )
    candidates = list(map(_candidate, gathered))
    recommended, reason = recommend(candidates)
    return ComponentComparison(
        candidates=tuple(candidates),
        recommended=recommended,
        reason=reason,
        weighting=weighting,
        score_norm=score_norm,
        ks=tuple(ks),
        n_customers=gathered[0].n_customers,
        is_sample=gathered[0].is_sample,
        n_splits=level.n_splits,
        n_nulls=level.n_nulls,
    )


def _candidate(evidence: KEvidence) -> Candidate:
    found = verdict(evidence)
    k, peak = found.recommended, found.gain_peak
    at_k = dict.fromkeys(_AT_K) if k is None else evidence.row(k)
    return {
        "n_components": evidence.recipe.n_components,
        "supported": list(found.supported),
        "k": k,
        **{name: at_k[name] for name in _AT_K},
        "gain_peak": peak,
        "gain_at_peak": evidence.row(peak)["held_out_gain"] if peak is not None else None,
    }


def choose_numbers(most: int | None, n_customers: int, n_items: int) -> list[int]:
    """Return the numbers of components to try, increasing, up to what the matrix has.

    Parameters
    ----------
    most : the largest to try, and the last where the matrix has as many; None for that of `NUMBERS`
    n_customers, n_items : of the matrix
    """
    last = min(most or NUMBERS[-1], n_components_limit(n_customers, n_items))
    return [*(n for n in NUMBERS if n < last), last]


def recommend(candidates: Sequence[Candidate]) -> tuple[int | None, str]:
    """Return the number of components to take, or None, and the reason. See the module for the rule.

    Parameters
    ----------
    candidates : as in `ComponentComparison`
    """
    able = [one for one in candidates if one["k"] is not None]
    if not able:
        return None, (
            "No number of components supports any number of segments. Another weighting may do better: "
            "see explore-pca --compare-weightings."
        )
    best = max(able, key=itemgetter("held_out_gain"))
    least = best["held_out_gain"] - best["held_out_gain_se"]
    taken = next(one for one in able if one["held_out_gain"] >= least)
    better = "best" if taken is best else "as well as any, within a standard error"
    reason = (
        f"{counted(taken['n_components'], 'component')}: the {taken['k']} segments supported there "
        f"predict hidden interactions {better} ({decimal(taken['held_out_gain'])} bits)."
    )
    if len(candidates) > 1:
        reason += f" {PARTLY_LUCK}"
    return taken["n_components"], reason
