"""Where interactions may be: a file or folder here, or a URL that only Spark can open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from segcli.errors import InputError, OptionError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Url:
    """A place such as ``s3a://bucket/folder``, passed on to Spark as it is written."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.text.rstrip("/").rpartition("/")[2]


Location = Path | Url


def name_of(location: Location) -> str:
    """Return the last part of a location, such as a file's name."""
    if isinstance(location, Path) and location.name in ("", ".."):  # such as "."
        return location.resolve().name
    return location.name


def path_of(location: Location) -> Path | None:
    """Return the path of a location, also of a URL at ``file://``; None of any other."""
    if isinstance(location, Path):
        return location
    scheme, _, path = location.text.partition("://")
    return Path(path) if scheme.lower() == "file" and path.startswith("/") else None


def location_of(text: str) -> Location:
    """Return what a user wrote as a path, or as a URL if it begins with a scheme.

    Raises
    ------
    InputError
        If it is nothing, which an unset variable of the shell's is and a path takes for here.
    """
    if not text:
        msg = "The name of the interactions is empty. Name a file or a folder."
        raise InputError(msg)
    return Url(text) if _SCHEME.match(text) else Path(text)


def is_folder(path: Path) -> bool:
    """Return whether a path is of a folder; False if that cannot be told, which reading will say."""
    try:
        return path.is_dir()
    except OSError:
        return False


def require_local(location: Location) -> Path:
    """Return a location's path.

    Raises
    ------
    OptionError
        If it is a URL.
    """
    if isinstance(location, Url):
        msg = f"{location} is a URL, which only Spark opens: add --engine spark."
        raise OptionError(msg)
    return location
