"""What the report says, as values: every number comes from a query in this file, over `Facts` of one scope.

Money is Decimal USD, durations are seconds; what is unknown is counted, not guessed.
"""

# ruff: noqa: S608 - queries are put together from constants of this file; every value from outside is bound

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dslkit.report.facts import CALL
from dslkit.report.values import Bin, CallRow, Failure, ItemRow, ItemSums, Quantiles, Sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dslkit.analysis.scope import Rows
    from dslkit.report.facts import Facts

BINS_PER_DECADE = 12
SHORTEST_S = 0.001  # waits below a millisecond are bookkeeping, not waiting

Dimension = Literal["model", "stage", "run", "tag"]
Timing = Literal["latency_s", "time_to_first_chunk_s", "throttle_wait_s"]
Order = Literal["cost_usd", "latency_s", "attempts"]

_Value = TypeVar("_Value")

_COUNTED = (
    "calls", "answered", "attempts", "offline", "cached_answers", "ok", "errors", "cancelled", "unknown", "unpriced",
    "unanswered", "estimated", "waited", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip
_SUMS = f"""
  {", ".join(f"coalesce(sum({name}), 0)::BIGINT AS {name}" for name in _COUNTED)},
  count(DISTINCT run) AS runs,
  coalesce(sum(cost_usd), 0) AS cost_usd,
  coalesce(sum(wait_s), 0)::DOUBLE AS wait_s,
  coalesce(sum(busy_s), 0)::DOUBLE AS busy_s,
  min(first) AS first,
  max(last) AS last
"""
_TAGS = "unnest(list_transform(map_entries(tags), lambda t: concat(t.key, ' = ', t.value)))"
# A cached answer took no time; a failed attempt's time says how long failing takes.
_TIMED: Mapping[Timing, str] = {
    "latency_s": "latency_s IS NOT NULL AND outcome = 'ok' AND NOT cache_hit",
    "time_to_first_chunk_s": "time_to_first_chunk_s IS NOT NULL AND outcome = 'ok' AND NOT cache_hit",
    "throttle_wait_s": "throttle_wait_s IS NOT NULL AND NOT cache_hit",
}
_FOUND = ("error_findings", "warning_findings")
_CALL = """
  call_id, request_model AS model, stage, run_id, item_id, begun AS started_at, attempts,
  (input_tokens + output_tokens)::BIGINT AS tokens, cost_usd, latency_s::DOUBLE AS latency_s,
  coalesce(throttle_wait_s, 0)::DOUBLE AS wait_s
"""


def sums(facts: Facts) -> Sums:
    """Everything in scope, added up."""
    return _values(Sums, facts.ask(f"SELECT NULL AS name, {_SUMS} FROM {facts.cells}"))[0]


def sums_by(facts: Facts, dimension: Dimension) -> list[Sums]:
    """The same for each model, stage, run or tag, dearest first."""
    name = _TAGS if dimension == "tag" else dimension
    query = f"""WITH named AS (SELECT {name} AS name, * FROM {facts.cells})
      SELECT name, {_SUMS} FROM named GROUP BY name ORDER BY cost_usd DESC, attempts DESC, name"""
    return _values(Sums, facts.ask(query))


def quantiles(facts: Facts, timing: Timing, *, by_model: bool = False) -> list[Quantiles]:
    """Exact percentiles (interpolated) of one timing over all, or for each model, most values first."""
    name = "request_model" if by_model else "NULL"
    query = f"""
      SELECT name, count, qs[1] AS p50, qs[2] AS p95, qs[3] AS p99, longest, none FROM (
        SELECT {name} AS name, count(*) AS count, quantile_cont({timing}, [0.5, 0.95, 0.99]) AS qs,
          max({timing}) AS longest, count(*) FILTER ({timing} < {SHORTEST_S}) AS none
        FROM scoped WHERE {_TIMED[timing]} GROUP BY ALL)
      ORDER BY count DESC, name"""
    return _values(Quantiles, facts.ask_calls(query))


def histogram(facts: Facts, timing: Timing) -> list[Bin]:
    """Counts in bins of equal width on a logarithmic scale, gaps filled; values under a millisecond are left out."""
    query = f"""
      SELECT floor(log10({timing}) * {BINS_PER_DECADE})::INTEGER AS bin, count(*) AS count
      FROM scoped WHERE {_TIMED[timing]} AND {timing} >= {SHORTEST_S} GROUP BY ALL ORDER BY bin"""
    counts = dict(facts.ask_calls(query).fetchall())
    if not counts:
        return []
    return [
        Bin(low=10 ** (k / BINS_PER_DECADE), high=10 ** ((k + 1) / BINS_PER_DECADE), count=counts.get(k, 0))
        for k in range(min(counts), max(counts) + 1)
    ]


def failures(facts: Facts) -> list[Failure]:
    """Attempts not answered, by status and kind, most frequent first."""
    query = f"""
      SELECT http_status, error_type, outcome, count(*) AS attempts,
        count(*) FILTER (coalesce(answered, false)) AS recovered, any_value(error_message) AS example
      FROM scoped LEFT JOIN {facts.several} USING (call_id) WHERE outcome <> 'ok'
      GROUP BY http_status, error_type, outcome ORDER BY attempts DESC, http_status, error_type, outcome"""
    return _values(Failure, facts.ask_calls(query))


def top_calls(facts: Facts, order: Order, limit: int) -> list[CallRow]:
    """The dearest, slowest or most repeated calls; those without a value of that kind are left out."""
    columns = f"call_id, attempts, {', '.join(CALL)}"
    calls = f"SELECT {columns} FROM {facts.several} WHERE {order} > {int(order == 'attempts')}"
    values: dict[str, object] = {"limit": limit}
    if order != "attempts":
        # As many openings have this value or more, so each of the foremost calls has: few need to be looked up.
        openings = f"SELECT max({order}, $limit) FROM scoped WHERE attempt = 1 AND NOT cache_hit AND {order} > 0"
        [(foremost,)] = facts.ask_calls(openings, limit=limit).fetchall()
        values["least"] = foremost[-1] if foremost and len(foremost) == limit else 0
        calls += f""" UNION ALL SELECT {columns.replace("attempts", "1")} FROM scoped ANTI JOIN {facts.several}
          USING (call_id) WHERE NOT cache_hit AND {order} > 0 AND {order} >= $least"""
    query = f", calls AS ({calls}) SELECT {_CALL} FROM calls ORDER BY {order} DESC, call_id LIMIT $limit"
    return _values(CallRow, facts.ask_calls(query, **values))


def item_sums(facts: Facts) -> ItemSums:
    """Items by verdict, those that were reused counted once."""
    query = f"""SELECT count(*) AS items, (SELECT count(*) FROM {facts.items}) - count(*) AS repeated,
      count(*) FILTER (verdict = 'working') AS working, count(*) FILTER (verdict = 'clean') AS clean,
      count(*) FILTER (verdict = 'errors') AS errors, count(*) FILTER (verdict = 'failed') AS failed,
      count(*) FILTER (verdict = 'clean' AND engine = 'not run') AS not_run,
      count(*) FILTER (reused_from IS NOT NULL) AS reused,
      count(*) FILTER (verdict = 'working' AND reused_from IS NULL) AS fresh_working,
      coalesce(sum(calls), 0)::BIGINT AS calls, coalesce(sum(cost_usd), 0) AS cost_usd,
      coalesce(sum(unpriced), 0)::BIGINT AS unpriced FROM {facts.workflows}"""
    return _values(ItemSums, facts.ask(query))[0]


def items(facts: Facts, limit: int) -> list[ItemRow]:
    """Items that need a look first, then the dearest."""
    columns = ", ".join(name for name in ItemRow.__slots__ if name not in _FOUND)
    query = f"""SELECT {columns} FROM {facts.workflows}
      ORDER BY list_position(['failed', 'errors', 'clean', 'working'], verdict), cost_usd DESC NULLS LAST,
        run_id DESC, item_id LIMIT $limit"""
    rows = list(_records(facts.ask(query, limit=limit)))
    # Counting the findings of all items would take longer than all else about them.
    counts = f"""SELECT run_id, item_id, {", ".join(_FOUND)} FROM items
      WHERE list_contains($runs, run_id) AND list_contains($items, item_id)"""
    named = {"runs": [row["run_id"] for row in rows], "items": [row["item_id"] for row in rows]}
    found = {row[:2]: row[2:] for row in facts.ask(counts, **named).fetchall()}
    return [ItemRow(**row, **dict(zip(_FOUND, found[row["run_id"], row["item_id"]], strict=True))) for row in rows]


def _values(kind: type[_Value], rows: Rows) -> list[_Value]:
    """Rows as values of ``kind``; columns are matched by name."""
    return [kind(**row) for row in _records(rows)]


def _records(rows: Rows) -> Iterator[dict[str, Any]]:
    names = [column[0] for column in rows.description]
    return (dict(zip(names, row, strict=True)) for row in rows.fetchall())
