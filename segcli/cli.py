"""The command line: words, options, messages. Each command loads its stage only when it runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segcli import __version__, progress
from segcli.errors import OptionError
from segcli.jsontext import to_json
from segcli.options import (
    AS_JSON,
    EVIDENCE,
    FILE_PATH,
    N_COMPONENTS,
    RUN,
    SCORE_NORMS,
    SEED,
    SHARE,
    WEIGHTINGS,
    check_engine,
    check_evidence,
    check_range_of_k,
    cluster_or_not,
    engine,
)
from segcli.terminal import Group, ProgressBar, Summary, say, show, show_table
from segcli.words import printable

if TYPE_CHECKING:
    from segcli.engine import Engine

S = TypeVar("S", bound=Summary)

NOT_AS_REQUIRED = 3
"""Exit status of a validation whose verdict is not the one required."""


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="segcli")
def main() -> None:
    """Turn (customer, item, value) rows into customer segments, and tell whether they are real.

    Run the stages in this order. Each reads and writes files in the run directory RUN, so you can stop
    after any of them, look at a plot, and choose.

    \b
    Example:
      segcli ingest ratings.csv run/
      segcli explore-pca run/
      segcli explore-k run/ --n-components 10
      segcli cluster run/ --n-components 10 --n-clusters 25
      segcli validate run/
      segcli report run/
    """
    # Stages hold BLAS to one thread: others, which OpenBLAS starts when it is loaded, would be in vain.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A backend that is not installed here would keep matplotlib from loading; pictures are files.
    os.environ["MPLBACKEND"] = "agg"
    # Where the system has no semaphores joblib starts no processes, and says so as if that were a fault.
    warnings.filterwarnings("ignore", ".*joblib will operate in serial mode", UserWarning)


@main.command()
@click.argument("interactions")
@RUN
@click.option(
    "--customer", metavar="C", help="Column with the customer, by name or position from 1."
)
@click.option("--item", metavar="C", help="Column with the item.")
@click.option("--value", metavar="C", help="Column with the value; 'none' counts each row as 1.")
@click.option(
    "--timestamp",
    metavar="C",
    help="Column with the time, for --duplicates last; at equal times the largest value is taken.",
)
@click.option(
    "--items",
    type=FILE_PATH,
    metavar="FILE",
    help="Table of item names, or a folder of such tables.",
)
@click.option("--items-id", metavar="C", help="Column with the item in the table of names.")
@click.option("--items-name", metavar="C", help="Column with the name in the table of names.")
@click.option(
    "--delimiter", help="What separates columns: ',' 'tab' ';' '|' '::'.  [default: detected]"
)
@click.option(
    "--header/--no-header",
    default=None,
    help="Is the first row a header?  [default: detected]",
)
@click.option("--encoding", help="Text encoding, such as utf-8 or latin-1.  [default: detected]")
@click.option(
    "--decimal",
    type=click.Choice(["point", "comma"]),
    default="point",
    show_default=True,
    help="What values in text have before the fraction: 1234.5, or 1234,5 and 1.234,5.",
)
@click.option(
    "--duplicates",
    type=click.Choice(["sum", "last", "mean", "max"]),
    default="sum",
    show_default=True,
    help="How to combine several rows of one customer and item.",
)
@click.option(
    "--negative",
    type=click.Choice(["reject", "keep", "net"]),
    default="reject",
    show_default=True,
    help="Negative values: reject the rows, keep them (for likes and dislikes), or net them against "
    "the pair's other rows (for refunds) and drop pairs that end at 0 or below.",
)
@click.option("--strict", is_flag=True, help="Refuse the file if any row cannot be used.")
@cluster_or_not
@AS_JSON
def ingest(interactions: str, run_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Read interactions into a sparse customers × items matrix.

    INTERACTIONS is delimited text (gzipped or not) or Parquet with a row per interaction: customer, item,
    value and perhaps a time. It may be a folder of such files in one format, which are read as one, or,
    with --engine spark, a URL. Rows that cannot be used go to rejects.csv, with the reason.

    \b
    Example:
      segcli ingest u.data run/ --items u.item
      segcli ingest retail.csv.gz run/ --customer CustomerID --item StockCode --value Quantity
      segcli ingest orders-by-day/ run/
      segcli ingest s3a://shop/orders/ run/ --engine spark --master spark://host:7077
    """
    from segcli.inputs.form import Form
    from segcli.inputs.locations import location_of
    from segcli.stages import ingest as stage

    def run(*, engine: Any, **arguments: Any) -> stage.Ingested:
        if options["engine"] == "spark":
            from segcli.inputs.distributed import read_triplets_on

            arguments["read"] = partial(read_triplets_on, engine)
        form = Form(**{name: arguments.pop(name) for name in Form.__dataclass_fields__})
        return stage.run(form=form, **arguments)

    location = location_of(interactions)
    _run(run, run_dir, as_json, interactions=location, threads=None, **options)


@main.command("explore-pca")
@RUN
@click.option(
    "--max-components",
    type=click.IntRange(min=1),
    default=None,
    help="How many components to compute.  [default: 50, or as many as there are]",
)
@click.option(
    "--weighting",
    type=click.Choice(WEIGHTINGS),
    default="pearson",
    show_default=True,
    help="What to do to the values before PCA; raw leaves them as they are.",
)
@click.option(
    "--score-norm",
    type=click.Choice(SCORE_NORMS),
    default=None,
    help="How much it counts for k-means how far a customer lies from the average one, by the norm of the "
    "scores: as much as it is (kept), on a logarithmic scale (log), or not at all, only in which "
    "direction (unit).  [default: log, or kept with raw]",
)
@click.option(
    "--compare-weightings",
    is_flag=True,
    help="Measure all weightings on these data, with 10 components or --max-components, and recommend "
    "one. Writes nothing.",
)
@click.option(
    "--compare-score-norms",
    is_flag=True,
    help="Measure what each --score-norm makes of these data, with the --weighting and 10 components or "
    "--max-components, and recommend one. Writes nothing.",
)
@click.option(
    "--compare-components",
    is_flag=True,
    help="Measure how many segments 2, 3, 4, 6, … components support, up to --max-components, and "
    "recommend a number. Writes nothing.",
)
@EVIDENCE
@engine
@SEED
@AS_JSON
def explore_pca(
    run_dir: Path,
    *,
    compare_weightings: bool,
    compare_score_norms: bool,
    compare_components: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the principal components, and how many the data support.

    A component is a pattern of items that go together; the items at its two ends describe it. Writes
    explained_variance.csv and a plot from which to choose their number, each figure beside the same on
    data without segments, and one recommendation.

    \b
    Example:
      segcli explore-pca run/
      segcli explore-pca run/ --weighting raw --max-components 100
      segcli explore-pca run/ --compare-weightings
      segcli explore-pca run/ --compare-score-norms
      segcli explore-pca run/ --compare-components
    """
    questions = {
        "--compare-weightings": compare_weightings,
        "--compare-score-norms": compare_score_norms,
        "--compare-components": compare_components,
    }
    asked = [question for question, is_asked in questions.items() if is_asked]
    if len(asked) > 1:
        msg = f"{asked[0]} and {asked[1]} are two questions: ask one at a time."
        raise click.UsageError(msg)
    if compare_components:
        _compare_components(run_dir, as_json, options)
        return
    if asked:
        _compare_recipes(run_dir, as_json, options, asked[0])
        return
    with _drawing_beside(options["threads"]):
        from segcli.stages import explore_pca as stage

        _run(stage.run, run_dir, as_json, **options)


@main.command("explore-k")
@RUN
@N_COMPONENTS
@click.option(
    "--k-min", type=click.IntRange(min=1), default=2, show_default=True, help="Smallest k to try."
)
@click.option(
    "--k-max",
    type=click.IntRange(min=1),
    default=None,
    help="Largest k to try.  [default: 50, or fewer where few customers differ]",
)
@click.option(
    "--k-step",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Step from one k to the next.",
)
@EVIDENCE
@engine
@SEED
@AS_JSON
def explore_k(run_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Find how many segments the data support, if any.

    Writes k_scores.csv, the inertia curves, and the evidence for each number of segments k beside the
    same evidence on data without segments, with one recommendation.

    \b
    Example:
      segcli explore-k run/ --n-components 10
      segcli explore-k run/ --n-components 10 --k-min 5 --k-max 30 --k-step 5
    """
    check_range_of_k(options["k_min"], options["k_max"])
    with _drawing_beside(options["threads"]):
        from segcli.stages import explore_k as stage

        _run(stage.run, run_dir, as_json, **options)


@main.command()
@RUN
@N_COMPONENTS
@click.option(
    "--n-clusters", type=click.IntRange(min=1), required=True, help="How many segments to make."
)
@click.option(
    "--min-membership",
    type=SHARE,
    default=None,
    help="Leave customers unassigned whose membership is below this: how often they land in the same "
    "segment when halves of the customers are segmented anew.",
)
@click.option(
    "--because",
    metavar="TEXT",
    default=None,
    help="Reason for your choice. The report shows it beside what explore-k said at the time.",
)
@EVIDENCE
@engine
@SEED
@AS_JSON
def cluster(run_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Put every customer into one of k segments.

    Writes segments.csv (customer, segment, distance, membership), the model that labels new
    customers, and how stable each segment is.

    \b
    Example:
      segcli cluster run/ --n-components 10 --n-clusters 25
      segcli cluster run/ --n-components 10 --n-clusters 4 --because "largest supported k"
    """
    check_evidence(options["evidence"], min_membership=options["min_membership"])
    from segcli.stages import cluster as stage

    _run(stage.run, run_dir, as_json, **options)


@main.command()
@RUN
@EVIDENCE
@click.option(
    "--require",
    type=click.Choice(["supported", "recommended"]),
    default=None,
    help="Exit with status 3 unless the evidence supports the segments and, for 'recommended', there "
    "are as many as explore-k recommends.",
)
@engine
@SEED
@AS_JSON
def validate(run_dir: Path, *, as_json: bool, require: str | None, **options: Any) -> None:
    """Test whether the segments are real.

    Do other customers lead to the same segments? Can naive Bayes, on the full unweighted matrix, tell a
    customer's segment by what the customer has? Does the segment help to predict hidden interactions?
    Each answer stands beside the same on data without segments. Writes validation.json and confusion
    matrices.

    \b
    Example:
      segcli validate run/
      segcli validate run/ --require supported || echo "do not use these segments"
    """
    check_evidence(options["evidence"], require=require)
    with _drawing_beside(options["threads"]):
        from segcli.stages import validate as stage

        summary = _run(stage.run, run_dir, as_json, **options)
    met = {"supported": summary.supported, "recommended": summary.recommended}
    if require is None or met[require]:
        return
    if summary.supported:  # the summary does not say what else is required
        k = summary.verdict["recommended_k"]
        said = (
            f"explore-k recommends {k}"
            if k is not None
            else "with these components explore-k recommends no number of them, or has not run"
        )
        click.echo(f"The {summary.k} segments are supported, but {said}.", err=True)
    click.get_current_context().exit(NOT_AS_REQUIRED)


@main.command()
@RUN
@click.option(
    "--top",
    "n_top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many items to list for each segment.",
)
@click.option(
    "--segment-names",
    type=FILE_PATH,
    metavar="FILE",
    help="Table of your own names for the segments: an edited copy of segment_summary.csv.",
)
@click.option(
    "--segment-names-from",
    type=FILE_PATH,
    metavar="EARLIER",
    help="An earlier run directory, such as last month's: segments that are the same keep the names you "
    "gave them there, and segment_moves.csv shows who moved.",
)
@click.option(
    "--evidence",
    type=click.Choice(["quick", "full", "none"]),
    default=None,
    help="How thoroughly to check what marks a segment on interactions hidden while it was made: quick "
    "takes 5 rounds of hiding, full 10.  [default: quick, or none where the data allow none]",
)
@engine
@AS_JSON
def report(run_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Describe the segments: report.html, report.txt and tables.

    \b
    Example:
      segcli report run/ --top 20
      segcli report run/ --segment-names names.csv
      segcli report 2026-02/ --segment-names-from 2026-01/
    """
    with _drawing_beside(options["threads"]):
        from segcli.stages import report as stage

        _run(stage.run, run_dir, as_json, **options)


@main.command()
@RUN
@click.option(
    "--segments-from",
    type=FILE_PATH,
    metavar="EARLIER",
    required=True,
    help="The run directory whose segments they are, such as last month's.",
)
@engine
@AS_JSON
def label(run_dir: Path, *, as_json: bool, **options: Any) -> None:
    """Put the customers of RUN into the segments of an earlier run.

    Of RUN's stages, only ingest need have run. Writes labels.csv (customer, segment, name, distance,
    known_items, earlier_segment), and tells how well the segments fit these customers.

    \b
    Example:
      segcli label 2026-02/ --segments-from 2026-01/
    """
    from segcli.stages import label as stage

    _run(stage.run, run_dir, as_json, **options)


STAGES = (ingest, explore_pca, explore_k, cluster, validate, report)


def _options_of_all_stages() -> list[click.Parameter]:
    """Return what the stages take, each option once, the required ones first."""
    options: dict[str | None, click.Parameter] = {}
    for stage in STAGES:
        for option in stage.params:
            options.setdefault(option.name, option)
    for name in ("compare_weightings", "compare_score_norms", "compare_components"):
        del options[name]  # they write nothing that the next stage could read
    return sorted(options.values(), key=lambda option: not option.required)


@main.command("run", params=_options_of_all_stages())
@click.pass_context
def run_stages(ctx: click.Context, /, *, as_json: bool, **options: Any) -> None:
    """Run all six stages, once you know what to choose.

    Writes what the six commands write with the same options, in less time, since libraries are loaded
    once. If a stage fails, those before it are done. With --json, prints one object per stage, each on
    its own line.

    \b
    Example:
      segcli run ratings.csv run/ --n-components 10 --n-clusters 25
      segcli run ratings.csv run/ --n-components 10 --n-clusters 4 --require supported
    """
    check_engine(options["engine"], options["master"], options["threads"])
    check_range_of_k(options["k_min"], options["k_max"])
    check_evidence(
        options["evidence"], require=options["require"], min_membership=options["min_membership"]
    )
    with _drawing_beside(options["threads"]):
        # Not before: it loads what the first stage needs, while the process that draws loads the rest.
        _check_number_of_components(options["n_components"], options["max_components"])
        from segcli.artifacts import hold, refuse_to_lose_names

        if options["segment_names"] is not None:  # the last stage's
            from segcli.inputs.streams import check_file

            check_file(options["segment_names"])
        if options["segment_names_from"] is not None:
            from segcli.stages.earlier import read_earlier

            earlier = read_earlier(options["segment_names_from"], options["run_dir"])
            options["segment_names_from"] = earlier.folder  # a link may lead elsewhere by then

        with (
            hold(options["run_dir"], [stage.name or "" for stage in STAGES]),
            _one_session(options["engine"], options["master"]),
        ):
            refuse_to_lose_names(options["run_dir"])
            status = _run_each(ctx, as_json=as_json, options=options)
    ctx.exit(status)


def _run_each(ctx: click.Context, *, as_json: bool, options: dict[str, Any]) -> int:
    """Run the stages with their options, one after the other; return the exit status."""
    status = 0
    for stage in STAGES:
        if not as_json:
            name = f"\n{stage.name}" if stage is not ingest else stage.name
            say(click.style(name, bold=True))
        own = {param.name: options[param.name] for param in stage.params if param.name in options}
        try:
            ctx.invoke(stage, as_json=as_json, **own)
        except click.exceptions.Exit as ended:
            # The verdict is not the one required: all the more to report.
            status = ended.exit_code
        if stage is ingest:
            _check_choices(options)
    return status


def _check_choices(options: dict[str, Any]) -> None:
    from segcli.choices import check_choices

    names = (
        *("n_components", "k_min", "k_max", "k_step", "n_clusters"),
        *("evidence", "min_membership", "require"),
    )
    check_choices(options["run_dir"], **{name: options[name] for name in names})


@main.command()
@RUN
@AS_JSON
def status(run_dir: Path, *, as_json: bool) -> None:
    """Show which stages have run, how, and which are stale.

    \b
    Example:
      segcli status run/
    """
    from dataclasses import asdict

    from segcli.artifacts import describe

    states = describe(run_dir)
    if as_json:
        say(to_json({"stages": [asdict(state) for state in states]}))
        return
    rows = [("stage", "state", "choices")]
    for state in states:
        choices = {k: v for k, v in state.parameters.items() if v is not None}
        if state.seed is not None:
            choices["seed"] = state.seed
        rows.append((state.stage, state.state, ", ".join(f"{k} {v}" for k, v in choices.items())))
    show_table(rows)
    todo = next((state for state in states if state.state not in {"fresh", "not run"}), None)
    if todo is not None:
        run = f" Run: {todo.command}" if todo.command is not None else ""
        say(printable(f"{todo.stage} is {todo.state}: {todo.reason}{run}"))


def _compare_recipes(run_dir: Path, as_json: bool, options: dict[str, Any], question: str) -> None:
    compared = "weighting" if question == "--compare-weightings" else "score_norm"
    source_of = click.get_current_context().get_parameter_source
    for name, reason in (
        (compared, "measures all of them"),
        ("evidence", "gathers evidence of its own"),
    ):
        if source_of(name) is not click.core.ParameterSource.DEFAULT:
            msg = f"{question} {reason}: leave --{name.replace('_', '-')} out."
            raise click.UsageError(msg)
    from segcli.stages import compare_recipes as comparison

    _run(
        comparison.run,
        run_dir,
        as_json,
        weighting=None if compared == "weighting" else options["weighting"],
        n_components=options["max_components"],
        **{name: options[name] for name in ("score_norm", "engine", "master", "threads", "seed")},
    )


def _compare_components(run_dir: Path, as_json: bool, options: dict[str, Any]) -> None:
    if options["evidence"] == "none":
        msg = "--compare-components needs evidence: leave out --evidence none."
        raise click.UsageError(msg)
    from segcli.stages import compare_components as comparison

    _run(comparison.run, run_dir, as_json, **options)


def _check_number_of_components(n_components: int, max_components: int | None) -> None:
    from segcli.stages.explore_pca import DEFAULT_MAX_COMPONENTS

    most = max_components or DEFAULT_MAX_COMPONENTS
    if n_components > most:
        msg = (
            f"--n-components {n_components} is larger than --max-components {most}: "
            f"give --max-components {n_components} too."
        )
        raise click.UsageError(msg)


@contextmanager
def _open_engine(
    run_dir: Path, engine: str, master: str | None, threads: int | None
) -> Iterator[Engine]:
    """Return the engine that was asked for; what it started ends with the block."""
    check_engine(engine, master, threads)
    if engine == "local":
        from segcli.engine import LocalEngine

        yield LocalEngine(threads)
        return
    from segcli.engine.spark import DEFAULT_MASTER, SparkEngine

    with SparkEngine(master or DEFAULT_MASTER, run_dir) as opened:
        yield opened


@contextmanager
def _drawing_beside(threads: int | None) -> Iterator[None]:
    """Let another process load what draws, and draw, while the block loads its stage and runs it."""
    from segcli.plots import drawing_beside

    with drawing_beside(n_threads=threads):
        yield


def _one_session(engine: str, master: str | None) -> AbstractContextManager[Any]:
    """Keep Spark running for the block: stages join the session that is open."""
    if engine == "local":
        return nullcontext()
    from segcli.engine.session import open_session
    from segcli.engine.spark import DEFAULT_MASTER

    return open_session(master or DEFAULT_MASTER)


def _run(
    stage: Callable[..., S],
    run_dir: Path,
    as_json: bool,
    *,
    engine: str,
    master: str | None,
    threads: int | None,
    **options: Any,
) -> S:
    """Run a stage, print its summary and return it; show how far it has come meanwhile."""
    from segcli.engine import single_threaded_blas
    from segcli.engine.memory import release_freed_memory, reuse_freed_memory

    reuse_freed_memory()
    bar = ProgressBar()
    try:
        with (
            progress.listening(bar),
            single_threaded_blas(),
            _open_engine(run_dir, engine, master, threads) as opened,
        ):
            summary = stage(run_dir=run_dir, engine=opened, **options)
    except OptionError as error:
        raise click.UsageError(str(error)) from error
    finally:
        bar.clear()
    release_freed_memory()  # what the next stage needs is of other sizes
    show(summary, run_dir, as_json=as_json)
    return summary
