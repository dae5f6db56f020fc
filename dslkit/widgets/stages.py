"""How far the workflows of a run got, as benchmarks count it: parsed, compiled, exact names, clean, working."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from dslkit.report import formats
from dslkit.widgets import markup
from dslkit.widgets.markup import Shown
from dslkit.widgets.show import ids, rows_of

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from dslkit.widgets.show import Runs

STAGES = ("parsed", "compiled", "exact names", "clean", "working")

_FUNNEL = """
  WITH spent AS (
    SELECT item_id, sum(cost_usd) AS cost_usd, count(*) > count(cost_usd) AS unknown
    FROM calls WHERE run_id IN (SELECT unnest($runs)) GROUP BY item_id
  ), held AS (
    SELECT *, coalesce(tags[$by], '') AS label,
      verdict <> 'failed' AND artefact_sha256 IS NOT NULL AS parsed,
      len(list_filter(findings, lambda each: each.severity = 'error' AND each.code LIKE 'plan-%')) = 0 AS compiled,
      coalesce(inputs_exact, true) AND coalesce(outputs_exact, true) AS named,
      len(list_filter(findings, lambda each: each.severity = 'error' AND each.code NOT LIKE 'engine-%')) = 0 AS clean
    FROM items LEFT JOIN spent USING (item_id) WHERE run_id IN (SELECT unnest($runs))
  )
  SELECT model, mode, label, count(*) AS items,
    count(*) FILTER (parsed) AS parsed,
    count(*) FILTER (parsed AND compiled) AS compiled,
    count(*) FILTER (parsed AND compiled AND named) AS named,
    count(*) FILTER (parsed AND compiled AND named AND clean) AS clean,
    count(*) FILTER (parsed AND compiled AND named AND clean AND verdict = 'working') AS working,
    count(*) FILTER (engine <> 'not run') AS run,
    CASE WHEN NOT coalesce(bool_or(unknown), false) THEN coalesce(sum(cost_usd), 0)::DECIMAL(38, 9) END AS cost_usd
  FROM held GROUP BY model, mode, label
  ORDER BY min(min(started_at)) OVER (PARTITION BY model, mode), model, mode, label
"""


class Funnel(NamedTuple):
    """Items that passed a stage and every stage before it.

    ``label`` is the value of the tag they are told apart by, ``run`` counts those that Dify's engine ran, well or not,
    ``cost_usd`` is of all items, None when unknown.
    """

    model: str
    mode: str
    label: str
    items: int
    parsed: int
    compiled: int
    named: int
    clean: int
    working: int
    run: int
    cost_usd: Decimal | None

    @property
    def passed(self) -> tuple[int, ...]:
        """Items after each of the stages."""
        return (self.parsed, self.compiled, self.named, self.clean, self.working)

    @property
    def usd_a_working_one(self) -> Decimal | None:
        """What one working workflow cost, with what was spent on the others."""
        return self.cost_usd / self.working if self.cost_usd is not None and self.working else None


def funnels(runs: Runs, by: str = "", *, home: Path | None = None) -> tuple[Funnel, ...]:
    """One for each model and mode of a run or several, and for each value of the tag ``by`` where one is given."""
    return tuple(Funnel(**row) for row in rows_of(_FUNNEL, {"runs": ids(runs), "by": by}, home))


def funnel(runs: Runs, by: str = "", *, home: Path | None = None) -> Shown:
    """The funnels as a table."""
    found = funnels(runs, by, home=home)
    if not found:
        return Shown(markup.notice("No items."), "No items.")
    words = [stage.capitalize() for stage in STAGES]
    titles = ("Model", "Mode", *([by.capitalize()] if by else []), "Items", *words, "Cost of a working one")
    lines = [
        (
            each.model,
            each.mode,
            *([each.label or formats.UNKNOWN] if by else []),
            each.items,
            *(_share(count, each.items) for count in _told(each)),
            formats.usd(each.usd_a_working_one),
        )
        for each in found
    ]
    note = (
        ""
        if all(each.run for each in found)
        else "Working: unknown where Dify's engine ran none (dslkit engine install)."
    )
    text = "\n".join(_line(each) for each in found)
    table = markup.table(titles, lines, numbers=frozenset(titles) - {"Model", "Mode", by.capitalize()})
    return Shown(table + (markup.notice(note) if note else Markup("")), text)


def _told(each: Funnel) -> tuple[int | None, ...]:
    """The stages; the last is unknown when the engine was not there to say, not when nothing came so far."""
    unknown = not each.run and each.clean > 0
    return (*each.passed[:-1], None if unknown else each.working)


def _share(count: int | None, items: int) -> str:
    return formats.UNKNOWN if count is None else f"{100 * count / items:.0f}{formats.NARROW_SPACE}%"


def _line(each: Funnel) -> str:
    passed: list[Any] = [formats.UNKNOWN if count is None else count for count in _told(each)]
    told = ", ".join(f"{count} {stage}" for stage, count in zip(STAGES, passed, strict=True))
    whose = ", ".join(filter(None, (each.model, each.mode, each.label)))
    return f"{whose}: {each.items} items, {told}, {formats.usd(each.usd_a_working_one)} a working one"
