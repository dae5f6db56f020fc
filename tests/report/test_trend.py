"""Whether it is getting worse: what is held against what, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from benchmarks import month
from dslkit.analysis import Scope
from dslkit.ledger import Ledger
from dslkit.report import Report
from dslkit.report import trend as trends

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.report.trend import Trend

NOW = datetime(2026, 10, 1, tzinfo=UTC)


def of(home: Path, scope: Scope, now: datetime = NOW) -> Trend | None:
    return Report(Ledger(home).snapshot(), scope, now=now).trend


def test_the_last_seven_days_against_the_seven_before(month_home) -> None:
    found = of(month_home, Scope())
    assert (found.before, found.lately[:14]) == ("the 7 before", "the 7 days to ")
    first, second = found.comparison.first.scope, found.comparison.second.scope
    assert first.until == second.since
    assert second.until - second.since == first.until - first.since == timedelta(days=7)


def test_a_short_history_is_halved(tmp_path) -> None:
    month.record(month.make(300, seed=2, runs=6, days=6), str(tmp_path))
    found = of(tmp_path, Scope())
    first, second = found.comparison.first.scope, found.comparison.second.scope
    assert timedelta(days=2) < second.until - second.since == first.until - first.since < timedelta(days=3)
    assert len(found.comparison.first.items) + len(found.comparison.second.items) >= 80


def test_a_period_against_the_one_before(month_home) -> None:
    found = of(month_home, Scope(since=datetime(2026, 9, 20, tzinfo=UTC), until=datetime(2026, 9, 30, tzinfo=UTC)))
    assert found.comparison.first.scope == Scope(
        since=datetime(2026, 9, 10, tzinfo=UTC), until=datetime(2026, 9, 20, tzinfo=UTC)
    )


def test_a_run_against_the_last_one_on_its_model(tmp_path) -> None:
    """The month's runs change their model: with six of them the first two are on one, the fourth on another."""
    made = month.make(300, seed=2, runs=6)
    month.record(made, str(tmp_path))
    ids = [run.run_id for run in made.runs]
    assert of(tmp_path, Scope(run=ids[2])).comparison.first.scope == Scope(run=ids[1])
    assert of(tmp_path, Scope(run=ids[3])) is None


@pytest.mark.parametrize("scope", [Scope(), Scope(run="nobody"), Scope(since=NOW - timedelta(days=1))])
def test_nothing_to_hold_it_against(tmp_path, scope) -> None:
    month.record(month.make(40, seed=2, runs=1), str(tmp_path))
    assert of(tmp_path, scope) is None
    assert of(tmp_path / "nowhere", scope) is None


def test_what_got_worse_is_said_first(tmp_path) -> None:
    """From the 16th on everything is on a dearer model, and nothing works."""
    middle = datetime(2026, 9, 16, tzinfo=UTC)
    made = month.make(1200, seed=2, runs=30)
    starts = [
        replace(one, request_model="gpt-4o" if one.started_at >= middle else "gpt-4o-mini") for one in made.starts
    ]
    ends = [replace(one, response_model=None) for one in made.ends]
    items = [replace(one, verdict="errors") if one.started_at >= middle else one for one in made.items]
    month.record(replace(made, starts=starts, ends=ends, items=items), str(tmp_path))
    found = of(tmp_path, Scope(since=middle, until=NOW))
    said = trends.answer(found)
    assert said.startswith("Worse: working items lower by ")
    assert "cost of an item 1" in said
    assert said.endswith("; this period against the period before.")
    html = "".join(trends.section(found))
    assert "The models differ: before gpt-4o-mini, lately gpt-4o." in html
    back = of(tmp_path, Scope(since=middle - timedelta(days=7), until=middle))
    assert trends.answer(back) == "No evidence of a change: this period against the period before."
