"""The follower sees each attempt once, when it has ended, wherever its line has gone by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger_writing import call, end, in_process, start

from dslkit.ledger import Ledger, LedgerRecorder
from dslkit.ledger.folder import Folder

if TYPE_CHECKING:
    from pathlib import Path


def ids(follower: object) -> list[str]:
    return [one["call_id"] for one in follower.look()]  # type: ignore[attr-defined]  # any follower


def test_from_now_on(ledger: Ledger) -> None:
    """Not what was before; not what is under way; each end once."""
    recorder = ledger.recorder()
    call(recorder)
    follower = ledger.follower()
    assert ids(follower) == []
    one = start()
    recorder.reserve(one)
    assert ids(follower) == []
    recorder.settle(end(one))
    assert ids(follower) == [one.call_id]
    assert ids(follower) == []


def test_through_rotation_compaction_and_other_processes(ledger: Ledger, home: Path) -> None:
    """What was written, sealed, taken in and archived between two looks is seen, once."""
    folder = Folder(home)
    folder.create()
    recorder = LedgerRecorder(folder, segment_bytes=2000)
    before = call(recorder)
    follower = ledger.follower()
    seen: list[str] = []
    wanted: list[str] = []
    for turn in range(4):
        wanted += [call(recorder) for _ in range(7)]
        recorder.flush()
        if turn % 2:
            seen += ids(follower)
        ledger.compact()
        seen += ids(follower)
    said = in_process(home, "print(call(recorder)); recorder.close(); Ledger(recorder._folder.home).compact()").stdout
    wanted.append(said.strip())
    seen += ids(follower)
    assert sorted(seen) == sorted(wanted)
    assert before not in seen
    assert len(list(folder.archive.glob("*.gz"))) > 4


def test_where_there_is_no_ledger_yet(home: Path) -> None:
    """It begins with whoever writes first."""
    ledger = Ledger(home)
    follower = ledger.follower()
    assert ids(follower) == []
    made = call(ledger.recorder())
    assert ids(follower) == [made]
