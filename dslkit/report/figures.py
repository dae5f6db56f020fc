"""What the report says, as values: every number comes from a query over the ledger's views in this file.

Each query looks at one `Scope`.  Money is Decimal USD, durations are seconds; what is unknown is counted, not guessed.
"""

# ruff: noqa: S608 - queries are put together from constants of this file; every value from outside is bound

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from dslkit.report.values import Bin, CallRow, Failure, ItemRow, ItemSums, Quantiles, Sums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

OFFLINE_PROVIDER = "dslkit"
BINS_PER_DECADE = 12
SHORTEST_S = 0.001  # waits below a millisecond are bookkeeping, not waiting

Dimension = Literal["model", "stage", "run", "tag"]
Timing = Literal["latency_s", "time_to_first_chunk_s", "throttle_wait_s"]

_Value = TypeVar("_Value")


class Rows(Protocol):
    """What a query gives."""

    @property
    def description(self) -> Sequence[Sequence[Any]]:
        """One entry a column; its first part is the name."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows."""


class Views(Protocol):
    """What is asked of a ledger: SQL over its views ``calls``, ``runs`` and ``items``, as `Ledger.snapshot` gives."""

    def execute(self, query: str, parameters: Mapping[str, Any] | None = None, /) -> Rows:
        """Run a query with named parameters."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which calls and items count: of one run, from ``since`` on, before ``until`` (UTC); None leaves a side open."""

    run: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """The values that each query binds."""
        return {"run": self.run, "since": self.since, "until": self.until}


# Constants only: every value from outside is bound as a parameter.
SCOPED_CALLS = """
WITH scoped AS (
  FROM calls
  WHERE ($run IS NULL OR run_id = $run)
    AND ($since IS NULL OR coalesce(started_at, ended_at) >= $since)
    AND ($until IS NULL OR coalesce(started_at, ended_at) < $until)
)
"""
# These three, and attempts refused before any token was read (which cost nothing), are all that has no cost.
_UNPRICED = "cost_usd IS NULL AND (outcome = 'ok' OR coalesce(input_tokens, output_tokens) IS NOT NULL)"
_UNANSWERED = """cost_usd IS NULL AND outcome IN ('error', 'cancelled')
  AND coalesce(input_tokens, output_tokens) IS NULL AND coalesce(http_status, 0) < 400"""
_SUMS = f"""
  count(DISTINCT call_id) AS calls,
  count(DISTINCT call_id) FILTER (outcome = 'ok') AS answered,
  count(*) AS attempts,
  count(DISTINCT run_id) AS runs,
  count(*) FILTER (cache_hit) AS cached_answers,
  count(*) FILTER (outcome = 'ok') AS ok,
  count(*) FILTER (outcome = 'error') AS errors,
  count(*) FILTER (outcome = 'cancelled') AS cancelled,
  count(*) FILTER (outcome = 'unknown') AS unknown,
  coalesce(sum(cost_usd), 0) AS cost_usd,
  count(*) FILTER ({_UNPRICED}) AS unpriced,
  count(*) FILTER ({_UNANSWERED}) AS unanswered,
  count(*) FILTER (usage_source = 'estimated') AS estimated,
  coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
  coalesce(sum(cache_read_input_tokens), 0)::BIGINT AS cached_tokens,
  coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
  coalesce(sum(reasoning_output_tokens), 0)::BIGINT AS reasoning_tokens,
  coalesce(sum(throttle_wait_s), 0)::DOUBLE AS wait_s,
  coalesce(sum(latency_s), 0)::DOUBLE AS busy_s,
  min(coalesce(started_at, ended_at)) AS first,
  max(coalesce(started_at, ended_at)) AS last
"""
_DIMENSIONS: Mapping[Dimension, str] = {
    "model": "request_model",
    "stage": "stage",
    "run": "run_id",
    "tag": "unnest(list_transform(map_entries(tags), lambda t: concat(t.key, ' = ', t.value)))",
}
# A cached answer took no time; a failed attempt's time says how long failing takes.
_TIMED: Mapping[Timing, str] = {
    "latency_s": "latency_s IS NOT NULL AND outcome = 'ok' AND NOT cache_hit",
    "time_to_first_chunk_s": "time_to_first_chunk_s IS NOT NULL AND outcome = 'ok' AND NOT cache_hit",
    "throttle_wait_s": "throttle_wait_s IS NOT NULL AND NOT cache_hit",
}
_ITEMS = f"""
WITH scoped AS (
  FROM items
  WHERE ($run IS NULL OR run_id = $run)
    AND ($since IS NULL OR started_at >= $since) AND ($until IS NULL OR started_at < $until)
), spent AS (
  SELECT run_id, item_id, count(DISTINCT call_id) AS calls, sum(cost_usd) AS cost_usd,
    coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0) AS tokens,
    count(*) FILTER ({_UNPRICED}) AS unpriced
  FROM calls
  WHERE ($run IS NULL OR run_id = $run) AND run_id IS NOT NULL AND item_id IS NOT NULL
  GROUP BY ALL
), joined AS (
  SELECT scoped.*, coalesce(calls, 0) AS calls, coalesce(tokens, 0)::BIGINT AS tokens, cost_usd,
    coalesce(unpriced, 0) AS unpriced
  FROM scoped LEFT JOIN spent USING (run_id, item_id)
)
"""


def sums(views: Views, scope: Scope) -> Sums:
    """Everything in scope, added up."""
    query = f"{SCOPED_CALLS} SELECT NULL AS name, {_SUMS} FROM scoped"
    return _rows(views, Sums, query, scope)[0]


def sums_by(views: Views, scope: Scope, dimension: Dimension) -> list[Sums]:
    """The same for each model, stage, run or tag, dearest first."""
    query = f"""{SCOPED_CALLS}, named AS (SELECT {_DIMENSIONS[dimension]} AS name, * FROM scoped)
      SELECT name, {_SUMS} FROM named GROUP BY name ORDER BY cost_usd DESC, attempts DESC, name"""
    return _rows(views, Sums, query, scope)


def offline_calls(views: Views, scope: Scope) -> int:
    """How many attempts the offline stand-in answered."""
    query = f"{SCOPED_CALLS} SELECT count(*) FROM scoped WHERE provider_name = $offline"
    return int(views.execute(query, scope.parameters() | {"offline": OFFLINE_PROVIDER}).fetchall()[0][0])


def quantiles(views: Views, scope: Scope, timing: Timing, *, by_model: bool = False) -> list[Quantiles]:
    """Exact percentiles (interpolated) of one timing over all, or for each model, most values first."""
    name = "request_model" if by_model else "NULL"
    query = f"""{SCOPED_CALLS}
      SELECT name, count, qs[1] AS p50, qs[2] AS p95, qs[3] AS p99, longest, none FROM (
        SELECT {name} AS name, count(*) AS count, quantile_cont({timing}, [0.5, 0.95, 0.99]) AS qs,
          max({timing}) AS longest, count(*) FILTER ({timing} < {SHORTEST_S}) AS none
        FROM scoped WHERE {_TIMED[timing]} GROUP BY ALL)
      ORDER BY count DESC, name"""
    return _rows(views, Quantiles, query, scope)


def histogram(views: Views, scope: Scope, timing: Timing) -> list[Bin]:
    """Counts in bins of equal width on a logarithmic scale, gaps filled; values under a millisecond are left out."""
    query = f"""{SCOPED_CALLS}
      SELECT floor(log10({timing}) * {BINS_PER_DECADE})::INTEGER AS bin, count(*) AS count
      FROM scoped WHERE {_TIMED[timing]} AND {timing} >= {SHORTEST_S} GROUP BY ALL ORDER BY bin"""
    counts = dict(views.execute(query, scope.parameters()).fetchall())
    if not counts:
        return []
    return [
        Bin(low=10 ** (k / BINS_PER_DECADE), high=10 ** ((k + 1) / BINS_PER_DECADE), count=counts.get(k, 0))
        for k in range(min(counts), max(counts) + 1)
    ]


def failures(views: Views, scope: Scope) -> list[Failure]:
    """Attempts not answered, by status and kind, most frequent first."""
    query = f"""{SCOPED_CALLS}, answered AS (SELECT DISTINCT call_id FROM scoped WHERE outcome = 'ok')
      SELECT http_status, error_type, outcome, count(*) AS attempts,
        count(*) FILTER (call_id IN (FROM answered)) AS recovered, any_value(error_message) AS example
      FROM scoped WHERE outcome <> 'ok'
      GROUP BY http_status, error_type, outcome ORDER BY attempts DESC, http_status, error_type, outcome"""
    return _rows(views, Failure, query, scope)


def top_calls(
    views: Views, scope: Scope, order: Literal["cost_usd", "latency_s", "attempts"], limit: int
) -> list[CallRow]:
    """The dearest, slowest or most repeated calls; those without a value of that kind are left out."""
    query = f"""{SCOPED_CALLS}, whole AS (
      SELECT call_id, any_value(request_model) AS model, any_value(stage) AS stage, any_value(run_id) AS run_id,
        any_value(item_id) AS item_id, min(coalesce(started_at, ended_at)) AS started_at, count(*) AS attempts,
        (sum(input_tokens) + sum(output_tokens))::BIGINT AS tokens, sum(cost_usd) AS cost_usd,
        sum(latency_s)::DOUBLE AS latency_s, coalesce(sum(throttle_wait_s), 0)::DOUBLE AS wait_s,
        arg_max(outcome, attempt) AS outcome
      FROM scoped WHERE NOT cache_hit GROUP BY call_id)
      FROM whole WHERE {order} > {int(order == "attempts")} ORDER BY {order} DESC, call_id LIMIT $limit"""
    return _rows(views, CallRow, query, scope, limit=limit)


def item_sums(views: Views, scope: Scope) -> ItemSums:
    """Items by verdict."""
    query = f"""{_ITEMS} SELECT count(*) AS items,
      count(*) FILTER (verdict = 'working') AS working, count(*) FILTER (verdict = 'clean') AS clean,
      count(*) FILTER (verdict = 'errors') AS errors, count(*) FILTER (verdict = 'failed') AS failed,
      count(*) FILTER (verdict = 'clean' AND engine = 'not run') AS not_run,
      count(*) FILTER (reused_from IS NOT NULL) AS reused,
      count(*) FILTER (verdict = 'working' AND reused_from IS NULL) AS fresh_working,
      coalesce(sum(calls), 0)::BIGINT AS calls,
      coalesce(sum(cost_usd), 0) AS cost_usd, coalesce(sum(unpriced), 0)::BIGINT AS unpriced FROM joined"""
    return _rows(views, ItemSums, query, scope)[0]


def items(views: Views, scope: Scope, limit: int) -> list[ItemRow]:
    """Items that need a look first, then the dearest."""
    query = f"""{_ITEMS} SELECT run_id, item_id, model, mode, verdict, engine, error_findings, warning_findings,
      len(repairs) AS repairs, rounds, reused_from, error_message, calls, tokens, cost_usd, unpriced, seconds
      FROM joined
      ORDER BY list_position(['failed', 'errors', 'clean', 'working'], verdict), cost_usd DESC NULLS LAST,
        run_id DESC, item_id LIMIT $limit"""
    return _rows(views, ItemRow, query, scope, limit=limit)


def _rows(views: Views, kind: type[_Value], query: str, scope: Scope, **more: Any) -> list[_Value]:
    """The query's rows as values of ``kind``; columns are matched by name."""
    found = views.execute(query, scope.parameters() | more)
    names = [column[0] for column in found.description]
    return [kind(**dict(zip(names, row, strict=True))) for row in found.fetchall()]
