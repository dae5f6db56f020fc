"""Spend over time in buckets that suit the span: seconds for one run, days for a month, years for a long history."""

# ruff: noqa: S608 - the query is put together from constants; every value from outside is bound

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from dslkit.report.facts import Facts

SERIES = 4  # more colours than this, and "other", cannot be told apart
OTHER = "other models"

Measure = Literal["cost_usd", "tokens", "attempts"]
Unit = Literal["second", "minute", "hour", "day", "week", "month", "year"]

MEASURES: tuple[Measure, ...] = ("cost_usd", "tokens", "attempts")

# The finest bucket that makes no more than this many bars is used; (unit, how many of it, seconds, bars).
_STEPS: tuple[tuple[Unit, int, int, int], ...] = (
    ("second", 1, 1, 60),
    ("second", 5, 5, 60),
    ("second", 15, 15, 60),
    ("minute", 1, 60, 60),
    ("minute", 5, 300, 60),
    ("minute", 15, 900, 60),
    ("hour", 1, 3600, 72),
    ("day", 1, 86_400, 92),
    ("week", 1, 604_800, 104),
    ("month", 1, 2_629_746, 120),
    ("year", 1, 31_556_952, 10_000),
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The width of a bar."""

    unit: Unit
    size: int

    @property
    def name(self) -> str:
        """``day``, ``5 minutes``."""
        return self.unit if self.size == 1 else f"{self.size} {self.unit}s"

    def floor(self, moment: datetime) -> datetime:
        """The start (UTC) of the bucket that holds ``moment``."""
        moment = moment.astimezone(UTC)
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        match self.unit:
            case "year":
                return midnight.replace(month=1, day=1)
            case "month":
                return midnight.replace(day=1)
            case "week":
                return midnight - timedelta(days=midnight.weekday())
            case "day":
                return midnight
        width = self._seconds()
        return midnight + timedelta(seconds=int((moment - midnight).total_seconds()) // width * width)

    def after(self, start: datetime) -> datetime:
        """The start of the next bucket."""
        match self.unit:
            case "year":
                return start.replace(year=start.year + 1)
            case "month":
                return self.floor(start + timedelta(days=31))
            case _:
                return start + timedelta(seconds=self._seconds())

    def between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """The starts of all buckets from the one of ``first`` to the one of ``last``."""
        start = self.floor(first)
        while start <= last:
            yield start
            start = self.after(start)

    def _seconds(self) -> int:
        return next(seconds for unit, size, seconds, _ in _STEPS if (unit, size) == (self.unit, self.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bucket: what each series used in it, in the order of `Timeline.series`."""

    start: datetime
    end: datetime
    values: tuple[Decimal | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Bars without a gap from the first call to the last, of the models that used any of the measure.

    The measure is spend; tokens where nothing was spent, attempts where there were no tokens.
    """

    measure: Measure
    bucket: Bucket
    series: tuple[str, ...]
    bars: tuple[Bar, ...]


def bucket_for(first: datetime, last: datetime) -> Bucket:
    """The finest bucket that keeps the number of bars readable."""
    span = (last - first).total_seconds()
    unit, size, *_ = next(step for step in _STEPS if span / step[2] <= step[3])
    return Bucket(unit, size)


def timeline(facts: Facts, first: datetime, last: datetime) -> Timeline:
    """Spend by bucket and model from ``first`` to ``last``, which are the earliest and latest start in scope."""
    bucket = bucket_for(first, last)
    rows = _rows(facts, bucket)
    measure: Measure = next((name for name in MEASURES if any(row[2][name] for row in rows)), "attempts")
    totals: dict[str, Decimal | int] = {}
    for _, model, used in rows:
        if used[measure]:
            totals[model] = totals.get(model, 0) + used[measure]
    ranked = sorted(totals, key=lambda model: (-totals[model], model))
    named = ranked if len(ranked) <= SERIES + 1 else ranked[:SERIES]
    series = (*named, OTHER) if len(ranked) > len(named) else tuple(named)
    place = {model: min(k, len(series) - 1) for k, model in enumerate(ranked)}
    filled: dict[datetime, list[Decimal | int]] = {}
    for start, model, used in rows:
        if model in place:
            filled.setdefault(start, [0] * len(series))[place[model]] += used[measure]
    empty: list[Decimal | int] = [0] * len(series)
    bars = tuple(
        Bar(start=start, end=bucket.after(start), values=tuple(filled.get(start, empty)))
        for start in bucket.between(first, last)
    )
    return Timeline(measure=measure, bucket=bucket, series=series, bars=bars)


def _rows(facts: Facts, bucket: Bucket) -> list[tuple[datetime, str, dict[Measure, Decimal | int]]]:
    """(bucket start, model, what it used there).

    DuckDB groups by the unit alone; the size is applied here, by the same `Bucket.floor` that fills the gaps.
    """
    query = f"""
      SELECT epoch(date_trunc('{bucket.unit}', begun AT TIME ZONE 'UTC')) AS start,
        coalesce(request_model, 'unknown model') AS model,
        coalesce(sum(cost_usd), 0) AS cost_usd,
        (coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0))::BIGINT AS tokens, count(*) AS attempts
      FROM scoped GROUP BY ALL"""
    return [
        (bucket.floor(datetime.fromtimestamp(start, UTC)), model, {"cost_usd": cost, "tokens": tokens, "attempts": n})
        for start, model, cost, tokens, n in facts.ask_calls(query).fetchall()
    ]
