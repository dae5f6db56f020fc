"""The verbs, gathered; errors become one message and an exit code: 2 when the caller must change something, else 1."""

from __future__ import annotations

import io
import sys
from importlib.metadata import version

import typer

from dslkit.cli import (
    accounts,
    alerts,
    doctor,
    forecasts,
    generation,
    operations,
    patterns,
    schedules,
    serving,
    telemetry,
    upkeep,
    watch,
    workflows,
)
from dslkit.cli.piping import Verbs, open_missing, output_error
from dslkit.cli.terminal import complain
from dslkit.errors import DslkitError, UsageError

FAILED = 1
WRONG_USE = 2

app = typer.Typer(
    name="dslkit",
    cls=Verbs,
    help="Dify workflows from language models, in bulk: what they cost, how long they take, whether they run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for room in (generation, workflows, accounts, watch, alerts, forecasts, operations, schedules, doctor, serving):
    room.add_to(app)
app.add_typer(patterns.app, name="patterns")
app.add_typer(upkeep.app, name="ledger")
app.add_typer(telemetry.app, name="telemetry")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dslkit {version('dslkit')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: bool = typer.Option(
        False, "--version", help="Show the version and leave.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Options that every verb shares."""


def main() -> None:
    """Run the command line of this process."""
    open_missing()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal can show an arrow or a frame
    try:
        app()
    except UsageError as error:
        complain(error)
        sys.exit(WRONG_USE)
    except Exception as error:
        from dslkit.batch.artefact import disk_full, is_disk_full

        if isinstance(error, OSError) and (problem := output_error()):
            complain(DslkitError(f"Standard output cannot be written ({problem.strerror})."))
            sys.exit(FAILED)
        telemetry.report_crash(error)
        if isinstance(error, DslkitError):
            complain(error)
        elif is_disk_full(error):
            complain(disk_full(getattr(error, "filename", None) or "the ledger or the results", error))
        else:
            raise
        sys.exit(FAILED)
