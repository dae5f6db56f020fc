"""Runs that did not end well, and those that a schedule should have had."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rendering import render
from test_page import text_of

from benchmarks import month
from dslkit.analysis import Scope
from dslkit.analysis.schedules import Schedule, register
from dslkit.ledger import Ledger
from dslkit.report import read
from dslkit.report.runs import LISTED, runs, section, told

NIGHTLY = Schedule(
    name="nightly", notebook="night.ipynb", every="0 2 * * *", since=datetime(2026, 9, 1, tzinfo=UTC), zone="Etc/UTC"
)


@pytest.fixture
def home(tmp_path):
    """Six runs, of which one failed, one was interrupted and one is under way."""
    made = month.make(60, seed=1, runs=6)
    endings = ("completed", "completed", "completed", "failed", "interrupted", "running")
    ended = [replace(run, status=status) for run, status in zip(made.runs, endings, strict=True)]
    ended[3] = replace(ended[3], error_type="ValueError", error_message="<b>no</b> such file")
    month.record(replace(made, runs=ended), str(tmp_path))
    return tmp_path


def test_counts_and_newest_first(home) -> None:
    """The one under way counts as neither."""
    found = runs(Ledger(home).snapshot(), Scope())
    assert told(found) == "3 runs completed, 1 failed, 1 interrupted."
    assert [one.at for one in found.broken] == sorted((one.at for one in found.broken), reverse=True)
    assert "ValueError: &lt;b&gt;no&lt;/b&gt; such file" in "".join(section(found))


def test_of_one_run_or_period(home) -> None:
    views = Ledger(home).snapshot()
    first = min(run[0] for run in views.execute("SELECT started_at FROM runs").fetchall())
    assert len(runs(views, Scope(until=first + timedelta(seconds=1)))) == 1
    assert len(runs(views, Scope(run="nobody"))) == 0


def test_missed_ones_show_on_the_page(home, tmp_path) -> None:
    """Ten nights in the period, none of which came true."""
    register(home, NIGHTLY)
    text = text_of(render(home, tmp_path / "report.html", since="2026-09-11", until="2026-09-21"))
    assert text.count("10 scheduled ones were missed.") == 2
    assert "2026-09-20 02:00 ○ missed nightly night.ipynb" in text
    assert "2026-09-21 02:00" not in text
    assert "2026-09-10 02:00" not in text


def test_many_are_counted(home) -> None:
    register(home, NIGHTLY)
    found = read(home, until="2026-10-01").runs
    assert found.of("missed") >= 28
    assert f"And {len(found.broken) - LISTED} earlier." in "".join(section(found))
