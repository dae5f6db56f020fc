"""The calls and items of one scope, gathered once into small temporary tables that the figures are computed from.

Telling calls from attempts by ``count(DISTINCT call_id)`` is what would make a report of a million calls slow.  Few
calls have several attempts, so those alone are looked up (table ``several``), and sums are taken once, for every
combination of model, stage, run and tags that occurs (table ``cells``): all other sums are sums of these.
"""

# ruff: noqa: S608 - queries are put together from constants of this file; every value from outside is bound

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dslkit.analysis.scope import IN_SCOPE
from dslkit.ledger.queries import UNANSWERED, UNPRICED

if TYPE_CHECKING:
    from dslkit.analysis.scope import Rows, Scope, Views

_SCOPED = f"WITH scoped AS (SELECT *, coalesce(started_at, ended_at) AS begun FROM calls WHERE {IN_SCOPE})"

# What a call comes to: of each column of its attempts this.
CALL = dict.fromkeys(("request_model", "stage", "run_id", "item_id"), "any_value") | {"begun": "min"}
CALL |= dict.fromkeys(("input_tokens", "output_tokens", "cost_usd", "latency_s", "throttle_wait_s"), "sum")

_SEVERAL = f"""{_SCOPED}
  SELECT call_id, min(attempt) AS opening, bool_or(outcome = 'ok') AS answered,
    {", ".join(f"{kind}({name}) FILTER (NOT cache_hit) AS {name}" for name, kind in CALL.items())},
    count(*) FILTER (NOT cache_hit) AS attempts
  FROM scoped SEMI JOIN (SELECT DISTINCT call_id FROM scoped WHERE attempt > 1) USING (call_id) GROUP BY call_id
"""
_CELLS = f"""{_SCOPED}, marked AS (
    SELECT scoped.*, opening IS NULL OR attempt = opening AS opens, coalesce(answered, outcome = 'ok') AS answered
    FROM scoped LEFT JOIN {{several}} AS several USING (call_id))
  SELECT request_model AS model, stage, run_id AS run, tags,
    count(*) FILTER (opens) AS calls,
    count(*) FILTER (opens AND answered) AS answered,
    count(*) AS attempts,
    count(*) FILTER (provider_name = 'dslkit') AS offline,
    count(*) FILTER (cache_hit) AS cached_answers,
    count(*) FILTER (outcome = 'ok') AS ok,
    count(*) FILTER (outcome = 'error') AS errors,
    count(*) FILTER (outcome = 'cancelled') AS cancelled,
    count(*) FILTER (outcome = 'unknown') AS unknown,
    sum(cost_usd) AS cost_usd,
    count(*) FILTER ({UNPRICED}) AS unpriced,
    count(*) FILTER ({UNANSWERED}) AS unanswered,
    count(*) FILTER (usage_source = 'estimated') AS estimated,
    sum(input_tokens) AS input_tokens,
    sum(cache_read_input_tokens) AS cached_tokens,
    sum(output_tokens) AS output_tokens,
    sum(reasoning_output_tokens) AS reasoning_tokens,
    count(*) FILTER (throttle_wait_s >= 0.001 AND NOT cache_hit) AS waited,
    sum(throttle_wait_s) AS wait_s,
    sum(latency_s) AS busy_s,
    min(begun) AS first,
    max(begun) AS last
  FROM marked GROUP BY request_model, stage, run_id, tags
"""
_ITEMS = f"""
  WITH scoped AS (FROM items WHERE {IN_SCOPE}), spent AS (
    SELECT run_id, item_id, count(*) FILTER (attempt = 1) AS calls, sum(cost_usd) AS cost_usd,
      coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0) AS tokens,
      count(*) FILTER ({UNPRICED}) AS unpriced
    FROM calls
    WHERE ($run IS NULL OR run_id = $run) AND run_id IS NOT NULL AND item_id IS NOT NULL
    GROUP BY run_id, item_id
  )
  SELECT run_id, item_id, hash(key) AS key, hash(split_part(key, '-', 1)) AS work, model, mode,
    started_at, ended_at, verdict, engine, rounds, reused_from,
    error_message,
    coalesce(calls, 0) AS calls, coalesce(tokens, 0)::BIGINT AS tokens, cost_usd, coalesce(unpriced, 0) AS unpriced,
    seconds
  FROM scoped LEFT JOIN spent USING (run_id, item_id)
"""

# One row for each workflow: an item and those that reused it are one, as it was found to be last.
_WORKFLOWS = """
  SELECT * REPLACE (
    sum(calls) OVER one AS calls, sum(tokens) OVER one AS tokens, sum(cost_usd) OVER one AS cost_usd,
    sum(unpriced) OVER one AS unpriced, max(seconds) OVER one AS seconds,
    CASE WHEN NOT bool_or(reused_from IS NULL) OVER one THEN reused_from END AS reused_from)
  FROM {items}
  WINDOW one AS (PARTITION BY coalesce(reused_from, run_id), work, item_id)
  QUALIFY row_number() OVER (PARTITION BY coalesce(reused_from, run_id), work, item_id
    ORDER BY started_at DESC, run_id DESC) = 1
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """One scope of a ledger, gathered.

    Tables: ``several``, calls of more than one attempt; ``cells``, sums for each model, stage, run and tags; ``items``,
    with what all their calls used, also those outside of the period; ``workflows``, the same with items that were
    reused counted once.
    """

    views: Views
    scope: Scope
    several: str
    cells: str
    items: str
    workflows: str

    def ask(self, query: str, **values: Any) -> Rows:
        """A query over the tables."""
        return self.views.execute(query, values)

    def ask_calls(self, query: str, **values: Any) -> Rows:
        """A query over ``scoped``, the attempts in scope with their columns and ``begun``; further CTEs may lead it."""
        return self.views.execute(f"{_SCOPED}{query}", self.scope.parameters() | values)


def gather(views: Views, scope: Scope, name: str = "scoped") -> Facts:
    """Fill the tables; ``name`` tells several scopes of one connection apart."""
    facts = Facts(views, scope, f"{name}_several", f"{name}_cells", f"{name}_items", f"{name}_workflows")
    for table, query in ((facts.several, _SEVERAL), (facts.cells, _CELLS), (facts.items, _ITEMS)):
        create = f"CREATE OR REPLACE TEMP TABLE {table} AS {query.format(several=facts.several)}"
        views.execute(create, scope.parameters())
    [(reused,)] = facts.ask(f"SELECT count(reused_from) FROM {facts.items}").fetchall()
    whole = _WORKFLOWS.format(items=facts.items) if reused else f"FROM {facts.items}"
    views.execute(f"CREATE OR REPLACE TEMP {'TABLE' if reused else 'VIEW'} {facts.workflows} AS {whole}")
    return facts
