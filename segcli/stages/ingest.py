"""ingest: (customer, item, value) rows in, a sparse matrix with its ids out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from segcli.artifacts import is_run_directory, open_stage
from segcli.artifacts.catalogue import CUSTOMERS, ITEMS, MATRIX, REJECTS
from segcli.errors import InputError, OptionError
from segcli.inputs.dialect import separated
from segcli.inputs.doubts import doubtful_ids
from segcli.inputs.form import Form
from segcli.inputs.item_names import ItemNames, read_item_names
from segcli.inputs.locations import Location, is_folder, name_of, path_of
from segcli.inputs.parallel import open_threads
from segcli.inputs.rejects import Rejects
from segcli.inputs.sources import digest_at, list_files, unchanged
from segcli.inputs.triplets import Triplets, read_triplets
from segcli.inputs.values import POINT
from segcli.words import counted

_COUNTED = 1 << 16
_LISTED = 10  # columns, at most
_WAYS_OUT = {"value is negative": " (refunds? see --negative)"}  # of reasons for a rejection


@dataclass(frozen=True)
class Ingested:
    """What an ingest found and wrote; every field is plain JSON.

    Attributes
    ----------
    n_files : how many files were read
    n_interactions : pairs of customer and item in the matrix
    n_rows : rows read, rejects included, header and blank lines not
    n_merged : rows merged into another of the same customer and item
    n_cancelled : pairs left out because their values add up to nothing (or less, under ``net``)
    density : n_interactions over n_customers x n_items, in 0..1
    value_min, value_median, value_max : over the pairs, after merging
    rejects : rows of interactions set aside, by reason
    dialect : how the file, or the first of several, is written: delimiter, header, encoding, columns used
    n_named, n_unnamed : items with and without a name; None without a table of names
    n_listed : items that the table of names has, whether with a name or not
    n_bad_names : rows of the table of names that are set aside
    items_columns : the columns used of the table of names
    doubts : what to look at twice, in sentences
    wrote : names of the files in the run directory
    """

    interactions: str
    run_dir: str
    n_files: int
    n_customers: int
    n_items: int
    n_interactions: int
    n_rows: int
    n_merged: int
    n_cancelled: int
    density: float
    value_min: float
    value_median: float
    value_max: float
    rejects: Mapping[str, int]
    dialect: Mapping[str, Any]
    items: str | None
    n_named: int | None
    n_unnamed: int | None
    n_listed: int | None
    n_bad_names: int | None
    items_columns: Mapping[str, str | int] | None
    doubts: tuple[str, ...]
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return a short summary for a person."""
        n_rejects = sum(self.rejects.values())
        files = f"{self.n_files:,} files, " if self.n_files > 1 else ""
        lines = [
            f"{self.interactions}: {files}{_dialect_in_words(self.dialect)}",
            f"  {_columns_in_words(self.dialect)}",
            f"{self.n_customers:,} customers × {self.n_items:,} items, "
            f"{self.n_interactions:,} interactions ({self.density:.2%} of all pairs)",
            f"Values: {self.value_min:g} to {self.value_max:g}, median {self.value_median:g}",
            f"Rows: {self.n_rows:,} read, {self.n_merged:,} merged into another of the same pair, "
            f"{n_rejects:,} rejected",
        ]
        lines += [
            f"  {reason}: {n:,}{_WAYS_OUT.get(reason, '')}" for reason, n in self.rejects.items()
        ]
        if self.n_cancelled:
            lines.append(f"Pairs cancelled out: {self.n_cancelled:,}")
        if self.items is not None:
            lines.append(self._names_in_words())
        return [*lines, *self.doubts]

    def _names_in_words(self) -> str:
        id_column = (self.items_columns or {}).get("id")
        if not self.n_listed:
            return (
                f"Names: {self.items} names none of the items. Is column {id_column} the id? "
                "State it with --items-id."
            )
        if not self.n_named:
            name_column = (self.items_columns or {}).get("name")
            return (
                f"Names: {self.items} has {self.n_listed:,} of the items, all without a name. Is column "
                f"{name_column} the name? State it with --items-name."
            )
        without = f", {self.n_unnamed:,} without a name" if self.n_unnamed else ""
        bad = f"; {counted(self.n_bad_names, 'row')} of it rejected" if self.n_bad_names else ""
        return f"Names: {counted(self.n_named, 'item')} named from {self.items}{without}{bad}"


def run(
    interactions: Location,
    run_dir: Path,
    form: Form,
    *,
    read: Callable[[Location, Form, Rejects], Triplets] = read_triplets,
    items: Path | None = None,
    items_id: str | None = None,
    items_name: str | None = None,
    strict: bool = False,
) -> Ingested:
    """Read interactions; write `MATRIX`, `CUSTOMERS`, `ITEMS` and `REJECTS`; return what was found.

    Parameters
    ----------
    interactions : delimited text, packed or not, or Parquet; or a folder of such files, written alike
    run_dir : made if need be
    form : what the user says of it
    read : who reads it
    items : a table of item names, with columns ``items_id`` and ``items_name``, or a folder of such
        tables; may be ``interactions`` itself
    strict : refuse if any row cannot be used

    Raises
    ------
    InputError
        If a file cannot be read as asked, or holds fewer than two customers or items.
    OptionError
        If a column is named of no table, what is stated cannot be a delimiter or is no encoding, or the
        run directory lies in the folder that is read.
    RunDirectoryError
        If the run directory cannot be used.
    """
    if items is None and (items_id is not None or items_name is not None):
        option = "--items-id" if items_id is not None else "--items-name"
        msg = f"{option} names a column of the table of items. Name the table with --items."
        raise OptionError(msg)
    _refuse_folder(interactions, run_dir, "interactions")
    _refuse_folder(items, run_dir, "item names")
    parameters = _parameters(form, items, items_id, items_name)
    with open_stage(run_dir, "ingest", parameters) as stage:
        rejects = Rejects()
        names = None
        files = list_files(interactions) if isinstance(interactions, Path) else ()
        of_names = list_files(items) if items is not None else ()
        with unchanged([*files, *of_names]):
            triplets = read(interactions, form, rejects)
            rejected = rejects.by_reason()
            sha256 = triplets.sha256  # most often known from reading
            if sha256 is None and isinstance(interactions, Path):
                sha256 = digest_at(interactions)
            stage.note_digest("interactions", name_of(interactions), sha256)
            if items is not None:
                names = _read_names(
                    interactions, items, form, triplets.items, items_id, items_name, rejects
                )
                stage.note_digest("items", name_of(items), digest_at(items))
        _check(interactions, triplets, rejects, sum(rejected.values()), strict=strict)
        with open_threads() as threads:
            # The matrix takes as long to write as all the rest.
            matrix = threads.pool.submit(stage.save, MATRIX, triplets.blocks)
            of_customers, of_items = _customers(triplets), _items(triplets, names)
            stage.save(CUSTOMERS, of_customers)
            stage.save(ITEMS, of_items)
            stage.save(REJECTS, rejects.table())
            wrote = (MATRIX.name, *(name for name in stage.writes if name != MATRIX.name))
            n_bad_names = len(rejects) - sum(rejected.values())
            doubts = (
                *triplets.doubts,
                *doubtful_ids("customer", triplets.customers, of_customers["interactions"]),
                *doubtful_ids("item", triplets.items, of_items["customers"]),
            )
            found = _ingested(
                interactions, run_dir, triplets, rejected, n_bad_names, items, names, doubts, wrote
            )
            matrix.result()
        stage.writes = {name: stage.writes[name] for name in wrote}  # whichever ended first
    return found


def _refuse_folder(location: Location | None, run_dir: Path, what: str) -> None:
    """Refuse to read the tables of a run directory as something else, now or the next time."""
    if not isinstance(location, Path) or not is_folder(location):
        return
    try:
        is_run = is_run_directory(location)
    except OSError as error:
        msg = f"{location} cannot be read: {error.strerror}."
        raise InputError(msg) from error
    if is_run:
        msg = f"{location} is a run directory. Name a file, or a folder of files, of {what}."
        raise InputError(msg)
    folder, run = location.resolve(), run_dir.resolve()
    if run.is_relative_to(folder):
        msg = f"{run_dir} lies in {location}, all of whose files are read. Put it elsewhere."
        raise OptionError(msg)


def _parameters(
    form: Form, items: Path | None, items_id: str | None, items_name: str | None
) -> dict[str, str | bool | None]:
    """Return what a rerun must be told, by option."""
    value = form.value
    return {
        "customer": form.customer,
        "item": form.item,
        "value": "none" if value is not None and not value.strip() else value,
        "timestamp": form.timestamp,
        "items": name_of(items) if items is not None else None,
        "items_id": items_id,
        "items_name": items_name,
        "delimiter": form.delimiter if form.delimiter != "\t" else "tab",
        "header": True if form.header else None,
        "no_header": True if form.header is False else None,
        "encoding": form.encoding,
        "duplicates": form.duplicates,
        "negative": form.negative,
        "decimal": form.decimal if form.decimal != POINT else None,
    }


def _read_names(
    interactions: Location,
    items: Path,
    form: Form,
    ids: pa.Array,
    items_id: str | None,
    items_name: str | None,
    rejects: Rejects,
) -> ItemNames:
    """Return the items' names; what is stated of the interactions holds if they are in the same files."""
    read = path_of(interactions)
    same = read is not None and read.exists() and items.exists() and _are_among(items, read)
    return read_item_names(
        items,
        ids,
        Rejects() if same else rejects,  # its bad rows are known already
        item_id=items_id if items_id is not None or not same else form.item,
        item_name=items_name,
        delimiter=form.delimiter if same else None,
        header=form.header if same else None,
        encoding=form.encoding if same else None,
    )


def _are_among(items: Path, interactions: Path) -> bool:
    """Return whether the file of names, or every one of its folder, is read as interactions, too."""
    of_names, read = (
        {(status.st_dev, status.st_ino) for status in map(Path.stat, list_files(path))}
        for path in (items, interactions)
    )
    return of_names <= read


def _check(
    interactions: Location, triplets: Triplets, rejects: Rejects, n_rejected: int, *, strict: bool
) -> None:
    if strict and len(rejects):
        n = len(rejects)
        rows = "1 row cannot" if n == 1 else f"{n:,} rows cannot"
        msg = f"{rows} be used; the first is {rejects.first()}. Fix them, or leave out --strict."
        raise InputError(msg)
    left_out = _left_out(n_rejected, triplets.n_cancelled)
    for n, what, option in (
        (len(triplets.customers), "customer", "--customer"),
        (len(triplets.items), "item", "--item"),
    ):
        if n < 2:
            count = f"1 {what}" if n else f"no {what}"
            msg = f"{interactions} has {count}{left_out}; segments need at least 2. "
            if triplets.n_cancelled:
                msg += "Leave out negative values instead: --negative reject."
            else:
                msg += f"Is the column right? Name it with {option}."
            if n_rejected:
                msg += f" The first row rejected is {rejects.first()}."
            raise InputError(msg)


def _left_out(n_rejects: int, n_cancelled: int) -> str:
    """Return what was left out, in words that follow what is left."""
    parts = [
        f"{n:,} {one if n == 1 else more}"
        for n, one, more in (
            (n_rejects, "row is rejected", "rows are rejected"),
            (n_cancelled, "pair cancels out", "pairs cancel out"),
        )
        if n
    ]
    return f" once {' and '.join(parts)}" if parts else ""


def _customers(triplets: Triplets) -> dict[str, Any]:
    blocks = triplets.blocks
    ones = np.ones(len(triplets.items))
    return {
        "customer": triplets.customers.to_pylist(),
        "interactions": np.concatenate([np.diff(block.indptr) for block in blocks]),
        "total": np.concatenate([block @ ones for block in blocks]),
    }


def _items(triplets: Triplets, names: ItemNames | None) -> dict[str, Any]:
    n_items = len(triplets.items)
    customers, total = np.zeros(n_items, dtype=np.int64), np.zeros(n_items)
    for block in triplets.blocks:
        np.add.at(customers, block.indices, 1)
        # One after another, so that the sums do not depend on where the matrix is cut.
        np.add.at(total, block.indices, block.data.astype(np.float64, copy=False))
    return {
        "item": triplets.items.to_pylist(),
        "name": names.names if names is not None else [""] * n_items,
        "customers": customers,
        "total": total,
    }


def _ingested(
    interactions: Location,
    run_dir: Path,
    triplets: Triplets,
    rejects: Mapping[str, int],
    n_bad_names: int,
    items: Path | None,
    names: ItemNames | None,
    doubts: tuple[str, ...],
    wrote: tuple[str, ...],
) -> Ingested:
    values = [block.data for block in triplets.blocks]
    n_customers, n_items = len(triplets.customers), len(triplets.items)
    n_interactions = sum(map(len, values))
    n_named = sum(name != "" for name in names.names) if names is not None else None
    return Ingested(
        interactions=name_of(interactions),
        run_dir=str(run_dir),
        n_files=triplets.n_files,
        n_customers=n_customers,
        n_items=n_items,
        n_interactions=n_interactions,
        n_rows=triplets.n_rows,
        n_merged=triplets.n_merged,
        n_cancelled=triplets.n_cancelled,
        density=n_interactions / (n_customers * n_items),
        value_min=min(float(part.min()) for part in values if len(part)),
        value_median=_median(values),
        value_max=max(float(part.max()) for part in values if len(part)),
        rejects=rejects,
        dialect=triplets.dialect,
        items=name_of(items) if items is not None else None,
        n_named=n_named,
        n_unnamed=n_items - n_named if n_named is not None else None,
        n_listed=names.n_listed if names is not None else None,
        n_bad_names=n_bad_names if names is not None else None,
        items_columns=names.columns if names is not None else None,
        doubts=doubts,
        wrote=wrote,
    )


def _median(parts: Sequence[np.ndarray]) -> float:
    """Return the median of all values; of stars and counts without a copy of them."""
    n = sum(map(len, parts))
    middle = [(n - 1) // 2, n // 2]
    counts = _counts_of_halves(parts)
    if counts is not None:
        return float(np.searchsorted(np.cumsum(counts), middle, side="right").mean() / 2)
    values = np.concatenate(parts)
    values.partition(middle)
    return float(values[middle].astype(np.float64).mean())


def _counts_of_halves(parts: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return how often 0, 0.5, 1, … are among values; None if there is any other, or a large one."""
    counts = np.zeros(_COUNTED, dtype=np.int64)
    for part in parts:
        for start in range(0, len(part), _COUNTED):
            halves = part[start : start + _COUNTED] * np.float64(2)
            if halves.min() < 0 or halves.max() >= _COUNTED:
                return None
            whole = halves.astype(np.int64)
            if (whole != halves).any():
                return None
            counts += np.bincount(whole, minlength=_COUNTED)
    return counts


def _dialect_in_words(dialect: Mapping[str, Any]) -> str:
    if dialect["encoding"] == "parquet":
        return "Parquet"
    header = "with a header" if dialect["header"] else "no header"
    return f"{separated(dialect['delimiter'])}, {header}, {dialect['encoding']}"


def _columns_in_words(dialect: Mapping[str, Any]) -> str:
    columns = dialect["columns"]
    words = [
        f"{role} = column {column}" if isinstance(column, int) else f"{role} = {column}"
        for role, column in columns.items()
    ]
    if "value" not in columns:
        unused = dialect.get("unused") or []
        listed = ", ".join(unused[:_LISTED]) + (", …" if len(unused) > _LISTED else "")
        which = f" (unused: {listed}; --value names the value)" if listed else ""
        words.append(f"each row counts 1{which}")
    return ", ".join(words)
