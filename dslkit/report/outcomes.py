"""Whether it worked: errors and retries, items with verdicts, and the calls that stand out."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from markupsafe import Markup

from dslkit.report import formats
from dslkit.report.markup import Cell, Column, Table, Tone, render, sentence, shorten, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dslkit.report.values import CallRow, Failure, ItemRow, ItemSums, Sums

_VERDICTS: dict[str, tuple[str, Tone]] = {
    "working": ("✓ working", "good"),
    "clean": ("○ clean", "fair"),
    "errors": ("✕ errors", "bad"),
    "failed": ("✕ failed", "bad"),
}
_TOP_FAILURES = 20


def failures(rows: Sequence[Failure], sums: Sums) -> list[Markup]:
    """Errors by kind, how many were made good by a retry, and an example of each."""
    if not rows:
        return [sentence(f"None: {formats.plural(sums.attempts, 'attempt')}, all answered.")]
    most = rows[0].attempts
    lines = [
        [
            Cell(_kind(row)),
            Cell(formats.count(row.attempts), bar=row.attempts / most),
            Cell(formats.share(row.attempts, sums.attempts)),
            Cell(formats.count(row.recovered)),
            Cell(shorten(row.example or formats.UNKNOWN, 160)),
        ]
        for row in rows[:_TOP_FAILURES]
    ]
    columns = [
        Column("Kind", number=False),
        Column("Attempts"),
        Column("Of all"),
        Column("Answered by a retry"),
        Column("For example", number=False, wraps=True),
    ]
    rest = sum(row.attempts for row in rows[_TOP_FAILURES:])
    note = f"And {formats.plural(rest, 'attempt')} of {len(rows) - _TOP_FAILURES:,} other kinds." if rest else ""
    return [sentence(_retries(sums)), table(Table("Attempts without an answer, by kind", columns, lines, note=note))]


def verdicts(items: ItemSums) -> Markup:
    """All items as one bar, by verdict."""
    kinds = (
        ("working", items.working, "working"),
        ("clean", items.clean, "clean, not run" if items.clean == items.not_run else "clean"),
        ("errors", items.errors, "with errors"),
        ("failed", items.failed, "failed"),
    )
    shown = [Cell(formats.count(n), _VERDICTS[kind][1], n / items.items, text) for kind, n, text in kinds if n]
    return render("verdicts", verdicts=shown) if shown else sentence("No item is recorded in this scope.")


def items(rows: Sequence[ItemRow], every: ItemSums) -> Markup:
    """Items with what they cost; those that need a look come first."""
    if not rows:
        return Markup("")
    origin = _origin(rows)
    decimals = _decimals([row.cost_usd for row in rows])
    titles = ("Item", "Verdict", "Findings", "Rounds", "Tokens", "Cost, USD", "Seconds")
    columns = [Column(title, number=k > 2, wraps=k == 2) for k, title in enumerate(titles)]  # noqa: PLR2004 - three texts
    lines = [
        [
            Cell(shorten(row.item_id, 60), detail=origin(row)),
            _verdict_cell(row),
            _findings_cell(row),
            Cell(formats.count(row.rounds)),
            Cell(formats.count(row.tokens) if row.calls else formats.UNKNOWN),
            Cell(_item_cost(row, decimals)),
            Cell(formats.plain_seconds(row.seconds)),
        ]
        for row in rows
    ]
    return table(Table("Items: those to look at first, then the dearest", columns, lines, note=_hidden(rows, every)))


def _hidden(rows: Sequence[ItemRow], every: ItemSums) -> str:
    """What is not listed, by verdict."""
    listed = Counter(row.verdict for row in rows)
    kinds = (("failed", every.failed), ("errors", every.errors), ("clean", every.clean), ("working", every.working))
    words = {"errors": "with errors"}
    left = [f"{n - listed[kind]:,} {words.get(kind, kind)}" for kind, n in kinds if n > listed[kind]]
    return f"Not listed: {', '.join(left)}." if left else ""


def _origin(rows: Sequence[ItemRow]) -> Callable[[ItemRow], str]:
    """Says of an item which model and run it is from, as far as the items shown differ in that."""
    models, runs = len({row.model for row in rows}) > 1, len({row.run_id for row in rows}) > 1
    return lambda row: " · ".join([shorten(row.model, 40)] * models + [shorten(row.run_id, 40)] * runs)


def calls(rows: Sequence[CallRow], caption: str) -> Markup:
    """Single calls that stand out."""
    if not rows:
        return Markup("")
    decimals = _decimals([row.cost_usd for row in rows])
    lines = [
        [
            Cell(
                formats.minute(row.started_at), detail=shorten(" · ".join(filter(None, (row.stage, row.item_id))), 60)
            ),
            Cell(shorten(row.model or formats.UNKNOWN, 40)),
            Cell(formats.count(row.tokens)),
            Cell(formats.usd(row.cost_usd, decimals)),
            Cell(formats.plain_seconds(row.latency_s)),
            Cell(formats.plain_seconds(row.wait_s)),
            Cell(formats.count(row.attempts)),
        ]
        for row in rows
    ]
    titles = ("Started (UTC)", "Model", "Tokens", "Cost, USD", "Seconds", "Waited, s", "Attempts")
    return table(Table(caption, [Column(title, number=k > 1) for k, title in enumerate(titles)], lines))


def _kind(row: Failure) -> str:
    if row.outcome == "unknown":
        return "outcome unknown (process ended)"
    named = " ".join(str(part) for part in (row.http_status, row.error_type) if part is not None)
    return shorten(named or row.outcome, 60) if row.outcome != "cancelled" else "cancelled"


def _retries(sums: Sums) -> str:
    lost = sums.calls - sums.answered
    retried = f"{formats.plural(sums.retries, 'retry', 'retries')} for {formats.plural(sums.calls, 'call')}; "
    if not lost:
        return f"{retried}every call was answered in the end."
    return f"{retried}{formats.plural(lost, 'call')} ({formats.share(lost, sums.calls)}) never got an answer."


def _verdict_cell(row: ItemRow) -> Cell:
    text, tone = _VERDICTS.get(row.verdict, (row.verdict, ""))
    notes = []
    if row.engine == "not run" and row.verdict == "clean":
        notes.append("not run")
    if row.engine == "failed":
        notes.append("failed in the engine")
    if row.reused_from:
        notes.append("reused")
    return Cell(text, tone, detail=", ".join(notes))


def _findings_cell(row: ItemRow) -> Cell:
    """What the check found; what stopped the item, where something did."""
    counted = [(row.error_findings, "error"), (row.warning_findings, "warning")]
    found = ", ".join(formats.plural(number, noun) for number, noun in counted if number)
    if row.error_message:
        return Cell(shorten(row.error_message, 100), detail=found)
    return Cell(found) if found else Cell("none", "quiet")


def _item_cost(row: ItemRow, decimals: int) -> str:
    if not row.calls and row.cost_usd is None:
        return formats.usd(Decimal(0), decimals) if row.reused_from else formats.UNKNOWN
    if row.unpriced and not row.cost_usd:
        return formats.UNKNOWN
    return f"{'≥ ' if row.unpriced else ''}{formats.usd(row.cost_usd, decimals)}"


def _decimals(costs: Sequence[Decimal | None]) -> int:
    return formats.usd_decimals(max((cost for cost in costs if cost is not None), default=Decimal(0)))
