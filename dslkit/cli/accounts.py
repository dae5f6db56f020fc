"""Verbs that read the ledger: usage, sql, log, runs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dslkit.cli.piping import pause
from dslkit.cli.terminal import is_narrow, put, put_json, put_table, say, short, usd
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dslkit.ledger import Ledger

LOOK_SECONDS = 0.25
MOST_ROWS = 200  # of a query's answer; more is no help on a terminal
RUN_COLUMNS = ("run_id", "started_at", "status", "notebook", "items", "unfinished", "calls", "cost_usd", "error")
# What a narrow terminal does without, first to last.
_LESS_OF_RUNS = ("calls", "error", "items", "cost_usd")
_LESS_OF_CALLS = ("waited", "request", "status", "stage", "level", "input_tokens", "output_tokens", "cost_usd", "error")
_IDS = ("run_id", "request")
_AGE = re.compile(r"(\d+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Limit = Annotated[int, typer.Option("--limit", min=1, help="How many rows at most, the newest.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
Since = Annotated[str | None, typer.Option(help="From: an ISO date or instant (UTC), or an age such as 30d or 12h.")]
RunId = Annotated[str | None, typer.Option("--run", help="One run, by its id or a beginning of it.")]

runs_app = typer.Typer(help="What ran, and what should have run.")
usage_app = typer.Typer(help="Tokens and money: in all, by model, and as you ask.")


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.add_typer(usage_app, name="usage")
    app.add_typer(runs_app, name="runs")
    for verb in (sql, log):
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
    ledger = open_ledger()
    totals = ledger.usage(since=instant(since), run=_meant(ledger, run), by=by)
    if as_json:
        put_json(totals.as_dict())
        return
    groups = totals.groups if totals.by else totals.models
    rows = [*groups.items(), ("all", totals)]
    put_table(
        (totals.by or "model", "calls", "attempts", "input tokens", "output tokens", "cost"),
        [
            (name, row.total_calls, row.total_requests, row.prompt_tokens, row.completion_tokens, row.cost)
            for name, row in rows
        ],
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
    """Ask the ledger in SQL (DuckDB's); of a long answer the first rows are shown, with --json all."""
    names, rows = _answer(open_ledger(), query)
    if as_json:
        put_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    put_table(names, rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        say(f"{len(rows) - MOST_ROWS:,} more rows are not shown; --json gives all.")


def log(
    limit: Limit = 20,
    run: RunId = None,
    as_json: AsJson = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show attempts as they end, one a line.")] = False,
) -> None:
    """Show the newest attempts: when, for whom, how it went."""
    if follow:
        _follow(run, as_json=as_json)
    query = "FROM calls WHERE run_id = $run OR $run IS NULL ORDER BY started_at DESC LIMIT $limit"
    calls = [logged(call) for call in _ask(query, {"run": _meant(open_ledger(), run), "limit": limit})]
    if as_json:
        put_json(calls)
    else:
        _put(list(logged({})), calls, _LESS_OF_CALLS)


def logged(call: Mapping[str, Any]) -> dict[str, Any]:
    """What the log shows of an attempt, as the ledger or its journal has it."""
    seconds, waited = call.get("latency_s"), call.get("throttle_wait_s")
    return {
        "started_at": call.get("started_at"),
        "level": _level(call.get("outcome"), call.get("http_status") or 0),
        "request": call.get("call_id"),
        "model": call.get("request_model"),
        "stage": call.get("stage"),
        "item": call.get("item_id"),
        "input_tokens": call.get("input_tokens"),
        "output_tokens": call.get("output_tokens"),
        "cost_usd": call.get("cost_usd"),
        "outcome": call.get("outcome"),
        "status": call.get("http_status"),
        "seconds": None if seconds is None else round(seconds, 3),
        "waited": None if waited is None else round(waited, 3),
        "error": call.get("error_type"),
    }


def _level(outcome: str | None, status: int) -> str:
    """Error: the server's fault or nobody's answer; warning: the request's fault, or nobody waited for the end."""
    if outcome == "ok":
        return "info"
    refused = 400 <= status < 500  # noqa: PLR2004 - HTTP's client errors
    return "warning" if refused or outcome in {"cancelled", "unknown"} else "error"


def _follow(run: str | None, *, as_json: bool) -> NoReturn:
    """One line an attempt, until somebody ends it."""
    follower = open_ledger().follower()
    while True:
        for call in follower.look():
            if run is None or str(call.get("run_id")).startswith(run):
                put(json.dumps(logged(call)) if as_json else _line(logged(call)))
        pause(LOOK_SECONDS)


def _line(call: Mapping[str, Any]) -> str:
    tokens = f"{_known(call['input_tokens'])} + {_known(call['output_tokens'])} tokens"
    cost = usd(None if call["cost_usd"] is None else Decimal(call["cost_usd"]))
    moment = str(call["started_at"])[:19].replace("T", " ")
    about = (call[name] for name in ("stage", "item", "error"))
    outcome = f"{call['status'] or call['outcome']}"
    words = (
        moment,
        f"{call['level']:7}",
        call["request"],
        call["model"],
        tokens,
        cost,
        outcome,
        f"{call['seconds']} s",
    )
    return "  ".join(str(word) for word in (*words, *about) if word)


def _known(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


@runs_app.callback(invoke_without_command=True)
def runs(
    context: typer.Context,
    limit: Limit = 20,
    as_json: AsJson = False,
    everything: Annotated[bool, typer.Option("--all", help="Also those that wrote a report or a comparison.")] = False,
) -> None:
    """Show the newest runs: notebook or batch, status, items, cost; among them those that a schedule missed."""
    from dslkit.analysis.runs import TELLS

    if context.invoked_subcommand:
        return
    found = _ask(
        f"""SELECT run_id, started_at, status, coalesce(parse_filename(notebook), '') AS notebook,
            coalesce(items, 0) AS items, coalesce(unfinished, 0) AS unfinished, coalesce(calls, 0) AS calls,
            CASE WHEN calls IS NULL THEN 0 ELSE cost_usd END AS cost_usd, error_type AS error
        FROM runs
            LEFT JOIN (SELECT run_id, count(*) AS items, count(*) FILTER (verdict IN ('errors', 'failed')) AS unfinished
                FROM items GROUP BY run_id) USING (run_id)
            LEFT JOIN (SELECT run_id, count(DISTINCT call_id) AS calls, sum(cost_usd) AS cost_usd
                FROM calls GROUP BY run_id) USING (run_id)
        WHERE $everything OR NOT {TELLS}
        ORDER BY started_at DESC LIMIT $limit""",  # noqa: S608 - our own text
        {"limit": limit, "everything": everything},
    )
    found = sorted([*found, *_missed()], key=lambda run: run["started_at"], reverse=True)[:limit]
    if as_json:
        put_json(found)
    else:
        _put(RUN_COLUMNS, found, _LESS_OF_RUNS)


@runs_app.command()
def prune(
    keep: Annotated[int, typer.Option(min=0, help="Keep so many of each notebook, the newest.")] = 30,
    older_than: Annotated[str, typer.Option(help="Keep what is younger: an age such as 90d.")] = "90d",
    folder: Annotated[Path | None, typer.Option("--in", help="Where they lie, when not in DSLKIT_HOME.")] = None,
) -> None:
    """Remove old executed notebooks; the ledger keeps every row."""
    from dslkit.notebooks.pruning import outdated
    from dslkit.settings import load_settings

    now = datetime.now(UTC)
    before = instant(older_than)
    if before is None or before > now:
        raise UsageError("--older-than needs an age, such as 90d.")
    place = folder or load_settings().home / "notebooks"
    removed = 0
    for path in outdated(place, keep=keep, older_than=now - before, now=now):
        path.unlink()
        removed += 1
    put(f"{removed:,} executed notebooks removed from {place}")


def _missed() -> list[dict[str, Any]]:
    """The runs that a schedule should have had, in the columns of those there were."""
    from dslkit.analysis.schedules import missed
    from dslkit.settings import load_settings

    none_of_it = {"run_id": "", "items": 0, "unfinished": 0, "calls": 0, "cost_usd": 0, "error": None}
    return [
        {**none_of_it, "started_at": each.expected, "status": "missed", "notebook": each.schedule}
        for each in missed(load_settings().home, datetime.now(UTC))
    ]


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


def _ask(query: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
    cursor = open_ledger().snapshot().execute(query, values)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _meant(ledger: Ledger, run: str | None) -> str | None:
    """The id of the run that is named, if one is."""
    from dslkit.analysis.runs import run_named

    return run_named(ledger.snapshot(), run) if run else None


def _put(names: Sequence[str], rows: Iterable[Mapping[str, Any]], less: Sequence[str]) -> None:
    put_table(names, [[_cell(name, row[name]) for name in names] for row in rows], less=less)


def _cell(name: str, cell: Any) -> Any:
    if name == "cost_usd":
        return usd(cell)
    if name in _IDS:
        return short(cell)
    if name == "notebook":
        return (cell.removesuffix(".ipynb") if is_narrow() else cell) or "–"  # made by a verb or the HTTP API
    if isinstance(cell, datetime):
        return f"{cell:%m-%d %H:%M}" if is_narrow() else f"{cell:%Y-%m-%d %H:%M:%S}"
    return cell


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
