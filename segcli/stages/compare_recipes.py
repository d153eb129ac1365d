"""explore-pca --compare-weightings, --compare-score-norms: what each makes of the data. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segcli.artifacts import read_artifact
from segcli.artifacts.catalogue import MATRIX
from segcli.engine import Engine
from segcli.numerics.levels import quick_sample_size
from segcli.numerics.ranks import rank
from segcli.numerics.recipe_comparison import (
    CHOICES,
    N_COMPONENTS,
    RecipeComparison,
    compare_recipes,
    of_each_score_norm,
    of_each_weighting,
)
from segcli.numerics.weighting import fit_weighting
from segcli.words import counted, decimal, recipe_options


@dataclass(frozen=True)
class RecipesCompared(RecipeComparison):
    """What a comparison found, in words too. ``wrote`` is empty."""

    wrote: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        word = CHOICES[self.choice]
        sampled = " (a sample)" if self.is_sample else ""
        matrix = f" of the {self.weighting} matrix" if self.weighting else ""
        norms = f" (norms of the scores: {self.score_norm})" if self.score_norm else ""
        held = (
            "each weighting has its own"
            if self.weighting is None
            else "all have the same components"
        )
        lines = [
            f"{counted(len(self.candidates), word)} on {counted(self.n_components, 'component')}{matrix}"
            f"{norms}, k from {self.ks[0]} to {self.ks[-1]}.",
            "            held-out gain                   transfer ARI           activity     variance",
            f"{word:<10}       bits     k  behind best                     k       share          held",
            *map(_row, self.candidates),
            f"Each pair: these data | data without segments. From {self.n_customers:,} customers"
            f"{sampled}, {counted(self.n_splits, 'split')}, {counted(self.n_nulls, 'null')}. Variance "
            f"held is no measure of quality: {held}.",
        ]
        reasons = sorted(set(self.skipped.values()))
        for reason in reasons:
            names = ", ".join(name for name, why in self.skipped.items() if why == reason)
            lines.append(f"Left out: {names}; {reason}.")
        lines.append(self.reason)
        if self.recommended is not None:
            chosen = {"weighting": self.weighting, "score_norm": self.score_norm}
            chosen[self.choice] = self.recommended
            options = recipe_options(str(chosen["weighting"]), chosen["score_norm"])
            lines.append(f"To use it: explore-pca with {options}.")
        return lines


def run(
    run_dir: Path,
    *,
    weighting: str | None,
    n_components: int | None,
    score_norm: str | None,
    engine: Engine,
    seed: int,
) -> RecipesCompared:
    """Read `MATRIX`; return the comparison of weightings or, of one, of score norms; write nothing.

    Raises
    ------
    ChoiceError
        If the one cannot weigh these values; if there are fewer than 20 customers, or nothing can be
        measured.
    """
    X = read_artifact(run_dir, MATRIX)
    blocks = engine.blocks(X)
    if n_components is None:
        n_components = N_COMPONENTS
    if weighting is None:
        recipes, choice = of_each_weighting(n_components, score_norm), "weighting"
    else:
        fit_weighting(blocks, weighting)  # or say which could weigh them
        recipes, choice = of_each_score_norm(weighting, n_components), "score_norm"
    found = compare_recipes(
        X,
        recipes,
        choice,
        ranks=rank(blocks),
        seed=seed,
        sample_size=quick_sample_size(X.shape[0], X.nnz),
        engine=engine,
    )
    return RecipesCompared(**vars(found))


def _row(line: dict[str, Any]) -> str:
    is_behind = line["behind"] > 0  # neither the best nor unknown
    behind = f"{decimal(line['behind'], 3)} ± {decimal(line['behind_se'], 3)}" if is_behind else "–"
    return (
        f"{line['name']:<10}{_pair(line, 'gain', 3):>15} {line['gain_k'] or '–':>4} {behind:>13}"
        f"{_pair(line, 'transfer_ari', 2):>15} {line['transfer_k']:>4}"
        f"{_pair(line, 'activity_share', 2):>15}{line['variance_held']:>10.1%}"
    )


def _pair(line: dict[str, Any], measure: str, digits: int) -> str:
    real, null = line[measure], line[f"{measure}_null"]
    if np.isnan(real) and np.isnan(null):
        return "–"
    return f"{decimal(real, digits)} | {decimal(null, digits)}"
