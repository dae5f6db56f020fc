"""What calls a model right now, in whatever process: read on from the journal, and now and then from the whole ledger.

Attempts, runs and items show as soon as they are written, for little: only new lines of the journal are read.
Attempts under way, and runs whose process has died, come from a snapshot, which costs more the more segments wait for
compaction; so it is taken no more often than its own cost allows.
"""

# ruff: noqa: S608 - queries are put together from constants of this file; every value from outside is bound

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dslkit.analysis.runs import TELLS
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal

    from dslkit.analysis.scope import Rows, Views
    from dslkit.ledger import Ledger
    from dslkit.ledger.following import Kind

    _Lists = tuple[tuple[Mapping[str, Any], ...], tuple[Mapping[str, Any], ...]]

WINDOW = timedelta(minutes=1)
SHOWN = timedelta(minutes=10)
COLUMNS = 60
NEWEST = 8  # attempts that are shown one by one
RUNS = 6
SNAPSHOT_S = 3.0
_REST = 100  # a snapshot may take one part in so many of a core

_TYPES = {
    "call_id": "VARCHAR",
    "attempt": "INTEGER",
    "run_id": "VARCHAR",
    "item_id": "VARCHAR",
    "stage": "VARCHAR",
    "request_model": "VARCHAR",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "estimated_input_tokens": "BIGINT",
    "estimated_output_tokens": "BIGINT",
    "cost_usd": "DECIMAL(18, 9)",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "latency_s": "DOUBLE",
    "throttle_wait_s": "DOUBLE",
    "outcome": "VARCHAR",
    "http_status": "INTEGER",
    "error_type": "VARCHAR",
}
_NAMES = ", ".join(_TYPES)
_RECENT = f"""CREATE OR REPLACE TEMP TABLE recent AS
  SELECT {_NAMES} FROM calls WHERE NOT cache_hit AND started_at >= least($today, $shown)"""
_NEW = "SELECT unnest(from_json($rows, $shape), recursive := true)"
_FIGURES = f"""
  SELECT count(*) FILTER (started_at > $minute) AS attempts,
    coalesce(sum(coalesce(input_tokens, estimated_input_tokens) + coalesce(output_tokens, estimated_output_tokens))
      FILTER (started_at > $minute), 0)::BIGINT AS tokens,
    count(*) FILTER (started_at > $minute AND outcome = 'error') AS errors,
    coalesce(bool_and(request_model = '{OFFLINE_MODEL}') FILTER (started_at > $minute), false) AS offline,
    count(*) FILTER (outcome = 'unknown' AND ended_at IS NULL AND started_at > $shown) AS open,
    coalesce(sum(cost_usd) FILTER (started_at >= $today), 0) AS spent_today,
    quantile_cont(latency_s, 0.5) FILTER (outcome = 'ok' AND started_at > $shown) AS p50,
    quantile_cont(latency_s, 0.95) FILTER (outcome = 'ok' AND started_at > $shown) AS p95,
    coalesce(avg(throttle_wait_s) FILTER (started_at > $minute), 0)::DOUBLE AS waited,
    max(started_at) AS latest
  FROM recent
"""
_COUNTED = """
  SELECT floor(epoch(started_at - $shown) / $width)::INTEGER AS place, count(*) AS attempts
  FROM recent WHERE started_at > $shown GROUP BY ALL
"""
_CALLS = f"SELECT {_NAMES} FROM recent WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT {NEWEST}"
_LATEST = f"""QUALIFY status = 'running' OR row_number() OVER (ORDER BY started_at DESC) = 1
  ORDER BY started_at DESC LIMIT {RUNS}"""
_SHOWN = f"""CREATE OR REPLACE TEMP TABLE shown AS
  SELECT run_id, notebook, status, started_at, ended_at, parameters FROM runs WHERE NOT {TELLS} {_LATEST}"""
_BEFORE = """CREATE OR REPLACE TEMP TABLE before AS
  SELECT run_id, sum(cost_usd) AS spent FROM calls
  WHERE run_id IN (SELECT run_id FROM shown) AND started_at < least($today, $shown) GROUP BY run_id"""
_MADE = """CREATE OR REPLACE TEMP TABLE made AS
  SELECT run_id, item_id, verdict FROM items WHERE run_id IN (SELECT run_id FROM shown)"""
_RUN_TYPES = {
    "run_id": "VARCHAR",
    "notebook": "VARCHAR",
    "status": "VARCHAR",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "parameters": "VARCHAR",
}
_ITEM_TYPES = {"run_id": "VARCHAR", "item_id": "VARCHAR", "verdict": "VARCHAR"}
_RUNS = f"""
  WITH spent AS (
    SELECT run_id, sum(spent) AS spent FROM (
      SELECT run_id, cost_usd AS spent FROM recent UNION ALL FROM before
    ) GROUP BY run_id
  ), done AS (
    SELECT run_id, count(*) AS items, histogram(verdict) AS verdicts FROM made GROUP BY run_id
  )
  SELECT run_id, coalesce(parse_filename(notebook), 'batch') AS notebook, status, started_at, ended_at,
    json_extract_string(parameters, '$.requirements') AS requirements,
    coalesce(spent, 0) AS spent, coalesce(items, 0) AS items, coalesce(verdicts, MAP {{}}) AS verdicts
  FROM shown LEFT JOIN spent USING (run_id) LEFT JOIN done USING (run_id) {_LATEST}
"""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How records of a kind, read from the journal, enter a table in the place of those with the same key."""

    table: str
    key: tuple[str, ...]
    types: Mapping[str, str]

    def enter(self, views: Views, records: Iterable[Mapping[str, Any]]) -> None:
        """Put the latest record of each key into the table."""
        latest = {tuple(record[name] for name in self.key): record for record in records}
        rows = json.dumps([{name: record.get(name) for name in self.types} for record in latest.values()])
        key, names = ", ".join(self.key), ", ".join(self.types)
        values = {"rows": rows, "shape": json.dumps([self.types])}
        views.execute(f"DELETE FROM {self.table} WHERE ({key}) IN (SELECT ({key}) FROM ({_NEW}))", values)
        views.execute(f"INSERT INTO {self.table} ({names}) SELECT {names} FROM ({_NEW})", values)


_KINDS: Mapping[Kind, _Kind] = {
    "end": _Kind("recent", ("call_id", "attempt"), _TYPES),
    "run": _Kind("shown", ("run_id",), _RUN_TYPES),
    "item": _Kind("made", ("run_id", "item_id"), _ITEM_TYPES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The ledger as of one moment.  ``columns`` counts attempts in the last ten minutes, the oldest first.

    ``attempts``, ``tokens``, ``errors`` and ``waited`` (mean seconds) are of the last minute, ``p50`` and ``p95``
    (seconds) of the last ten.  ``offline``: the last minute's attempts were all made to the offline model, which has no
    limit.  ``calls`` are the attempts that ended last, the newest first; ``runs`` those that run, and the latest in any
    case.
    """

    at: datetime
    attempts: int
    tokens: int
    errors: int
    offline: bool
    open: int
    spent_today: Decimal
    p50: float | None
    p95: float | None
    waited: float
    latest: datetime | None
    columns: tuple[int, ...]
    calls: tuple[Mapping[str, Any], ...]
    runs: tuple[Mapping[str, Any], ...]

    def allowed(self, limit: int | None) -> int | None:
        """What the settings allow in a minute, as far as that holds for these attempts."""
        return None if self.offline else limit

    @property
    def run(self) -> Mapping[str, Any] | None:
        """The latest run."""
        return self.runs[0] if self.runs else None


def read_status(views: Views, now: datetime) -> Status:
    """What the ledger says at ``now`` (aware)."""
    _gather(views, now)
    return _figures(views, now, _lists(views))


class Live:
    """A ledger watched: each look gives its status, for less than reading it anew.

    Args:
        ledger: of the home to watch.
        now: the time of day.
        spent: seconds of processor time that this process has used.
        clock: seconds that pass.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        spent: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._now, self._spent, self._clock = now, spent, clock
        self._follower = ledger.follower(tuple(_KINDS))
        self._views: Views | None = None
        self._latest: _Lists = ((), ())
        self._due = 0.0
        self._lock = threading.Lock()  # a notebook may ask while its monitor looks by itself

    def look(self) -> Status:
        """The status now; LedgerError when the ledger cannot be read."""
        with self._lock:
            return self._look()

    def _look(self) -> Status:
        now = self._now()
        fresh = [record for record in self._follower.look() if not record.get("cache_hit")]
        if self._views is None or self._clock() >= self._due:
            self._views = self._read(now)  # after the look: what that saw is in it
            fresh = []
            self._latest = _lists(self._views)
        for kind, how in _KINDS.items():
            if records := [record for record in fresh if record["k"] == kind]:
                how.enter(self._views, records)
        if fresh:
            self._latest = _lists(self._views)
        return _figures(self._views, now, self._latest)

    def _read(self, now: datetime) -> Views:
        before = self._spent()
        views: Views = self._ledger.snapshot()
        _gather(views, now)
        self._due = self._clock() + max(SNAPSHOT_S, _REST * (self._spent() - before))
        return views


def _gather(views: Views, now: datetime) -> None:
    """Make the tables that are read at each look, and that new records enter."""
    moments = _moments(now)
    edge = {name: moments[name] for name in ("today", "shown")}
    views.execute(_RECENT, edge)
    views.execute(_SHOWN)
    views.execute(_BEFORE, edge)
    views.execute(_MADE)


def _lists(views: Views) -> _Lists:
    """The newest attempts, and the runs: half the cost of a look, and the same until something is recorded."""
    return tuple(_dicts(views.execute(_CALLS))), tuple(_dicts(views.execute(_RUNS)))


def _figures(views: Views, now: datetime, latest: _Lists) -> Status:
    moments = _moments(now)
    figures = _dicts(views.execute(_FIGURES, moments))[0]
    width = SHOWN.total_seconds() / COLUMNS
    counted = dict(views.execute(_COUNTED, {"shown": moments["shown"], "width": width}).fetchall())
    columns = tuple(counted.get(place, 0) for place in range(COLUMNS))
    calls, runs = latest
    return Status(at=now, columns=columns, calls=calls, runs=runs, **figures)


def _moments(now: datetime) -> dict[str, datetime]:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {"minute": now - WINDOW, "shown": now - SHOWN, "today": midnight}


def _dicts(rows: Rows) -> list[dict[str, Any]]:
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
