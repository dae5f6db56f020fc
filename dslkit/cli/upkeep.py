"""``dslkit ledger …``: keeping the ledger whole and quick."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import Annotated

import typer

from dslkit.cli.accounts import instant, open_ledger
from dslkit.cli.terminal import put
from dslkit.errors import UsageError

_MINUTE = "%Y-%m-%d %H:%M UTC"

app = typer.Typer(help="Keep the ledger whole and quick.", no_args_is_help=True)


class Format(StrEnum):
    """What an export is written as."""

    parquet = "parquet"
    csv = "csv"
    duckdb = "duckdb"


@app.command()
def verify() -> None:
    """Say whether anything recorded was lost, and explain the rest; exit code 1 on a loss."""
    found = open_ledger().verify()
    for finding in found.findings:
        put(f"{finding.severity} {finding.code}: {finding.message}{f' → {finding.remedy}' if finding.remedy else ''}")
    put(
        f"{'something was lost' if found.lost else 'nothing was lost'}: {found.calls:,} attempts "
        f"({found.unknown_outcome:,} of unknown outcome) in {found.segments:,} segments ({found.living:,} still open) "
        f"and {found.parts:,} parts; {found.archives:,} archives"
    )
    raise typer.Exit(int(found.lost))


@app.command()
def compact() -> None:
    """Take finished segments into Parquet parts; harmless at any time."""
    done = open_ledger().compact()
    put(f"{done.segments:,} segments with {done.rows:,} rows taken in, {done.merged:,} parts merged")


@app.command()
def rebuild() -> None:
    """Make all parts again from the archived segments."""
    done = open_ledger().rebuild()
    same = {True: "the same rows as before", False: "other rows than before", None: "the old state is unknown"}
    put(f"{done.segments:,} segments with {done.rows:,} rows; {done.kept:,} parts kept as they are; {same[done.equal]}")


@app.command()
def prune(
    before: Annotated[str, typer.Option(help="Remove what is older: an ISO date or instant (UTC), or an age as 365d.")],
    confirmed: Annotated[bool, typer.Option("--yes", help="Do it; without, nothing is removed.")] = False,
) -> None:
    """Remove old records for good."""
    moment = instant(before)
    if moment is None:
        raise UsageError("--before needs a date or an age.")
    if not confirmed:
        raise UsageError(f"This removes all records from before {moment:{_MINUTE}} for good. To do it, add --yes.")
    done = open_ledger().prune(moment)
    put(f"{done.rows:,} rows and {done.archives:,} archives from before {moment:{_MINUTE}} removed")


@app.command()
def export(
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A folder; for duckdb a file that is not there yet.")
    ],
    of_format: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.parquet,
) -> None:
    """Write the ledger's tables for other tools."""
    for path in open_ledger().export(target, of_format.value):
        put(path)


@app.command()
def reprice(
    since: Annotated[
        str | None, typer.Option(help="From: an ISO date or instant (UTC), or an age such as 30d.")
    ] = None,
) -> None:
    """Price calls again at what is known today of the rates of their day; what was booked is kept."""
    done = open_ledger().reprice(instant(since))
    put(f"{done.changed:,} of {done.calls:,} attempts changed: ${done.before_usd:f} before, ${done.after_usd:f} now")
