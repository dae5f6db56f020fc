"""Items made before: what each was asked, and what it took; a sample of every run, so that runs weigh alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dslkit.analysis.scope import Views

SAMPLE = 200  # items of a run, at most, that stand for all of what it was asked
MOST_OF_A_RUN = 40  # that are learned from
_LATEST_RUNS = 100  # of each model and mode

_PAST = """
  WITH ran AS (
    SELECT run_id, model, mode, count(*) AS made, min(started_at) AS run_began, min_by(
      {'item_id': item_id, 'task': tags['task'], 'started_at': started_at, 'ended_at': ended_at, 'seconds': seconds},
      md5(item_id), $sample) AS chosen
    FROM items
    WHERE reused_from IS NULL AND ($until IS NULL OR started_at < $until)
      AND ($runs IS NULL OR list_contains($runs, run_id))
    GROUP BY run_id, model, mode
    QUALIFY row_number() OVER (PARTITION BY model, mode ORDER BY min(started_at) DESC, run_id) <= $latest),
  sampled AS (SELECT ran.* EXCLUDE chosen, unnest(chosen, max_depth := 2) FROM ran),
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
    """To learn from: at most `MOST_OF_A_RUN` items of each of the latest runs, of those that began before ``until``.

    They come run after run, each shuffled.  Left out are items that another run paid for, and those that needed no
    model.
    """
    return _items(views, until, None, MOST_OF_A_RUN)


def made_items(views: Views, runs: Sequence[str], until: datetime | None = None) -> tuple[PastItem, ...]:
    """Of these runs, at most `SAMPLE` items of each model and mode, as `past_items` gives them."""
    return _items(views, until, list(runs), SAMPLE)


def _items(views: Views, until: datetime | None, runs: list[str] | None, sample: int) -> tuple[PastItem, ...]:
    values = {"until": until, "runs": runs, "sample": sample, "latest": _LATEST_RUNS}
    return tuple(PastItem(*row) for row in views.execute(_PAST, values).fetchall())
