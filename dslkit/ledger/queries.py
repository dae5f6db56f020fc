"""Questions asked often: each returns a value or a table with documented columns."""

# ruff: noqa: S608 - the queries are put together from constants of this module; values are bound

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

RESET = "reset"


GROUPINGS = {
    "model": "SELECT *, request_model AS name FROM calls",
    "stage": "SELECT *, stage AS name FROM calls",
    "run": "SELECT *, run_id AS name FROM calls",
    "day": "SELECT *, strftime(started_at, '%Y-%m-%d') AS name FROM calls",
    "tag": "SELECT *, unnest(list_transform(map_entries(tags), lambda t: t.key || '=' || t.value)) AS name FROM calls",
}
# An attempt that used tokens whose price is not known.  One that was never sent used none, one that was refused says of
# none, and one of which nothing came back is counted apart, as unanswered.
UNPRICED = "cost_usd IS NULL AND (outcome = 'ok' OR coalesce(input_tokens, 0) + coalesce(output_tokens, 0) > 0)"
# An attempt that was sent, and ended without an answer or a status: a charge is unlikely, but cannot be ruled out.
UNANSWERED = """cost_usd IS NULL AND outcome IN ('error', 'cancelled')
  AND coalesce(input_tokens, output_tokens) IS NULL AND coalesce(http_status, 0) < 400"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Sums over attempts.  Tokens and money are of what is known; ``unknown_*`` and ``unanswered_calls`` count the
    attempts they leave out.

    ``total_requests`` counts attempts, ``total_calls`` the questions they were made for: a question asked again after
    an error is another attempt of the same call.  A call counts where its first attempt does.
    """

    total_calls: int = 0
    total_requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    estimated_cost_usd: Decimal = Decimal(0)
    unknown_price_calls: int = 0
    unknown_usage_calls: int = 0
    unknown_outcome_calls: int = 0
    unanswered_calls: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def avg_tokens_per_request(self) -> float:
        """Over the requests whose tokens are known."""
        counted = self.total_requests - self.unknown_usage_calls
        return self.total_tokens / counted if counted else 0.0

    @property
    def cost(self) -> str:
        """The cost as a person reads it, with what it leaves out."""
        missing = (
            (self.unknown_price_calls, "of unknown price"),
            (self.unknown_outcome_calls, "of unknown outcome"),
            (self.unanswered_calls, "without an answer"),
        )
        left_out = [f"{number:,} attempt{'s' * (number != 1)} {what}" for number, what in missing if number]
        return " + ".join([f"${self.estimated_cost_usd.quantize(Decimal('0.0001')):,f}", *left_out])

    @property
    def asked(self) -> str:
        """How many calls, as a person reads it, and in how many attempts where that is another number."""
        calls = f"{self.total_calls:,} call{'s' * (self.total_calls != 1)}"
        return calls if self.total_calls == self.total_requests else f"{calls} in {self.total_requests:,} attempts"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, in the form of the HTTP API, which counts attempts alone; money has at most nine decimals."""
        return {
            **{one.name: getattr(self, one.name) for one in fields(UsageRow) if one.name != "total_calls"},
            "estimated_cost_usd": float(self.estimated_cost_usd),
            "total_tokens": self.total_tokens,
            "avg_tokens_per_request": round(self.avg_tokens_per_request, 2),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotals(UsageRow):
    """What ``dslkit usage`` and the HTTP API show.  ``groups`` are there when asked for, by name."""

    tracking_since: datetime | None = None
    models: dict[str, UsageRow]
    by: str | None = None
    groups: dict[str, UsageRow]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: totals, ``tracking_since`` (ISO 8601), ``models``, and ``by_<grouping>`` when asked for."""
        shown: dict[str, Any] = UsageRow.as_dict(self)
        shown["tracking_since"] = self.tracking_since.isoformat() if self.tracking_since else None
        shown["models"] = {name: row.as_dict() for name, row in self.models.items()}
        if self.by is not None:
            shown[f"by_{self.by}"] = {name: row.as_dict() for name, row in self.groups.items()}
        return shown

    def _repr_html_(self) -> str:
        """A table for a notebook: by what was asked for, else by model."""
        names = (self.by or "model", "calls", "attempts", "input tokens", "output tokens", "cost")
        rows = [_shown(name, row) for name, row in [*(self.groups or self.models).items(), ("all", self)]]
        head = "".join(f"<th>{name}</th>" for name in names)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(name: str, row: UsageRow) -> tuple[str, ...]:
    counts = (row.total_calls, row.total_requests, row.prompt_tokens, row.completion_tokens)
    return (name, *(f"{count:,}" for count in counts), row.cost)


_SUMS = f"""
    count(*) FILTER (attempt = 1)::BIGINT AS total_calls,
    count(*)::BIGINT AS total_requests,
    coalesce(sum(input_tokens), 0)::BIGINT AS prompt_tokens,
    coalesce(sum(cache_read_input_tokens), 0)::BIGINT AS cached_tokens,
    coalesce(sum(output_tokens), 0)::BIGINT AS completion_tokens,
    coalesce(sum(reasoning_output_tokens), 0)::BIGINT AS reasoning_tokens,
    coalesce(sum(cost_usd), 0) AS estimated_cost_usd,
    count(*) FILTER ({UNPRICED})::BIGINT AS unknown_price_calls,
    count(*) FILTER (input_tokens IS NULL AND output_tokens IS NULL)::BIGINT AS unknown_usage_calls,
    count(*) FILTER (outcome = 'unknown')::BIGINT AS unknown_outcome_calls,
    count(*) FILTER ({UNANSWERED})::BIGINT AS unanswered_calls
"""


def usage(
    cursor: duckdb.DuckDBPyConnection, *, since: datetime | None = None, run: str | None = None, by: str | None = None
) -> UsageTotals:
    """Totals over attempts, per model, and by ``model``, ``stage``, ``run``, ``day`` (UTC) or ``tag`` when asked.

    Args:
        cursor: with the views of a ledger.
        since: count attempts that started at or after it; None: since the last reset, if there was one.
        run: count the attempts of this run only (then a reset does not matter).
        by: a further grouping; by ``tag`` an attempt counts once for each of its tags, as ``key=value``.

    Raises:
        UsageError: no such grouping.
    """
    if by is not None and by not in GROUPINGS:
        raise UsageError(f"Usage cannot be grouped by {by!r}; it can by {', '.join(GROUPINGS)}.")
    start = since if since is not None or run is not None else _last_reset(cursor)
    where, values = _condition(start, run)
    models = _grouped(cursor, "model", where, values)
    groups = _grouped(cursor, by, where, values) if by is not None else {}
    first = start or _one(cursor, f"SELECT min(started_at) FROM calls WHERE {where}", values)
    return UsageTotals(**_added(models.values()), tracking_since=first, models=models, by=by, groups=groups)


def _added(rows: Iterable[UsageRow]) -> dict[str, Any]:
    total: dict[str, Any] = {one.name: one.default for one in fields(UsageRow)}
    for row in rows:
        for name in total:
            total[name] += getattr(row, name)
    return total


def _condition(start: datetime | None, run: str | None) -> tuple[str, list[Any]]:
    conditions, values = ["true"], list[Any]()
    if start is not None:
        conditions.append("coalesce(started_at, ended_at) >= ?")
        values.append(start if start.tzinfo else start.replace(tzinfo=UTC))
    if run is not None:
        conditions.append("run_id = ?")
        values.append(run)
    return " AND ".join(conditions), values


def _grouped(cursor: duckdb.DuckDBPyConnection, by: str, where: str, values: list[Any]) -> dict[str, UsageRow]:
    query = (
        f"SELECT name, {_SUMS} FROM ({GROUPINGS[by]}) WHERE {where} GROUP BY name ORDER BY total_requests DESC, name"
    )
    names = [one.name for one in fields(UsageRow)]
    rows = cursor.execute(query, values).fetchall()
    return {name if name is not None else "": UsageRow(**dict(zip(names, sums, strict=True))) for name, *sums in rows}


def _last_reset(cursor: duckdb.DuckDBPyConnection) -> datetime | None:
    return _one(cursor, "SELECT max(recorded_at) FROM marks WHERE name = ?", [RESET])


def _one(cursor: duckdb.DuckDBPyConnection, query: str, values: list[Any]) -> datetime | None:
    row = cursor.execute(query, values).fetchone()
    return row[0] if row else None
