"""An earlier run of about the same customers: its names go over, and it is told who has moved since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segcli import page
from segcli.artifacts import Columns, read_artifact
from segcli.artifacts.catalogue import SEGMENT_SUMMARY, SEGMENTS
from segcli.artifacts.formats import NO_SEGMENT
from segcli.artifacts.manifest import command
from segcli.errors import RunDirectoryError
from segcli.numerics.moves import Moves, count_moves
from segcli.stages.other_run import given_names, name_of, other_run


@dataclass(frozen=True)
class Earlier:
    """The segments of an earlier run.

    Attributes
    ----------
    folder : Path, its run directory itself, no link to it: that leads elsewhere next month
    run : str, the name of its folder
    segments : the columns of its `segments.csv`
    titles : tuple of str, what its segments are called
    names : tuple of str, what a person called them; empty where nobody did
    """

    folder: Path
    run: str
    segments: Mapping[str, np.ndarray]
    titles: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """What has become of the segments of an earlier run."""

    earlier: Earlier
    moves: Moves

    def names(self) -> list[str]:
        """Return the name that goes over to each segment; empty for none."""
        return [self.earlier.names[was] if was >= 0 else "" for was in self.moves.same.tolist()]

    def since(self, names: Sequence[str]) -> page.Since:
        """Return what there is to tell of it, where segments have these names now."""
        same = self.moves.same.tolist()
        return page.Since(
            run=self.earlier.run,
            n_both=self.moves.n_both,
            n_stayed=self.moves.n_stayed,
            names_carried=tuple(
                {"segment": segment, "earlier_segment": same[segment], "name": name}
                for segment, name in enumerate(self.names())
                if name and name == names[segment]
            ),
            names_lost=tuple(
                {"earlier_segment": was, "name": name}
                for was, name in enumerate(self.earlier.names)
                if name and was not in same
            ),
        )

    def table(self) -> Columns:
        """Return a row per earlier segment: which segment is the same, and in which its customers are.

        ``similarity``: the greatest with any segment. A last row has those who are new, a last column
        those who are gone; before them are the unassigned, if there are any.
        """
        counts, (k_earlier, k) = self.moves.counts, self.moves.similarity.shape
        was = [*map(str, range(k_earlier)), NO_SEGMENT, "new"]
        places = [*map(str, range(k)), NO_SEGMENT, "gone"]
        rows = [row for row in range(len(was)) if row != k_earlier or counts[row].any()]
        columns = [
            column for column in range(len(places)) if column != k or counts[:, column].any()
        ]
        titles = [*self.earlier.titles, "", ""]
        same = self.moves.same.tolist()
        most = [*self.moves.similarity.max(axis=1).tolist(), None, None]
        return {
            "earlier_segment": [was[row] for row in rows],
            "earlier_name": [titles[row] for row in rows],
            "same_as": [same.index(row) if row in same else None for row in rows],
            "similarity": [most[row] for row in rows],
            **{places[column]: counts[rows, column] for column in columns},
        }


def read_earlier(folder: Path, run_dir: Path) -> Earlier:
    """Return the segments of a run of an earlier time than the one in ``run_dir``.

    Raises
    ------
    RunDirectoryError
        If it is no run directory, or the same one; if its segments or their names are missing, altered
        or stale; or if no person named any of them.
    """
    folder = other_run(folder, run_dir)
    summary = read_artifact(folder, SEGMENT_SUMMARY)
    titles = summary["name"].tolist()
    names = given_names(titles, summary["marked_by"].tolist())
    if not any(names):
        again = command("report", folder, None)
        msg = (
            f"you have named no segment of {folder}. Name them first: {again} --segment-names FILE"
        )
        raise RunDirectoryError(msg)
    segments = read_artifact(folder, SEGMENTS)
    return Earlier(folder, name_of(folder), segments, tuple(titles), tuple(names))


def change_since(earlier: Earlier, now: Mapping[str, np.ndarray], k: int) -> Change:
    """Return what has become of the earlier segments, in the ``k`` segments of `segments.csv` now.

    Raises
    ------
    RunDirectoryError
        If no customer is in both runs.
    """
    moves = count_moves(earlier.segments, len(earlier.names), now, k)
    if not moves.n_both:
        msg = (
            f"no customer of {earlier.run} is in this run. Take names from a run of the same customers, "
            "with ids written the same way."
        )
        raise RunDirectoryError(msg)
    return Change(earlier, moves)
