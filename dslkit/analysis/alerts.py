"""Alerts: which rules does the ledger break right now?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Any

from dslkit.ledger.queries import UNPRICED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dslkit.analysis import alerts_rules as rules
    from dslkit.analysis.schedules import Missed
    from dslkit.analysis.scope import Views

LEAST_DAYS = 5  # days with calls, before anything counts as usual
_LEAST_SPREAD = 0.1  # of the median: where all days were alike, a cent more is no alert
_NORMAL = 1.4826  # makes the median absolute deviation of normal values their standard deviation

_SPENT = "SELECT coalesce(sum(cost_usd), 0) FROM calls WHERE started_at >= $since"
_BY_RUN = """
  SELECT run_id, sum(cost_usd) AS spent FROM calls
  WHERE run_id IN (SELECT DISTINCT run_id FROM calls WHERE started_at >= $since) GROUP BY run_id
  HAVING sum(cost_usd) > $limit ORDER BY min(started_at)
"""
_BY_DAY = """
  SELECT sum(coalesce(cost_usd, 0)) AS spent FROM calls
  WHERE started_at >= $since AND started_at < $today AND NOT cache_hit GROUP BY started_at::TIMESTAMP::DATE
"""
_LATENCY = """
  SELECT count(*), quantile_cont(latency_s, 0.95) FROM calls
  WHERE started_at >= $since AND outcome = 'ok' AND NOT cache_hit
"""
_FAILED = """
  SELECT count(*), count(*) FILTER (outcome = 'error') FROM calls
  WHERE started_at >= $since AND outcome <> 'unknown' AND NOT cache_hit
"""
_UNPRICED = f"""
  SELECT coalesce(response_model, request_model) AS model, count(*) FROM calls
  WHERE started_at >= $since AND {UNPRICED}
  GROUP BY ALL ORDER BY ALL
"""  # noqa: S608 - our own text


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A rule that is broken.  ``key`` is the same as long as it is the same alert; what cannot clear, just ends."""

    key: str
    rule: str
    text: str
    clears: bool = True


def evaluate(views: Views, given: rules.Rules, now: datetime, missed: Sequence[Missed] = ()) -> tuple[Alert, ...]:
    """The alerts of this moment, in the order of their rules.

    Args:
        views: of the ledger.
        given: the rules.
        now: aware; days and months are those of UTC.
        missed: scheduled runs that never began (``schedules.missed``).
    """
    found: list[Alert] = []
    for rule in given.rule:
        found += _CHECKS[rule.kind](views, rule, now.astimezone(UTC), missed)
    return tuple(found)


def _spend(views: Views, rule: rules.Spend, now: datetime, _missed: Sequence[Missed]) -> Iterator[Alert]:
    if rule.per == "run":
        values = {"since": now - timedelta(days=1), "limit": rule.above_usd}
        for run_id, spent in views.execute(_BY_RUN, values).fetchall():
            text = f"{rule.name}: run {run_id} has spent {_usd(spent)}, more than {_usd(rule.above_usd)}."
            yield Alert(key=f"{rule.name} {run_id}", rule=rule.name, text=text, clears=False)
        return
    since = _midnight(now) if rule.per == "day" else _midnight(now).replace(day=1)
    spent = views.execute(_SPENT, {"since": since}).fetchall()[0][0]
    if spent > rule.above_usd:
        when = "today" if rule.per == "day" else f"in {now:%B}"
        yield _alert(rule, f"{_usd(spent)} spent {when} (UTC), more than {_usd(rule.above_usd)}.")


def _spike(views: Views, rule: rules.Spike, now: datetime, _missed: Sequence[Missed]) -> Iterator[Alert]:
    """Days without calls do not count: a toolkit used twice a week would call every use a spike."""
    today = _midnight(now)
    values = {"since": today - timedelta(days=rule.days), "today": today}
    days = [float(spent) for (spent,) in views.execute(_BY_DAY, values).fetchall()]
    if len(days) < LEAST_DAYS:
        return
    usual = median(days)
    spread = max(_NORMAL * median(abs(spent - usual) for spent in days), _LEAST_SPREAD * usual)
    highest = usual + rule.deviations * spread
    spent = views.execute(_SPENT, {"since": today}).fetchall()[0][0]
    if spent >= rule.at_least_usd and float(spent) > highest:
        about = f"usual are {_usd(usual)} a day (median of {len(days)} days), up to {_usd(highest)}"
        yield _alert(rule, f"{_usd(spent)} spent today (UTC); {about}.")


def _latency(views: Views, rule: rules.Latency, now: datetime, _missed: Sequence[Missed]) -> Iterator[Alert]:
    count, p95 = views.execute(_LATENCY, {"since": now - rule.within}).fetchall()[0]
    if count >= rule.at_least_calls and p95 > rule.p95_above_s:
        about = f"of {count:,} answers in the last {_age(rule.within)}"
        yield _alert(rule, f"the slowest 5 % {about} took {p95:.2f} s or longer, more than {rule.p95_above_s:g} s.")


def _errors(views: Views, rule: rules.Errors, now: datetime, _missed: Sequence[Missed]) -> Iterator[Alert]:
    count, failed = views.execute(_FAILED, {"since": now - rule.within}).fetchall()[0]
    if count >= rule.at_least_calls and failed / count > rule.above:
        share = f"{failed / count:.1%}, more than {rule.above:.1%}"
        yield _alert(rule, f"{failed:,} of {count:,} attempts in the last {_age(rule.within)} failed: {share}.")


def _unknown_prices(
    views: Views, rule: rules.UnknownPrices, now: datetime, _missed: Sequence[Missed]
) -> Iterator[Alert]:
    rows = views.execute(_UNPRICED, {"since": now - rule.within}).fetchall()
    if rows:
        models = ", ".join(f"{model} ({count:,})" for model, count in rows)
        yield _alert(
            rule, f"attempts of unknown price in the last {_age(rule.within)}: {models}. Spend is more than shown."
        )


def _missed_schedule(
    _views: Views, rule: rules.MissedSchedule, now: datetime, missed: Sequence[Missed]
) -> Iterator[Alert]:
    late = [one for one in missed if now - one.expected <= rule.within]
    for name in sorted({one.schedule for one in late}):
        times = [one.expected for one in late if one.schedule == name]
        text = f"{rule.name}: schedule {name} did not run at {max(times):%Y-%m-%d %H:%M} UTC"
        text += f", nor at {len(times) - 1} times before." if len(times) > 1 else "."
        yield Alert(key=f"{rule.name} {name}", rule=rule.name, text=text)


_CHECKS: Mapping[str, Callable[[Views, Any, datetime, Sequence[Missed]], Iterator[Alert]]] = {
    "spend": _spend,
    "spike": _spike,
    "latency": _latency,
    "errors": _errors,
    "unknown_prices": _unknown_prices,
    "missed_schedule": _missed_schedule,
}


def _alert(rule: Any, text: str) -> Alert:
    return Alert(key=rule.name, rule=rule.name, text=f"{rule.name}: {text}")


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _usd(amount: Decimal | float) -> str:
    exact = Decimal(amount)
    return f"${exact:,.2f}" if exact >= Decimal("0.1") else f"${exact:.6f}".rstrip("0").rstrip(".")


def _age(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds % size == 0:
            number = seconds // size
            return f"{number} {name}s" if number > 1 else name
    return f"{seconds} s"
