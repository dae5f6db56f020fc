"""Which calls and items a question is about, and what is asked of a ledger to answer it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A condition in SQL: in a `Scope`, whose parameters are bound.
IN_SCOPE = """
  ($run IS NULL OR run_id = $run)
  AND ($since IS NULL OR coalesce(started_at, ended_at) >= $since)
  AND ($until IS NULL OR coalesce(started_at, ended_at) < $until)
"""


class Rows(Protocol):
    """What a query gives."""

    @property
    def description(self) -> Sequence[Sequence[Any]]:
        """One entry a column; its first part is the name."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows."""


class Views(Protocol):
    """What is asked of a ledger: SQL over its views ``calls``, ``runs`` and ``items``, as `Ledger.snapshot` gives."""

    def execute(self, query: str, parameters: Mapping[str, Any] | None = None, /) -> Rows:
        """Run a query with named parameters."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which calls and items count: of one run, from ``since`` on, before ``until`` (UTC); None leaves a side open."""

    run: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """The values that each query binds."""
        return {"run": self.run, "since": self.since, "until": self.until}


def instant(text: str, now: datetime | None = None) -> datetime | None:
    """An ISO date or instant (UTC when it names no zone), or an age (``30d``, ``12h``) before ``now``.

    None for the empty text; raises UsageError for any other.
    """
    text = text.strip()
    if not text:
        return None
    if text[:-1].isdigit() and text[-1] in "dh":
        age = timedelta(days=int(text[:-1])) if text[-1] == "d" else timedelta(hours=int(text[:-1]))
        return (now or datetime.now(UTC)) - age
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        remedy = "write 2026-09-01, 2026-09-01T12:00, or an age such as 30d or 12h"
        raise UsageError(f"{text!r} is no date: {remedy}.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def scope_of(text: str, now: datetime | None = None) -> Scope:
    """A run id, or a period as ``2026-09-01..2026-09-15`` (the end excluded; either side may be left out).

    The empty text is everything.
    """
    begin, dots, end = text.partition("..")
    if not dots:
        return Scope(run=text.strip() or None)
    return Scope(since=instant(begin, now), until=instant(end, now))
