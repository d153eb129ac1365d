"""Which column of a table is which: as the user says, or by well-known names, or by position."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from segcli.errors import InputError
from segcli.words import shortened

_ITEM = (
    "item", "itemid", "product", "productid", "stockcode", "sku", "movie", "movieid", "artist",
    "artistid", "song", "songid", "track", "trackid", "book", "bookid", "isbn", "asin", "article",
    "articleid", "game", "gameid", "page", "pageid", "url",
)  # fmt: skip
#: Names without case, spaces and punctuation, by what they stand for; the first found wins.
KNOWN: Mapping[str, tuple[str, ...]] = {
    "customer": (
        "customer", "customerid", "user", "userid", "client", "clientid", "visitor", "visitorid",
        "member", "memberid", "reader", "listener", "accountid", "buyerid", "shopperid",
        "subscriberid",
    ),
    "item": _ITEM,
    "value": (
        "value", "rating", "stars", "count", "quantity", "plays", "playcount", "weight", "amount",
        "score", "qty", "units", "revenue", "spend",
    ),
    "timestamp": ("timestamp", "time", "datetime", "date", "invoicedate"),
    "id": ("id", *_ITEM),
    "name": ("name", "title", "itemname", "productname", "description"),
}  # fmt: skip
_ID = re.compile(r"(?:(?:^|[\W_])(?i:id)|[a-z]I[Dd])$")  # not "paid"


@dataclass(frozen=True)
class Role:
    """What a column is for, and how the user may say which one it is.

    Attributes
    ----------
    name : a key of `KNOWN`
    stated : a column's name or 1-based position, or None
    option : the option that states it
    position : the 1-based position it has where nothing else is known, or None
    needed : whether the table is of no use without it
    read : whether what is in it matters; if not, any of several columns of a known name will do
    """

    name: str
    stated: str | None
    option: str
    position: int | None
    needed: bool = True
    read: bool = True


def plain(name: str) -> str:
    """Return a column's name without case, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name).lower()


def choose_columns(
    file: str, names: Sequence[str] | None, n_columns: int, roles: Sequence[Role], way_out: str
) -> dict[str, int | None]:
    """Return the 0-based column of each role, None for one that the table does not have.

    Parameters
    ----------
    file : the file's name, for messages
    names : the header's names, or None without a header
    n_columns : the number of columns
    roles : what is looked for, in the order in which columns are given out
    way_out : what to do if there is but one column

    Raises
    ------
    InputError
        If a stated column is not there, or one that is needed cannot be told, or may be either of
        two.
    """
    needed = [role.name for role in roles if role.needed]
    if n_columns < len(needed):
        there = "one column" if n_columns else "no columns"
        msg = f"{file} has {there}; it needs {' and '.join(needed)}. {way_out}"
        raise InputError(msg)
    chosen: dict[str, int | None] = {}
    for role in roles:
        if role.stated is not None:
            chosen[role.name] = _stated(file, names, n_columns, role)
    _refuse_twice(file, roles, chosen)
    if names is not None:
        _choose_known(file, names, roles, chosen)
        _refuse_unknown(file, names, n_columns, roles, chosen)
    for role in roles:
        if role.name not in chosen:
            chosen[role.name] = _free_position(file, names, n_columns, role, roles, chosen)
    return chosen


def _stated(file: str, names: Sequence[str] | None, n_columns: int, role: Role) -> int:
    wanted = role.stated or ""
    found = [i for i, name in enumerate(names or ()) if name == wanted]
    found = found or [i for i, name in enumerate(names or ()) if name.strip() == wanted]
    if len(found) > 1:
        _refuse_several(file, names or (), found, role)
    if found:
        return found[0]
    if wanted.isascii() and wanted.isdigit():
        if 1 <= int(wanted) <= n_columns:
            return int(wanted) - 1
        msg = (
            f"{file} has {n_columns} columns; {role.option} {wanted} is not from 1 to {n_columns}."
        )
        raise InputError(msg)
    if names is None:
        msg = (
            f"{file} has no header, so no column '{wanted}'. "
            f"Give {role.option} a position, 1 to {n_columns}, or say --header."
        )
        raise InputError(msg)
    msg = f"{file} has no column '{wanted}'. It has: {_listed(names)}. Name it with {role.option}."
    raise InputError(msg)


def _refuse_twice(file: str, roles: Sequence[Role], chosen: Mapping[str, int | None]) -> None:
    options: dict[int | None, str] = {}
    for role in roles:
        column = chosen.get(role.name)
        if column is None:
            continue
        if column in options:
            msg = (
                f"{file}: {options[column]} and {role.option} name the same column, {role.stated}."
            )
            raise InputError(msg)
        options[column] = role.option


def _choose_known(
    file: str, names: Sequence[str], roles: Sequence[Role], chosen: dict[str, int | None]
) -> None:
    plain_names = [plain(name) for name in names]
    for role in roles:
        if role.name in chosen:
            continue
        for known in KNOWN[role.name]:
            free = [i for i, name in enumerate(plain_names) if name == known]
            free = [i for i in free if i not in chosen.values()]
            if len(free) > 1 and role.read:
                _refuse_several(file, names, free, role)
            if free:
                chosen[role.name] = free[0]
                break


def _refuse_several(
    file: str, names: Sequence[str], columns: Sequence[int], role: Role
) -> NoReturn:
    which = " or ".join(f"column {i + 1} ('{names[i]}')" for i in columns)
    msg = f"{file}: the {role.name} may be {which}. State its position with {role.option}."
    raise InputError(msg)


def _refuse_unknown(
    file: str,
    names: Sequence[str],
    n_columns: int,
    roles: Sequence[Role],
    chosen: Mapping[str, int | None],
) -> None:
    """Refuse to guess two or more columns of a table with a header."""
    unknown = [r for r in roles if r.name not in chosen and r.position and r.position <= n_columns]
    if len(unknown) >= 2:
        _ask_for(file, names, unknown)


def _ask_for(file: str, names: Sequence[str] | None, roles: Sequence[Role]) -> NoReturn:
    what = ", which the ".join(role.name for role in roles)
    has = f" It has: {_listed(names)}." if names is not None else ""
    options = ", ".join(role.option for role in roles)
    them = "it" if len(roles) == 1 else "them"
    msg = f"{file}: which column is the {what}?{has} Name {them} with {options}"
    if any(role.name == "value" for role in roles):
        msg += "; '--value none' counts each row as 1"
    raise InputError(msg + ".")


def _free_position(
    file: str,
    names: Sequence[str] | None,
    n_columns: int,
    role: Role,
    roles: Sequence[Role],
    chosen: Mapping[str, int | None],
) -> int | None:
    """Return the column where a role that nothing tells should be, if it is free.

    With a header it is that column only if the others stand in theirs, too, or no other is left for it.
    """
    column = role.position - 1 if role.position is not None else n_columns
    left: list[int] = []
    if column < n_columns and column not in chosen.values():
        left = _left(names, role, chosen) if names is not None else [column]
        in_order = all(
            chosen.get(one.name, one.position - 1) == one.position - 1
            for one in roles
            if one.position is not None
        )
        if column in left and (in_order or left == [column]):
            return column
    if left or role.needed:
        _ask_for(file, names, [role])
    return None


def _left(names: Sequence[str], role: Role, chosen: Mapping[str, int | None]) -> list[int]:
    """Return the columns that are free and, by their names, may be a role's."""
    is_none = _is_no_value if role.name == "value" else _is_no_name
    free = (i for i in range(len(names)) if i not in chosen.values())
    return [i for i in free if not is_none(names[i])]


def _is_no_name(name: str) -> bool:
    """Return whether a column has no name, or one that pandas gives to those: they hold rows' numbers."""
    return re.fullmatch(r"\s*|Unnamed: \d+|__index_level_\d+__", name) is not None


def _is_no_value(name: str) -> bool:
    """Return whether a column's name says that what it holds is no value."""
    others = (known for role, known in KNOWN.items() if role != "value")
    is_other = _ID.search(name.strip()) is not None or any(plain(name) in known for known in others)
    return is_other or _is_no_name(name)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(shortened, names[:20])) + (", …" if len(names) > 20 else "")
