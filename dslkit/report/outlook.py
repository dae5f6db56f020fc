"""What the runs had been expected to take, against what they took; and what the same calls would cost otherwise."""

# ruff: noqa: S608 - the query is put together from constants; every value from outside is bound

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

from markupsafe import Markup

from dslkit.analysis.estimate import in_hindsight
from dslkit.analysis.history import made_items, past_items
from dslkit.analysis.whatif import Change, what_if
from dslkit.ledger.queries import UNPRICED
from dslkit.report import formats
from dslkit.report.key_figures import at_least
from dslkit.report.markup import Cell, Column, Table, sentence, shorten, table
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from dslkit.analysis.forecast import Forecast, Range
    from dslkit.analysis.history import PastItem
    from dslkit.analysis.scope import Scope, Views
    from dslkit.analysis.whatif import Used
    from dslkit.pricing import Prices

LISTED_RUNS = 8
LISTED_MODELS = 6
_HALF = 0.5
_NO_CHANGE = 0.05  # percent

_TAKEN = f"""
  WITH made AS (
    SELECT run_id, item_id, model, mode, seconds FROM items
    WHERE reused_from IS NULL AND list_contains($runs, run_id)),
  spent AS (
    SELECT run_id, item_id, count(*) FILTER (attempt = 1 AND NOT cache_hit) AS calls,
      sum(input_tokens) AS tokens_in, sum(output_tokens) AS tokens_out, sum(throttle_wait_s) AS waited,
      sum(cost_usd) AS cost_usd, count(*) FILTER ({UNPRICED}) AS unpriced
    FROM calls WHERE list_contains($runs, run_id) GROUP BY run_id, item_id)
  SELECT run_id, model, mode, count(*), coalesce(sum(calls), 0)::BIGINT,
    (coalesce(sum(tokens_in), 0) + coalesce(sum(tokens_out), 0))::BIGINT, sum(cost_usd),
    coalesce(sum(unpriced), 0)::BIGINT, sum(greatest(seconds - coalesce(waited, 0), 0.001))
  FROM made LEFT JOIN spent USING (run_id, item_id) GROUP BY run_id, model, mode
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the items of one run, model and mode took; `Forecast.work_s` is what ``work_s`` was expected to be."""

    run_id: str
    model: str
    mode: str
    items: int
    calls: int
    tokens: int
    cost_usd: Decimal | None
    unpriced: int
    work_s: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """A run as it was expected and as it was."""

    began: datetime
    expected: Forecast
    taken: Taken


def outlooks(views: Views, scope: Scope, prices: Prices, until: datetime) -> list[Outlook]:
    """Of the latest runs of a scope that asked a language model, the latest first."""
    history = past_items(views, until)
    groups = dict.fromkeys(_group(one) for one in history if one.model != OFFLINE_MODEL and _within(one, scope))
    shown = list(groups)[: -LISTED_RUNS - 1 : -1]
    if not shown:
        return []
    runs = [run for run, *_ in shown]
    made = {group: tuple(items) for group, items in groupby(made_items(views, runs, until), _group)}
    taken = {row[:3]: _taken(row) for row in views.execute(_TAKEN, {"runs": runs}).fetchall()}
    return [
        Outlook(made[group][0].run_began, in_hindsight(history, made[group], prices), taken[group]) for group in shown
    ]


def _group(one: PastItem) -> tuple[str, str, str]:
    return one.run_id, one.model, one.mode


def _taken(row: Sequence[object]) -> Taken:
    return Taken(**dict(zip(Taken.__slots__, row, strict=True)))  # type: ignore[arg-type]  # the query's own columns


def _within(first: PastItem, scope: Scope) -> bool:
    if scope.run:
        return first.run_id == scope.run
    return scope.since is None or first.run_began >= scope.since


def expectations(found: Sequence[Outlook]) -> Markup:
    """One line a run: what had been expected, with its range, and what came."""
    lines, held, told = [], 0, 0
    for one in found:
        figures = list(_figures(one))
        lines.append([*_what(one), *(cell for cell, _ in figures)])
        held += sum(inside is True for _, inside in figures)
        told += sum(inside is not None for _, inside in figures)
    note = (
        f"Below each: what was expected, and its 90\u00a0% range, in which {held:,} of {told:,} lie"
        f"{'; ▲ above, ▼ below it' if held < told else ''}."
    )
    titles = ("Run", "Items", "Calls", "Tokens", "Cost, USD", "Work, min")
    columns = [Column(title, number=k > 0) for k, title in enumerate(titles)]
    return table(Table("What the latest runs took, and what was expected", columns, lines, note=note))


def _what(one: Outlook) -> tuple[Cell, Cell]:
    learned = f"from {formats.plural(one.expected.past, 'item')}" if one.expected.past else "from a rough prior"
    run = f"{shorten(one.taken.model, 40)} · {one.taken.mode}, {learned}"
    return Cell(formats.minute(one.began), detail=run), Cell(formats.count(one.taken.items))


def _figures(one: Outlook) -> Iterator[tuple[Cell, bool | None]]:
    """Each figure and whether it lies in its range, None where one of both is not known."""
    expected, taken = one.expected, one.taken
    cost = None if taken.unpriced or taken.cost_usd is None else float(taken.cost_usd)
    figures: tuple[tuple[Range | None, float | None, Callable[[float], str]], ...] = (
        (expected.calls, taken.calls, formats.count),
        (expected.tokens, taken.tokens, lambda value: formats.compact(round(value))),
        (expected.cost_usd, cost, formats.dollars),
        (expected.work_s, taken.work_s, lambda value: f"{value / 60:,.1f}"),
    )
    for ahead, fact, write in figures:
        told = f"≈ {write(ahead.middle)}\n({write(ahead.low)} – {write(ahead.high)})" if ahead else ""
        if ahead is None or fact is None:
            yield Cell(formats.UNKNOWN if fact is None else write(fact), detail=told), None
            continue
        inside = ahead.low <= fact <= ahead.high
        mark = "" if inside else " ▲" if fact > ahead.high else " ▼"
        yield Cell(f"{write(fact)}{mark}", "" if inside else "fair", detail=told), inside


def alternatives(calls: Sequence[Used], prices: Prices, at: datetime) -> Markup:
    """The calls of a scope at the prices of each model that was used: as they are, in batches, half of input cached.

    Attempts of unknown price are in no row, and their models are no choice; how many those are stands below.
    """
    calls = [one for one in calls if one.model != OFFLINE_MODEL]
    priced = [one for one in calls if what_if([one], Change(), prices, at) is not None]
    if not priced:
        return sentence("No price is known of any of these models.") if calls else Markup("")
    recorded = sum((one.cost_usd for one in priced if one.cost_usd is not None), Decimal(0))
    unpriced = sum(one.unpriced for one in priced)
    known: dict[Change, Decimal | None] = {}

    def costs(model: str | None) -> list[Decimal | None]:
        changes = (Change(model=model), Change(model=model, batch=True), Change(model=model, cached=_HALF))
        return [known.setdefault(change, what_if(priced, change, prices, at)) for change in changes]

    models = list(dict.fromkeys(one.model for one in priced))
    models = models[:LISTED_MODELS] if len(models) > 1 else []
    rows: list[tuple[str, Iterable[Decimal | None]]] = [("each on its own model", costs(None))]
    rows += [(f"all on {shorten(model, 48)}", costs(model)) for model in models]
    total = [Cell("As recorded"), Cell(at_least(recorded, unpriced)), Cell(""), Cell("")]
    lines = [[Cell(name), *(_cost(cost, None if unpriced else recorded) for cost in row)] for name, row in rows]
    titles = ("The same calls", "At list price", "In batches", "Half of input cached")
    columns = [Column(title, number=k > 0) for k, title in enumerate(titles)]
    note = _without(calls, priced, at)
    return table(Table("The same calls otherwise, USD", columns, lines, note=note, total=total))


def _without(calls: Sequence[Used], priced: Sequence[Used], at: datetime) -> str:
    note = f"Tokens as they were, prices of {formats.day(at)}."
    left = [one for one in calls if one not in priced]
    if left:
        names = formats.some(list(dict.fromkeys(shorten(one.model, 40) for one in left)))
        attempts = formats.plural(sum(one.attempts for one in left), "attempt")
        note += f" Not in here: {attempts} on {names}, whose price is not known."
    return note


def _cost(cost: Decimal | None, recorded: Decimal | None) -> Cell:
    percent = float(cost / recorded - 1) * 100 if cost and recorded else 0.0
    change = f"{formats.signed(percent)}{formats.NARROW_SPACE}%" if abs(percent) >= _NO_CHANGE else ""
    return Cell(formats.usd(cost), detail=change)
