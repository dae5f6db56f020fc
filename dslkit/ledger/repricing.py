"""Pricing calls again after prices changed; what was booked stays in ``booked_cost_usd``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dslkit.records import Price, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

    from dslkit.ledger.recorder import LedgerRecorder

_ROWS = 10_000
_COLUMNS = (
    "call_id, attempt, cost_usd, provider_name, request_model, response_model, service_tier, started_at, input_tokens, "
    "output_tokens, cache_read_input_tokens, cache_creation_input_tokens, reasoning_output_tokens"
)
_QUERY = f"""
    SELECT {_COLUMNS} FROM calls
    WHERE NOT cache_hit AND coalesce(input_tokens, output_tokens) IS NOT NULL
    AND started_at >= coalesce($since, started_at)
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """Calls looked at, calls whose price changed, and the sums of their known prices before and after, in USD."""

    calls: int = 0
    changed: int = 0
    before_usd: Decimal = Decimal(0)
    after_usd: Decimal = Decimal(0)


def reprice(cursor: duckdb.DuckDBPyConnection, recorder: LedgerRecorder, since: datetime | None = None) -> Repriced:
    """Price each call of known usage again at the rates of its date; record the prices that differ.

    A call whose price has become unknown keeps the one it has.
    """
    calls = changed = 0
    before = after = Decimal(0)
    for row in _rows(cursor, since):
        price = _price(recorder, row)
        calls += 1
        if price.cost_usd is not None and price.cost_usd != row["cost_usd"]:
            recorder.reprice(row["call_id"], row["attempt"], price)
            changed += 1
            before += row["cost_usd"] or 0
            after += price.cost_usd
    recorder.flush()
    return Repriced(calls=calls, changed=changed, before_usd=before, after_usd=after)


def _rows(cursor: duckdb.DuckDBPyConnection, since: datetime | None) -> Iterator[dict[str, Any]]:
    answer = cursor.execute(_QUERY, {"since": since})
    names = [column[0] for column in answer.description or ()]
    while rows := answer.fetchmany(_ROWS):
        yield from (dict(zip(names, row, strict=True)) for row in rows)


def _price(recorder: LedgerRecorder, row: dict[str, Any]) -> Price:
    usage = Usage(
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cache_read_input_tokens=row["cache_read_input_tokens"],
        cache_creation_input_tokens=row["cache_creation_input_tokens"],
        reasoning_output_tokens=row["reasoning_output_tokens"],
    )
    models = (row["response_model"] or row["request_model"], row["request_model"])
    return recorder.price(usage, row["provider_name"], models, row["started_at"], row["service_tier"])
