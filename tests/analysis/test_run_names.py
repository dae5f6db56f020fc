"""Which run is meant by what somebody typed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from dslkit.analysis.runs import run_named, side_named
from dslkit.errors import UsageError
from dslkit.ledger import Ledger
from dslkit.records import Run

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.analysis.scope import Views

RUNS = ("abc1", "abc2", "abd", "abd-longer")


@pytest.fixture
def views(tmp_path: Path) -> Views:
    ledger = Ledger(tmp_path)
    recorder = ledger.recorder()
    for run_id in RUNS:
        recorder.run(Run(run_id=run_id, started_at=datetime(2026, 5, 4, tzinfo=UTC)))
    recorder.close()
    return ledger.snapshot()


@pytest.mark.parametrize(("text", "run_id"), [("abc1", "abc1"), (" abd-", "abd-longer"), ("abd", "abd")])
def test_a_beginning_names_a_run(views: Views, text: str, run_id: str) -> None:
    """A whole id is that run, also where another goes on from it."""
    assert run_named(views, text) == side_named(views, text) == run_id


@pytest.mark.parametrize(
    ("text", "said"), [("abc", "several run ids: abc1, abc2"), ("x%", "no run 'x%'"), ("", "no run")]
)
def test_what_names_none_or_several(views: Views, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run_named(views, text)


@pytest.mark.parametrize("period", ["", "2026-01-01..", "..30d", ".."])
def test_a_period_stays_as_it_is(views: Views, period: str) -> None:
    assert side_named(views, period) == period


def test_a_period_that_cannot_be_read(views: Views) -> None:
    with pytest.raises(UsageError, match="is no date"):
        side_named(views, "soon..")
