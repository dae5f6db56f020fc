"""What the month will come to at the present pace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dslkit.analysis.scope import Views

LOOK_BACK = timedelta(days=7)
SHORTEST = timedelta(days=1)  # of history, below which nothing is said about a month


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Spend of a month so far, and its whole at the daily spend of the last days; of all runs together."""

    month: datetime
    so_far: Decimal
    a_day: Decimal
    days: float
    estimate: Decimal


_QUERY = """
  SELECT min(coalesce(started_at, ended_at)),
    coalesce(sum(cost_usd) FILTER (coalesce(started_at, ended_at) >= $month), 0),
    coalesce(sum(cost_usd) FILTER (coalesce(started_at, ended_at) >= $recent), 0)
  FROM calls WHERE coalesce(started_at, ended_at) < $end
"""


def pace(views: Views, end: datetime) -> Pace | None:
    """The month that ``end`` is in: spend so far plus the daily spend of the last 7 days for each day that is left.

    None when the ledger reaches back less than a day, or nothing was spent in these days.
    """
    month = (end - timedelta(microseconds=1)).astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    asked = {"month": month, "recent": end - LOOK_BACK, "end": end}
    [(first, so_far, recent)] = views.execute(_QUERY, asked).fetchall()
    if first is None or not recent or end - first < SHORTEST:
        return None
    days = min(LOOK_BACK, end - first) / timedelta(days=1)
    a_day = recent / _exactly(days)
    left = (_next(month) - end) / timedelta(days=1)
    return Pace(month=month, so_far=so_far, a_day=a_day, days=days, estimate=so_far + a_day * _exactly(left))


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)


def _exactly(number: float) -> Decimal:
    return Decimal(str(number))
