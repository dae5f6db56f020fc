"""Two runs or periods held against each other: what changed, and whether chance could have done it.

Where both sides made the same items, each item is compared with itself, which needs far fewer of them.  Items reused
from an earlier run are left out on both sides: they cost nothing because they were paid before.
"""

# ruff: noqa: S608 - queries are put together from constants of this file; every value from outside is bound

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dslkit.analysis import intervals
from dslkit.analysis.scope import IN_SCOPE
from dslkit.errors import UsageError
from dslkit.ledger.queries import UNPRICED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from dslkit.analysis.scope import Scope, Views

FEWEST = 8  # values on each side (or pairs) below which nothing can be told
PAIRED_FROM = 0.5  # compared item by item when at least this share of the smaller side is on both

Evidence = Literal["higher", "lower", "none", "too few"]
Unit = Literal["share", "usd", "tokens", "calls", "seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFact:
    """One item made in a scope; ``cost_usd`` is None when part of it is unknown."""

    item_id: str
    working: bool
    cost_usd: Decimal | None
    tokens: int
    calls: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison; ``not_run`` counts clean items that Dify's engine did not run, so cannot be working."""

    scope: Scope
    items: tuple[ItemFact, ...]
    reused: int
    latencies: tuple[float, ...]
    cost_usd: Decimal
    attempts: int
    failed: int
    unpriced: int
    models: tuple[str, ...]
    modes: tuple[str, ...]
    not_run: int

    @property
    def working(self) -> int:
        """How many of its items work."""
        return sum(item.working for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One measure on both sides, and its difference (second minus first) with a 95 % interval.

    ``number`` is how many pairs, or values on the smaller side, it rests on.
    """

    name: str
    unit: Unit
    first: float | None
    second: float | None
    low: float | None
    high: float | None
    number: int
    paired: bool

    @property
    def difference(self) -> float | None:
        """Second minus first."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def evidence(self) -> Evidence:
        """Whether the interval leaves out zero, and on which side."""
        if self.low is None or self.high is None:
            return "too few"
        return "higher" if self.low > 0 else "lower" if self.high < 0 else "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both sides and what changed between them; ``pairs`` counts the items that both made."""

    first: Side
    second: Side
    pairs: int
    paired: bool
    changes: tuple[Change, ...]


_ITEMS = f"""
  WITH made AS (FROM items WHERE {IN_SCOPE}), spent AS (
    SELECT run_id, item_id, sum(cost_usd) AS cost, count(*) FILTER ({UNPRICED}) AS unpriced,
      coalesce(sum(input_tokens), 0) + coalesce(sum(output_tokens), 0) AS tokens, count(*) FILTER (attempt = 1) AS calls
    FROM calls WHERE run_id IN (SELECT run_id FROM made) AND item_id IS NOT NULL GROUP BY run_id, item_id)
  SELECT item_id, verdict = 'working', CASE WHEN coalesce(unpriced, 0) = 0 THEN coalesce(cost, 0) END,
    coalesce(tokens, 0)::BIGINT, coalesce(calls, 0), seconds, reused_from IS NOT NULL,
    verdict = 'clean' AND engine = 'not run', mode, model
  FROM made LEFT JOIN spent USING (run_id, item_id) ORDER BY run_id, item_id
"""
_GATHERED = f"""
  SELECT item_id, verdict = 'working', CASE WHEN unpriced = 0 THEN coalesce(cost_usd, 0) END,
    tokens, calls, seconds, reused_from IS NOT NULL, verdict = 'clean' AND engine = 'not run', mode, model
  FROM {{table}} WHERE {IN_SCOPE} ORDER BY run_id, item_id
"""
_CALLS = f"""
  SELECT count(*), count(*) FILTER (outcome IN ('error', 'cancelled')), coalesce(sum(cost_usd), 0),
    count(*) FILTER ({UNPRICED}),
    coalesce(array_agg(latency_s ORDER BY latency_s)
      FILTER (outcome = 'ok' AND NOT cache_hit AND latency_s IS NOT NULL), []),
    coalesce(list_sort(array_agg(DISTINCT request_model) FILTER (request_model IS NOT NULL)), [])
  FROM calls WHERE {IN_SCOPE}
"""


def compare(views: Views, first: Scope, second: Scope, *, gathered: str | None = None) -> Comparison:
    """Success, cost, tokens, calls and seconds of an item, latency of a call and failed attempts, on both sides.

    ``gathered`` names a table of the items of both sides that tells already what their calls used, which saves time.

    Raises:
        UsageError: a run that the ledger does not know, or a period without any call or item; names it.
    """
    a, b = (_side(views, scope, gathered) for scope in (first, second))
    pairs = _pairs(a, b)
    smaller = min(len(a.items), len(b.items))
    paired = bool(pairs) and len(pairs) >= PAIRED_FROM * smaller
    changes = _item_changes(a, b, pairs if paired else None)
    return Comparison(first=a, second=b, pairs=len(pairs), paired=paired, changes=(*changes, *_call_changes(a, b)))


def _side(views: Views, scope: Scope, gathered: str | None) -> Side:
    items = _GATHERED.format(table=gathered) if gathered else _ITEMS
    rows = views.execute(items, scope.parameters()).fetchall()
    [(attempts, failed, cost, unpriced, latencies, models)] = views.execute(_CALLS, scope.parameters()).fetchall()
    if not rows and not attempts:
        raise UsageError(f"The ledger has no call or item {_said(scope)}. `dslkit runs` lists what there is.")
    made = tuple(
        ItemFact(item_id=name, working=works, cost_usd=spent, tokens=tokens, calls=calls, seconds=seconds)
        for name, works, spent, tokens, calls, seconds, reused, *_ in rows
        if not reused
    )
    return Side(
        scope=scope,
        items=made,
        reused=len(rows) - len(made),
        latencies=tuple(latencies),
        cost_usd=cost,
        attempts=attempts,
        failed=failed,
        unpriced=unpriced,
        models=tuple(models) or tuple(sorted({row[-1] for row in rows})),
        modes=tuple(sorted({mode for *_, reused, _, mode, _ in rows if not reused})),
        not_run=sum(idle for *_, reused, idle, _, _ in rows if not reused),
    )


def _said(scope: Scope) -> str:
    if scope.run:
        return f"of run {scope.run!r}"
    sides = (("from", scope.since), ("before", scope.until))
    return " ".join(f"{word} {moment:%Y-%m-%d %H:%M}" for word, moment in sides if moment) or "at all"


def _pairs(a: Side, b: Side) -> list[tuple[ItemFact, ItemFact]]:
    """Items that both sides made, once each; none where an id occurs twice on a side."""
    firsts = {item.item_id: item for item in a.items}
    seconds = {item.item_id: item for item in b.items}
    if len(firsts) < len(a.items) or len(seconds) < len(b.items):
        return []
    return [(item, seconds[name]) for name, item in firsts.items() if name in seconds]


def _item_changes(a: Side, b: Side, pairs: list[tuple[ItemFact, ItemFact]] | None) -> list[Change]:
    measures: tuple[tuple[str, Unit, Callable[[ItemFact], float | None]], ...] = (
        ("Cost of an item", "usd", lambda item: None if item.cost_usd is None else float(item.cost_usd)),
        ("Tokens of an item", "tokens", lambda item: float(item.tokens)),
        ("Calls of an item", "calls", lambda item: float(item.calls)),
        ("Seconds of an item", "seconds", lambda item: item.seconds),
    )
    if not a.items or not b.items:
        return []
    changes = [_success(a, b, pairs)]
    for name, unit, value in measures:
        if pairs is None:
            changes.append(_independent(name, unit, _known(a.items, value), _known(b.items, value)))
        else:
            changes.append(_paired(name, unit, [(value(x), value(y)) for x, y in pairs]))
    return changes


def _success(a: Side, b: Side, pairs: list[tuple[ItemFact, ItemFact]] | None) -> Change:
    if pairs is None:
        return _shares("Working items", (a.working, len(a.items)), (b.working, len(b.items)))
    number = len(pairs)
    gained = sum(y.working and not x.working for x, y in pairs)
    lost = sum(x.working and not y.working for x, y in pairs)
    low, high = intervals.paired_share_difference(gained, lost, number) if number >= FEWEST else (None, None)
    return Change(
        name="Working items",
        unit="share",
        first=sum(x.working for x, _ in pairs) / number,
        second=sum(y.working for _, y in pairs) / number,
        low=low,
        high=high,
        number=number,
        paired=True,
    )


def _shares(name: str, first: tuple[int, int], second: tuple[int, int]) -> Change:
    """Two independent shares, each (hits, of)."""
    number = min(first[1], second[1])
    low, high = intervals.share_difference(first, second) if number >= FEWEST else (None, None)
    return Change(
        name=name,
        unit="share",
        first=first[0] / first[1],
        second=second[0] / second[1],
        low=low,
        high=high,
        number=number,
        paired=False,
    )


def _paired(name: str, unit: Unit, values: Sequence[tuple[float | None, float | None]]) -> Change:
    known = [(x, y) for x, y in values if x is not None and y is not None]
    low, high = intervals.mean([y - x for x, y in known]) if len(known) >= FEWEST else (None, None)
    return Change(
        name=name,
        unit=unit,
        first=_mean([x for x, _ in known]),
        second=_mean([y for _, y in known]),
        low=low,
        high=high,
        number=len(known),
        paired=True,
    )


def _independent(name: str, unit: Unit, first: Sequence[float], second: Sequence[float]) -> Change:
    number = min(len(first), len(second))
    low, high = intervals.mean_difference(first, second) if number >= FEWEST else (None, None)
    return Change(
        name=name, unit=unit, first=_mean(first), second=_mean(second), low=low, high=high, number=number, paired=False
    )


def _call_changes(a: Side, b: Side) -> list[Change]:
    latency = _latency_changes(a, b) if a.latencies and b.latencies else []
    if not a.attempts or not b.attempts:
        return latency
    return [*latency, _shares("Failed attempts", (a.failed, a.attempts), (b.failed, b.attempts))]


def _latency_changes(a: Side, b: Side) -> list[Change]:
    number = min(len(a.latencies), len(b.latencies))
    changes = []
    for name, part in (("Latency, median", 0.5), ("Latency, p95", 0.95)):
        told = number * (1 - part) >= FEWEST / 2
        low, high = intervals.quantile_difference(a.latencies, b.latencies, part) if told else (None, None)
        first, second = intervals.quantile(a.latencies, part), intervals.quantile(b.latencies, part)
        changes.append(
            Change(
                name=name, unit="seconds", first=first, second=second, low=low, high=high, number=number, paired=False
            )
        )
    return changes


def _known(items: Sequence[ItemFact], value: Callable[[ItemFact], float | None]) -> list[float]:
    return [number for item in items if (number := value(item)) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
