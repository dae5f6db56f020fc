"""What other systems are told of: the verbs of telemetry, and what the long verbs do meanwhile."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer

from dslkit.cli.accounts import Since, instant
from dslkit.cli.piping import pause
from dslkit.cli.terminal import complain, put, say
from dslkit.errors import DslkitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dslkit.settings import Settings
    from dslkit.telemetry.errors import Reporter

app = typer.Typer(help="Traces and metrics for OpenTelemetry.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make a group of the one verb."""


@app.command()
def export(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is recorded from now on.")] = False,
    since: Since = None,
    contents: Annotated[
        bool, typer.Option("--contents", help="With prompts and answers, where they were stored.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be sent; send nothing.")] = False,
) -> None:
    """Send what the ledger has recorded since the last export, over OTLP/HTTP, to where the OTEL_* variables say."""
    from dslkit.settings import load_settings
    from dslkit.telemetry.exporting import Exporter, contents_wanted, exporter

    if dry_run:
        put(f"{Exporter(load_settings().home, None, since=instant(since)).export():,} spans would be sent")
        return
    wanted = contents or contents_wanted(os.environ)
    exports, collector = exporter(load_settings().home, contents=wanted, since=instant(since))
    try:
        put(f"{exports.export():,} spans sent")
        while follow:
            pause(exports.rest_s)
            try:
                exports.export()
            except UsageError:
                raise
            except DslkitError as error:  # the collector may come back
                complain(error)
    except KeyboardInterrupt:
        raise typer.Exit from None
    finally:
        collector.close()


@contextmanager
def observed(settings: Settings) -> Iterator[Callable[[str], None]]:
    """Export traces meanwhile, where the environment names a collector; takes the id of a run that has ended.

    What failed in that run goes to Sentry, where SENTRY_DSN names a project.
    """
    if not (settings.sentry_dsn or any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ)):
        yield lambda _run_id: None
        return
    from dslkit.ledger import Ledger
    from dslkit.telemetry.exporting import exporting

    reporter = _reporter(settings)
    with exporting(settings.home, say):
        yield lambda run_id: reporter.run(Ledger(settings.home).snapshot(), run_id)


def report_crash(error: BaseException) -> None:
    """Tell Sentry of what ended a command, if SENTRY_DSN names a project; never fails itself."""
    from dslkit.settings import load_settings

    try:
        _reporter(load_settings()).crash(error)
    except Exception as problem:  # noqa: BLE001 - what counts is the error that is reported
        complain(problem)


def _reporter(settings: Settings) -> Reporter:
    dsn = settings.sentry_dsn
    return _reporter_to(dsn.get_secret_value() if dsn else None)


@cache  # so that what is wrong with the address is said once
def _reporter_to(dsn: str | None) -> Reporter:
    from dslkit.telemetry.errors import Reporter

    return Reporter(dsn, say)
