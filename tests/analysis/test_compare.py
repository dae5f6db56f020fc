"""Two runs held against each other: what is told apart, what is not, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import mean
from typing import TYPE_CHECKING

import pytest

from benchmarks import month
from dslkit.analysis import Scope, instant, scope_of
from dslkit.analysis.compare import compare
from dslkit.errors import UsageError
from dslkit.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.month import Month

NOW = datetime(2026, 9, 30, tzinfo=UTC)


def run_of(seed: int, name: str, *, calls: int = 140, model: str = "gpt-4o-mini") -> Month:
    """One run with its own id."""
    made = month.make(calls, seed=seed, runs=1)
    starts = [
        replace(
            start,
            request_model=model,
            call_id=f"{name}{start.call_id}"[:36],
            attribution=replace(start.attribution, run_id=name),
        )
        for start in made.starts
    ]
    ends = [replace(end, call_id=f"{name}{end.call_id}"[:36], response_model=None) for end in made.ends]
    items = [replace(item, run_id=name) for item in made.items]
    return replace(made, starts=starts, ends=ends, items=items, runs=[])


@pytest.fixture
def compared(tmp_path: Path):
    """Record two runs and compare them."""

    def make(first: Month, second: Month):
        for made in (first, second):
            month.record(made, str(tmp_path))
        return compare(Ledger(tmp_path).snapshot(), Scope(run="aaaaaaaa"), Scope(run="bbbbbbbb"))

    return make


def by_name(found) -> dict:
    return {change.name: change for change in found.changes}


def test_equal_runs_show_no_change(compared) -> None:
    found = compared(run_of(1, "aaaaaaaa"), run_of(1, "bbbbbbbb"))
    assert found.paired
    assert found.pairs == len(found.first.items)
    assert {change.evidence for change in found.changes} == {"none"}
    assert all(change.difference == 0 for change in found.changes)


def test_a_dearer_model_is_seen_though_nothing_else_changed(compared) -> None:
    changes = by_name(compared(run_of(1, "aaaaaaaa"), run_of(1, "bbbbbbbb", model="gpt-4o")))
    assert changes["Cost of an item"].evidence == "higher"
    assert changes["Tokens of an item"].evidence == "none"


def test_values_are_means_over_items(compared) -> None:
    found = compared(run_of(1, "aaaaaaaa"), run_of(2, "bbbbbbbb"))
    change = by_name(found)["Tokens of an item"]
    both = {item.item_id for item in found.first.items} & {item.item_id for item in found.second.items}
    assert change.first == pytest.approx(mean(item.tokens for item in found.first.items if item.item_id in both))
    assert change.low < change.difference < change.high
    working = by_name(found)["Working items"]
    assert working.first == mean(item.working for item in found.first.items if item.item_id in both)


def test_worse_verdicts_are_seen(compared) -> None:
    second = run_of(1, "bbbbbbbb")
    second = replace(second, items=[replace(item, verdict="errors") for item in second.items])
    assert by_name(compared(run_of(1, "aaaaaaaa"), second))["Working items"].evidence == "lower"


def test_different_items_are_two_samples(compared) -> None:
    second = run_of(1, "bbbbbbbb")
    second = replace(second, items=[replace(item, item_id=f"other-{item.item_id}") for item in second.items])
    found = compared(run_of(1, "aaaaaaaa"), second)
    assert not found.paired
    assert by_name(found)["Working items"].evidence == "none"


def test_reused_items_are_left_out(compared) -> None:
    second = run_of(1, "bbbbbbbb")
    second = replace(
        second, items=[replace(item, reused_from="aaaaaaaa") for item in second.items[:5]] + second.items[5:]
    )
    found = compared(run_of(1, "aaaaaaaa"), second)
    assert found.second.reused == 5
    assert found.pairs == len(found.first.items) - 5


def test_three_items_are_too_few(compared) -> None:
    changes = by_name(compared(run_of(1, "aaaaaaaa", calls=10), run_of(1, "bbbbbbbb", calls=10, model="gpt-4o")))
    assert changes["Cost of an item"].evidence == "too few"


def test_unknown_prices_are_left_out_of_cost(compared) -> None:
    found = compared(run_of(1, "aaaaaaaa"), run_of(1, "bbbbbbbb", model="house-model"))
    assert found.second.unpriced > 0
    assert by_name(found)["Cost of an item"].second is None
    assert by_name(found)["Cost of an item"].evidence == "too few"


def test_a_run_nobody_knows(tmp_path) -> None:
    with pytest.raises(UsageError, match="'nobody'"):
        compare(Ledger(tmp_path).snapshot(), Scope(run="nobody"), Scope())


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(), "no call or item at all"),
        (Scope(since=NOW), "no call or item from 2026-09-30 00:00[.]"),
        (Scope(since=NOW, until=NOW + timedelta(days=1)), "from 2026-09-30 00:00 before 2026-10-01 00:00[.]"),
    ],
)
def test_a_period_without_anything(tmp_path, scope, said) -> None:
    with pytest.raises(UsageError, match=said):
        compare(Ledger(tmp_path).snapshot(), scope, Scope())


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("20260901-abc", Scope(run="20260901-abc")),
        (
            "2026-09-01..2026-09-15",
            Scope(since=datetime(2026, 9, 1, tzinfo=UTC), until=datetime(2026, 9, 15, tzinfo=UTC)),
        ),
        ("7d..", Scope(since=NOW - timedelta(days=7))),
        ("..2026-09-01T12:00+02:00", Scope(until=datetime(2026, 9, 1, 10, tzinfo=UTC))),
        ("..", Scope()),
        ("", Scope()),
    ],
)
def test_scope_of(text, scope) -> None:
    assert scope_of(text, NOW) == scope


@pytest.mark.parametrize(("text", "age"), [("30d", timedelta(days=30)), ("12h", timedelta(hours=12))])
def test_ages(text, age) -> None:
    assert instant(text, NOW) == NOW - age
