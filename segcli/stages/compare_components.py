"""explore-pca --compare-components: how many segments so many components support. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segcli.artifacts import read_artifact
from segcli.artifacts.catalogue import MATRIX
from segcli.engine import Engine
from segcli.numerics.component_comparison import (
    LARGEST_K,
    ComponentComparison,
    choose_numbers,
    compare_components,
)
from segcli.numerics.evidence import require_evidence
from segcli.numerics.levels import customers_in_words
from segcli.numerics.pca import check_n_components
from segcli.numerics.ranks import rank
from segcli.words import counted, decimal, recipe_options


@dataclass(frozen=True)
class ComponentsCompared(ComponentComparison):
    """What --compare-components found, in words too. ``wrote`` is empty."""

    wrote: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        customers = customers_in_words(self.n_customers, is_sample=self.is_sample)
        numbers = [one["n_components"] for one in self.candidates]
        few = f"{numbers[0]} to " if len(numbers) > 1 else ""
        norms = f" (norms of the scores: {self.score_norm})" if self.score_norm else ""
        lines = [
            f"Segments on {few}{counted(numbers[-1], 'component')} of the {self.weighting} matrix{norms}, "
            f"k from {self.ks[0]} to {self.ks[-1]}.",
            "                 largest  held-out   transfer  least stable  activity     gain at",
            "components   supported k      gain        ARI       Jaccard     share    its peak",
            *map(_row, self.candidates),
            f"Held-out gain in bits. From {customers}, {counted(self.n_splits, 'split')}, "
            f"{counted(self.n_nulls, 'null')}.",
            self.reason,
        ]
        if self.recommended is not None:
            lines.append(
                f"To use it: explore-k with --n-components {self.recommended}, after explore-pca with "
                f"{recipe_options(self.weighting, self.score_norm)}."
            )
        return lines


def run(
    run_dir: Path,
    *,
    max_components: int | None,
    weighting: str,
    score_norm: str | None,
    evidence: str | None,
    engine: Engine,
    seed: int,
) -> ComponentsCompared:
    """Read `MATRIX`; return the comparison; write nothing.

    Raises
    ------
    ChoiceError
        If there are fewer components than asked for; if these data cannot bear evidence.
    """
    X = read_artifact(run_dir, MATRIX)
    if max_components is not None:
        check_n_components(max_components, *X.shape, option="--max-components")
    ks = list(range(2, min(LARGEST_K, X.shape[0] - 1) + 1))
    level = require_evidence("--compare-components", evidence, X, ks)
    found = compare_components(
        X,
        weighting,
        score_norm,
        choose_numbers(max_components, *X.shape),
        ranks=rank(engine.blocks(X)),
        seed=seed,
        level=level,
        ks=ks,
        engine=engine,
    )
    return ComponentsCompared(**vars(found))


def _row(candidate: dict[str, Any]) -> str:
    k, peak = candidate["k"], candidate["gain_peak"]
    figures = (
        decimal(candidate[name])
        for name in ("held_out_gain", "transfer_ari", "jaccard_min", "activity_share")
    )
    gain, transfer, jaccard, activity = figures
    at_peak = f"{decimal(candidate['gain_at_peak'])} (k {peak})" if peak is not None else "–"
    return (
        f"{candidate['n_components']:>10}{k or '–':>14}{gain:>10}{transfer:>11}{jaccard:>14}"
        f"{activity:>10}  {at_peak:>10}"
    )
