"""The report page: one self-contained HTML file, every name in it escaped and printable."""

from segcli.page.render import Extent, Parameter, Tables, render
from segcli.page.words import (
    Since,
    disliked_in_words,
    echo_in_words,
    is_named,
    nameless_in_words,
    same_names_in_words,
    since_in_words,
)

__all__ = [
    "Extent",
    "Parameter",
    "Since",
    "Tables",
    "disliked_in_words",
    "echo_in_words",
    "is_named",
    "nameless_in_words",
    "render",
    "same_names_in_words",
    "since_in_words",
]
