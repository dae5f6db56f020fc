"""Every figure of the report equals the same figure computed from the journal files in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import floor, log10
from typing import TYPE_CHECKING, Any

import journals
import pytest

from benchmarks import month
from dslkit.analysis import Scope
from dslkit.ledger import Ledger
from dslkit.report import figures
from dslkit.report.facts import gather
from dslkit.report.timeline import Bucket, bucket_for, timeline

if TYPE_CHECKING:
    from pathlib import Path

    from journals import Row

    from dslkit.report.facts import Facts
    from dslkit.report.figures import Timing

SINCE, UNTIL = datetime(2026, 9, 9, tzinfo=UTC), datetime(2026, 9, 21, 11, tzinfo=UTC)
TIMINGS: tuple[Timing, ...] = ("latency_s", "time_to_first_chunk_s", "throttle_wait_s")


@pytest.fixture(scope="module", params=[1, 2, 3])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ledger."""
    folder = tmp_path_factory.mktemp("ledger")
    month.record(month.make(400, seed=request.param, runs=7), str(folder))
    return folder


@pytest.fixture(scope="module", params=["everything", "one run", "a period"])
def scoped(request: pytest.FixtureRequest, home: Path) -> tuple[Facts, list[Row], list[Row]]:
    """A scope's facts, and its attempts and items read from the journal."""
    calls, items = journals.calls(home), journals.items(home)
    scope = Scope()
    if request.param == "one run":
        scope = Scope(run=calls[100]["run_id"])
        calls = [row for row in calls if row["run_id"] == scope.run]
        items = [row for row in items if row["run_id"] == scope.run]
    if request.param == "a period":
        scope = Scope(since=SINCE, until=UNTIL)
        calls = [row for row in calls if SINCE <= row["at"] < UNTIL]
        items = [row for row in items if SINCE <= datetime.fromisoformat(row["started_at"]) < UNTIL]
    assert calls
    assert items
    return gather(Ledger(home).snapshot(), scope), calls, items


def test_sums(scoped) -> None:
    facts, calls, _ = scoped
    found = asdict(figures.sums(facts))
    expected = journals.sums(calls)
    assert {name: found[name] for name in expected} == expected
    assert found["wait_s"] == pytest.approx(journals.total(calls, "throttle_wait_s"))
    assert found["busy_s"] == pytest.approx(journals.total(calls, "latency_s"))
    assert (found["first"], found["last"]) == (min(row["at"] for row in calls), max(row["at"] for row in calls))


@pytest.mark.parametrize(
    ("dimension", "key"),
    [
        ("model", lambda row: [row["request_model"]]),
        ("stage", lambda row: [row["stage"]]),
        ("run", lambda row: [row["run_id"]]),
        ("tag", lambda row: [f"{name} = {value}" for name, value in row["tags"].items()]),
    ],
)
def test_sums_by(scoped, dimension, key) -> None:
    facts, calls, _ = scoped
    found = {row.name: asdict(row) for row in figures.sums_by(facts, dimension)}
    expected = {name: journals.sums(rows) for name, rows in journals.grouped(calls, key).items()}
    assert {name: {k: row[k] for k in expected[name]} for name, row in found.items()} == expected
    costs = [row["cost_usd"] for row in found.values()]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("timing", TIMINGS)
def test_quantiles(scoped, timing) -> None:
    facts, calls, _ = scoped
    values = journals.timed(calls, timing)
    [found] = figures.quantiles(facts, timing)
    assert (found.count, found.longest) == (len(values), values[-1])
    assert found.none == sum(value < 0.001 for value in values)
    expected = [journals.percentile(values, part) for part in (0.5, 0.95, 0.99)]
    assert [found.p50, found.p95, found.p99] == pytest.approx(expected)


def test_quantiles_by_model(scoped) -> None:
    facts, calls, _ = scoped
    groups = journals.grouped(calls, lambda row: [row["request_model"]])
    expected = {name: journals.percentile(journals.timed(rows, "latency_s"), 0.95) for name, rows in groups.items()}
    found = figures.quantiles(facts, "latency_s", by_model=True)
    assert {row.name: row.p95 for row in found} == pytest.approx(expected)


@pytest.mark.parametrize("timing", TIMINGS)
def test_histogram(scoped, timing) -> None:
    facts, calls, _ = scoped
    bins = figures.histogram(facts, timing)
    values = [value for value in journals.timed(calls, timing) if value >= 0.001]
    expected = Counter(floor(log10(value) * figures.BINS_PER_DECADE) for value in values)
    assert [b.count for b in bins] == [expected[k] for k in range(min(expected), max(expected) + 1)]
    assert all(a.high == pytest.approx(b.low) for a, b in pairwise(bins))
    assert bins[0].low <= values[0] < bins[0].high


def test_failures(scoped) -> None:
    facts, calls, _ = scoped
    answered = {row["call_id"] for row in calls if row["outcome"] == "ok"}
    failed = [row for row in calls if row["outcome"] != "ok"]

    def kind(row: Row) -> tuple[Any, ...]:
        return row.get("http_status"), row.get("error_type"), row["outcome"]

    expected = Counter(map(kind, failed))
    recovered = Counter(kind(row) for row in failed if row["call_id"] in answered)
    found = figures.failures(facts)
    assert {(f.http_status, f.error_type, f.outcome): f.attempts for f in found} == expected
    assert {(f.http_status, f.error_type, f.outcome): f.recovered for f in found if f.recovered} == recovered


@pytest.mark.parametrize("order", ["cost_usd", "latency_s", "attempts"])
def test_top_calls(scoped, order) -> None:
    facts, calls, _ = scoped
    totals: dict[str, Any] = defaultdict(lambda: Decimal(0) if order == "cost_usd" else 0)
    for row in calls:
        if not row.get("cache_hit"):
            totals[row["call_id"]] += {"cost_usd": row["cost"], "latency_s": row.get("latency_s"), "attempts": 1}[
                order
            ] or 0
    expected = sorted((value for value in totals.values() if value > (order == "attempts")), reverse=True)[:8]
    found = figures.top_calls(facts, order, 8)
    assert [getattr(row, order) for row in found] == pytest.approx(expected)
    assert all(totals[row.call_id] == pytest.approx(getattr(row, order)) for row in found)


def test_items(home, scoped) -> None:
    """An item's cost is that of all its calls, also of those made after the period ended."""
    facts, _, items = scoped
    spent: dict[Any, Any] = defaultdict(list)
    for row in journals.calls(home):
        spent[row["run_id"], row["item_id"]].append(row)
    sums = figures.item_sums(facts)
    verdicts = Counter(row["verdict"] for row in items)
    assert (sums.items, sums.working, sums.clean, sums.errors, sums.failed) == (
        len(items), verdicts["working"], verdicts["clean"], verdicts["errors"], verdicts["failed"],
    )  # fmt: skip
    of_items = [row for item in items for row in spent[item["run_id"], item["item_id"]]]
    cost = sum((row["cost"] for row in of_items if row["cost"] is not None), Decimal(0))
    assert sums.cost_usd == cost
    assert sums.unpriced == sum(map(journals.unpriced, of_items))
    assert sums.cost_per_working == cost / verdicts["working"]
    for row in figures.items(facts, 10_000):
        own = spent[row.run_id, row.item_id]
        assert row.tokens == journals.total(own, "input_tokens") + journals.total(own, "output_tokens")
        assert row.calls == len({call["call_id"] for call in own})


def test_a_workflow_counts_once_and_as_it_was_found_last(tmp_path) -> None:
    """Made before the engine was there, then found to work; what was made elsewhere is reused here."""
    made = month.make(60, seed=3, runs=1)
    items = [replace(one, verdict="clean", engine="not run", key=f"{k}-a") for k, one in enumerate(made.items)]
    later = items[0].ended_at + timedelta(days=1)
    again = [
        replace(one, run_id="again", key=f"{k}-b", verdict="working", engine="succeeded", reused_from=one.run_id,
                started_at=later, ended_at=later)
        for k, one in enumerate(items[:2])
    ]  # fmt: skip
    month.record(replace(made, items=items), str(tmp_path))
    month.record(replace(made, starts=[], ends=[], runs=[], items=again), str(tmp_path))
    views = Ledger(tmp_path).snapshot()
    every = figures.item_sums(gather(views, Scope()))
    assert (every.items, every.working, every.clean) == (len(items), 2, len(items) - 2)
    assert (every.fresh_working, every.reused, every.repeated) == (2, 0, 2)
    assert len(figures.items(gather(views, Scope()), 10_000)) == len(items)
    alone = figures.item_sums(gather(views, Scope(run="again"), "alone"))
    assert (alone.items, alone.working, alone.fresh_working, alone.reused, alone.repeated) == (2, 2, 0, 2, 0)


def test_items_that_need_a_look_come_first(home) -> None:
    rows = figures.items(gather(Ledger(home).snapshot(), Scope()), 10_000)
    order = ["failed", "errors", "clean", "working"]
    assert [order.index(row.verdict) for row in rows] == sorted(order.index(row.verdict) for row in rows)


def test_timeline(scoped) -> None:
    facts, calls, _ = scoped
    first, last = min(row["at"] for row in calls), max(row["at"] for row in calls)
    found = timeline(facts, first, last)
    expected: dict[datetime, Decimal] = defaultdict(Decimal)
    for row in calls:
        expected[found.bucket.floor(row["at"])] += row["cost"] or 0
    if found.measure == "cost_usd":
        assert {bar.start: sum(bar.values) for bar in found.bars if any(bar.values)} == {
            start: cost for start, cost in expected.items() if cost
        }
    assert [bar.end for bar in found.bars[:-1]] == [bar.start for bar in found.bars[1:]]
    assert found.bars[0].start <= first
    assert found.bars[-1].start <= last < found.bars[-1].end


def test_timeline_adds_up_small_models_and_small_units(tmp_path) -> None:
    """Seven models, two of them shown as others, in columns of several minutes or seconds: nothing is lost."""
    made = month.make(300, seed=4, runs=1)
    starts = [replace(start, request_model=f"gpt-4o-{k % 7}") for k, start in enumerate(made.starts)]
    month.record(replace(made, starts=starts), str(tmp_path))
    calls = journals.calls(tmp_path)
    first, last = min(row["at"] for row in calls), max(row["at"] for row in calls)
    found = timeline(gather(Ledger(tmp_path).snapshot(), Scope()), first, last)
    assert found.bucket.size > 1
    assert len(found.series) == 5
    assert sum(sum(bar.values) for bar in found.bars) == sum(row["cost"] or 0 for row in calls)


def test_what_has_no_price_adds_up_to_what_the_usage_command_says(home) -> None:
    """Of unknown price, of unknown outcome; and what was refused or lost is neither."""
    ledger = Ledger(home)
    sums, usage = figures.sums(gather(ledger.snapshot(), Scope())), ledger.usage()
    assert (sums.unpriced, sums.unknown) == (usage.unknown_price_calls, usage.unknown_outcome_calls)
    assert (sums.calls, sums.attempts) == (usage.total_calls, usage.total_requests)
    assert min(sums.unpriced, sums.unanswered, sums.retries) > 0
    assert sums.cost_usd == usage.estimated_cost_usd
    assert sums.tokens == usage.total_tokens


@pytest.mark.parametrize(
    ("span", "bucket"),
    [
        (timedelta(), Bucket("second", 1)),
        (timedelta(minutes=4), Bucket("second", 5)),
        (timedelta(minutes=50), Bucket("minute", 1)),
        (timedelta(hours=10), Bucket("minute", 15)),
        (timedelta(days=2), Bucket("hour", 1)),
        (timedelta(days=30), Bucket("day", 1)),
        (timedelta(days=365), Bucket("week", 1)),
        (timedelta(days=5 * 365), Bucket("month", 1)),
        (timedelta(days=40 * 365), Bucket("year", 1)),
    ],
)
def test_bucket_suits_the_span(span, bucket) -> None:
    first = datetime(2024, 2, 28, 23, 59, 59, tzinfo=UTC)
    assert bucket_for(first, first + span) == bucket
    starts = list(bucket.between(first, first + span))
    assert len(starts) <= 125
    assert starts[0] <= first
    assert bucket.after(starts[-1]) > first + span
    assert all(bucket.floor(start) == start for start in starts)
