"""The run directory: the only package that opens files in it.

`catalogue` lists what each stage writes, `formats` says how a file is read and written, `manifest`
records what every file was made from, and `stage` ties them together: loads that are checked, saves
that are atomic.
"""

from segcli.artifacts.formats import Artifact, Columns, from_records, records
from segcli.artifacts.stage import (
    Stage,
    describe,
    hold,
    is_run_directory,
    open_stage,
    read_artifact,
    refuse_to_lose_names,
)

__all__ = [
    "Artifact",
    "Columns",
    "Stage",
    "describe",
    "from_records",
    "hold",
    "is_run_directory",
    "open_stage",
    "read_artifact",
    "records",
    "refuse_to_lose_names",
]
