"""The page that holds two runs against each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rendering import render
from test_page import text_of

from benchmarks import month
from dslkit.errors import UsageError
from dslkit.report import read_comparison, write_comparison


@pytest.fixture
def home(tmp_path):
    """Two runs of the same items: the second on a dearer model."""
    first = month.make(140, seed=1, runs=1)
    run = first.runs[0].run_id
    starts = [
        replace(
            start,
            call_id=f"b{start.call_id[1:]}",
            request_model="gpt-4o",
            attribution=replace(start.attribution, run_id="second"),
        )
        for start in first.starts
    ]
    ends = [replace(end, call_id=f"b{end.call_id[1:]}", response_model=None) for end in first.ends]
    second = replace(first, starts=starts, ends=ends, items=[replace(i, run_id="second") for i in first.items], runs=[])
    for made in (first, second):
        month.record(made, str(tmp_path / "home"))
    return tmp_path / "home", run


def copied(folder, name: str, *, calls: int = 140, kept: int | None = None, **item) -> None:
    """Record the run of the fixture, or a shorter one, under another id."""
    made = month.make(calls, seed=1, runs=1)
    starts = [
        replace(
            start, call_id=f"{name}{start.call_id[len(name) :]}", attribution=replace(start.attribution, run_id=name)
        )
        for start in made.starts
    ]
    ends = [replace(end, call_id=f"{name}{end.call_id[len(name) :]}") for end in made.ends]
    items = [replace(one, run_id=name, **item) for one in made.items[:kept]]
    month.record(replace(made, starts=starts, ends=ends, items=items, runs=[]), str(folder))


def test_a_dearer_run(home, tmp_path) -> None:
    folder, run = home
    html = render(folder, tmp_path / "page.html", "compare_runs", first=run, second="second")
    text = text_of(html)
    assert "cost of an item" in text.split("A: run", maxsplit=1)[0]
    assert "times as much" in text
    assert text.count("no evidence of a change") == 7
    assert "The sides differ in more than chance. Model: A gpt-4o-mini, B gpt-4o." in text
    assert f"A: run {run} · B: run second" in text
    assert 'role="img" aria-label="Intervals of change' in html


def test_nothing_changed(home, tmp_path) -> None:
    folder, run = home
    copied(folder, "again")
    text = text_of(render(folder, tmp_path / "page.html", "compare_runs", first=run, second="again"))
    assert "No evidence of a change in any measure" in text
    assert "The sides differ" not in text


def test_a_run_with_itself_is_said_to_be_the_same(home, tmp_path) -> None:
    folder, run = home
    text = text_of(render(folder, tmp_path / "page.html", "compare_runs", first=run, second=run))
    assert "A and B are the same: nothing can differ." in text


def test_few_items_are_said_to_be_too_few(home, tmp_path) -> None:
    """And what else may be behind a difference: another mode, an engine that ran nothing."""
    folder, _ = home
    for name, mode, engine in (("few", "simple", "not run"), ("other", "multi_agent", "succeeded")):
        verdict = "clean" if engine == "not run" else "working"
        copied(folder, name, calls=8, kept=2, mode=mode, engine=engine, verdict=verdict)
    text = text_of(render(folder, tmp_path / "page.html", "compare_runs", first="few", second="other"))
    top = text.split("What is compared", maxsplit=1)[0]
    assert "Too few to tell" in top
    assert "8 are needed" in top
    assert "No evidence" not in top
    assert "Mode: A simple, B multi_agent." in top
    assert "A: Dify's engine did not run 2 of 2 items" in top
    assert "B: Dify" not in top


def test_different_periods_are_said_to_be_two_samples(month_home, tmp_path) -> None:
    periods = {"first": "..2026-09-12", "second": "2026-09-12.."}
    text = text_of(render(month_home, tmp_path / "page.html", "compare_runs", **periods))
    assert "compared as two samples" in text
    assert "A: the beginning to 2026-09-12 00:00 (UTC)" in text


def test_a_run_that_is_not_there(home, tmp_path) -> None:
    with pytest.raises(UsageError, match="no call or item of run 'nobody'"):
        _ = read_comparison(home[0], "nobody", home[1]).comparison
    with pytest.raises(UsageError, match="nobody"):
        write_comparison(home[0], tmp_path / "page.html", "nobody", home[1])
    assert not (tmp_path / "page.html").exists()
