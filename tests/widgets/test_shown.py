"""What notebooks show of a run, of patterns and of settings; everything from outside is escaped."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dslkit.batch import generate_batch
from dslkit.knowledge import Knowledge
from dslkit.records import Finding, Item, Requirement
from dslkit.widgets import Progress, pattern_browser, patterns, settings_table, show

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HOSTILE = '<script>alert("x")</script>'


def test_a_run_in_tables_and_bars(tmp_path: Path) -> None:
    wanted = [Requirement(id=name, messages=(f"Translate a text (variable {name})",)) for name in ("one", "two")]
    result = asyncio.run(generate_batch(wanted, out=tmp_path / "out", engine=False))
    spent = show.spent(result.run_id)
    assert (spent.calls, str(spent).endswith("$0")) == (2, True)
    assert show.spent(result.run_id, "one").calls == 1
    items = show.items(result.run_id)
    assert items.text == "one: clean (not run), none\ntwo: clean (not run), none"
    assert str(tmp_path / "out" / "one.yml") in items.html
    assert "configuration: 2 calls, $0" in show.cost(result.run_id).text
    assert show.seconds(result.run_id).html.count("<li>") == 2
    again = asyncio.run(generate_batch(wanted, out=tmp_path / "out", engine=False))
    assert show.spent(again.run_id).cost_usd == 0
    assert "reused" in show.items(again.run_id).html
    assert "No call was made" in show.cost(again.run_id).text


def test_of_a_long_run_what_is_unfinished_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where the rest is."""
    monkeypatch.setattr(show, "MOST_ITEMS", 1)
    (tmp_path / "out" / "two.yml").mkdir(parents=True)
    wanted = [Requirement(id=name, messages=(f"Translate a text (variable {name})",)) for name in ("one", "two")]
    result = asyncio.run(generate_batch(wanted, out=tmp_path / "out", engine=False))
    items = show.items(result.run_id)
    assert "two: failed" in items.text
    assert "one: " not in items.text
    assert "1 more items are in the ledger: dslkit sql" in items.text
    assert result.run_id in items.html
    (tmp_path / "out" / "two.yml").rmdir()
    again = asyncio.run(generate_batch(wanted, out=tmp_path / "out", engine=False))
    assert "2 more items" in show.items(again.run_id).text
    monkeypatch.setattr(show, "MOST_BARS", 1)
    assert "And 1 quicker ones" in show.seconds(again.run_id).html


def test_findings_are_shown_with_their_remedy_and_escaped() -> None:
    finding = Finding(code="x", severity="error", message=HOSTILE, remedy="Name it.", node="n1")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    item = Item(
        run_id="r", item_id="i", key="k", model="m", mode="rag", verdict="errors", engine="not run",
        started_at=moment, ended_at=moment, findings=(finding,),
    )  # fmt: skip
    shown = show.outcome(item)
    assert "&lt;script&gt;" in shown.html
    assert "<script" not in shown.html
    assert "Name it." in shown.html
    assert "<style>" in shown._repr_mimebundle_()["text/html"]


def test_patterns_are_listed_ranked_and_drawn() -> None:
    knowledge = Knowledge(os.environ["DSLKIT_HOME"])
    known = knowledge.list()
    assert patterns.table(known).html.count("<tr>") == len(known) + 1
    matches = knowledge.search("translate a text", 3)
    assert patterns.chart(matches).html.count("<li>") == 3
    assert "<svg" in patterns.picture(matches[0].pattern).html


def test_the_browser_searches_and_picks() -> None:
    browser = pattern_browser()
    first = browser.pattern
    assert first is not None
    assert "<svg" in browser._picked.value
    assert len(browser._titles.options) == len(browser._all)

    async def search() -> None:
        browser._query.value = "classify a support ticket"
        await asyncio.gather(*browser._tasks)

    asyncio.run(search())
    assert 0 < len(browser._titles.options) <= 10
    assert browser.pattern is not None
    assert "ticket" in browser.pattern.text.lower() or "classif" in browser.pattern.text.lower()
    asyncio.run(browser.search(""))
    assert len(browser._titles.options) == len(browser._all)
    assert browser._all[0].title in browser.bundles()[0]["text/html"]


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "correct-horse-battery")
    shown = settings_table()
    bundle = "".join(shown._repr_mimebundle_().values())
    assert "correct-horse-battery" not in bundle
    assert "OPENAI_API_KEY=set (not shown)" in shown.text
    lines = {"DSLKIT_REQUESTS_PER_MINUTE=100", "DSLKIT_RATE_LIMIT_PERIOD=60", "DSLKIT_TRUSTED_PROXIES=none"}
    assert lines | {"DSLKIT_RATE_LIMIT_ENABLED=yes", "SENTRY_DSN=not set"} <= set(shown.text.splitlines())


def test_progress_counts_verdicts_and_is_drawn_sparingly(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 0.1, 1.0, 1.0, 1.2, 1.2])
    drawn: list[str] = []

    class Handle:
        def update(self, shown: object) -> None:
            drawn.append(shown.text)  # type: ignore[attr-defined]

    monkeypatch.setattr("dslkit.widgets.progress.display", lambda *_, **__: Handle())
    progress = Progress(3, label="rag", now=lambda: next(clock))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for verdict in ("working", "working", "failed"):
        progress(
            Item(
                run_id="r",
                item_id="i",
                key="k",
                model="m",
                mode="rag",
                verdict=verdict,
                engine="ran",
                started_at=moment,
                ended_at=moment,
            )  # type: ignore[arg-type]
        )
    assert len(drawn) == 2
    assert "rag: 2 of 3 (2 working), 0.50" in drawn[0]
    assert "3 of 3 (1 failed, 2 working), 1.20" in drawn[1]
