"""What a stage will need of memory, told from the matrix's size before it is read.

The figures are fitted to peaks measured at 1 to 100 million interactions (`benchmarks/README.md`), and
err towards too much; the processes that gather evidence are not in them, as no more are started than
what is free then has room for.
"""

from __future__ import annotations

from segcli.artifacts import Stage
from segcli.engine import Engine
from segcli.engine.memory import require_memory

WAY_OUT = "Ingest a sample of the customers, or use a machine with more memory."

_PROGRAM = 400e6
_PER_INTERACTION = 30
"""Bytes: 12 of the matrix, 8 of the weighted one, 4 of its copy in single precision, and room."""

_NUMBER = 8


def require_memory_for(
    stage: Stage,
    engine: Engine,
    *,
    per_customer: int,
    per_item: int = 0,
    way_out: str = WAY_OUT,
) -> None:
    """Refuse a stage whose estimated need of memory exceeds what is free.

    Parameters
    ----------
    stage : an open stage that will read the matrix
    engine : who does the work
    per_customer, per_item : numbers held for each, beside the matrix
    way_out : what to do instead, a sentence

    Raises
    ------
    ResourceError
    """
    size = stage.size_of_matrix()
    if size is None:
        return
    numbers = size.n_customers * per_customer + size.n_items * min(per_item, size.n_items)
    n_held = size.n_interactions if engine.holds_matrix else 0
    require_memory(
        _PROGRAM + n_held * _PER_INTERACTION + numbers * _NUMBER,
        work=(
            f"{stage.name} of {size.n_interactions:,} interactions of {size.n_customers:,} customers "
            f"with {size.n_items:,} items"
        ),
        way_out=way_out,
    )
