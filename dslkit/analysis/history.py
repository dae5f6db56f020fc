"""Items made before: what each was asked, and what it took; a sample of every run, so that runs weigh alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from dslkit.analysis.scope import Views

SAMPLE = 200  # items of a run, at most

_PAST = """
  WITH sampled AS (
    SELECT run_id, item_id, model, mode, tags['task'] AS task, started_at, ended_at, seconds,
      count(*) OVER ran AS made, min(started_at) OVER ran AS run_began
    FROM items
    WHERE reused_from IS NULL AND ($until IS NULL OR started_at < $until)
    WINDOW ran AS (PARTITION BY run_id, model, mode)
    QUALIFY row_number() OVER (PARTITION BY run_id, model, mode ORDER BY md5(item_id)) <= $sample),
  spent AS (
    SELECT run_id, item_id, any_value(provider_name) AS provider,
      arg_min(request_bytes, (started_at, attempt)) AS first_bytes,
      count(*) FILTER (attempt = 1 AND NOT cache_hit) AS calls, sum(input_tokens)::BIGINT AS input_tokens,
      sum(cache_read_input_tokens)::BIGINT AS cached_tokens, sum(output_tokens)::BIGINT AS output_tokens,
      sum(throttle_wait_s) AS waited
    FROM calls SEMI JOIN sampled USING (run_id, item_id) GROUP BY run_id, item_id)
  SELECT run_id, item_id, model, mode, task, provider, sampled.started_at, ended_at, run_began, made, first_bytes,
    calls, coalesce(input_tokens, 0), coalesce(cached_tokens, 0), coalesce(output_tokens, 0),
    greatest(seconds - coalesce(waited, 0), 0.001)
  FROM sampled JOIN spent USING (run_id, item_id) WHERE calls > 0 AND first_bytes IS NOT NULL
  ORDER BY run_began, run_id, md5(item_id)
"""


@dataclass(frozen=True, slots=True)
class PastItem:
    """One item and what its calls used; ``made`` counts the items of its run, model and mode, of which it is one.

    ``first_bytes`` is the size of its first request, ``seconds`` what it took without waiting for the throttle.
    """

    run_id: str
    item_id: str
    model: str
    mode: str
    task: str | None
    provider: str
    started_at: datetime
    ended_at: datetime
    run_began: datetime
    made: int
    first_bytes: int
    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    seconds: float


def past_items(views: Views, until: datetime | None = None) -> tuple[PastItem, ...]:
    """At most `SAMPLE` items of each run, model and mode that began before ``until``: run after run, each shuffled.

    Left out are items that another run paid for, and those that needed no model.
    """
    rows = views.execute(_PAST, {"until": until, "sample": SAMPLE}).fetchall()
    return tuple(PastItem(*row) for row in rows)
