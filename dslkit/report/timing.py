"""How long it took: latency, time to first chunk and throttle wait, with percentiles, by model too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from dslkit.report import charts, formats
from dslkit.report.markup import Cell, Column, Picture, Table, picture, sentence, shorten, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dslkit.report.figures import Timing
    from dslkit.report.values import Bin, Quantiles

TOP = 12

_TITLES: Mapping[Timing, tuple[str, str]] = {
    "latency_s": ("Latency of answered calls", "call"),
    "time_to_first_chunk_s": ("Time to first chunk of streamed calls", "call"),
    "throttle_wait_s": ("Wait for the throttle", "attempt"),
}


@dataclass(frozen=True, slots=True)
class Distribution:
    """One timing: its percentiles and its histogram."""

    timing: Timing
    marks: Quantiles
    bins: Sequence[Bin]


def distributions(all_timings: Sequence[Distribution]) -> list[Markup]:
    """One chart for each timing that was measured, all on the same scale, so that they can be compared by eye."""
    drawn = [timing for timing in all_timings if timing.bins]
    domain = _domain(drawn)
    return [_chart(timing, domain) if timing.bins else _absence(timing) for timing in all_timings]


def percentiles(all_timings: Sequence[Distribution]) -> Markup:
    """The percentiles of each timing in one table."""
    rows = [
        [Cell(_TITLES[timing.timing][0]), *_quantile_cells(timing.marks)]
        for timing in all_timings
        if timing.marks.count
    ]
    return table(Table("Percentiles in seconds", _columns("Timing"), rows))


def by_model(latencies: Sequence[Quantiles]) -> Markup:
    """Latency percentiles of each model, most called first."""
    if len(latencies) < 2:  # noqa: PLR2004 - one model is the whole, which the table above already shows
        return Markup("")
    rows = [[Cell(shorten(row.name or "no model")), *_quantile_cells(row)] for row in latencies[:TOP]]
    more = len(latencies) - TOP
    note = f"And {formats.plural(more, 'other model')}." if more > 0 else ""
    return table(Table("Latency in seconds, by model", _columns("Model"), rows, note=note))


def _chart(timing: Distribution, domain: tuple[float, float]) -> Markup:
    title, unit = _TITLES[timing.timing]
    marks = timing.marks
    spread = f"p50 {formats.seconds(marks.p50)} · p95 {formats.seconds(marks.p95)} · p99 {formats.seconds(marks.p99)}"
    alt = (
        f"Histogram on a logarithmic scale of seconds. {title}, {formats.plural(marks.count, unit)}: half within "
        f"{formats.seconds(marks.p50)}, 95 % within {formats.seconds(marks.p95)}, 99 % within "
        f"{formats.seconds(marks.p99)}, longest {formats.seconds(marks.longest)}."
    )
    waits = timing.timing == "throttle_wait_s" and marks.none
    instant = f" · {formats.share(marks.none, marks.count)} did not wait" if waits else ""
    return picture(
        Picture(
            caption=title,
            note=f"{spread}{instant}",
            wide=charts.distribution(timing.bins, marks, domain, charts.WIDE),
            narrow=charts.distribution(timing.bins, marks, domain, charts.NARROW),
            alt=alt,
            numbers=_numbers(timing),
        )
    )


def _absence(timing: Distribution) -> Markup:
    title, unit = _TITLES[timing.timing]
    if timing.timing == "throttle_wait_s" and timing.marks.count:
        return sentence(f"{title}: none of {formats.plural(timing.marks.count, unit)} had to wait.")
    if timing.timing == "time_to_first_chunk_s":
        return sentence("Time to first chunk: no call was streamed.")
    if timing.marks.count:
        return sentence(f"{title}: {formats.plural(timing.marks.count, unit)}, each within a millisecond.")
    return sentence(f"{title}: nothing was measured.")


def _domain(drawn: Sequence[Distribution]) -> tuple[float, float]:
    """The seconds that all charts share; at least one decade, so that a scale can be read."""
    low = min((timing.bins[0].low for timing in drawn), default=1.0)
    high = max((timing.bins[-1].high for timing in drawn), default=10.0)
    return low, max(high, low * 10)


def _numbers(timing: Distribution) -> Table:
    title, unit = _TITLES[timing.timing]
    rows = [
        [Cell(formats.plain_seconds(b.low)), Cell(formats.plain_seconds(b.high)), Cell(formats.count(b.count))]
        for b in timing.bins
        if b.count
    ]
    if timing.marks.none:
        rows.insert(0, [Cell("0"), Cell("0.001"), Cell(formats.count(timing.marks.none))])
    columns = [Column("From, s"), Column("to under, s"), Column(f"{unit.capitalize()}s")]
    return Table(title, columns, rows)


def _columns(first: str) -> list[Column]:
    return [Column(first, number=False), *(Column(title) for title in ("Number", "p50", "p95", "p99", "Longest"))]


def _quantile_cells(row: Quantiles) -> list[Cell]:
    spread = (row.p50, row.p95, row.p99, row.longest)
    return [Cell(formats.count(row.count)), *(Cell(formats.plain_seconds(value)) for value in spread)]
