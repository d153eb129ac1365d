"""What the user says of a file of interactions, and which of its columns is what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segcli.errors import InputError, OptionError
from segcli.inputs import tables
from segcli.inputs.arrow import strings
from segcli.inputs.columns import KNOWN, Role, plain
from segcli.inputs.values import POINT, is_number, read_times

_is_time = re.compile(r"(?:\d{4}-\d\d-\d\d|\d{1,2}[/.]\d{1,2}[/.]\d{4})(?:[T ].*)?").fullmatch

_LOOKED_AT = 50  # columns of very many


@dataclass(frozen=True)
class Form:
    """What the user says of a file of interactions; None is left to be found out.

    Attributes
    ----------
    customer, item, value, timestamp : columns, by name or 1-based position. The value may be empty or
        ``none``: each row then counts 1
    delimiter, header, encoding : how it is written
    duplicates : ``sum``, ``last``, ``mean`` or ``max`` of the values of one customer and item
    negative : ``reject`` negative values, ``keep`` them, or ``net`` them against a pair's others
    decimal : ``point`` or ``comma``, of the values in text

    Raises
    ------
    OptionError
        If choices do not go together.
    """

    customer: str | None = None
    item: str | None = None
    value: str | None = None
    timestamp: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    encoding: str | None = None
    duplicates: str = "sum"
    negative: str = "reject"
    decimal: str = POINT

    def __post_init__(self) -> None:
        if self.negative == "net" and self.duplicates != "sum":
            msg = (
                f"--negative net sums a pair's values, so it cannot go with --duplicates "
                f"{self.duplicates}. Leave out one of them."
            )
            raise OptionError(msg)


def open_file(path: Path, form: Form) -> tables.Table:
    """Return a file as a table, by what the user says of it.

    Raises
    ------
    InputError
        If it cannot be read as asked.
    OptionError
        If what is stated cannot be a delimiter, or is no encoding.
    """
    return tables.open_table(
        path,
        delimiter=form.delimiter,
        header=form.header,
        encoding=form.encoding,
        named=(form.customer, form.item, form.value, form.timestamp),
    )


def columns_of(table: tables.Table, form: Form) -> dict[str, int | None]:
    """Return the 0-based column of each role, None for one that the table does not have.

    Raises
    ------
    InputError
        If a column cannot be told, or each is of an item.
    """
    _refuse_pivoted(table, form)
    no_value = form.value is not None and form.value.strip().lower() in ("", "none")
    if no_value and table.names is not None and form.value in table.names:
        no_value = False
    roles = [
        Role("customer", form.customer, "--customer", 1),
        Role("item", form.item, "--item", 2),
    ]
    if not no_value:
        roles.append(Role("value", form.value, "--value", 3, needed=False))
    by_time = form.duplicates == "last"
    if form.timestamp is not None or table.names is not None:
        roles.append(
            Role("timestamp", form.timestamp, "--timestamp", None, needed=False, read=by_time)
        )
    elif not no_value and _holds_times(table):
        roles.append(Role("timestamp", None, "--timestamp", 4, needed=False))
    # A header may say that the third column is a time: it is then no value.
    roles.sort(key=lambda role: role.name == "value")
    chosen = tables.columns_by_role(table, roles)
    if table.names is None:
        _refuse_times(table, chosen, roles)
    chosen.setdefault("value", None)
    chosen["timestamp"] = chosen.get("timestamp") if by_time else None
    return chosen


def _refuse_pivoted(table: tables.Table, form: Form) -> None:
    """Refuse a row for each customer with a column for each item, unless columns are stated or known.

    Such a table has each customer once and, besides, nothing but numbers, of which nearly every column
    lacks some or has zeros. Of a log, ids of items and most values are there and not zero.

    Raises
    ------
    InputError
    """
    plain_names = {plain(name) for name in table.names or ()}
    is_known = all(plain_names & {*KNOWN[role]} for role in ("customer", "item", "value"))
    if form.item is not None or form.value is not None or is_known or table.n_columns < 4:
        return
    ids = table.sample(0)
    if len(ids) < 3 or len(set(ids)) < len(ids):
        return
    looked_at = range(1, min(table.n_columns, _LOOKED_AT))
    n_with_gaps = 0
    for column in looked_at:
        texts = table.sample(column)
        if not all(map(is_number, texts)):
            return
        n_with_gaps += len(texts) < len(ids) or any(float(text) == 0 for text in texts)
    if n_with_gaps < 0.9 * len(looked_at):
        return
    msg = (
        f"{table.path.name} looks like a table of customers × items, with a column for each item. A row "
        "for each customer and item is needed; pandas makes them: table.melt(table.columns[0], "
        "var_name='item', value_name='value').query('value > 0'). If these are such rows, name their "
        "columns with --customer, --item and --value."
    )
    raise InputError(msg)


def _refuse_times(
    table: tables.Table, chosen: Mapping[str, int | None], roles: Sequence[Role]
) -> None:
    """Refuse to take times for customers or items only because of their position.

    Raises
    ------
    InputError
    """
    for role in roles:
        column = chosen[role.name]
        if not role.needed or role.stated is not None or column is None:
            continue
        texts = [text.strip() for text in table.sample(column)]
        if texts and all(map(_is_time, texts)):
            msg = (
                f"{table.path.name}: column {column + 1} holds times, such as '{texts[0]}'. Which column "
                f"is the {role.name}? State its position with {role.option}."
            )
            raise InputError(msg)


def columns_read(columns: Mapping[str, int | None]) -> list[int]:
    """Return the columns that are read, given the column of each role."""
    return [column for column in columns.values() if column is not None]


def _holds_times(table: tables.Table) -> bool:
    """Return whether the fourth column of a table without a header reads as times."""
    if table.n_columns < 4:
        return False
    times = read_times(strings(table.sample(3)))
    return len(times) > 0 and bool(np.isfinite(times).all())


def described(table: tables.Table, columns: Mapping[str, int | None], form: Form) -> dict[str, Any]:
    """Return how a table is written, and its columns used: by name, or position without a header.

    With those that are not, ``unused``, where one of them may be the value and none was found.
    """
    by_role = tables.named_columns(table, columns)
    found = {**table.facts, "columns": by_role}
    if table.names is not None and form.value is None and columns["value"] is None:
        found["unused"] = [
            name
            for name in table.names
            if name.strip()
            and name not in by_role.values()
            and plain(name) not in KNOWN["timestamp"]
        ]
    return found
