"""Schedules that a home knows, and the runs they should have had: which did not happen?

A schedule is one small file below the home.  Whatever starts its runs (cron, systemd, Kubernetes, Airflow) sets
``DSLKIT_SCHEDULE`` to its name, and the run is tagged with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from dslkit.batch.runs import SCHEDULE_TAG
from dslkit.errors import UsageError
from dslkit.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

GRACE = timedelta(minutes=5)
LOOK_BACK = timedelta(days=31)
LOOKED_AT = 1000  # expected times of one schedule at most, the newest
_EARLY = timedelta(seconds=5)  # clocks of a daemon and of a kernel's host may differ by so much

_FOLDER = "schedules"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")  # what Kubernetes takes as the name of a CronJob
_FIELDS = 5
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_RUNS = "SELECT started_at FROM runs WHERE tags[$tag] = $name AND started_at >= $since ORDER BY started_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A notebook that is to run again and again.

    ``every`` is a cron expression of five fields, ``zone`` the time zone it is meant in (IANA's name; empty: that of
    the machine), ``since`` when it was set up (aware): before that nothing was expected.

    Raises:
        UsageError: no such expression, zone or name can be used.
    """

    name: str
    notebook: str
    every: str
    since: datetime
    zone: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"A schedule's name has small letters, digits and dashes, at most 52; not {self.name!r}.")
        if self.zone:
            _zone(self.zone)
        next(self.times(after=self.since))

    def times(self, *, after: datetime, backwards: bool = False) -> Iterator[datetime]:
        """The expected times (UTC) after an instant, or before it, the nearest first."""
        start = after.astimezone(_zone(self.zone)) if self.zone else after.astimezone().replace(tzinfo=None)
        for moment in CronSim(fields_of(self.every), start, reverse=backwards):
            yield moment.astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A run that a schedule should have had and that never began."""

    schedule: str
    notebook: str
    expected: datetime


def fields_of(every: str) -> str:
    """The five fields of a cron expression, ``@daily`` and its like spelled out.

    Raises:
        UsageError: it is none that cron, systemd and Kubernetes agree on.
    """
    fields = _MACROS.get(every.strip().lower(), every).split()
    if len(fields) != _FIELDS:
        raise UsageError(f"{every!r} is no cron expression: write five fields, as in '0 2 * * *' for 02:00 each day.")
    plain = " ".join(fields).upper()
    extended = re.search(r"#|\dL|\bLW?\b", plain)
    try:
        next(CronSim(plain, datetime(2000, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise UsageError(
            f"{every!r} is no cron expression that ever comes true: {str(error) or 'no such day'}."
        ) from None
    if extended:
        raise UsageError(f"{every!r}: {extended[0]} is not understood by every scheduler. List the days instead.")
    return plain


def parsed(every: str) -> CronSim:
    """The expression taken apart: ``minutes``, ``hours``, ``days``, ``months`` and ``weekdays`` as sets of numbers.

    ``day_and`` says whether day of month and weekday must both fit, as where one is a star, or either.
    """
    return CronSim(fields_of(every), datetime(2000, 1, 1, tzinfo=UTC))


def register(home: Path, schedule: Schedule) -> None:
    """Make a schedule known to the home; one of the same name is replaced."""
    folder = home / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    entry = asdict(schedule) | {"since": schedule.since.isoformat()}
    aside = folder / f".{schedule.name}.new"
    aside.write_text(json.dumps(entry, indent=2, default=str) + "\n", encoding="utf-8")
    aside.replace(folder / f"{schedule.name}.json")


def forget(home: Path, name: str) -> None:
    """Expect no further runs of a schedule.  Raises UsageError when there is none of this name."""
    known = [schedule.name for schedule in schedules(home)]
    if name not in known:
        raise UsageError(f"No schedule {name!r} is known. There are: {', '.join(known) or 'none'}.")
    (home / _FOLDER / f"{name}.json").unlink()


def schedules(home: Path) -> tuple[Schedule, ...]:
    """All schedules that the home knows, by name.  Raises UsageError when the file of one is damaged."""
    return tuple(_read(path) for path in sorted((home / _FOLDER).glob("*.json")))


def missed(home: Path, now: datetime, *, since: datetime | None = None, grace: timedelta = GRACE) -> tuple[Missed, ...]:
    """The runs that should have begun before ``now`` and did not, the newest first.

    A run that began later, but before the next was due, counts as having happened.  Looks back to ``since`` (31 days
    by default), and at a thousand expected times of a schedule.  Home and ledger may be missing: then nothing was.
    """
    since = since or now - LOOK_BACK
    found = [gone for schedule in schedules(home) for gone in _missed(home, schedule, since, now, grace)]
    return tuple(sorted(found, key=lambda each: each.expected, reverse=True))


def _missed(home: Path, schedule: Schedule, since: datetime, now: datetime, grace: timedelta) -> Iterator[Missed]:
    since = max(since, schedule.since)
    due = list(takewhile(lambda moment: moment >= since, _newest(schedule, now)))[::-1]
    if not due:
        return
    values = {"tag": SCHEDULE_TAG, "name": schedule.name, "since": due[0] - _EARLY}
    began = [row[0] for row in Ledger(home).snapshot().execute(_RUNS, values).fetchall()]
    for expected, following in pairwise([*due, now + _EARLY]):
        happened = any(expected - _EARLY <= moment < following - _EARLY for moment in began)
        if not happened and now - expected > grace:
            yield Missed(schedule=schedule.name, notebook=schedule.notebook, expected=expected)


def _newest(schedule: Schedule, now: datetime) -> Iterator[datetime]:
    for _, moment in zip(range(LOOKED_AT), schedule.times(after=now, backwards=True), strict=False):
        yield moment


def _read(path: Path) -> Schedule:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return Schedule(**entry | {"since": datetime.fromisoformat(entry["since"])})
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{path} is damaged. Remove it, and write the schedule anew: dslkit schedule.") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"No time zone {name!r} is known: write one as Europe/Berlin or Etc/UTC.") from None
