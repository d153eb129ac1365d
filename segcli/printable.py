"""Text of the user's as one line that a person can read, whatever characters it holds."""

from __future__ import annotations

_BREAKS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))

_READABLE = {code: f"\\x{code:02x}" for code in _CONTROLS} | dict.fromkeys(map(ord, _BREAKS), " ")


def printable(text: str) -> str:
    r"""Return a text with spaces for tabs and line breaks, and ``\x1b`` for a control character.

    A name with a line break would tear a table, and one with an escape sequence drive the terminal.
    """
    return text.translate(_READABLE)
