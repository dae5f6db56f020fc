"""Verbs that read the ledger: usage, sql, log, runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dslkit.cli.terminal import put_json, put_table, say, usd
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.ledger import Ledger

_AGE = re.compile(r"(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Limit = Annotated[int, typer.Option("--limit", min=1, help="How many rows at most, the newest.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
Since = Annotated[str | None, typer.Option(help="From: an ISO date or instant (UTC), or an age such as 30d or 12h.")]
RunId = Annotated[str | None, typer.Option("--run", help="One run, by its id.")]

usage_app = typer.Typer(help="Tokens and money: in all, by model, and as you ask.")


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.add_typer(usage_app, name="usage")
    for verb in (sql, log, runs):
        app.command()(verb)


@usage_app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    as_json: AsJson = False,
    since: Since = None,
    run: RunId = None,
    by: Annotated[str | None, typer.Option(help="Group by model, stage, run, day or tag.")] = None,
) -> None:
    """Show tokens and money since the last reset."""
    if context.invoked_subcommand:
        return
    totals = open_ledger().usage(since=instant(since), run=run, by=by)
    if as_json:
        put_json(totals.as_dict())
        return
    groups = totals.groups if totals.by else totals.models
    rows = [*groups.items(), ("all", totals)]
    put_table(
        (totals.by or "model", "requests", "input tokens", "output tokens", "cost"),
        [(name, row.total_requests, row.prompt_tokens, row.completion_tokens, row.cost) for name, row in rows],
    )
    if totals.tracking_since:
        say(f"tracking since {totals.tracking_since:%Y-%m-%d %H:%M:%S} UTC")


@usage_app.command()
def reset() -> None:
    """Count from now on; no row is lost, --since still reaches back."""
    open_ledger().reset_usage()
    say("usage counts from now on")


def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A SELECT over calls, runs and items.")],
    as_json: AsJson = False,
) -> None:
    """Ask the ledger in SQL (DuckDB's)."""
    names, rows = _answer(open_ledger(), query)
    if as_json:
        put_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        put_table(names, rows)


def log(limit: Limit = 20, run: RunId = None, as_json: AsJson = False) -> None:
    """Show the newest attempts: when, what for, how it went."""
    _show(
        """SELECT started_at, outcome, http_status AS status, request_model AS model, stage, item_id AS item,
        input_tokens, output_tokens, cost_usd, round(latency_s, 3) AS seconds, round(throttle_wait_s, 3) AS waited,
        error_type AS error FROM calls WHERE run_id = $run OR $run IS NULL
        ORDER BY started_at DESC LIMIT $limit""",
        {"run": run, "limit": limit},
        as_json=as_json,
    )


def runs(limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show the newest runs: notebook or batch, status, items, cost."""
    _show(
        """SELECT run_id, started_at, status, coalesce(parse_filename(notebook), '') AS notebook,
            coalesce(items, 0) AS items, coalesce(calls, 0) AS calls,
            CASE WHEN calls IS NULL THEN 0 ELSE cost_usd END AS cost_usd, error_type AS error
        FROM runs
            LEFT JOIN (SELECT run_id, count(*) AS items FROM items GROUP BY run_id) USING (run_id)
            LEFT JOIN (SELECT run_id, count(DISTINCT call_id) AS calls, sum(cost_usd) AS cost_usd
                FROM calls GROUP BY run_id) USING (run_id)
        ORDER BY started_at DESC LIMIT $limit""",
        {"limit": limit},
        as_json=as_json,
    )


def instant(text: str | None) -> datetime | None:
    """An instant from an ISO date or time (UTC where it names no zone), or from an age."""
    if not text:
        return None
    age = _AGE.fullmatch(text.strip())
    if age:
        return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date: write 2026-01-31, 2026-01-31T12:00, or an age such as 30d.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(query: str, values: Mapping[str, object], *, as_json: bool) -> None:
    cursor = open_ledger().snapshot().execute(query, values)
    names = [column[0] for column in cursor.description or ()]
    rows = cursor.fetchall()
    if as_json:
        put_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        put_table(names, [[_cell(name, cell) for name, cell in zip(names, row, strict=True)] for row in rows])


def _cell(name: str, cell: Any) -> Any:
    if name == "cost_usd":
        return usd(cell)
    return f"{cell:%Y-%m-%d %H:%M:%S}" if isinstance(cell, datetime) else cell


def _answer(ledger: Ledger, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows.  DuckDB's own complaint about a wrong query becomes a UsageError."""
    try:
        relation = ledger.sql(query)
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"duckdb", "_duckdb"}:
            raise
        raise UsageError(f"The query does not work: {error}") from None
    return relation.columns, relation.fetchall()


def open_ledger() -> Ledger:
    """The ledger of the settings' home."""
    from dslkit.ledger import Ledger
    from dslkit.settings import load_settings

    settings = load_settings()
    return Ledger(settings.home, prices=settings.prices)
