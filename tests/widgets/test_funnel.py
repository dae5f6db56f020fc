"""The stages that the items of a run passed, counted from items and calls recorded by hand."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from dslkit.ledger import Ledger
from dslkit.records import Attribution, CallEnd, CallStart, Finding, Item, Judgement, Run, Usage
from dslkit.widgets import show
from dslkit.widgets.stages import funnel, funnels

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.records import EngineStatus, Verdict

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PLAN = Finding(code="plan-not-json", severity="error", message="no JSON")
NODE = Finding(code="missing-data", severity="error", message="no model")
CRASH = Finding(code="engine-failed", severity="error", message="division by zero")
MISSED = Judgement(inputs_exact=True, outputs_exact=False)
HELD = Judgement(inputs_exact=True, outputs_exact=True)


def item(
    name: str,
    verdict: Verdict,
    engine: EngineStatus = "not run",
    *,
    found: Finding | None = None,
    judgement: Judgement = HELD,
    file: bool = True,
    round_: str = "1",
) -> Item:
    return Item(
        run_id="r", item_id=name, key=name, model="gpt-4o-mini", mode="rag", verdict=verdict, engine=engine,
        started_at=NOW, ended_at=NOW + timedelta(seconds=1), findings=(found,) if found else (), judgement=judgement,
        artefact_sha256="0" * 64 if file else None, tags={"round": round_},
    )  # fmt: skip


def record(home: Path, items: list[Item], *, model: str = "gpt-4o-mini", run: str = "r") -> None:
    """The items, each with one call of a million input tokens ($0.15)."""
    recorder = Ledger(home).recorder()
    recorder.run(Run(run_id=run, started_at=NOW, status="completed", ended_at=NOW))
    for number, each in enumerate(items):
        recorder.item(replace(each, run_id=run))
        call_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run} {number}"))
        recorder.reserve(
            CallStart(
                call_id=call_id,
                attempt=1,
                attribution=Attribution(run_id=run, item_id=each.item_id),
                provider_name="openai",
                operation_name="chat",
                request_model=model,
                estimated_input_tokens=7,
                estimated_output_tokens=3,
                request_bytes=10,
                stream=False,
                throttle_wait_s=0.0,
                started_at=NOW,
            )
        )
        usage = Usage(input_tokens=1_000_000, output_tokens=0)
        recorder.settle(CallEnd(call_id=call_id, attempt=1, outcome="ok", ended_at=NOW, latency_s=1.0, usage=usage))
    recorder.flush()


EACH_STAGE = [
    item("refused", "failed", file=False, judgement=Judgement()),
    item("unreadable", "errors", found=PLAN, file=False, judgement=Judgement()),
    item("left-out", "errors", found=PLAN),
    item("misnamed", "working", "ran", judgement=MISSED),
    item("broken", "errors", found=NODE),
    item("crashing", "errors", "failed", found=CRASH, round_="2"),
    item("good", "working", "ran", round_="2"),
]


def test_each_stage_counts_what_passed_all_before(tmp_path: Path) -> None:
    record(tmp_path, EACH_STAGE)
    (all_,) = funnels("r", home=tmp_path)
    assert (all_.items, all_.passed) == (7, (5, 4, 3, 2, 1))
    assert all_.cost_usd == 7 * Decimal("0.15")
    assert all_.usd_a_working_one == Decimal("1.05")
    shown = funnel("r", home=tmp_path)
    assert "$1.05" in shown.html
    assert "71\u202f%" in shown.html
    assert shown.text == (
        "gpt-4o-mini, rag: 7 items, 5 parsed, 4 compiled, 3 exact names, 2 clean, 1 working, $1.05 a working one"
    )


def test_several_runs_count_together(tmp_path: Path) -> None:
    """A notebook run cell by cell has a run for each of its batches."""
    record(tmp_path, EACH_STAGE)
    record(tmp_path, [item("other", "working", "ran")], run="s")
    (both,) = funnels({"r", "s"}, home=tmp_path)
    assert (both.items, both.working, both.cost_usd) == (8, 2, 8 * Decimal("0.15"))
    assert show.spent(["r", "s"], home=tmp_path).calls == 8
    assert [each.items for each in show.by_mode(["r", "s"], home=tmp_path)] == [8]


def test_told_apart_by_a_tag(tmp_path: Path) -> None:
    record(tmp_path, EACH_STAGE)
    first, second = funnels("r", "round", home=tmp_path)
    assert (first.label, first.items, first.passed) == ("1", 5, (3, 2, 1, 0, 0))
    assert (second.label, second.items, second.passed) == ("2", 2, (2, 2, 2, 2, 1))
    assert second.usd_a_working_one == Decimal("0.3")
    assert [each.label for each in funnels("r", "nobody-has-it", home=tmp_path)] == [""]


def test_what_a_tag_says_is_escaped(tmp_path: Path) -> None:
    record(tmp_path, [item("one", "working", "ran", round_="<script>alert(1)</script>")])
    shown = funnel("r", "round", home=tmp_path).html
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(("engine", "told"), [("not run", "–"), ("failed", "0")])
def test_what_no_engine_ran_is_unknown_not_nothing(tmp_path: Path, engine: EngineStatus, told: str) -> None:
    record(tmp_path, [item("one", "clean" if engine == "not run" else "errors", engine)])
    shown = funnel("r", home=tmp_path)
    assert f"1 clean, {told} working, – a working one" in shown.text
    assert ("dslkit engine install" in shown.html) == (engine == "not run")


def test_an_unknown_price_makes_the_cost_unknown(tmp_path: Path) -> None:
    record(tmp_path, [item("good", "working", "ran")], model="nobody-knows-it")
    (only,) = funnels("r", home=tmp_path)
    assert (only.working, only.cost_usd, only.usd_a_working_one) == (1, None, None)


def test_a_run_without_items(tmp_path: Path) -> None:
    assert funnel("nothing", home=tmp_path).text == "No items."
