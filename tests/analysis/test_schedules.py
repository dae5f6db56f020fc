"""Schedules against runs in a real ledger: what was expected, what happened, what was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.analysis.schedules import LOOKED_AT, Schedule, fields_of, forget, missed, register, schedules
from dslkit.batch.runs import SCHEDULE_TAG
from dslkit.errors import UsageError
from dslkit.ledger import Ledger
from dslkit.records import Run

if TYPE_CHECKING:
    from pathlib import Path

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 3, 6, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def nightly(**changes: Any) -> Schedule:
    return Schedule(
        **{
            "name": "nightly",
            "notebook": "generate_batch",
            "every": "0 2 * * *",
            "zone": "Etc/UTC",
            "since": SINCE,
            **changes,
        }
    )


def began(home: Path, *moments: datetime, schedule: str = "nightly") -> None:
    recorder = Ledger(home).recorder()
    for number, moment in enumerate(moments):
        run = Run(run_id=f"{schedule}-{moment:%d%H%M}-{number}", started_at=moment, tags={SCHEDULE_TAG: schedule})
        recorder.run(run)
    recorder.flush()


def expected(home: Path, now: datetime = NOW, **choices: Any) -> list[str]:
    return [f"{gone.expected:%d %H:%M}" for gone in missed(home, now, **choices)]


def test_without_schedules_nothing_is_missed(tmp_path: Path) -> None:
    assert missed(tmp_path, NOW) == ()
    assert not list(tmp_path.iterdir())


def test_what_never_began_is_missed(tmp_path: Path) -> None:
    """A run on time, one that came hours late, one just before time; nothing on the 3rd and the 5th."""
    register(tmp_path, nightly())
    began(
        tmp_path,
        datetime(2026, 3, 2, 2, tzinfo=UTC),
        datetime(2026, 3, 4, 9, tzinfo=UTC),
        datetime(2026, 3, 6, 1, 59, 58, tzinfo=UTC),
    )
    assert expected(tmp_path) == ["05 02:00", "03 02:00"]
    (latest, _) = missed(tmp_path, NOW)
    assert (latest.schedule, latest.notebook) == ("nightly", "generate_batch")
    assert expected(tmp_path, since=NOW - 2 * DAY) == ["05 02:00"]


def test_other_runs_do_not_count(tmp_path: Path) -> None:
    register(tmp_path, nightly())
    began(tmp_path, *(SINCE + day * DAY for day in range(6)), schedule="other")
    assert len(expected(tmp_path)) == 5


def test_a_run_that_is_only_just_due_is_not_missed_yet(tmp_path: Path) -> None:
    register(tmp_path, nightly(since=NOW - DAY))
    due = datetime(2026, 3, 6, 2, tzinfo=UTC)
    assert expected(tmp_path, due + timedelta(minutes=4)) == []
    assert expected(tmp_path, due + timedelta(minutes=6)) == ["06 02:00"]
    assert expected(tmp_path, due + timedelta(minutes=6), grace=timedelta(hours=1)) == []


def test_nothing_was_expected_before_a_schedule_was_set_up(tmp_path: Path) -> None:
    register(tmp_path, nightly(since=NOW))
    assert expected(tmp_path) == []


def test_only_so_many_times_are_looked_at(tmp_path: Path) -> None:
    register(tmp_path, nightly(every="* * * * *"))
    assert len(expected(tmp_path)) <= LOOKED_AT


def test_times_follow_their_zone() -> None:
    """02:30 does not exist in Berlin on the last Sunday of March: it is taken when the clocks have moved."""
    berlin = nightly(every="30 2 * * *", zone="Europe/Berlin")
    times = islice(berlin.times(after=datetime(2026, 3, 28, tzinfo=UTC)), 3)
    assert [f"{moment:%d %H:%M}" for moment in times] == ["28 01:30", "29 01:00", "30 00:30"]


def test_a_schedule_is_kept_and_forgotten(tmp_path: Path) -> None:
    made = nightly(parameters={"out": "workflows", "max_rounds": 1})
    register(tmp_path, made)
    register(tmp_path, nightly(name="hourly", every="@hourly"))
    assert schedules(tmp_path)[1] == made
    forget(tmp_path, "hourly")
    assert [schedule.name for schedule in schedules(tmp_path)] == ["nightly"]
    with pytest.raises(UsageError, match="There are: nightly"):
        forget(tmp_path, "hourly")


def test_a_damaged_schedule_is_told(tmp_path: Path) -> None:
    register(tmp_path, nightly())
    (tmp_path / "schedules" / "nightly.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        missed(tmp_path, NOW)


@pytest.mark.parametrize(
    ("every", "said"),
    [
        ("", "five fields"),
        ("0 2 * *", "five fields"),
        ("0 0 2 * * *", "five fields"),
        ("60 2 * * *", "Bad minute"),
        ("0 2 31 2 *", "comes true"),
        ("0 2 L * *", "not understood by every scheduler"),
        ("0 2 * * 5#2", "not understood by every scheduler"),
        ("0 2 * * 5L", "not understood by every scheduler"),
        ("@reboot", "five fields"),
    ],
)
def test_expressions_that_cannot_be_used(every: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fields_of(every)


def test_macros_and_names() -> None:
    assert fields_of("@Daily") == "0 0 * * *"
    assert fields_of("0 2 * jul mon-fri") == "0 2 * JUL MON-FRI"


@pytest.mark.parametrize("change", [{"name": "Nightly run"}, {"name": ""}, {"zone": "Mars/Olympus"}, {"every": "x"}])
def test_what_cannot_be_a_schedule(change: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        nightly(**change)
