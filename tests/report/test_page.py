"""What the report says of ledgers that are not as they should be, and that it is one small, still file."""

from __future__ import annotations

import itertools
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import journals
import pytest
from rendering import render

from benchmarks import month
from dslkit.errors import DslkitError, UsageError
from dslkit.ledger import Ledger
from dslkit.report import formats, read, write
from dslkit.report.pace import pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.month import Month

BIGGEST = 200_000


def text_of(html: str) -> str:
    """What a reader sees."""
    visible = re.sub(r"<(style|svg|title)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", visible)).replace("\u202f", " ").split())


def without_answers(made: Month) -> Month:
    """The same month, every attempt refused."""
    ends = [
        replace(
            end, outcome="error", usage=None, http_status=503, error_type="ServiceUnavailable", error_message="down"
        )
        for end in made.ends
    ]
    items = [replace(item, verdict="failed", engine="not run", error_message="No answer.") for item in made.items]
    return replace(made, ends=ends, items=items)


def of_model(name: str, provider: str = "openai") -> Callable[[Month], Month]:
    """The same month with one model."""
    return lambda made: replace(
        made,
        starts=[replace(start, request_model=name, provider_name=provider) for start in made.starts],
        ends=[replace(end, response_model=name) for end in made.ends],
    )


@pytest.fixture
def page(tmp_path) -> Callable[..., str]:
    """Record a month, changed, and render its report; returns what a reader sees."""

    def make(made: Month, **parameters: str) -> str:
        month.record(made, str(tmp_path / "home"))
        return text_of(render(tmp_path / "home", tmp_path / "report.html", **parameters))

    return make


def test_empty_ledger(tmp_path) -> None:
    text = text_of(render(tmp_path / "nowhere", tmp_path / "report.html"))
    assert "Nothing is recorded here yet" in text
    assert "dslkit batch" in text
    assert "Errors and retries" not in text  # a heading over nothing
    assert "How to read this" in text
    assert "None" not in text
    assert "nan" not in text
    assert not (tmp_path / "nowhere").exists()


def test_one_call(page) -> None:
    made = month.make(1, seed=3, runs=1)
    one = replace(made, starts=made.starts[:1], ends=[replace(made.ends[0], cache_hit=False)], items=[])
    text = page(one)
    assert "1 call cost $" in text
    assert "No item is recorded" in text


def test_all_failed(page) -> None:
    text = page(without_answers(month.make(40, seed=1, runs=2)))
    assert "and none was answered" in text
    assert "Failed attempts 100 %" in text
    assert re.search(r"0 of \d+ workflows work", text)
    assert "503 ServiceUnavailable" in text


def test_all_of_unknown_price(page) -> None:
    text = page(of_model("house-model")(month.make(60, seed=1, runs=2)))
    assert re.search(r"of \d+ attempts the price is unknown", text)
    assert re.search(r"Spend – \+ \d+ attempts of unknown price", text)
    assert "Tokens for each" in text  # nothing was spent that could be drawn
    assert "$0 " not in text.split("Where it went", maxsplit=1)[0]


def test_offline_model_is_said_to_be_none(page) -> None:
    text = page(of_model("offline", provider="dslkit")(month.make(40, seed=1, runs=1)))
    assert "No language model was called" in text
    assert "Nothing was spent on" in text


def test_partly_offline(page) -> None:
    made, other = month.make(40, seed=1, runs=1), of_model("offline", "dslkit")(month.make(40, seed=2, runs=1))
    both = replace(made, **{name: getattr(made, name) + getattr(other, name) for name in ("starts", "ends", "items")})
    assert "were answered by the offline stand-in, not by a language model" in page(both)


def test_unknown_outcomes_are_named(page) -> None:
    made = month.make(60, seed=1, runs=1)
    text = page(replace(made, ends=made.ends[:-3]))
    assert "3 attempts of unknown outcome" in text


def test_answers_within_a_millisecond_are_measured(page) -> None:
    made = month.make(30, seed=1, runs=1)
    ends = [replace(end, latency_s=end.latency_s and 0.0004) for end in made.ends]
    told = page(replace(made, ends=ends))
    assert "nothing was measured" not in told
    assert re.search(r"Latency of answered calls: \d+ calls, each within a millisecond", told)


def test_many_models(page) -> None:
    made = month.make(900, seed=1, runs=3)
    text = page(replace(made, starts=[replace(s, request_model=f"model-{k % 300}") for k, s in enumerate(made.starts)],
                        ends=[replace(end, response_model=None) for end in made.ends]))  # fmt: skip
    assert "And 288 other models" in text
    assert "other models" in text


def test_what_came_from_outside_is_escaped(tmp_path) -> None:
    month.record(of_model("<b>bold</b>")(month.make(30, seed=1, runs=1)), str(tmp_path / "home"))
    html = render(tmp_path / "home", tmp_path / "report.html", title="<i>")
    assert "<b>bold" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html


def test_a_run_alone(tmp_path) -> None:
    made = month.make(120, seed=1, runs=3)
    month.record(made, str(tmp_path / "home"))
    before, run, after = (each.run_id for each in made.runs)
    text = text_of(render(tmp_path / "home", tmp_path / "report.html", run=run))
    assert f"run {run}" in text
    assert after not in text
    assert f"This run against run {before}" in text
    assert text.lower().replace(f"run {before}", "").count(before) == 0  # but for what it is held against


def test_a_period_with_nothing_in_it(month_home, tmp_path) -> None:
    text = text_of(render(month_home, tmp_path / "report.html", since="2027-01-01"))
    assert "since 2027-01-01 00:00 (UTC)" in text


def test_change_against_the_period_before(month_home, tmp_path) -> None:
    """Ten days against the ten days before them, computed again from the journal."""
    calls = journals.calls(month_home)
    days = [datetime(2026, 9, day, tzinfo=UTC) for day in (5, 15, 25)]
    before, now = (
        journals.sums(row for row in calls if begin <= row["at"] < end) for begin, end in itertools.pairwise(days)
    )
    text = text_of(render(month_home, tmp_path / "report.html", since="2026-09-15", until="2026-09-25"))
    change = (now["calls"] / before["calls"] - 1) * 100
    assert f"{formats.signed(change)} %, before {before['calls']:,}" in text
    change = float(now["cost_usd"] / before["cost_usd"] - 1) * 100
    assert f"{formats.signed(change)} %, before {formats.usd(before['cost_usd'])}" in text
    assert text.count("points, before") == 2
    assert ", before" not in text_of(render(month_home, tmp_path / "all.html"))


def test_pace_of_the_month(month_home) -> None:
    """What was spent this month, and for each day that is left the mean of the last seven."""
    end = datetime(2026, 9, 21, tzinfo=UTC)
    known = [row for row in journals.calls(month_home) if row["cost"] is not None and row["at"] < end]
    so_far = sum(row["cost"] for row in known)
    recent = sum(row["cost"] for row in known if row["at"] >= end - timedelta(days=7))
    found = pace(Ledger(month_home).snapshot(), end)
    assert found.month == datetime(2026, 9, 1, tzinfo=UTC)
    assert found.so_far == so_far
    assert found.a_day == recent / 7
    assert found.estimate == so_far + recent / 7 * 10


@pytest.mark.parametrize("end", [datetime(2026, 11, 1, tzinfo=UTC), month.FIRST_DAY + timedelta(hours=20)])
def test_no_pace_without_recent_spend_or_a_day_of_history(month_home, end) -> None:
    assert pace(Ledger(month_home).snapshot(), end) is None


def test_the_last_month_is_over_at_its_end(month_home) -> None:
    found = pace(Ledger(month_home).snapshot(), datetime(2026, 10, 1, tzinfo=UTC))
    assert found.month.month == 9
    assert found.estimate == found.so_far


class _Elements(HTMLParser):
    """The elements of a page and whether they nest."""

    VOID = frozenset({"meta", "link", "br", "img", "line"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_one_small_still_file(month_home, tmp_path) -> None:
    """Written by the real notebook in a real kernel: no script, no handler, nothing fetched, well-formed."""
    output = write(month_home, tmp_path / "deep" / "report.html", title="September & <more>")
    html = output.read_text(encoding="utf-8")
    page = _Elements(html)
    assert page.names.isdisjoint({"script", "iframe", "object", "embed", "img", "base", "form"})
    assert not any(name.startswith("on") for name in page.attributes)
    assert page.attributes.isdisjoint({"src", "srcset", "action"})
    assert len(page.ids) == len(set(page.ids))
    assert re.findall(r"(?:https?:)?//[^\s\"'<]+", html) == []
    assert re.findall(r"url\(", html) == []
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert "<title>September &amp; &lt;more&gt;</title>" in html
    assert len(html.encode()) < BIGGEST
    assert [path.name for path in output.parent.iterdir()] == ["report.html"]


def test_every_chart_says_what_it_shows_and_has_its_numbers(month_home, tmp_path) -> None:
    html = render(month_home, tmp_path / "report.html")
    labels = re.findall(r'role="img" aria-label="([^"]+)"', html)
    assert len(labels) == 6
    assert all(re.search(r"\d", label) for label in labels)
    assert html.count("<details>") == html.count("<figure>") == 6
    assert html.count("<svg viewBox") == 12  # wide and narrow


def test_what_fails_in_the_notebook_is_told_and_leaves_no_file(month_home, tmp_path) -> None:
    (tmp_path / "home").mkdir()
    shutil.copytree(month_home / "ledger", tmp_path / "home" / "ledger")
    (tmp_path / "home" / "ledger" / "manifest.json").write_text("no manifest")
    with pytest.raises(DslkitError, match="notebook failed: LedgerError"):
        write(tmp_path / "home", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_wrong_date_is_told_before_a_kernel_starts(month_home, tmp_path) -> None:
    with pytest.raises(UsageError, match="'yesterday' is no date"):
        write(month_home, tmp_path / "report.html", since="yesterday")
    assert not (tmp_path / "report.html").exists()


def test_a_run_that_is_not_there_is_no_empty_report(month_home, tmp_path):
    with pytest.raises(UsageError, match="no run 'nobody'"):
        write(month_home, tmp_path / "report.html", run="nobody")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "-3d", "d"])
def test_instants_that_cannot_be_read(text, tmp_path) -> None:
    with pytest.raises(UsageError, match="no date"):
        read(tmp_path, since=text)
