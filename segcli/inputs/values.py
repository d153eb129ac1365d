"""Turn columns of text or numbers into float64, and say of each that is none why it is not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segcli.inputs.arrow import scalar, to_arrow, to_numpy

#: The sizes that a value may have: what is made of values later, such as the squared lengths of
#: products with their squares, then stays far within what a float64 can hold.
SMALLEST, LARGEST = 1e-50, 1e50
OUT_OF_RANGE = "value is beyond 1e50 or nearer to 0 than 1e-50"

#: What stands before the fraction of a number in text.
POINT, COMMA = "point", "comma"

#: Why a row cannot be used, in the order in which reasons are looked for. 0 means that it can.
REASONS = (
    "",
    "no customer",
    "no item",
    "no value",
    "value is not a number",
    "value is NaN",
    "value is infinite",
    "value is negative",
    "value is zero",
    OUT_OF_RANGE,
    "timestamp is not a number or an ISO date",
    "wrong number of fields",
)
CODES = {reason: code for code, reason in enumerate(REASONS)}

_THOUSANDS = r"[.\s\x{a0}\x{202f}'’]"
_WHOLE = {POINT: r"\d+", COMMA: rf"(?:\d+|[1-9]\d{{0,2}}(?:{_THOUSANDS}\d{{3}})+)"}
_NUMBER = {
    decimal: rf"^[+-]?(?:{_WHOLE[decimal]}(?:{sign}\d*)?|{sign}\d+)(?:[eE][+-]?\d+)?$"
    for decimal, sign in ((POINT, r"\."), (COMMA, ","))
}
_NOT_FINITE = r"(?i)^[+-]?(?:nan|inf|infinity)$"
_NAN = scalar("nan")
_NO_NUMBER = scalar(float("nan"))
_CURRENCY = r"(?:AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|INR|JPY|MXN|NOK|NZD|PLN|SEK|TRY|USD|ZAR)"
_NUMBER_OTHERWISE = re.compile(
    rf"(?:{_CURRENCY}\s*)?[+-]?\s*"
    r"(?:\d{1,3}(?:[.,'’\s]\d{3})+|\d+)(?:[.,]\d+)?"
    rf"(?:\s*{_CURRENCY})?\s*-?"
)
_HOW_WITH_POINT = (
    "Numbers are written like -1234.5: with a decimal point, without thousands separators, currency or "
    "percent signs."
)
_HOW_WITH_COMMA = (
    "With --decimal comma numbers are written like -1.234,5 or -1234,5, without currency or percent "
    "signs."
)
_is_number = re.compile(_NUMBER[POINT], re.ASCII).fullmatch


def is_number(text: str) -> bool:
    """Return whether a field reads as a finite number."""
    return _is_number(text.strip()) is not None


def has_decimal_comma(text: str) -> bool:
    """Return whether a field is a number whose comma does not separate thousands, by what follows it."""
    return re.fullmatch(r"[+-]?[\d.\s'’]*,(?:\d{1,2}|\d{4,})", text.strip()) is not None


def how_to_write(texts: Sequence[str], decimal: str) -> str | None:
    """Return how numbers are written, in a sentence or two; None if none of these fields is one.

    Parameters
    ----------
    texts : fields that could not be read as numbers
    decimal : what they were read with, ``point`` or ``comma``
    """
    if not any(map(is_number_somehow, texts)):
        return None
    if decimal == COMMA:
        return _HOW_WITH_COMMA
    advice = (
        " For decimal commas say --decimal comma." if any(map(has_decimal_comma, texts)) else ""
    )
    return _HOW_WITH_POINT + advice


def is_number_somehow(text: str) -> bool:
    """Return whether a field is a number, as they are read here or as many are written.

    With a decimal comma, thousands separators, a sign of a currency or of per cent, or a minus after it
    or as parentheses.
    """
    plain = "".join(letter for letter in text if unicodedata.category(letter) != "Sc").strip()
    plain = plain.removesuffix("%").rstrip()
    if plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1].strip()
    return is_number(text) or _NUMBER_OTHERWISE.fullmatch(plain) is not None


def read_values(
    column: pa.Array, *, negatives: bool, decimal: str = POINT
) -> tuple[np.ndarray, np.ndarray]:
    """Return a column's values and why each cannot be used.

    Parameters
    ----------
    column : array of strings or of numbers, of length n
    negatives : whether negative values can be used
    decimal : ``point`` or ``comma``, of numbers in strings; with a comma, points and blanks may
        separate thousands

    Returns
    -------
    values : float64 ndarray of shape (n,); NaN where there is none
    reasons : uint8 ndarray of shape (n,), indices into `REASONS`; 0 where the value can be used
    """
    if pa.types.is_string(column.type):
        encoded = column.dictionary_encode()
        values, reasons = _read_texts(encoded.dictionary, decimal)
        codes = to_numpy(encoded.indices)
        values, reasons = values[codes], reasons[codes]
    else:
        values, reasons = _read_numbers(column)
    if not (values.min(initial=1.0) >= SMALLEST and values.max(initial=1.0) <= LARGEST):
        _refuse_unusable(values, reasons, negatives=negatives)
    return values, reasons


def read_times(column: pa.Array) -> np.ndarray:
    """Return a column's timestamps as seconds or in the file's own unit; NaN where unreadable.

    Numbers are taken as they are; text is read as ISO 8601, to the microsecond, UTC unless it says
    otherwise.
    """
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        micro = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return _as_floats(micro) / 1e6
    if not pa.types.is_string(column.type):
        return _read_numbers(column)[0]
    encoded = column.dictionary_encode()
    texts = encoded.dictionary
    times, reasons = _read_texts(texts)
    other = reasons != 0
    if other.any():
        import pandas as pd  # noqa: PLC0415 (it takes long to load, and only dates need it)

        texts = pc.utf8_trim_whitespace(texts).filter(to_arrow(other))
        # Of a column with nanoseconds pandas reads no date beyond 2262, and a float does not hold them.
        texts = pc.replace_substring_regex(texts, r"([.,]\d{6})\d+", r"\1")
        dates = pd.to_datetime(
            pd.Series(texts.to_pylist(), dtype=object), format="ISO8601", utc=True, errors="coerce"
        )
        epoch = pd.Timestamp(0, tz="UTC").as_unit("us")  # nanoseconds end in 2262
        seconds = (dates - epoch).dt.total_seconds()
        times[other] = seconds.to_numpy(dtype=np.float64)
    times[~np.isfinite(times)] = np.nan
    by_row: np.ndarray = times[to_numpy(encoded.indices)]
    return by_row


def _read_texts(texts: pa.Array, decimal: str = POINT) -> tuple[np.ndarray, np.ndarray]:
    trimmed = numbers = pc.utf8_trim_whitespace(texts)
    if decimal == COMMA:
        numbers = pc.replace_substring_regex(numbers, _THOUSANDS, "")
        numbers = pc.replace_substring(numbers, ",", ".")
    finite = pc.match_substring_regex(trimmed, _NUMBER[decimal])
    other = pc.match_substring_regex(trimmed, _NOT_FINITE)
    readable = pc.or_(finite, other)
    values = to_numpy(pc.if_else(readable, numbers, _NAN).cast(pa.float64())).copy()
    reasons = np.full(len(texts), CODES["value is not a number"], dtype=np.uint8)
    reasons[to_numpy(readable)] = 0
    reasons[to_numpy(pc.binary_length(trimmed)) == 0] = CODES["no value"]
    return values, _refuse_not_finite(values, reasons)


def _read_numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    reasons = np.zeros(len(column), dtype=np.uint8)
    if column.type == pa.float64() and not column.null_count:
        plain = to_numpy(column)
        if np.isfinite(plain).all():
            return plain, reasons
    try:
        values = _as_floats(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        reasons[:] = CODES["value is not a number"]
        return np.full(len(column), np.nan), reasons
    reasons[to_numpy(column.is_null())] = CODES["no value"]
    return values, _refuse_not_finite(values, reasons)


def _as_floats(column: pa.Array) -> np.ndarray:
    """Return numbers as float64, NaN where there is none."""
    return to_numpy(pc.coalesce(column.cast(pa.float64(), safe=False), _NO_NUMBER)).copy()


def _refuse_unusable(values: np.ndarray, reasons: np.ndarray, *, negatives: bool) -> None:
    usable, size = reasons == 0, np.abs(values)
    reasons[usable & ((size < SMALLEST) | (size > LARGEST))] = CODES[OUT_OF_RANGE]
    reasons[usable & (values == 0)] = CODES["value is zero"]
    if not negatives:
        reasons[usable & (values < 0)] = CODES["value is negative"]


def _refuse_not_finite(values: np.ndarray, reasons: np.ndarray) -> np.ndarray:
    reasons[(reasons == 0) & np.isnan(values)] = CODES["value is NaN"]
    reasons[(reasons == 0) & np.isinf(values)] = CODES["value is infinite"]
    return reasons
