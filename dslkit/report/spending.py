"""Where the money went: over time, by model, stage, run and tag; and the tokens behind it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from markupsafe import Markup

from dslkit.report import charts, formats
from dslkit.report.markup import Cell, Column, Picture, Table, picture, sentence, shorten, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dslkit.report.timeline import Bar, Bucket, Measure, Timeline
    from dslkit.report.values import Sums

TOP = 12

_MEASURES: dict[Measure, str] = {"cost_usd": "Spend", "tokens": "Tokens", "attempts": "Attempts"}


def over_time(timeline: Timeline) -> Markup:
    """Stacked columns of spend; of tokens or attempts where nothing was spent."""
    if len(timeline.bars) == 1:
        only = timeline.bars[0]
        return sentence(f"All within one {timeline.bucket.name}, that of {label(only, timeline.bucket)} (UTC).")
    write = _writer(timeline.measure)
    totals = [sum(bar.values) for bar in timeline.bars]
    highest = max(range(len(totals)), key=totals.__getitem__)
    what, each = _MEASURES[timeline.measure], timeline.bucket.name
    legend = [shorten(name, 48) for name in timeline.series]
    first, last, peak = (label(timeline.bars[k], timeline.bucket) for k in (0, -1, highest))
    alt = (
        f"Column chart of {what.lower()} for each {each} from {first} to {last}: {write(sum(totals))} in all, "
        f"most in the {timeline.bucket.unit} of {peak} with {write(totals[highest])}."
    )
    if len(legend) > 1:
        alt += (
            " By model: " + ", ".join(f"{n} {write(t)}" for n, t in zip(legend, _columns(timeline), strict=True)) + "."
        )
    return picture(
        Picture(
            caption=f"{what} for each {each}, by model" if len(legend) > 1 else f"{what} for each {each}, {legend[0]}",
            wide=charts.columns(timeline, charts.WIDE),
            narrow=charts.columns(timeline, charts.NARROW),
            alt=alt,
            numbers=_numbers(timeline, legend),
            legend=legend,
            note="UTC",
        )
    )


def breakdown(rows: Sequence[Sums], what: str, missing: str) -> Markup:
    """One line for each model, stage, run or tag, dearest first; ``missing`` names what has none."""
    if not rows:
        return Markup("")
    shown, rest = (rows, ()) if len(rows) <= TOP + 1 else (rows[:TOP], rows[TOP:])
    total = sum((row.cost_usd for row in rows), Decimal(0))
    by_cost = total > 0
    sized: Callable[[Sums], float] = (lambda row: float(row.cost_usd)) if by_cost else (lambda row: float(row.tokens))
    longest = max(map(sized, rows)) or 1.0
    decimals = formats.usd_decimals(max(row.cost_usd for row in rows))
    lines = [
        [
            Cell(shorten(row.name), detail=_unknown(row)) if row.name else Cell(missing, "quiet", detail=_unknown(row)),
            Cell(formats.usd(row.cost_usd, decimals) if _priced(row) else formats.UNKNOWN, bar=sized(row) / longest),
            Cell(formats.share(row.cost_usd, total) if by_cost and _priced(row) else formats.UNKNOWN),
            *_counts(row),
        ]
        for row in shown
    ]
    titles = [what, "Cost, USD", "Share", "Calls", "Tokens in", "Tokens out"]
    columns = [Column(title, number=k > 0) for k, title in enumerate(titles)]
    return table(Table(f"By {what.lower()}", columns, lines, note=_rest(rest, what) if rest else ""))


def tokens(sums: Sums, saved: Decimal | None = None, answers: Decimal | None = None) -> Markup:
    """Input and output tokens, split into what was cached and what was reasoning.

    ``saved`` and ``answers`` are USD saved by the provider's cache and by this machine's.
    """
    parts = (
        ("Input, read anew", sums.input_tokens - sums.cached_tokens),
        ("Input, from the provider's cache", sums.cached_tokens),
        ("Output, reasoning", sums.reasoning_tokens),
        ("Output, answer", sums.output_tokens - sums.reasoning_tokens),
    )
    if not sums.tokens:
        return Markup("")
    longest = max(number for _, number in parts)
    calls = sums.answered or 1
    lines = [
        [
            Cell(name),
            Cell(formats.count(number), bar=number / longest),
            Cell(formats.share(number, sums.tokens)),
            Cell(formats.count(number / calls)),
        ]
        for name, number in parts
        if number
    ]
    titles = ("Kind", "Tokens", "Share", "For each answered call")
    total = [Cell("All"), Cell(formats.count(sums.tokens)), Cell(""), Cell(formats.count(sums.tokens / calls))]
    columns = [Column(title, number=k > 0) for k, title in enumerate(titles)]
    return table(Table("Tokens by kind", columns, lines, note=_saved(sums, saved, answers), total=total))


def _saved(sums: Sums, saved: Decimal | None, answers: Decimal | None) -> str:
    parts = []
    if saved:
        parts.append(f"Reading from the provider's cache, not anew, saved about {formats.usd(saved)}.")
    if answers:
        number = formats.plural(sums.cached_answers, "answer")
        parts.append(f"{number} from this machine's cache saved about {formats.usd(answers)}: what the others cost.")
    return " ".join(parts)


def _counts(row: Sums) -> list[Cell]:
    return [Cell(formats.count(number)) for number in (row.calls, row.input_tokens, row.output_tokens)]


def _priced(row: Sums) -> bool:
    """Whether anything is known of what this cost."""
    return bool(row.cost_usd) or not row.unpriced


def _unknown(row: Sums) -> str:
    return f"+ {formats.plural(row.unpriced, 'attempt')} of unknown price" if row.unpriced else ""


def _rest(rows: Sequence[Sums], what: str) -> str:
    cost = sum((row.cost_usd for row in rows), Decimal(0))
    calls = sum(row.calls for row in rows)
    others = formats.plural(len(rows), f"other {what.lower()}")
    return f"And {others}: {formats.usd(cost)}, {formats.plural(calls, 'call')}."


def _columns(timeline: Timeline) -> list[Decimal | int]:
    return [sum(column) for column in zip(*(bar.values for bar in timeline.bars), strict=True)]


def _numbers(timeline: Timeline, legend: Sequence[str]) -> Table:
    """The chart as a table; buckets without a call are left out."""
    write = _writer(timeline.measure)
    several = len(legend) > 1
    columns = [Column(timeline.bucket.unit.capitalize(), number=False), *(Column(name) for name in legend)]
    rows = [
        [
            Cell(label(bar, timeline.bucket)),
            *(Cell(write(value)) for value in bar.values),
            *([Cell(write(sum(bar.values)))] if several else []),
        ]
        for bar in timeline.bars
        if any(bar.values)
    ]
    if several:
        columns.append(Column("All"))
    return Table(f"{_MEASURES[timeline.measure]} for each {timeline.bucket.name}", columns, rows)


def _writer(measure: Measure) -> Callable[[Decimal | int], str]:
    if measure == "cost_usd":
        return lambda value: formats.usd(Decimal(value))
    return lambda value: formats.count(float(value))


def label(bar: Bar, bucket: Bucket) -> str:
    """The column's time in words."""
    match bucket.unit:
        case "year":
            return f"{bar.start:%Y}"
        case "month":
            return f"{bar.start:%B %Y}"
        case "week" | "day":
            return formats.day(bar.start)
        case _:
            return f"{formats.day(bar.start)}, {bar.start:%H:%M:%S}"
