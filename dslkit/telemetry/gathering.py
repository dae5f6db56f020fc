"""What the ledger has whole since the last look, as spans, the earliest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dslkit.telemetry.spans import Span, agent_span, attempt_span, item_span, run_span

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from dslkit.analysis.scope import Views

LOST = timedelta(hours=1)  # after so long nobody waits for an answer that belongs to no run

_CALLS = """
  SELECT c.*, r.run_id IS NOT NULL AS of_run, {contents}, {done} AS done_at
  FROM calls c LEFT JOIN (SELECT DISTINCT run_id FROM runs) r ON r.run_id = c.run_id {join}
  WHERE c.started_at IS NOT NULL AND {which} ORDER BY done_at LIMIT $most
"""
_ENDED = ("c.ended_at", "c.ended_at >= $since AND c.ended_at <= $now")
_STRANDED = ("$now::TIMESTAMPTZ", "c.outcome = 'unknown' AND c.ended_at IS NULL AND list_contains($closed, c.run_id)")
_LOST = (
    "c.started_at + $lost::INTERVAL",
    """c.outcome = 'unknown' AND c.ended_at IS NULL AND r.run_id IS NULL
      AND c.started_at >= $since - $lost::INTERVAL AND c.started_at <= $now - $lost::INTERVAL""",
)
_STORED = ("x.request, x.response", "LEFT JOIN contents x ON x.call_id = c.call_id AND x.attempt = c.attempt")
_UNSTORED = ("NULL AS request, NULL AS response", "")

_ITEMS = """
  SELECT i.*, r.run_id IS NOT NULL AS of_run, i.ended_at AS done_at
  FROM items i LEFT JOIN (SELECT DISTINCT run_id FROM runs) r ON r.run_id = i.run_id
  WHERE i.ended_at >= $since AND i.ended_at <= $until
"""
_AGENTS = """
  SELECT c.run_id, c.item_id, c.stage, min(c.started_at) AS started_at,
    max(coalesce(c.ended_at, c.started_at)) AS ended_at, count(*) AS attempts,
    any_value(c.provider_name) AS provider_name, any_value(c.request_model) AS request_model,
    {of_item} AS of_item, {done} AS done_at
  FROM calls c {join} WHERE c.stage IS NOT NULL AND c.started_at IS NOT NULL AND {which}
  GROUP BY c.run_id, c.item_id, c.stage
"""
_OF_ITEMS = {
    "of_item": "true",
    "done": "any_value(i.ended_at)",
    "join": "JOIN items i ON i.run_id = c.run_id AND i.item_id = c.item_id",
    "which": "i.ended_at >= $since AND i.ended_at <= $until",
}
_OF_RUNS = {
    "of_item": "false",
    "done": "$now::TIMESTAMPTZ",
    "join": "ANTI JOIN items i ON i.run_id = c.run_id AND i.item_id = c.item_id",
    "which": "list_contains($closed, c.run_id)",
}
_CLOSED = """
  SELECT r.*, $now::TIMESTAMPTZ AS done_at, coalesce(r.ended_at, (
    SELECT max(coalesce(c.ended_at, c.started_at)) FROM calls c WHERE c.run_id = r.run_id), r.started_at) AS over_at
  FROM runs r
  WHERE r.status <> 'running' AND (list_contains($open, r.run_id) OR coalesce(r.ended_at, r.started_at) >= $since)
"""
_OPEN = "SELECT run_id FROM runs WHERE status = 'running'"


@dataclass(frozen=True, slots=True)
class Gathered:
    """Spans, and whether there are ``more``.

    ``open_runs`` are to be looked after when all spans have arrived, ``pending`` as long as they have not.
    """

    spans: tuple[Span, ...]
    open_runs: frozenset[str]
    pending: frozenset[str]
    more: bool


def gather(
    views: Views,
    *,
    since: datetime,
    now: datetime,
    sent: Collection[int] = (),
    open_runs: Collection[str] = (),
    most: int = 5000,
    contents: bool = False,
) -> Gathered:
    """The spans that became whole in ``since`` to ``now`` and were not sent, or the first of them.

    Args:
        views: of the ledger.
        since: aware.
        now: aware.
        sent: span ids to leave out.
        open_runs: runs that were under way at the last look; one whose process was killed has no end to find it by.
        most: attempts to give at once, so that a long history fits in memory.
        contents: with prompts and answers, where they were stored.
    """
    limit = most + len(sent)
    stored, join = _STORED if contents else _UNSTORED
    when = {"since": since, "now": now}
    still = frozenset(row["run_id"] for row in _rows(views, _OPEN, {}))
    runs = _rows(views, _CLOSED, when | {"open": list(open_runs)})
    closed = [row["run_id"] for row in runs]
    pending = still.union(open_runs, closed)
    rows = _rows(views, _query(_ENDED, stored, join), when | {"most": limit})
    if len(rows) == limit:  # the rest of this stretch of time another time
        spans = [*map(attempt_span, rows), *_of_items(views, since, rows[-1]["done_at"])]
        return Gathered(_unsent(spans, sent), pending, pending, more=True)
    rows += _rows(views, _query(_LOST, stored, join), when | {"most": limit, "lost": LOST})
    rows += _rows(views, _query(_STRANDED, stored, join), {"closed": closed, "now": now, "most": limit})
    agents = _rows(views, _AGENTS.format(**_OF_RUNS), {"closed": closed, "now": now})
    spans = [*map(attempt_span, rows), *map(agent_span, agents), *map(run_span, runs), *_of_items(views, since, now)]
    return Gathered(_unsent(spans, sent), still, pending, more=False)


def _of_items(views: Views, since: datetime, until: datetime) -> list[Span]:
    values = {"since": since, "until": until}
    kinds: tuple[tuple[str, Callable[[Mapping[str, Any]], Span]], ...] = (
        (_AGENTS.format(**_OF_ITEMS), agent_span),
        (_ITEMS, item_span),
    )
    return [make(row) for query, make in kinds for row in _rows(views, query, values)]


def _unsent(spans: list[Span], sent: Collection[int]) -> tuple[Span, ...]:
    return tuple(sorted((span for span in spans if span.span_id not in sent), key=lambda span: span.done_at))


def _query(which: tuple[str, str], contents: str, join: str) -> str:
    done, condition = which
    return _CALLS.format(contents=contents, done=done, join=join, which=condition)


def _rows(views: Views, query: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    answer = views.execute(query, values)
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
