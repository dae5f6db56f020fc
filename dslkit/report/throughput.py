"""How much of each limit was used: by the busiest minutes of the throttle's, by the dearest day and run of budgets."""

# ruff: noqa: S608 - the query is put together from constants; every value from outside is bound

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dslkit.llm.gates import shared_status
from dslkit.llm.throttle import Unit
from dslkit.report import charts, formats
from dslkit.report.markup import Cell, Column, Picture, Table, picture, shorten, table
from dslkit.report.spending import label
from dslkit.report.timeline import SERIES, Bar, Bucket, Timeline, bucket_for
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from pathlib import Path

    from markupsafe import Markup

    from dslkit.report.facts import Facts

Limits = Mapping[tuple[str, Unit], float]  # a minute, of a model

_TOP = 12
_DAYS = """
  SELECT strftime(begun AT TIME ZONE 'UTC', '%Y-%m-%d') AS day, sum(cost_usd) AS spent FROM scoped
  WHERE cost_usd > 0 GROUP BY day ORDER BY spent DESC, day LIMIT 1"""
_RUNS = """
  SELECT run_id, sum(cost_usd) AS spent FROM scoped
  WHERE cost_usd > 0 AND run_id IS NOT NULL GROUP BY run_id ORDER BY spent DESC, run_id LIMIT 1"""
_UNITS: tuple[Unit, ...] = ("requests", "tokens")


@dataclass(frozen=True, slots=True)
class Budgets:
    """USD that a UTC day and a run may spend; None where there is no such budget."""

    per_day_usd: Decimal | None = None
    per_run_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Peaks:
    """One model: the most (requests, tokens) that left within a clock minute, by bucket and in all."""

    model: str
    attempts: int
    waited: int
    by_bucket: Mapping[datetime, tuple[int, int]]

    def most(self, unit: Unit) -> int:
        """In the busiest minute of all."""
        return max(minute[_UNITS.index(unit)] for minute in self.by_bucket.values())


def limits_of(folder: Path) -> Limits:
    """Those that the lanes of a home hold, a minute; of several windows of one unit the tightest."""
    found: dict[tuple[str, Unit], float] = {}
    for lane in shared_status(folder):
        for window in lane.gate.windows:
            limit = window.limit * 60 / window.window_s
            if math.isfinite(limit):
                name = lane.model, window.unit
                found[name] = min(limit, found.get(name, limit))
    return found


def in_force(found: Sequence[Peaks], held: Limits, allowed: Mapping[Unit, float]) -> Limits:
    """What the throttle holds of each model; what the settings allow, where it has not had one lately.

    Nothing limits the model that is none.
    """
    models = [one.model for one in found if one.model != OFFLINE_MODEL]
    return {**{(model, unit): limit for model in models for unit, limit in allowed.items()}, **held}


def bucket_of_minutes(first: datetime, last: datetime) -> Bucket:
    """As for spend, but no finer than what is counted."""
    bucket = bucket_for(first, last)
    return Bucket("minute", 1) if bucket.unit == "second" else bucket


def peaks(facts: Facts, bucket: Bucket, order: Sequence[str] = ()) -> list[Peaks]:
    """Of each model; answers from this machine's cache are no requests.

    First come those of ``order``, so that a model has the colour that it has in another chart, then the most attempts.
    """
    query = f""", minutes AS (
        SELECT coalesce(request_model, 'unknown model') AS model,
          date_trunc('minute', begun AT TIME ZONE 'UTC') AS minute,
          count(*) AS requests, (coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0))::BIGINT AS tokens,
          count(*) FILTER (throttle_wait_s >= 0.001) AS waited
        FROM scoped WHERE NOT cache_hit AND begun IS NOT NULL GROUP BY ALL)
      SELECT model, epoch(date_trunc('{bucket.unit}', minute)) AS start, max(requests), max(tokens),
        sum(requests)::BIGINT, sum(waited)::BIGINT
      FROM minutes GROUP BY ALL ORDER BY model, start"""
    found: dict[str, dict[datetime, tuple[int, int]]] = {}
    counts: dict[str, tuple[int, int]] = {}
    for model, start, requests, tokens, attempts, waited in facts.ask_calls(query).fetchall():
        buckets, place = found.setdefault(model, {}), bucket.floor(datetime.fromtimestamp(start, UTC))
        before = buckets.get(place, (0, 0))
        buckets[place] = max(before[0], requests), max(before[1], tokens)
        sofar = counts.get(model, (0, 0))
        counts[model] = sofar[0] + attempts, sofar[1] + waited
    all_peaks = [Peaks(model, *counts[model], buckets) for model, buckets in found.items()]
    rank = {model: k for k, model in enumerate(order)}
    return sorted(all_peaks, key=lambda one: (rank.get(one.model, len(order)), -one.attempts, one.model))


def drawn(found: Sequence[Peaks]) -> list[Unit]:
    """What there is a chart of: units that were used, where there is more than one stretch of time to show."""
    several = len({start for one in found for start in one.by_bucket}) > 1
    return [unit for unit in _UNITS if several and any(one.most(unit) for one in found)]


def budgets(facts: Facts, held: Budgets) -> Markup:
    """The dearest UTC day and run against what each may spend; nothing where there is no budget."""
    rows = []
    for what, query, limit in (("UTC day", _DAYS, held.per_day_usd), ("Run", _RUNS, held.per_run_usd)):
        if limit is not None:
            for which, most in facts.ask_calls(query).fetchall():
                told = formats.usd(most), formats.usd(limit), formats.share(most, limit)
                rows.append([Cell(what, detail=shorten(which, 60)), *map(Cell, told)])
    titles = ("Budget of a", "Spent at most", "Budget", "Used")
    columns = [Column(title, number=k > 0) for k, title in enumerate(titles)]
    return table(Table("Spend against its budgets", columns, rows))


def over_time(found: Sequence[Peaks], unit: Unit, bucket: Bucket, limits: Limits) -> Markup:
    """The busiest minute of each bucket, one line for each of the models asked most, and their limits."""
    shown, place = found[:SERIES], _UNITS.index(unit)
    starts = sorted({start for one in shown for start in one.by_bucket})
    bars = tuple(
        Bar(
            start=start,
            end=bucket.after(start),
            values=tuple(one.by_bucket.get(start, (0, 0))[place] for one in shown),
        )
        for start in bucket.between(starts[0], starts[-1])
    )
    timeline = Timeline(
        measure="tokens", bucket=bucket, series=tuple(shorten(one.model, 48) for one in shown), bars=bars
    )
    held = [limits.get((one.model, unit)) for one in shown]
    return picture(
        Picture(
            caption=_caption(unit, bucket),
            note="dashed: the limit" if any(held) else _unlimited(shown),
            wide=charts.peaks(timeline, held, charts.WIDE),
            narrow=charts.peaks(timeline, held, charts.NARROW),
            alt=f"Step lines. {_caption(unit, bucket)}. {_spoken(shown, unit, limits)}",
            numbers=_numbers(timeline, unit),
            legend=timeline.series,
        )
    )


def _unlimited(shown: Sequence[Peaks]) -> str:
    offline = all(one.model == OFFLINE_MODEL for one in shown)
    return "no limit applies to the offline stand-in" if offline else "no limit is set"


def _caption(unit: Unit, bucket: Bucket) -> str:
    if bucket.name == "minute":
        return f"{unit.capitalize()} a minute"
    return f"{unit.capitalize()} in the busiest minute of each {bucket.name}"


def by_model(found: Sequence[Peaks], limits: Limits) -> Markup:
    """Each model's busiest minutes against its limits, and how many attempts had to wait."""
    rows = [
        [Cell(shorten(one.model)), *(_against(one, unit, limits) for unit in _UNITS), _held_back(one)]
        for one in found[:_TOP]
    ]
    titles = ("Model", "Requests a minute, most", "Tokens a minute, most", "Attempts that waited")
    more = len(found) - _TOP
    note = f"And {formats.plural(more, 'other model')}." if more > 0 else ""
    columns = [Column(title, number=k > 0) for k, title in enumerate(titles)]
    return table(Table("Busiest minutes, by model", columns, rows, note=note))


def _against(one: Peaks, unit: Unit, limits: Limits) -> Cell:
    most, limit = one.most(unit), limits.get((one.model, unit))
    return Cell(formats.count(most), detail=f"{formats.share(most, limit)} of {formats.count(limit)}" if limit else "")


def _held_back(one: Peaks) -> Cell:
    return Cell(formats.count(one.waited), detail=formats.share(one.waited, one.attempts))


def _spoken(shown: Sequence[Peaks], unit: Unit, limits: Limits) -> str:
    told = []
    for one in shown:
        limit = limits.get((one.model, unit))
        against = f" of {formats.count(limit)}" if limit else ""
        told.append(f"{shorten(one.model, 48)}: at most {formats.count(one.most(unit))}{against}")
    return "; ".join(told) + "."


def _numbers(timeline: Timeline, unit: Unit) -> Table:
    columns = [Column(timeline.bucket.unit.capitalize(), number=False), *(Column(name) for name in timeline.series)]
    rows = [
        [Cell(label(bar, timeline.bucket)), *(Cell(formats.count(float(value))) for value in bar.values)]
        for bar in timeline.bars
        if any(bar.values)
    ]
    return Table(_caption(unit, timeline.bucket), columns, rows)
