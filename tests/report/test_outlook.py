"""Forecast against fact, the same calls otherwise, and the use of limits: computed again from the journal."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import journals
import pytest
from rendering import render
from test_page import text_of

from benchmarks import month
from dslkit.analysis import Scope
from dslkit.analysis.whatif import Used
from dslkit.connect import openai_client
from dslkit.ledger import Ledger
from dslkit.llm.limits import Limits
from dslkit.pricing import Prices
from dslkit.report import formats, outlook, read
from dslkit.report.facts import gather
from dslkit.report.throughput import Budgets, Peaks, bucket_of_minutes, budgets, in_force, limits_of, over_time, peaks
from dslkit.report.timeline import Bucket

if TYPE_CHECKING:
    from pathlib import Path

END = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture(scope="module", params=[4, 5])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    month.record(month.make(700, seed=request.param, runs=12), str(folder))
    return folder


def test_what_runs_took(home) -> None:
    calls, items = journals.calls(home), journals.items(home)
    waited: dict[tuple[str, str], float] = defaultdict(float)
    for row in calls:
        waited[row["run_id"], row["item_id"]] += row["throttle_wait_s"]
    found = outlook.outlooks(Ledger(home).snapshot(), Scope(), Prices(), END)
    assert len(found) == outlook.LISTED_RUNS
    assert [one.began for one in found] == sorted((one.began for one in found), reverse=True)
    for one in found:
        own = [row for row in calls if row["run_id"] == one.taken.run_id]
        made = [row for row in items if row["run_id"] == one.taken.run_id]
        assert one.taken.items == len(made)
        assert one.taken.calls == len({row["call_id"] for row in own if not row.get("cache_hit")})
        assert one.taken.tokens == journals.total(own, "input_tokens") + journals.total(own, "output_tokens")
        assert one.taken.unpriced == sum(map(journals.unpriced, own))
        costs = [row["cost"] for row in own if row["cost"] is not None]
        assert one.taken.cost_usd == (sum(costs) if costs else None)
        work = 0.0
        for row in made:
            took = datetime.fromisoformat(row["ended_at"]) - datetime.fromisoformat(row["started_at"])
            work += max(took.total_seconds() - waited[row["run_id"], row["item_id"]], 0.001)
        assert one.taken.work_s == pytest.approx(work)


def test_only_what_was_known_by_then_counts(home) -> None:
    """The first run has nothing to go by; each later one has no more than what had ended before it."""
    items = journals.items(home)
    for one in outlook.outlooks(Ledger(home).snapshot(), Scope(), Prices(), END):
        before = [row for row in items if datetime.fromisoformat(row["ended_at"]) <= one.began]
        assert one.expected.past <= len(before)
        assert one.expected.own == sum(row["model"] == one.taken.model for row in before) or one.expected.past < 8
    first = min(items, key=lambda row: row["started_at"])["run_id"]
    [alone] = outlook.outlooks(Ledger(home).snapshot(), Scope(run=first), Prices(), END)
    assert (alone.taken.run_id, alone.expected.past) == (first, 0)


def test_expected_prices_are_those_of_the_day(home) -> None:
    for one in outlook.outlooks(Ledger(home).snapshot(), Scope(), Prices(), END):
        assert (one.expected.cost_usd is None) == (one.taken.model == "house-model")


def test_the_page_shows_both(home, tmp_path) -> None:
    text = text_of(render(home, tmp_path / "report.html"))
    latest = outlook.outlooks(Ledger(home).snapshot(), Scope(), Prices(), END)[0]
    low, high = (formats.compact(round(edge)) for edge in (latest.expected.tokens.low, latest.expected.tokens.high))
    assert f"({low} – {high})".replace("\u202f", " ") in text
    assert formats.compact(latest.taken.tokens).replace("\u202f", " ") in text
    assert "all on gpt-4o-mini" in text
    assert "all on house-model" not in text
    assert "on house-model, whose price is not known" in text


def test_runs_of_the_offline_model_are_not_expected_to_teach(tmp_path) -> None:
    made = month.make(60, seed=1, runs=2)
    month.record(made, str(tmp_path))
    assert outlook.outlooks(Ledger(tmp_path).snapshot(), Scope(since=END), Prices(), END + timedelta(days=9)) == []


@pytest.mark.parametrize("days", [0, 9])
def test_busiest_minutes(home, days) -> None:
    rows = [row for row in journals.calls(home) if not row.get("cache_hit")]
    scope = Scope()
    if days:
        scope = Scope(since=month.FIRST_DAY, until=month.FIRST_DAY + timedelta(days=days))
        rows = [row for row in rows if row["at"] < scope.until]
    bucket = bucket_of_minutes(min(row["at"] for row in rows), max(row["at"] for row in rows))
    requests: Counter[tuple[str, datetime]] = Counter()
    tokens: Counter[tuple[str, datetime]] = Counter()
    for row in rows:
        minute = row["request_model"], row["at"].replace(second=0, microsecond=0)
        requests[minute] += 1
        tokens[minute] += (row.get("input_tokens") or 0) + (row.get("output_tokens") or 0)
    found = peaks(gather(Ledger(home).snapshot(), scope), bucket)
    assert {one.model for one in found} == {model for model, _ in requests}
    for one in found:
        assert one.most("requests") == max(n for (model, _), n in requests.items() if model == one.model)
        assert one.most("tokens") == max(n for (model, _), n in tokens.items() if model == one.model)
        assert one.attempts == sum(row["request_model"] == one.model for row in rows)
        assert one.waited == sum(row["request_model"] == one.model and row["throttle_wait_s"] >= 0.001 for row in rows)
        for start, (most, _) in one.by_bucket.items():
            inside = [n for (model, at), n in requests.items() if model == one.model and bucket.floor(at) == start]
            assert most == max(inside)


def test_a_model_has_one_colour_on_the_page(home) -> None:
    """The chart of limits begins with the models of the chart of spend, in their order."""
    report = read(home)
    spend, requests, tokens = (
        re.findall("<bdi>(.*?)</bdi>", legend)
        for section in (report.spend_over_time(), report.limits_used())
        for legend in re.findall('<ul class="legend">(.*?)</ul>', section.html)
    )
    assert len(spend) > 1
    assert requests[: len(spend)] == tokens[: len(spend)] == spend
    assert len(requests) > len(spend)  # also the model without a price


def test_limits_are_those_that_the_throttle_holds(tmp_path) -> None:
    limits = Limits(requests=90, tokens=30_000, window_s=30)
    client = openai_client(answer=lambda _: "yes", limits=limits, settings=settings(tmp_path))
    client.chat.completions.create(model="offline", messages=[{"role": "user", "content": "hello"}])
    client.close()
    held = limits_of(tmp_path / "throttle")
    assert held == {("offline", "requests"): 180, ("offline", "tokens"): 60_000}
    report = read(tmp_path)
    assert report.limits == held
    bucket = bucket_of_minutes(report.overview.sums.first, report.overview.sums.last)
    shown = over_time(peaks(report.facts, bucket), "requests", bucket, held)
    assert "offline: at most 1 of 180." in shown
    assert "1 % of 180" in report.limits_used()._repr_html_().replace("\u202f", " ")


def settings(home: Path):
    from dslkit.settings import Settings

    return Settings(home=home)


def test_limits_that_no_process_holds_are_those_of_the_settings(home, monkeypatch) -> None:
    monkeypatch.setenv("DSLKIT_REQUESTS_PER_MINUTE", "40")
    assert limits_of(home / "throttle") == {}
    shown = read(home).limits_used()._repr_html_()
    assert "of 40" in shown
    assert "no limit is set" in shown  # of tokens


def test_the_stand_in_has_no_limit() -> None:
    found = [Peaks("offline", 1, 0, {END: (1, 9)}), Peaks("gpt-4o", 1, 0, {END: (1, 9)})]
    assert in_force(found, {("gpt-4o", "tokens"): 7}, {"requests": 5, "tokens": 6}) == {
        ("gpt-4o", "requests"): 5,
        ("gpt-4o", "tokens"): 7,
    }
    assert "no limit applies to the offline stand-in" in over_time(found[:1], "requests", Bucket("minute", 1), {})


def test_a_recorded_cost_with_unknown_parts_is_a_lower_bound() -> None:
    """Calls made before a price was known, of a model whose price is known now."""
    calls = Used("openai", "gpt-4o", 9, 9000, 0, 0, 900, 0, Decimal("0.02"), 3)
    html = outlook.alternatives([calls], Prices(), END)
    assert "≥ $0.020" in html
    assert "\u202f%" not in html  # no share of what is not known


def test_without_any_price_nothing_is_said_to_cost() -> None:
    calls = Used("openai", "house-model", 9, 9000, 0, 0, 900, 0, None, 9)
    assert "No price is known" in outlook.alternatives([calls], Prices(), END)


def test_spend_against_its_budgets(home) -> None:
    """The dearest day and run, each against what it may spend."""
    rows = [row for row in journals.calls(home) if row["cost"]]
    days, runs = Counter(), Counter()
    for row in rows:
        days[f"{row['at']:%Y-%m-%d}"] += row["cost"]
        runs[row["run_id"]] += row["cost"]
    facts = gather(Ledger(home).snapshot(), Scope())
    text = text_of(budgets(facts, Budgets(Decimal(3), Decimal(2))))
    for what, spent, limit in (("UTC day", days, 3), ("Run", runs, 2)):
        [(which, most)] = spent.most_common(1)
        used = formats.share(most, limit).replace("\u202f", " ")
        assert f"{what} {which} {formats.usd(most)} ${limit}.00 {used}" in text
    assert budgets(facts, Budgets()) == ""
