"""The report page: one self-contained HTML file, every name in it escaped and printable."""

from segcli.page.render import Extent, Parameter, Tables, render
from segcli.page.words import echo_in_words, is_named, nameless_in_words

__all__ = [
    "Extent",
    "Parameter",
    "Tables",
    "echo_in_words",
    "is_named",
    "nameless_in_words",
    "render",
]
