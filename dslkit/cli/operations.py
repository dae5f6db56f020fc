"""Verbs that run things: a notebook, a report, Dify's engine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dslkit.cli.parameters import NotebookCommand, given_parameters
from dslkit.cli.telemetry import observed
from dslkit.cli.terminal import put, say, without_secrets
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.settings import Settings

_RESULTS = "notebooks"
_NAMED = 10  # unfinished items told by name
_LONGEST = 100  # characters of one value

engine_app = typer.Typer(help="Dify's own engine, in an environment of its own.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command(cls=NotebookCommand)(run)
    for verb in (report, compare):
        app.command()(verb)
    app.add_typer(engine_app, name="engine")


def run(
    notebook: Annotated[str, typer.Argument(metavar="NOTEBOOK", help="A path, or the name of one that ships.")],
    names: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME VALUE", help="A parameter; may be repeated.")
    ] = None,
    values: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where the executed notebook goes.")] = None,
    cell_timeout: Annotated[int | None, typer.Option(min=1, help="Seconds that one cell may take.")] = None,
) -> None:
    """Run a parameterised notebook, recorded in the ledger; exit code 1 when it fails or leaves items unfinished."""
    from dslkit import notebooks
    from dslkit.settings import load_settings

    given = given_parameters(names or [], values or [])
    settings = load_settings()
    output = with_folder(output or executed_copy(settings, notebook))
    with observed(settings) as ended:
        result = notebooks.run(notebook, output, given, cell_timeout_s=cell_timeout)
        ended(result.run_id)
    put(f"{result.status}: {output} (run {result.run_id})")
    if result.status != "completed":
        say(f"{result.error_type}: {result.error_message}")
        raise typer.Exit(1)
    _tell(Path(notebook).stem, notebooks.results(output))


def _tell(notebook: str, results: Mapping[str, object]) -> None:
    """What the notebook recorded, in one line; leave with 1 where it has unfinished items, for a scheduler to see."""
    shown = {name: _shown(value) for name, value in results.items()}
    if shown:
        put(", ".join(f"{_shown(name)} {value}" for name, value in shown.items()))
    left = results.get("unfinished")
    if left:
        which = ", ".join(map(_shown, left[:_NAMED])) if isinstance(left, list) else shown["unfinished"]
        more = f" and {len(left) - _NAMED:,} more" if isinstance(left, list) and len(left) > _NAMED else ""
        say(f"{notebook} left items unfinished, which failed or have errors: {which}{more}")
        raise typer.Exit(1)


def _shown(value: object) -> str:
    """A value as part of a line: of lists and objects their size, of long texts the beginning, of secrets nothing."""
    text = " ".join(without_secrets(str(len(value) if isinstance(value, list | dict) else value)).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def report(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The HTML file to write; one in reports/ when not given.")
    ] = None,
    run_id: Annotated[str | None, typer.Option("--run", help="One run, by its id or a beginning of it.")] = None,
    since: Annotated[str | None, typer.Option(help="From: an ISO date or instant, or an age such as 30d.")] = None,
    until: Annotated[str | None, typer.Option(help="Before: the same; now when left out.")] = None,
) -> None:
    """Write the cost and latency report: one HTML file, no network, no script."""
    from dslkit.analysis.runs import run_named
    from dslkit.ledger import Ledger
    from dslkit.report import write
    from dslkit.settings import load_settings

    settings = load_settings()
    run = run_named(Ledger(settings.home).snapshot(), run_id) if run_id else None
    place = output or settings.reports / f"{run or f'report-{_stamp()}'}.html"
    put(write(settings.home, place, run=run, since=since, until=until))


def compare(
    first: Annotated[
        str,
        typer.Argument(metavar="A", help="A run (its id, or a beginning of it), or a period: 2026-09-01..2026-09-15."),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The HTML file to write; one in reports/ when not given.")
    ] = None,
) -> None:
    """Compare two runs or periods: cheaper, quicker, better, or chance?  One HTML file, no network, no script."""
    from dslkit.analysis.runs import side_named
    from dslkit.ledger import Ledger
    from dslkit.report import write_comparison
    from dslkit.settings import load_settings

    settings = load_settings()
    views = Ledger(settings.home).snapshot()
    sides = [side_named(views, side) for side in (first, second)]
    put(write_comparison(settings.home, output or settings.reports / f"comparison-{_stamp()}.html", *sides))


@engine_app.command()
def install(
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing when all is well; a missing Python is only a warning.")
    ] = False,
    python: Annotated[Path | None, typer.Option(help="A Python 3.12 or 3.13 to build on.")] = None,
) -> None:
    """Install Dify's engine beside this environment; once is enough."""
    from dslkit.dify import engine
    from dslkit.settings import load_settings

    named = load_settings().engine_python
    try:
        found = engine.status(python=named).python if named else engine.install(python=python, quiet=quiet)
    except UsageError as error:
        if not quiet:
            raise
        say(f"Without Dify's engine workflows are checked, not run. {error}")
        return
    if not quiet:
        put(f"Dify's engine is ready: {found}")


@engine_app.command()
def status() -> None:
    """Say whether Dify's engine is there; exit code 1 when it is not."""
    from dslkit.dify import engine
    from dslkit.settings import load_settings

    found = engine.status(python=load_settings().engine_python)
    if found.python is None:
        put(f"not installed; {found.remedy}")
        raise typer.Exit(1)
    put(f"graphon {found.graphon} under {found.python}")


def executed_copy(settings: Settings, notebook: str) -> Path:
    """Where an executed notebook is kept when nobody names a place."""
    return settings.home / _RESULTS / f"{_stamp()}-{time.time_ns() % 1_000_000:06d}-{Path(notebook).stem}.ipynb"


def _stamp() -> str:
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime())


def with_folder(file: Path) -> Path:
    """The file, whose folder is there from now on; UsageError where none can be made."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{file.parent}: no such folder can be made ({error.strerror}). Choose another.") from None
    return file
