"""Verbs that read the ledger, over a ledger with two finished runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from dslkit.cli.accounts import instant
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from conftest import Dslkit


@pytest.fixture(autouse=True)
def _two_runs(dslkit: Dslkit) -> None:
    for language in ("German", "French"):
        dslkit("generate", f"Translate a text (variable text) into {language}.", "--no-engine", "-o", "t.yml")


def test_usage(dslkit: Dslkit) -> None:
    totals = json.loads(dslkit("usage", "--json").out)
    assert totals["total_requests"] == 2
    assert totals["models"]["offline"]["total_requests"] == 2
    assert totals["estimated_cost_usd"] == 0
    assert dslkit("usage").out.splitlines()[1].split()[:2] == ["offline", "2"]
    assert "configuration" in dslkit("usage", "--by", "stage").out


def test_usage_reset_loses_nothing(dslkit: Dslkit) -> None:
    dslkit("usage", "reset")
    assert json.loads(dslkit("usage", "--json").out)["total_requests"] == 0
    assert json.loads(dslkit("usage", "--json", "--since", "1d").out)["total_requests"] == 2


def test_usage_refuses_nonsense(dslkit: Dslkit) -> None:
    assert dslkit("usage", "--by", "weather").code == 2
    assert dslkit("usage", "--since", "yesterday").code == 2


def test_sql(dslkit: Dslkit) -> None:
    done = dslkit("sql", "SELECT count(*) AS n, max(cost_usd) AS cost FROM calls", "--json")
    assert json.loads(done.out) == [{"n": 2, "cost": 0.0}]
    wrong = dslkit("sql", "SELECT nothing FROM nowhere")
    assert wrong.code == 2
    assert "nowhere" in wrong.err
    assert dslkit("sql", "DROP TABLE calls").code == 2


def test_log_and_runs(dslkit: Dslkit) -> None:
    runs = json.loads(dslkit("runs", "--json").out)
    assert [run["status"] for run in runs] == ["completed", "completed"]
    assert [run["calls"] for run in runs] == [1, 1]
    log = json.loads(dslkit("log", "--json", "--run", runs[0]["run_id"]).out)
    assert [(call["stage"], call["outcome"], call["status"]) for call in log] == [("configuration", "ok", 200)]
    assert len(dslkit("log", "--limit", "1").out.splitlines()) == 2


@pytest.mark.parametrize(("age", "delta"), [("30d", timedelta(days=30)), ("12 h", timedelta(hours=12))])
def test_ages(age: str, delta: timedelta) -> None:
    found = instant(age)
    assert found is not None
    assert abs(datetime.now(UTC) - delta - found) < timedelta(minutes=1)


@pytest.mark.parametrize("text", ["2026-01-31", "2026-01-31T00:00:00", "2026-01-31T01:00:00+01:00"])
def test_dates_are_utc_unless_they_say_otherwise(text: str) -> None:
    assert instant(text) == datetime(2026, 1, 31, tzinfo=UTC)


def test_no_date() -> None:
    assert instant(None) is None
    with pytest.raises(UsageError, match="is no date"):
        instant("soon")
