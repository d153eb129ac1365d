"""segcli: from (customer, item, value) triplets to customer segments that a person can trust.

The command line is :mod:`segcli.cli`. From Python, :func:`load_segmentation` reads the model that
``segcli cluster`` wrote, to label new customers.

This module imports nothing heavy: ``segcli --help`` must answer at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from segcli.numerics.segmentation import Segmentation

__all__ = ["__version__", "load_segmentation"]
__version__ = "0.1.0"


def load_segmentation(run_dir: str | Path) -> Segmentation:
    """Return the segmentation that ``segcli cluster`` wrote to a run directory.

    The files are checked against the manifest first, as every stage does.

    Raises
    ------
    segcli.errors.RunDirectoryError
        If the segmentation is missing, altered or stale; the message names the command to run.
    """
    from segcli.artifacts import catalogue, read_artifact  # noqa: PLC0415 (keeps `--help` light)

    segmentation: Segmentation = read_artifact(run_dir, catalogue.SEGMENTATION)
    return segmentation
