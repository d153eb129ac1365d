"""The report page: one self-contained HTML file, every name in it escaped."""

from segcli.page.render import render

__all__ = ["render"]
