"""The public views, as SQL over parts and journal lines: the same for a snapshot and for ``ledger.duckdb``."""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

from typing import Final

from dslkit.ledger import schema

# The id of a segment in the name of its file.
SEGMENT: Final = "regexp_extract(filename, '([^/.]+)[.][a-z.]+$', 1)"

_TAGS = "coalesce(tags, MAP {}::MAP(VARCHAR, VARCHAR)) AS tags"
_PRICED = ("cost_usd", "price_source", "price_version")


def attempts(source: str) -> str:
    """SQL for the attempts in lines: each end, and each start without one as an attempt of unknown outcome."""
    return f"{ended(source)} UNION ALL {unended(source)}"


def ended(source: str) -> str:
    """SQL for the ends of attempts, which repeat what their starts say."""
    return f"SELECT {schema.select_list(schema.PARTS['calls'])} FROM {source} WHERE k = 'end'"


def unended(source: str) -> str:
    """SQL for the starts without an end, each once."""
    unknown = schema.select_list(schema.PARTS["calls"]).replace('"outcome"', "'unknown' AS outcome")
    return (
        f"SELECT {unknown} FROM ("
        f"SELECT DISTINCT ON (call_id, attempt) * FROM {source} s WHERE k = 'start' AND NOT EXISTS ("
        f"SELECT 1 FROM {source} e WHERE e.k = 'end' AND e.call_id = s.call_id AND e.attempt = s.attempt))"
    )


def view_queries(parts: dict[str, str], *, attempts: str, living: str, priced: bool) -> dict[str, str]:
    """SQL of the views.

    Args:
        parts: for each kind, SQL for the rows in parts.
        attempts: SQL for the attempts that no part holds yet; other kinds are read from ``lines``.
        living: SQL condition on a line: its writer is alive.
        priced: whether there may be calls that were priced again.
    """
    fresh = f"SELECT {schema.select_list(schema.PARTS['runs'])}, {living} AS living FROM lines WHERE k = 'run'"
    return {
        "calls": _calls(f"{attempts} UNION ALL {parts['calls']}", _all(parts, "prices") if priced else None),
        "runs": _runs(f"{fresh} UNION ALL SELECT *, false AS living FROM ({parts['runs']})"),
        "items": _items(_all(parts, "items")),
        "contents": _contents(_all(parts, "contents")),
        "marks": f"SELECT name, recorded_at FROM ({_all(parts, 'marks')})",
    }


def _all(parts: dict[str, str], kind: str) -> str:
    fresh = f"SELECT {schema.select_list(schema.PARTS[kind])} FROM lines WHERE k = '{kind[:-1]}'"
    return f"{fresh} UNION ALL {parts[kind]}"


def _calls(source: str, prices: str | None) -> str:
    """One row an attempt.  ``booked_cost_usd`` is what it was booked at before it was priced again."""
    shown = {name: schema.quoted(name) for name in schema.CALLS}
    shown["call_id"] = "c.call_id::VARCHAR AS call_id"
    shown["attempt"] = "c.attempt"
    shown["tags"] = _TAGS
    shown["stream"] = "coalesce(stream, false) AS stream"
    shown["cache_hit"] = "coalesce(cache_hit, false) AS cache_hit"
    for name in _PRICED:
        shown[name] = (
            f"CASE WHEN p.call_id IS NULL THEN c.{name} ELSE p.{name} END AS {name}" if prices else f"c.{name}"
        )
    columns = f"{', '.join(shown.values())}, c.cost_usd AS booked_cost_usd"
    if not prices:
        return f"SELECT {columns} FROM ({source}) c"
    latest = f"SELECT * FROM ({prices}) {_latest('call_id, attempt', 'recorded_at DESC')}"
    return (
        f"SELECT {columns} FROM ({source}) c LEFT JOIN ({latest}) p ON p.call_id = c.call_id AND p.attempt = c.attempt"
    )


def _runs(source: str) -> str:
    """The record of a run's end counts, else the latest; a run that is said to run but whose process died is not."""
    shown = {name: schema.quoted(name) for name in schema.RUNS}
    shown["status"] = "CASE WHEN status = 'running' AND NOT living THEN 'interrupted' ELSE status END AS status"
    shown["tags"] = _TAGS
    order = "status <> 'running' DESC, living DESC, recorded_at DESC"
    return f"SELECT {', '.join(shown.values())} FROM ({source}) {_latest('run_id', order)}"


def _items(source: str) -> str:
    """The latest record of each item of a run."""
    shown = {name: schema.quoted(name) for name in schema.ITEMS}
    shown["findings"] = "coalesce(findings, []) AS findings"
    shown["repairs"] = "coalesce(repairs, []) AS repairs"
    shown["tags"] = _TAGS
    counts = [
        f"len(list_filter(coalesce(findings, []), lambda f: f.severity = '{severity}'))::INTEGER AS {severity}_findings"
        for severity in ("error", "warning")
    ]
    seconds = "(epoch_us(ended_at) - epoch_us(started_at)) / 1e6 AS seconds"
    columns = ", ".join([*shown.values(), seconds, *counts])
    return f"SELECT {columns} FROM ({source}) {_latest('run_id, item_id', 'recorded_at DESC')}"


def _contents(source: str) -> str:
    columns = "call_id::VARCHAR AS call_id, attempt, started_at, request, response"
    return f"SELECT {columns} FROM ({source}) {_latest('call_id, attempt', 'recorded_at DESC')}"


def _latest(key: str, order: str) -> str:
    return f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
