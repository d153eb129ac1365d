"""The errors that a user can cause and mend.

::

    SegcliError                 exit status 1, one line on stderr, no traceback
    ├── InputError              a file the user handed in cannot be read as asked
    ├── RunDirectoryError       an artifact is missing, altered or stale; the directory cannot be used
    ├── ChoiceError             a choice (k, components, weighting) that these data cannot take
    │   ├── AllAlikeError       no customer differs from another
    │   └── FewDistinctError    fewer of them differ than segments are asked for
    ├── OptionError             options that say nothing, or do not go together: exit status 2
    └── ResourceError           the disk is full, the memory too small, a needed program is absent

A message says what is wrong, with the value and the place, and then what to do. A wrong command line
is an ``OptionError`` or click's own ``UsageError``: exit status 2. Doubt about a good result is not an
error: it is a field of the result.
"""

from __future__ import annotations


class SegcliError(Exception):
    """Something the user can mend."""


class InputError(SegcliError):
    """A file the user handed in cannot be read as asked."""


class RunDirectoryError(SegcliError):
    """The run directory, or an artifact in it, cannot be used."""


class ChoiceError(SegcliError):
    """A choice that these data cannot take."""


class AllAlikeError(ChoiceError):
    """All customers are the same, once weighted, or differ by less than can be told."""

    def __str__(self) -> str:
        return (
            "all customers have the same values for the same items, or differ by less than a millionth of "
            "them: there is nothing to segment."
        )


class FewDistinctError(ChoiceError):
    """More segments are asked for than the ``n_found`` customers that can be told apart."""

    def __init__(self, n_found: int) -> None:
        super().__init__(n_found)
        self.n_found = n_found

    def __str__(self) -> str:
        n, s = f"{self.n_found:,}", "" if self.n_found == 1 else "s"
        return f"Only {n} distinct customer{s} can be found. Choose {n} segment{s} or fewer."


class OptionError(SegcliError):
    """Options that say nothing, or do not go together, whatever the data."""


class ResourceError(SegcliError):
    """The machine cannot do what was asked."""
