"""Where the row blocks of a matrix are, and who maps over them.

The numerics are written once, against :class:`~segcli.engine.blocks.Blocks`. Which engine serves
them is chosen in the command line and nowhere else.
"""

from segcli.engine.blocks import Block, Blocks, Engine
from segcli.engine.local import ONE_THREAD, LocalEngine, single_threaded_blas

__all__ = ["ONE_THREAD", "Block", "Blocks", "Engine", "LocalEngine", "single_threaded_blas"]
