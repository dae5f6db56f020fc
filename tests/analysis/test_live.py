"""What is read on from the journal equals what a snapshot says; snapshots are as rare as they are dear."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dslkit.analysis.live import Live, read_status
from dslkit.ledger import Ledger
from dslkit.records import Attribution, CallEnd, CallStart, Item, Run, Usage

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Hands:
    """Clocks that are set by hand."""

    def __init__(self) -> None:
        self.now, self.clock, self.spent = NOW, 0.0, 0.0
        self.cost = 0.0

    def spend(self) -> float:
        self.spent += self.cost
        return self.spent


def live_of(ledger: Ledger, hands: Hands) -> Live:
    return Live(ledger, now=lambda: hands.now, spent=hands.spend, clock=lambda: hands.clock)


def start(number: int, age_s: float) -> CallStart:
    return CallStart(
        call_id=f"00000000-0000-4000-8000-{number:012}",
        attempt=1,
        attribution=Attribution(run_id="r1", item_id=f"item-{number}", stage="configuration"),
        provider_name="openai",
        operation_name="chat",
        request_model="gpt-4o-mini",
        estimated_input_tokens=7,
        estimated_output_tokens=3,
        request_bytes=10,
        stream=False,
        throttle_wait_s=0.5,
        started_at=NOW - timedelta(seconds=age_s),
    )


def end(of: CallStart, *, outcome: str = "ok", latency_s: float = 2.0, cache_hit: bool = False) -> CallEnd:
    return CallEnd(
        call_id=of.call_id,
        attempt=1,
        outcome=outcome,  # type: ignore[arg-type] # a literal in each call
        ended_at=of.started_at + timedelta(seconds=latency_s),
        latency_s=latency_s,
        usage=Usage(input_tokens=1_000_000, output_tokens=0) if outcome == "ok" else None,
        http_status=200 if outcome == "ok" else 500,
        cache_hit=cache_hit,
    )


def test_attempts_that_end_between_snapshots_count_as_in_one(tmp_path: Path) -> None:
    ledger, hands = Ledger(tmp_path), Hands()
    recorder = ledger.recorder()
    under_way = start(1, 20)
    recorder.reserve(under_way)
    live = live_of(ledger, hands)
    assert live.look().open == 1
    recorder.settle(end(under_way))
    for number, age_s, outcome in ((2, 10, "error"), (3, 90, "ok"), (4, 3600, "ok")):
        recorder.reserve(start(number, age_s))
        recorder.settle(end(start(number, age_s), outcome=outcome, latency_s=number))
    recorder.reserve(start(5, 1))
    recorder.settle(end(start(5, 1), cache_hit=True))
    status = live.look()
    assert (status.attempts, status.errors, status.open, str(status.spent_today)) == (2, 1, 0, "0.450000000")
    assert status == read_status(ledger.snapshot(), NOW)
    assert live.look() == status, "nothing counts twice"


def item(number: int, verdict: str = "clean") -> Item:
    return Item(
        run_id="r1", item_id=f"item-{number}", key="k", model="m", mode="simple", verdict=verdict, engine="not run",
        started_at=NOW, ended_at=NOW,
    )  # type: ignore[arg-type] # a literal in each call  # fmt: skip


def test_runs_and_items_between_snapshots_count_as_in_one(tmp_path: Path) -> None:
    """A run that begins, its items, one of them made again, and its end: at once, each by what was read on."""
    ledger, hands = Ledger(tmp_path), Hands()
    live, recorder = live_of(ledger, hands), ledger.recorder()
    assert live.look().run is None
    run = Run(run_id="r1", started_at=NOW, notebook="some/where.ipynb", parameters={"requirements": "wishes.txt"})
    recorder.run(run)
    assert live.look() == read_status(ledger.snapshot(), NOW)
    for turn, (number, verdict) in enumerate(((1, "errors"), (2, "clean"), (1, "clean"))):
        recorder.item(item(number, verdict))
        recorder.reserve(start(turn, 5))
        recorder.settle(end(start(turn, 5)))
        assert live.look() == read_status(ledger.snapshot(), NOW)
    recorder.run(replace(run, status="completed", ended_at=NOW))
    status = live.look()
    assert status == read_status(ledger.snapshot(), NOW)
    assert status.run is not None
    assert (status.run["status"], status.run["items"], status.run["notebook"]) == ("completed", 2, "where.ipynb")


def test_a_snapshot_waits_as_long_as_it_is_dear(tmp_path: Path) -> None:
    """What only a snapshot tells is an attempt under way."""
    ledger, hands = Ledger(tmp_path), Hands()
    live = live_of(ledger, hands)
    hands.cost = 0.1
    assert live.look().open == 0
    ledger.recorder().reserve(start(1, 5))
    hands.clock = 9.9
    assert live.look().open == 0
    hands.clock = 10.0
    assert live.look().open == 1


def test_all_running_runs_are_shown_with_what_they_came_to(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    recorder = ledger.recorder()
    for number in range(3):
        begun = NOW - timedelta(minutes=9 - number)
        run = Run(run_id=f"r{number}", started_at=begun, parameters={"requirements": "wishes.txt"})
        recorder.run(run if number else replace(run, status="completed", ended_at=NOW))
    recorder.reserve(start(1, 20))
    recorder.settle(end(start(1, 20)))
    item = Item(
        run_id="r1", item_id="a", key="k", model="m", mode="simple", verdict="clean", engine="not run",
        started_at=NOW, ended_at=NOW,
    )  # fmt: skip
    for name in ("a", "b"):
        recorder.item(replace(item, item_id=name))
    runs = read_status(ledger.snapshot(), NOW).runs
    assert [run["run_id"] for run in runs] == ["r2", "r1"]
    assert (runs[1]["items"], runs[1]["verdicts"], runs[1]["requirements"]) == (2, {"clean": 2}, "wishes.txt")
    assert str(runs[1]["spent"]) == "0.150000000"


def test_several_threads_may_look(tmp_path: Path) -> None:
    """A monitor looks by itself while its notebook asks."""
    live = live_of(Ledger(tmp_path), Hands())
    with ThreadPoolExecutor(4) as pool:
        looks = list(pool.map(lambda _: live.look(), range(40)))
    assert {status.attempts for status in looks} == {0}
