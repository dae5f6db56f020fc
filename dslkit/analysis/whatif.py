"""What the same calls would have cost: on another model, in the provider's batches, with more read from its cache.

Tokens stay as they are: another model would have answered with more or fewer of them, at another quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.analysis.rates import Rates, rates_of
from dslkit.analysis.scope import IN_SCOPE
from dslkit.ledger.queries import UNPRICED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from dslkit.analysis.scope import Scope, Views
    from dslkit.pricing import Prices

BATCH = "batch"  # the tier of calls that may wait for a day

_USED = f"""
  SELECT provider_name, coalesce(response_model, request_model) AS model, count(*),
    sum(input_tokens)::BIGINT, sum(coalesce(cache_read_input_tokens, 0))::BIGINT,
    sum(coalesce(cache_creation_input_tokens, 0))::BIGINT, sum(output_tokens)::BIGINT,
    sum(coalesce(reasoning_output_tokens, 0))::BIGINT, sum(cost_usd), count(*) FILTER ({UNPRICED})
  FROM calls
  WHERE NOT cache_hit AND input_tokens + output_tokens > 0
    AND {IN_SCOPE}
  GROUP BY ALL ORDER BY sum(cost_usd) DESC NULLS LAST, count(*) DESC, model
"""  # noqa: S608 - constants; every value from outside is bound


@dataclass(frozen=True, slots=True)
class Used:
    """Attempts of one model that are known to have used tokens; ``cost_usd`` leaves out the ``unpriced`` ones."""

    provider: str
    model: str
    attempts: int
    input_tokens: int
    cached_tokens: int
    written_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal | None
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is different: the model (None: each call keeps its own), batch prices, the share of input from the cache."""

    model: str | None = None
    batch: bool = False
    cached: float | None = None

    def __post_init__(self) -> None:
        if self.cached is not None and not 0 <= self.cached <= 1:
            raise ValueError(f"the share of cached input must be from 0 to 1, not {self.cached}")


def used(views: Views, scope: Scope) -> tuple[Used, ...]:
    """What the attempts of a scope used, by model, dearest first; answers from this machine's cache used none."""
    return tuple(Used(*row) for row in views.execute(_USED, scope.parameters()).fetchall())


def what_if(calls: Sequence[Used], change: Change, prices: Prices, at: datetime) -> Decimal | None:
    """USD of the calls, changed, at the prices of an instant; None when a price is unknown."""
    costs = [_cost(one, change, prices, at) for one in calls]
    known = [cost for cost in costs if cost is not None]
    return sum(known, start=known[0] * 0) if known and len(known) == len(costs) else None


def _cost(one: Used, change: Change, prices: Prices, at: datetime) -> Decimal | None:
    provider, model = ("", change.model) if change.model else (one.provider, one.model)
    size = round(one.input_tokens / one.attempts)
    rates = rates_of(prices, provider, model, at, tier=BATCH if change.batch else None, size=size)
    return None if rates is None else _at(rates, one, change.cached)


def _at(rates: Rates, one: Used, cached: float | None) -> Decimal:
    read, written = one.cached_tokens, one.written_tokens
    if cached is not None:
        read, written = round(one.input_tokens * cached), 0
    return (
        rates.request * one.attempts
        + rates.input * (one.input_tokens - read - written)
        + rates.cache_read * read
        + rates.cache_creation * written
        + rates.output * (one.output_tokens - one.reasoning_tokens)
        + rates.reasoning * one.reasoning_tokens
    )
