"""explore-pca --compare-weightings: what each weighting makes of the data. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segcli.artifacts import read_artifact
from segcli.artifacts.catalogue import MATRIX
from segcli.engine import Engine
from segcli.numerics.ranks import rank
from segcli.numerics.weighting_comparison import (
    N_COMPONENTS,
    WeightingComparison,
    compare_weightings,
)
from segcli.words import counted, decimal


@dataclass(frozen=True)
class WeightingsCompared(WeightingComparison):
    """What --compare-weightings found, in words too. ``wrote`` is empty."""

    wrote: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        sampled = " (a sample)" if self.is_sample else ""
        norms = f" (norms of the scores: {self.score_norm})" if self.score_norm else ""
        lines = [
            f"{counted(len(self.weightings), 'weighting')} on "
            f"{counted(self.n_components, 'component')}{norms}, k from {self.ks[0]} to {self.ks[-1]}.",
            "            held-out gain                   transfer ARI           activity     variance",
            "weighting        bits     k  behind best                     k       share          held",
            *map(_row, self.weightings),
            f"Each pair: these data | data without segments. From {self.n_customers:,} customers"
            f"{sampled}, {counted(self.n_splits, 'split')}, {counted(self.n_nulls, 'null')}. Variance "
            "held is no measure of quality: each weighting has its own.",
        ]
        reasons = sorted(set(self.skipped.values()))
        for reason in reasons:
            names = ", ".join(name for name, why in self.skipped.items() if why == reason)
            lines.append(f"Left out: {names}; {reason}.")
        lines.append(self.reason)
        if self.recommended is not None:
            option = f" --score-norm {self.score_norm}" if self.score_norm else ""
            lines.append(f"To use it: explore-pca with --weighting {self.recommended}{option}.")
        return lines


def run(
    run_dir: Path,
    *,
    n_components: int | None,
    score_norm: str | None,
    engine: Engine,
    seed: int,
) -> WeightingsCompared:
    """Read `MATRIX`; return the comparison; write nothing."""
    X = read_artifact(run_dir, MATRIX)
    found = compare_weightings(
        X,
        ranks=rank(engine.blocks(X)),
        seed=seed,
        n_components=N_COMPONENTS if n_components is None else n_components,
        score_norm=score_norm,
        engine=engine,
    )
    return WeightingsCompared(**vars(found))


def _row(line: dict[str, Any]) -> str:
    is_behind = line["behind"] > 0  # neither the best nor unknown
    behind = f"{decimal(line['behind'], 3)} ± {decimal(line['behind_se'], 3)}" if is_behind else "–"
    return (
        f"{line['weighting']:<10}{_pair(line, 'gain', 3):>15} {line['gain_k'] or '–':>4} {behind:>13}"
        f"{_pair(line, 'transfer_ari', 2):>15} {line['transfer_k']:>4}"
        f"{_pair(line, 'activity_share', 2):>15}{line['variance_held']:>10.1%}"
    )


def _pair(line: dict[str, Any], measure: str, digits: int) -> str:
    real, null = line[measure], line[f"{measure}_null"]
    if np.isnan(real) and np.isnan(null):
        return "–"
    return f"{decimal(real, digits)} | {decimal(null, digits)}"
