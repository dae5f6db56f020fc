"""The monitor: its figures against calls recorded by hand."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from dslkit.analysis.live import read_status
from dslkit.ledger import Ledger
from dslkit.records import Attribution, CallEnd, CallStart, Run, Usage
from dslkit.settings import load_settings
from dslkit.widgets import live_monitor
from dslkit.widgets.monitor import drawn

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def record(
    ledger: Ledger, number: int, age_s: float, *, outcome: str | None = "ok", model: str = "gpt-4o-mini"
) -> None:
    call_id = f"00000000-0000-4000-8000-{number:012}"
    started = NOW - timedelta(seconds=age_s)
    ledger.recorder().reserve(
        CallStart(
            call_id=call_id,
            attempt=1,
            attribution=Attribution(run_id="r1"),
            provider_name="openai",
            operation_name="chat",
            request_model=model,
            estimated_input_tokens=7,
            estimated_output_tokens=3,
            request_bytes=10,
            stream=False,
            throttle_wait_s=0.5,
            started_at=started,
        )
    )
    if outcome is None:
        return
    usage = Usage(input_tokens=1_000_000, output_tokens=0) if outcome == "ok" else None
    ledger.recorder().settle(
        CallEnd(
            call_id=call_id,
            attempt=1,
            outcome=outcome,  # type: ignore[arg-type]
            ended_at=started + timedelta(seconds=2),
            latency_s=2.0,
            usage=usage,
        )
    )


def test_counts_what_is_recent(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    record(ledger, 1, 10)
    record(ledger, 2, 20, outcome="error")
    record(ledger, 3, 5, outcome=None)
    record(ledger, 4, 90)
    record(ledger, 5, 3600 * 5)
    record(ledger, 6, 3600 * 20)
    ledger.recorder().run(Run(run_id="r1", started_at=NOW - timedelta(minutes=1), notebook="x.ipynb"))
    ledger.recorder().flush()
    status = read_status(ledger.snapshot(), NOW)
    assert (status.attempts, status.errors, status.open) == (3, 1, 1)
    assert status.tokens == 1_000_000 + 10 + 10
    assert status.spent_today == Decimal("0.45")
    assert (status.p50, status.waited) == (2.0, 0.5)
    assert sum(status.columns) == 4
    assert status.columns[-2:] == (2, 1) or sum(status.columns[-3:]) == 3
    assert status.run is not None
    assert (status.run["notebook"], status.run["status"]) == ("x.ipynb", "running")
    html = drawn(status, load_settings())
    assert "of 100 allowed" in html
    assert "Latest run: x.ipynb, running" in html


def test_the_offline_model_has_no_limit(tmp_path: Path) -> None:
    ledger, settings = Ledger(tmp_path), load_settings().model_copy(update={"tokens_per_minute": 10})
    record(ledger, 1, 10, model="offline")
    record(ledger, 2, 90)
    html = drawn(read_status(ledger.snapshot(), NOW), settings)
    assert (html.count("no limit set"), "allowed" in html) == (2, False)
    record(ledger, 3, 10)
    html = drawn(read_status(ledger.snapshot(), NOW), settings)
    assert ("no limit set" in html, "of 100 allowed" in html) == (False, True)


def test_an_empty_ledger_is_shown_too(tmp_path: Path) -> None:
    status = read_status(Ledger(tmp_path).snapshot(), NOW)
    assert (status.attempts, status.run, sum(status.columns)) == (0, None, 0)
    assert "No run yet." in drawn(status, load_settings())


def test_follows_what_another_process_records() -> None:
    home = os.environ["DSLKIT_HOME"]

    async def watch() -> tuple[str, str]:
        monitor = live_monitor()
        monitor._task.cancel()  # its own clock is not waited for here
        before = monitor._view.value
        recorder = Ledger(home).recorder()
        recorder.run(Run(run_id="r2", started_at=datetime.now(UTC), notebook="appeared.ipynb"))
        recorder.flush()
        appeared = asyncio.Event()
        monitor._view.observe(lambda change: "appeared" in change["new"] and appeared.set(), "value")
        step = asyncio.ensure_future(monitor.watch())
        await appeared.wait()
        step.cancel()
        monitor.close()
        return before, monitor._view.value

    before, after = asyncio.run(asyncio.wait_for(watch(), 30))
    assert "No run yet." in before
    assert "appeared.ipynb, running" in after


def test_a_home_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor is there all the same, and shows the ledger once it can be read."""
    home = tmp_path / "home"
    (home / "ledger" / "manifest.json").parent.mkdir(parents=True)
    (home / "ledger" / "manifest.json").write_text("not a manifest")
    monkeypatch.setenv("DSLKIT_HOME", str(home))
    monitor = live_monitor()
    assert "LedgerError" in monitor._view.value
    (home / "ledger" / "manifest.json").unlink()
    monitor.refresh(monitor.read())
    assert "No run yet." in monitor._view.value
