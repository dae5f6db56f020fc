"""Two runs or periods side by side; `compare_runs.ipynb` calls the methods in order."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from dslkit.analysis.compare import FEWEST, compare
from dslkit.analysis.scope import scope_of
from dslkit.ledger import Ledger
from dslkit.report import charts, formats
from dslkit.report.charts import Span
from dslkit.report.markup import (
    Block,
    Cell,
    Column,
    Picture,
    Table,
    Tone,
    block,
    picture,
    render,
    shorten,
    style_element,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from markupsafe import Markup

    from dslkit.analysis.compare import Change, Comparison, Evidence, Side, Unit
    from dslkit.analysis.scope import Scope, Views

_BETTER_HIGHER = frozenset({"Working items"})  # of all other measures less is better
_WORDS: dict[Evidence, str] = {
    "higher": "higher",
    "lower": "lower",
    "none": "no evidence of a change",
    "too few": "too few to tell",
}
_TONES: dict[str, Tone] = {"better": "good", "worse": "bad", "": "quiet"}
_WIDEST = 100.0  # percent; what is further off is drawn at the edge


class ComparisonReport:
    """Sections of a comparison; A is the first side, B the second, and a change is always B minus A."""

    def __init__(self, views: Views, first: Scope, second: Scope) -> None:
        self.views = views
        self._scopes = first, second

    @cached_property
    def comparison(self) -> Comparison:
        """The figures behind all sections."""
        return compare(self.views, *self._scopes)

    def heading(self, title: str) -> Block:
        """Title, what changed in a sentence, and what was compared."""
        found = self.comparison
        scope = f"A: {_name(found.first.scope)} · B: {_name(found.second.scope)}"
        header = render(
            "heading", title=title, lede=_lede(found), scope=scope, answers=[], notices=list(_notices(found))
        )
        return block([style_element(), header])

    def sides(self) -> Block:
        """What was made and spent on each side."""
        sides = self.comparison.first, self.comparison.second
        lines = (
            ("Items made", [formats.count(len(side.items)) for side in sides]),
            ("Working", [f"{side.working:,} ({formats.share(side.working, len(side.items))})" for side in sides]),
            ("Reused, not compared", [formats.count(side.reused) for side in sides]),
            ("Spend", [_spend(side) for side in sides]),
            ("Attempts", [formats.count(side.attempts) for side in sides]),
            ("Modes", [", ".join(side.modes) or formats.UNKNOWN for side in sides]),
            ("Models", [", ".join(side.models) or formats.UNKNOWN for side in sides]),
        )
        rows = [[Cell(name), *(Cell(value) for value in values)] for name, values in lines]
        columns = [Column("Side", number=False), Column("A", wraps=True), Column("B", wraps=True)]
        return block([table(Table("The two sides", columns, rows))])

    def changes(self) -> Block:
        """Every measure with its change, its interval and what can be said of it."""
        changes = self.comparison.changes
        shown = numbers(changes, "Changes from A to B", ("A", "B"))
        spans = [_span(change) for change in changes if change.low is not None and change.first]
        if not spans:
            return block([shown])
        drawn = Picture(
            caption="Change from A to B, with 95 % intervals",
            note=_scale(spans),
            wide=charts.spans(spans, charts.WIDE),
            narrow=charts.spans(spans, charts.NARROW),
            alt="Intervals of change from A to B, in percent: " + "; ".join(map(_spoken, spans)) + ".",
        )
        return block([picture(drawn), shown])


def read_comparison(home: str | Path, first: str, second: str) -> ComparisonReport:
    """Two run ids, or periods as ``2026-09-01..2026-09-15``, of the ledger in a folder."""
    return ComparisonReport(Ledger(home).snapshot(), scope_of(first), scope_of(second))


def numbers(changes: Sequence[Change], caption: str, sides: tuple[str, str]) -> Markup:
    """Each measure on both sides, its change with the interval, and what can be said of it."""
    rows = [[*_values(change), _interval(change), _verdict(change)] for change in changes]
    titles = ("Measure", *sides, "Change", "95\u00a0% interval", "Evidence")
    columns = [Column(title, number=0 < k < len(titles) - 1) for k, title in enumerate(titles)]
    return table(Table(caption, columns, rows))


def changed(change: Change) -> Literal["better", "worse", ""]:
    """What there is evidence of."""
    if change.evidence not in {"higher", "lower"}:
        return ""
    return "better" if (change.evidence == "higher") == (change.name in _BETTER_HIGHER) else "worse"


def _lede(found: Comparison) -> str:
    clear = [change for change in found.changes if changed(change)]
    if not found.changes:
        return "Nothing was made or answered on both sides that could be compared."
    if found.first.scope == found.second.scope:
        return "A and B are the same: nothing can differ."
    told_of = [change for change in found.changes if change.evidence != "too few"]
    if not told_of:
        most = max(change.number for change in found.changes)
        return f"Too few to tell: {most:,} {'pairs' if found.paired else 'on the smaller side'}; {FEWEST} are needed."
    if len(told_of) < len(found.changes) and not clear:
        few = f"{len(found.changes) - len(told_of)} of {len(found.changes)} measures ({FEWEST} items are needed)"
        return f"Too few to tell of {few}; no evidence of a change in the others."
    if not clear:
        return "No evidence of a change in any measure: what differs is within chance."
    return "B against A: " + ", ".join(map(told, clear)) + "."


def told(change: Change) -> str:
    """``cost of an item higher by 12 %``."""
    what = change.name[0].lower() + change.name[1:]
    share = _relative(change)
    if share is None:
        return f"{what} {change.evidence}"
    if share >= 100 and change.first and change.second:  # noqa: PLR2004 - "twice" is easier to grasp than "100 % more"
        return f"{what} {change.second / change.first:.1f} times as much"
    unit = "points" if change.unit == "share" else "%"
    return f"{what} {change.evidence} by {abs(share):.0f}{formats.NARROW_SPACE}{unit}"


def _notices(found: Comparison) -> Iterator[str]:
    yield from _differences(found)
    if found.paired:
        yield f"Compared item by item: {formats.plural(found.pairs, 'item')} that both sides made."
    elif found.first.items and found.second.items:
        yield "The sides made different items, so they are compared as two samples: their difficulty may differ too."
    unpriced = found.first.unpriced + found.second.unpriced
    if unpriced:
        yield f"{formats.plural(unpriced, 'attempt')} of unknown price; the cost of their items is left out."


def _differences(found: Comparison) -> Iterator[str]:
    """What else than chance may be behind a change: the model, the mode, and an engine that ran nothing."""
    first, second = found.first, found.second
    kinds = (("Mode", first.modes, second.modes), ("Model", first.models, second.models))
    apart = [f"{name}: A {_some(a)}, B {_some(b)}" for name, a, b in kinds if a and b and a != b]
    if apart:
        yield f"The sides differ in more than chance. {'. '.join(apart)}."
    for name, side in (("A", first), ("B", second)):
        if side.not_run:
            yield (
                f"{name}: Dify's engine did not run {side.not_run:,} of {formats.plural(len(side.items), 'item')}, "
                "which had no error. They count as not working, which says nothing of their quality."
            )


def _some(names: Sequence[str]) -> str:
    return formats.some([shorten(name, 40) for name in names])


def _name(scope: Scope) -> str:
    if scope.run:
        return f"run {scope.run}"
    begin = formats.minute(scope.since) if scope.since else "the beginning"
    return f"{begin} to {formats.minute(scope.until) if scope.until else 'now'} (UTC)"


def _spend(side: Side) -> str:
    missing = f" + {formats.plural(side.unpriced, 'attempt')} of unknown price" if side.unpriced else ""
    return f"{formats.usd(side.cost_usd)}{missing}"


def _values(change: Change) -> list[Cell]:
    share = _relative(change)
    points = "points" if change.unit == "share" else "%"
    text = formats.UNKNOWN if share is None else f"{formats.signed(share)}{formats.NARROW_SPACE}{points}"
    number = f"{formats.plural(change.number, 'pair')}" if change.paired else f"{change.number:,} on the smaller side"
    return [
        Cell(change.name, detail=number),
        *(Cell(_write(v, change.unit)) for v in (change.first, change.second)),
        Cell(text),
    ]


def _interval(change: Change) -> Cell:
    if change.low is None or change.high is None:
        return Cell(formats.UNKNOWN)
    low, high = (_scaled(change, bound) for bound in (change.low, change.high))
    return Cell(formats.UNKNOWN if low is None or high is None else f"{formats.signed(low)} to {formats.signed(high)}")


def _verdict(change: Change) -> Cell:
    return Cell(_WORDS[change.evidence], _TONES[changed(change)])


def _write(value: float | None, unit: Unit) -> str:
    if value is None:
        return formats.UNKNOWN
    match unit:
        case "share":
            return formats.share(value, 1)
        case "usd":
            return formats.dollars(value)
        case "seconds":
            return formats.seconds(value)
        case _:
            return f"{value:,.1f}" if value < FEWEST * 10 else formats.count(value)


def _scaled(change: Change, difference: float) -> float | None:
    """A difference in percent of A; of shares in percentage points."""
    if change.unit == "share":
        return difference * 100
    return difference / change.first * 100 if change.first else None


def _relative(change: Change) -> float | None:
    return None if change.difference is None else _scaled(change, change.difference)


def _span(change: Change) -> Span:
    low, middle, high = (
        max(-_WIDEST, min(_WIDEST, _scaled(change, value or 0) or 0))
        for value in (change.low, change.difference, change.high)
    )
    return Span(change.name, low, middle, high, clear=change.evidence in {"higher", "lower"})


def _scale(spans: Sequence[Span]) -> str:
    beyond = any(max(abs(span.low), abs(span.high)) >= _WIDEST for span in spans)
    note = "percent of A; shares in percentage points"
    return f"{note}; beyond {_WIDEST:.0f} drawn at the edge" if beyond else note


def _spoken(span: Span) -> str:
    return f"{span.name} {formats.signed(span.middle)}, from {formats.signed(span.low)} to {formats.signed(span.high)}"
