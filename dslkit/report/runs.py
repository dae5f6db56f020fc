"""Runs that did not end well, and runs that a schedule should have had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.batch.runs import SCHEDULE_TAG
from dslkit.report import formats
from dslkit.report.markup import Cell, Column, Table, Tone, sentence, shorten, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from markupsafe import Markup

    from dslkit.analysis.schedules import Missed
    from dslkit.analysis.scope import Scope, Views

LISTED = 12

_IN_SCOPE = """($run IS NULL OR run_id = $run) AND ($since IS NULL OR started_at >= $since)
  AND ($until IS NULL OR started_at < $until)"""
_COUNTS = f"SELECT status, count(*) FROM runs WHERE {_IN_SCOPE} AND status <> 'running' GROUP BY status"  # noqa: S608
_BROKEN = f"""
  SELECT started_at, status, notebook, tags['{SCHEDULE_TAG}'], coalesce(error_type, ''), coalesce(error_message, '')
  FROM runs WHERE {_IN_SCOPE} AND status IN ('failed', 'interrupted') ORDER BY started_at DESC, run_id
"""  # noqa: S608 - constants; what comes from outside is bound
_KINDS: Mapping[str, tuple[str, Tone]] = {
    "failed": ("✕ failed", "bad"),
    "interrupted": ("✕ interrupted", "bad"),
    "missed": ("○ missed", "fair"),
}


@dataclass(frozen=True, slots=True)
class Broken:
    """A run that failed, was interrupted, or never began (missed); what of it is known."""

    at: datetime
    kind: str
    notebook: str
    schedule: str
    error: str


@dataclass(frozen=True, slots=True)
class Runs:
    """How many runs ended how; those under way are not counted."""

    completed: int
    broken: tuple[Broken, ...]

    def __len__(self) -> int:
        """All of them, the missed ones too."""
        return self.completed + len(self.broken)

    def of(self, kind: str) -> int:
        """How many failed, were interrupted or missed."""
        return sum(one.kind == kind for one in self.broken)


def runs(views: Views, scope: Scope, missed: Sequence[Missed] = ()) -> Runs:
    """Those that began in a scope, and those that should have; the newest first."""
    counts = dict(views.execute(_COUNTS, scope.parameters()).fetchall())
    found = [
        Broken(at, status, notebook or "", schedule or "", ": ".join(filter(None, error)))
        for at, status, notebook, schedule, *error in views.execute(_BROKEN, scope.parameters()).fetchall()
    ]
    found += [Broken(one.expected, "missed", one.notebook, one.schedule, "") for one in missed]
    return Runs(counts.get("completed", 0), tuple(sorted(found, key=lambda one: one.at, reverse=True)))


def section(found: Runs) -> Iterator[Markup]:
    """How many, then each that did not end well."""
    yield sentence(told(found))
    rows = [
        [
            Cell(formats.minute(one.at)),
            Cell(*_KINDS[one.kind]),
            Cell(shorten(one.schedule, 52) or "–"),
            Cell(shorten(one.notebook, 60) or "–"),
            Cell(shorten(one.error, 160) or "–"),
        ]
        for one in found.broken[:LISTED]
    ]
    columns = [Column(title, number=False, wraps=k > 2) for k, title in enumerate(_TITLES)]  # noqa: PLR2004 - two texts
    more = len(found.broken) - LISTED
    note = f"And {more:,} earlier." if more > 0 else ""
    yield table(Table("Runs that failed, were interrupted or missed", columns, rows, note=note))


_TITLES = ("Began or was due (UTC)", "What", "Schedule", "Notebook", "Error")


def told(found: Runs) -> str:
    """In a sentence: ``28 runs completed, 1 failed, 2 scheduled ones were missed``."""
    parts = [f"{formats.plural(found.completed, 'run')} completed"]
    parts += [f"{n:,} {kind}" for kind in ("failed", "interrupted") if (n := found.of(kind))]
    missed = found.of("missed")
    if missed:
        parts.append(f"{missed:,} scheduled {'one was' if missed == 1 else 'ones were'} missed")
    return f"{', '.join(parts)}."
