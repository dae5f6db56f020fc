"""Whether it is getting worse: what came lately against what came before, and whether chance could have done it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from dslkit.analysis.compare import compare
from dslkit.analysis.scope import Scope
from dslkit.errors import UsageError
from dslkit.report import formats
from dslkit.report.comparison import changed, numbers, told
from dslkit.report.markup import sentence, shorten

if TYPE_CHECKING:
    from datetime import datetime

    from markupsafe import Markup

    from dslkit.analysis.compare import Comparison
    from dslkit.analysis.scope import Views
    from dslkit.report.facts import Facts
    from dslkit.report.values import Sums

LATELY = timedelta(days=7)
SHORTEST = timedelta(days=2)  # of a history that is held against itself

_RUN_BEFORE = """
  WITH began AS (SELECT run_id, model, min(started_at) AS began FROM items WHERE reused_from IS NULL GROUP BY ALL)
  SELECT before.run_id FROM began AS before JOIN began AS this ON this.run_id = $run AND this.model = before.model
  WHERE before.began < this.began AND before.run_id <> $run ORDER BY before.began DESC, before.run_id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Trend:
    """Two stretches held against each other; ``before`` and ``lately`` name them in a sentence."""

    before: str
    lately: str
    comparison: Comparison


def trend(facts: Facts, sums: Sums, end: datetime) -> Trend | None:
    """A period against the one before it, a run against the last one on its model, else the last days recorded.

    None where there is nothing to hold against: no earlier call or item, or less than two days of history.
    """
    scope = facts.scope
    found = _run(facts.views, scope) if scope.run else _period(scope, sums, end)
    if found is None:
        return None
    before, lately, names = found
    try:
        both = facts.items if scope.run is None and scope.since is None else None
        return Trend(*names, compare(facts.views, before, lately, gathered=both))
    except UsageError:  # nothing is recorded on one side
        return None


def answer(found: Trend) -> str:
    """In a sentence, for the top of the page."""
    changes = found.comparison.changes
    worse = [told(change) for change in changes if changed(change) == "worse"]
    better = [told(change) for change in changes if changed(change) == "better"]
    against = f"{found.lately} against {found.before}"
    if not worse and not better:
        few = all(change.evidence == "too few" for change in changes)
        return f"{'Too few to tell' if few else 'No evidence of a change'}: {against}."
    parts = [("Worse", worse), ("Better", better)]
    said = ". ".join(f"{word}: {', '.join(what)}" for word, what in parts if what)
    return f"{said}; {against}."


def section(found: Trend) -> list[Markup]:
    """The measures side by side, with their intervals."""
    compared = found.comparison
    caption = f"{found.lately[0].upper()}{found.lately[1:]} against {found.before}"
    parts = [numbers(compared.changes, caption, ("Before", "Lately"))]
    if compared.first.models != compared.second.models:
        sides = (compared.first, compared.second)
        models = [formats.some([shorten(name, 40) for name in side.models]) for side in sides]
        parts.append(sentence(f"The models differ: before {models[0]}, lately {models[1]}."))
    return parts


def _run(views: Views, scope: Scope) -> tuple[Scope, Scope, tuple[str, str]] | None:
    row = views.execute(_RUN_BEFORE, {"run": scope.run}).fetchall()
    if not row:
        return None
    [(before,)] = row
    return Scope(run=before), scope, (f"run {shorten(before, 40)}", "this run")


def _period(scope: Scope, sums: Sums, end: datetime) -> tuple[Scope, Scope, tuple[str, str]] | None:
    if scope.since is not None:
        length = end - scope.since
        if length <= timedelta():
            return None
        before = Scope(since=scope.since - length, until=scope.since)
        return before, replace(scope, until=end), ("the period before", "this period")
    if sums.first is None or sums.last is None:
        return None
    end = min(end, sums.last + timedelta(microseconds=1))
    half = min(LATELY, (end - sums.first) / 2)
    if half < SHORTEST / 2:
        return None
    name = f"{half / timedelta(days=1):.0f}" if half == LATELY else f"{half / timedelta(days=1):.1f}"
    lately = f"the {name} days to {formats.day(end)}"
    return (
        Scope(since=end - 2 * half, until=end - half),
        Scope(since=end - half, until=end),
        (f"the {name} before", lately),
    )
