"""Verbs that read the ledger, over a ledger with two finished runs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from dslkit.cli import accounts, terminal
from dslkit.cli.accounts import instant, logged
from dslkit.cli.items import tell_items
from dslkit.errors import UsageError
from dslkit.records import Attribution, CallEnd, CallStart, Item, Run, Usage

if TYPE_CHECKING:
    from conftest import Dslkit


STARTED = CallStart(
    call_id="0b6e8a52-4c5e-4b0e-9d3e-0f4d6a3c2b1a",
    attempt=1,
    attribution=Attribution(run_id="refused", item_id="a"),
    provider_name="openai",
    operation_name="chat",
    request_model="gpt-4o-mini",
    estimated_input_tokens=1,
    estimated_output_tokens=1,
    request_bytes=1,
    stream=False,
    throttle_wait_s=0.0,
    started_at=datetime(2026, 11, 20, 12, tzinfo=UTC),
)
MADE = Item(
    run_id="third",
    item_id="a",
    key="k",
    model="offline",
    mode="simple",
    verdict="working",
    engine="not run",
    started_at=STARTED.started_at,
    ended_at=STARTED.started_at,
)


@pytest.fixture(autouse=True)
def _two_runs(dslkit: Dslkit) -> None:
    for language in ("German", "French"):
        dslkit("generate", f"Translate a text (variable text) into {language}.", "--no-engine", "-o", "t.yml")


def test_usage(dslkit: Dslkit) -> None:
    totals = json.loads(dslkit("usage", "--json").out)
    assert totals["total_requests"] == 2
    assert totals["models"]["offline"]["total_requests"] == 2
    assert totals["estimated_cost_usd"] == 0
    assert dslkit("usage").out.splitlines()[1].split()[:3] == ["offline", "2", "2"]
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
    assert [line.split()[4] for line in dslkit("runs").out.splitlines()[1:]] == ["–", "–"], "of no notebook"
    log = json.loads(dslkit("log", "--json", "--run", runs[0]["run_id"]).out)
    assert [(call["stage"], call["outcome"], call["status"]) for call in log] == [("configuration", "ok", 200)]
    assert len(dslkit("log", "--limit", "1").out.splitlines()) == 2


LEVELS = {
    ("ok", 200): "info",
    ("error", 429): "warning",
    ("error", 503): "error",
    ("error", None): "error",
    ("error", 200): "error",
    ("cancelled", None): "warning",
    ("unknown", None): "warning",
}


@pytest.mark.parametrize(("outcome", "status"), LEVELS)
def test_levels_of_the_log(outcome: str, status: int | None) -> None:
    assert logged({"outcome": outcome, "http_status": status})["level"] == LEVELS[outcome, status]


def test_calls_are_questions_and_attempts_are_each_time_one_is_sent(
    dslkit: Dslkit, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of one run `runs`, `usage` and the last line of a batch say the same, here of a server out of reach."""
    recorder = accounts.open_ledger().recorder()
    at = datetime.now(UTC)
    recorder.run(Run(run_id="refused", started_at=at, ended_at=at, status="completed"))
    for attempt in (1, 2, 3):
        recorder.reserve(replace(STARTED, attempt=attempt, started_at=at, request_model="house-model"))
        lost = CallEnd(call_id=STARTED.call_id, attempt=attempt, outcome="error", ended_at=at, latency_s=0.0)
        recorder.settle(replace(lost, error_type="APIConnectionError", usage=Usage(input_tokens=0, output_tokens=0)))
    recorder.item(replace(MADE, run_id="refused", verdict="failed", started_at=at, ended_at=at))
    recorder.close()
    assert json.loads(dslkit("runs", "--json").out)[0]["calls"] == 1
    totals = json.loads(dslkit("usage", "--run", "refused", "--json").out)
    assert (totals["total_requests"], totals["unknown_price_calls"]) == (3, 0)
    assert dslkit("usage", "--run", "refused").out.split()[-6:] == ["all", "1", "3", "0", "0", "$0.0000"]
    tell_items(accounts.open_ledger(), "refused", ["a"])
    assert "1 item: 1 failed; 1 call in 3 attempts, 0 tokens, $0.0000\n" in capsys.readouterr().out


class _LookedEnoughError(Exception):
    """In place of Ctrl-C."""


def test_log_follows(dslkit: Dslkit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each call as it ends, none for those before; unknown tokens and money are question marks."""
    recorder = accounts.open_ledger().recorder()
    known = replace(STARTED, attribution=Attribution(run_id="run-9", stage="quality"))
    ended = CallEnd(call_id=known.call_id, attempt=1, outcome="ok", ended_at=known.started_at, latency_s=1.5)
    turns = iter([
        replace(ended, http_status=200, usage=Usage(input_tokens=1000, output_tokens=100)),
        replace(ended, outcome="error", http_status=503, error_type="503"),
    ])  # fmt: skip

    def meanwhile(_: float) -> None:
        end = next(turns, None)
        if end is None:
            raise _LookedEnoughError
        recorder.reserve(known)
        recorder.settle(end)

    monkeypatch.setattr(accounts, "pause", meanwhile)
    with pytest.raises(_LookedEnoughError):
        accounts.log(follow=True)
    line = (
        "2026-11-20 12:00:00  {level}  0b6e8a52-4c5e-4b0e-9d3e-0f4d6a3c2b1a  gpt-4o-mini  {rest}  1.5 s  quality{error}"
    )
    good = line.format(level="info   ", rest="1,000 + 100 tokens  $0.00021  200", error="")
    bad = line.format(level="error  ", rest="? + ? tokens  ?  503", error="  503")
    assert capsys.readouterr().out.splitlines()[-2:] == [good, bad]


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


def test_a_run_by_the_beginning_of_its_id(dslkit: Dslkit) -> None:
    run_id = json.loads(dslkit("runs", "--json").out)[0]["run_id"]
    assert len(json.loads(dslkit("log", "--json", "--run", run_id[:8]).out)) == 1
    assert json.loads(dslkit("usage", "--json", "--run", run_id[:8]).out)["total_requests"] == 1
    for verb in ("log", "usage"):
        assert dslkit(verb, "--run", "nope").code == 2


def test_runs_that_tell_of_others_are_shown_when_asked_for(dslkit: Dslkit) -> None:
    recorder = accounts.open_ledger().recorder()
    recorder.run(Run(run_id="told", started_at=datetime.now(UTC), notebook="/ours/cost_report.ipynb"))
    recorder.close()
    assert "told" not in dslkit("runs").out
    assert "told" in dslkit("runs", "--all").out


def test_runs_count_what_is_unfinished(dslkit: Dslkit) -> None:
    recorder = accounts.open_ledger().recorder()
    at = datetime.now(UTC)
    recorder.run(Run(run_id="third", started_at=at, status="completed"))
    made = replace(MADE, started_at=at, ended_at=at)
    for each in (made, replace(made, item_id="b", verdict="failed"), replace(made, item_id="c", verdict="errors")):
        recorder.item(each)
    recorder.close()
    found = json.loads(dslkit("runs", "--json").out)[0]
    assert (found["run_id"], found["items"], found["unfinished"]) == ("third", 3, 2)


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_gets_fewer_columns(dslkit: Dslkit, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """A row is one line, with the short id whole."""
    recorder = accounts.open_ledger().recorder()
    recorder.run(Run(run_id="a" * 36, started_at=datetime.now(UTC), notebook="/ours/generate_batch.ipynb"))
    recorder.close()
    monkeypatch.setattr(terminal, "console", lambda: Console(width=width, highlight=False))
    head, first, *others = dslkit("runs").out.splitlines()
    assert len(others) == 2
    assert first.split()[0] == "a" * 8
    assert "generate_batch" in first
    assert {"run_id", "status", "unfinished"} <= set(head.split())
    head, *lines = dslkit("log").out.splitlines()
    assert {"started_at", "model", "item", "outcome"} <= set(head.split())
    assert len(lines) <= 2 * 3  # an item's id may be folded, nothing else


def test_a_long_answer_is_shown_in_part(dslkit: Dslkit) -> None:
    done = dslkit("sql", "SELECT range AS n FROM range(5000)")
    assert len(done.out.splitlines()) == 201
    assert "4,800 more rows" in done.err
    assert len(json.loads(dslkit("sql", "SELECT range AS n FROM range(5000)", "--json").out)) == 5000
