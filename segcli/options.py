"""Options that several commands share, and what is asked of them together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

SCORE_NORMS = ("kept", "log", "unit")
WEIGHTINGS = ("raw", "log1p", "l2", "tfidf", "bm25", "pearson")


class _Path(click.Path):
    """A path; not nothing, which an unset variable of the shell's is and a path takes for here."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty.", param, ctx)
        return super().convert(value, param, ctx)


class _Share(click.FloatRange):
    """A number from 0 to 1; not NaN, which click finds in any range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        share = super().convert(value, param, ctx)
        if share != share:
            self.fail(f"'{value}' is not a number.", param, ctx)
        return share


SHARE = _Share(min=0, max=1)
FILE_PATH = _Path(path_type=Path)
RUN = click.argument("run_dir", metavar="RUN", type=FILE_PATH)
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as one JSON object."
)
SEED = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of every random choice. The same seed and data give the same files.",
)
EVIDENCE = click.option(
    "--evidence",
    type=click.Choice(["quick", "full", "none"]),
    default=None,
    help="How much evidence to gather: it shows each figure beside the same on data without "
    "segments.  [default: quick, or none where the data allow none]",
)
N_COMPONENTS = click.option(
    "--n-components",
    type=click.IntRange(min=1),
    required=True,
    help="How many principal components to use.",
)


def cluster_or_not(command: F) -> F:
    """Add ``--engine`` and ``--master``."""
    command = click.option(
        "--master",
        metavar="URL",
        default=None,
        help="The Spark cluster, such as spark://host:7077.  [default: local[*], this machine]",
    )(command)
    return click.option(
        "--engine",
        type=click.Choice(["local", "spark"]),
        default="local",
        show_default=True,
        help="What does the work: this process, or Spark, for data that one machine cannot hold. The "
        "result is the same.",
    )(command)


def engine(command: F) -> F:
    """Add the options that say who does the work."""
    command = click.option(
        "--threads",
        type=click.IntRange(min=1),
        default=None,
        help="Number of threads. It changes the time, never the result.  [default: one per core it "
        "may use]",
    )(command)
    return cluster_or_not(command)


def check_range_of_k(k_min: int, k_max: int | None) -> None:
    """Refuse a range of k that is empty."""
    if k_max is not None and k_min > k_max:
        msg = f"--k-min {k_min} is larger than --k-max {k_max}."
        raise click.UsageError(msg)


def check_evidence(
    evidence: str | None, *, require: str | None = None, min_membership: float | None = None
) -> None:
    """Refuse to require a verdict, or memberships, without evidence."""
    if evidence != "none":
        return
    for option, value in (("--require", require), ("--min-membership", min_membership)):
        if value is not None:
            shown = f"{value:g}" if isinstance(value, float) else value
            msg = f"{option} {shown} needs evidence: leave out --evidence none."
            raise click.UsageError(msg)


def check_engine(engine: str, master: str | None, threads: int | None) -> None:
    """Refuse options of an engine that is not the one chosen."""
    if engine == "local" and master is not None:
        msg = f"--master {master} names a Spark cluster: add --engine spark."
        raise click.UsageError(msg)
    if engine == "spark" and threads is not None:
        msg = "--threads is for --engine local; set Spark's by --master, such as local[4]."
        raise click.UsageError(msg)
