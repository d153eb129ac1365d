"""What the first rows of a delimited text file show: what separates fields, and if there is a header."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from segcli.errors import InputError
from segcli.inputs.columns import KNOWN, plain
from segcli.inputs.values import has_decimal_comma, is_number
from segcli.words import counted, shortened

Rows = tuple[tuple[str, ...], ...]

_TRIED = ("\x01", "\t", "::", ";", "|", ",")  # the first is Hive's
_MOST_ROWS = 200
_TITLE_ROWS = 20  # among which a header is looked for


def rows_of(head: str, delimiter: str, *, quoted: bool) -> Rows:
    """Return the first rows of a text that are not blank."""
    separator = "\x1f" if len(delimiter) > 1 else delimiter
    csv.field_size_limit(max(csv.field_size_limit(), len(head)))
    reader = csv.reader(
        io.StringIO(head.replace(delimiter, separator), newline=""),
        delimiter=separator,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    rows: list[tuple[str, ...]] = []
    for row in reader:
        if len(rows) == _MOST_ROWS:
            break
        if row and not (len(row) == 1 and not row[0].strip()):
            rows.append(tuple(field.replace(separator, delimiter) for field in row))
    return tuple(rows)


def split_row(row: str, delimiter: str, *, quoted: bool = True) -> tuple[str, ...]:
    """Return the fields of the text of one row; none of a blank one."""
    return next(iter(rows_of(row, delimiter, quoted=quoted)), ())


def find_delimiter(path: Path, head: str, way_out: str) -> str:
    """Return the delimiter that splits most rows, the first among them, into equally many fields.

    The more fields the better.

    Raises
    ------
    InputError
        If none splits half of them.
    """
    scores = {d: _regularity(rows_of(head, d, quoted=True)) for d in _TRIED}
    best = max(share for share, *_ in scores.values())
    if best < 0.5:
        rows = rows_of(head, " ", quoted=True)
        if 2 * sum("" in row[:-1] for row in rows) > len(rows):
            msg = (
                f"{path}: its columns are aligned with spaces. Put one comma or tab between them; "
                "if each space separates, say --delimiter space."
            )
            raise InputError(msg)
        scores = {" ": _regularity(rows)}
        best = scores[" "][0]
    if best < 0.5:
        first = shortened(next(line for line in head.splitlines() if line.strip()))
        within = "\n".join(row[0] for row in rows_of(head, ",", quoted=True) if len(row) == 1)
        if first.startswith('"') and any(
            _regularity(rows_of(within, d, quoted=True))[0] >= 0.5 for d in _TRIED
        ):
            way_out = "Each row is in quotes as a whole: remove those."
        msg = (
            f"{path}: no delimiter splits its rows into two or more columns; the first is "
            f"{first!r}. {way_out}"
        )
        raise InputError(msg)
    near = {d: rest for d, (share, *rest) in scores.items() if share >= best - 0.1}
    return max(near, key=lambda d: near[d])  # the first tried wins a tie


def _regularity(rows: Rows) -> tuple[float, bool, int, int]:
    """Return how well a delimiter splits rows: the more of each, the better.

    The share of rows with the commonest number of fields above one, whether the first is one of them, that
    number, and how many fields are numbers.
    """
    counts = Counter(len(row) for row in rows if len(row) > 1)
    if not counts:
        return 0.0, False, 0, 0
    fields, times = max(counts.items(), key=lambda pair: (pair[1], pair[0]))
    numbers = sum(is_number(field) for row in rows for field in row)
    return times / len(rows), len(rows[0]) == fields, fields, numbers


def has_header(path: Path, sample: Rows, named: set[str]) -> bool:
    """Return whether a file's first row names its columns.

    It does if it holds a name that the user asked for, well-known names of a customer and an item, or,
    without numbers, one well-known name or text above numbers.

    Raises
    ------
    InputError
        If a header stands below the first row: titles are above it, or names of groups of columns.
    """
    first, rest = sample[0], sample[1:]
    named = {name for name in named if name.strip() and not name.isdigit()}
    if not named.isdisjoint([*first, *map(str.strip, first)]) or _names_both(first):
        return True
    _refuse_header_below(path, sample)
    if any(map(_is_some_number, first)):
        return False
    known = {name for names in KNOWN.values() for name in names}
    for column, field in enumerate(first):
        below = [row[column] for row in rest if len(row) > column and row[column].strip()]
        if plain(field) in known and field not in below:
            return True
        if field.strip() and below and all(map(_is_some_number, below)):
            return True
    return False


def _is_some_number(field: str) -> bool:
    """Return whether a field is a number, by whichever mark of decimals."""
    return is_number(field) or has_decimal_comma(field)


def _refuse_header_below(path: Path, sample: Rows) -> None:
    for n_above, row in enumerate(sample[:_TITLE_ROWS]):
        if _names_both(row):
            them = "row" if n_above == 1 else f"{n_above} rows"
            msg = (
                f"{path}: a header stands below its first row, {shortened(', '.join(map(repr, row)))}. "
                f"Remove the {them} above it, or say --no-header."
            )
            raise InputError(msg)


def _names_both(row: tuple[str, ...]) -> bool:
    """Return whether well-known names of a customer and of an item are in a row."""
    names = {plain(field) for field in row}
    return all(not names.isdisjoint(KNOWN[role]) for role in ("customer", "item"))


def check_first_row(file: str, sample: Rows, delimiter: str) -> None:
    """Refuse a file whose first row is unlike those below: a line above the header, most often.

    Raises
    ------
    InputError
        If it has one field and they have more, or not one row in ten has as many as it has.
    """
    first, rest = sample[0], sample[1:]
    counts = Counter(len(row) for row in rest)
    most = max(counts, key=lambda n: (counts[n], n), default=len(first))
    alike = counts[len(first)] if len(first) > 1 else 0
    if most == len(first) or 10 * alike >= len(rest):
        return
    fields = shortened(", ".join(map(repr, first)))
    msg = (
        f"{file}: the first line has {counted(len(first), 'field')}, {fields}; {counts[most]:,} of "
        f"the next {counted(len(rest), 'row')} have {most}. "
    )
    if most == len(first) + 1 and all(len(row) < most or not row[-1].strip() for row in rest):
        msg += f"They end in '{delimiter}': add one to the first line."
    elif most == len(first) - 1 and not first[-1].strip():
        msg += f"It ends in '{delimiter}': remove that."
    else:
        n_alike = next(i for i, row in enumerate(rest) if len(row) == most)
        those = (
            f"it and the next {counted(n_alike, 'row')} if they are" if n_alike else "it if it is"
        )
        msg += (
            f"Remove {those} neither a header nor a row. A header needs a name for each column (R "
            f"leaves out the first); a field that contains '{delimiter}' needs quotes around it."
        )
    raise InputError(msg)
