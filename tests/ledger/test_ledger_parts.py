"""Segments become parts, parts become larger parts, and nothing is lost or counted twice on the way."""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from ledger_writing import NOON, call, end, in_process, item, run, start

from dslkit.errors import LedgerError
from dslkit.ledger import Ledger, LedgerRecorder, compaction, manifest, segments
from dslkit.ledger.compaction import GRACE_SECONDS, MERGE_FROM, compact, upkeep
from dslkit.ledger.folder import Folder
from dslkit.ledger.loading import load_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUMS = """SELECT count(*), count(DISTINCT call_id), sum(cost_usd), sum(input_tokens),
          count(*) FILTER (outcome = 'unknown') FROM calls"""


def sums(ledger: Ledger) -> tuple[Any, ...]:
    (row,) = ledger.sql(SUMS).fetchall()
    return row


def by_another_tool(home: Path) -> tuple[Any, ...]:
    """As any DuckDB client sees it."""
    with duckdb.connect(str(home / "ledger.duckdb"), read_only=True) as connection:
        row = connection.execute(SUMS).fetchone()
    assert row is not None
    return row


def segment(ledger: Ledger, calls: int = 3, **values: Any) -> None:
    """Some calls in a segment of their own, sealed."""
    for _ in range(calls):
        call(ledger.recorder(), **values)
    ledger.recorder().close()


def small_segments(home: Path, segment_bytes: int = 2000) -> LedgerRecorder:
    """A recorder that rotates after a few lines."""
    folder = Folder(home)
    folder.create()
    return LedgerRecorder(folder, segment_bytes=segment_bytes)


def test_compaction_changes_where_rows_lie_and_nothing_else(ledger: Ledger, home: Path) -> None:
    """For calls, runs, items and usage; for this package and for other tools; again and again."""
    segment(ledger, stage="a")
    ledger.recorder().run(run(status="completed"))
    ledger.recorder().item(item())
    segment(ledger, stage="b", started_at=NOON - timedelta(days=40))
    before = [ledger.calls().order("call_id").fetchall(), ledger.runs().fetchall(), ledger.items().fetchall()]
    done = ledger.compact()
    assert (done.segments, done.archived) == (2, 2)
    for _ in range(2):
        after = [ledger.calls().order("call_id").fetchall(), ledger.runs().fetchall(), ledger.items().fetchall()]
        assert after == before
        assert by_another_tool(home) == sums(ledger)
        assert ledger.compact().segments == 0
    months = {part.month for part in manifest.read_manifest(Folder(home)).parts}
    assert months == {"2026-10", "2026-11"}


def test_parts_are_merged_and_old_ones_stay_for_a_while(ledger: Ledger, home: Path) -> None:
    """A reader that began before may finish; after the grace period they are gone."""
    for _ in range(MERGE_FROM - 1):
        segment(ledger)
        ledger.compact()
    reader = ledger.calls()
    segment(ledger)
    assert compact(Folder(home), now=lambda: 1000.0).merged == MERGE_FROM - 1
    (part,) = manifest.read_manifest(Folder(home)).of("calls")
    assert (part.rows, part.sums["cost_usd"]) == (3 * MERGE_FROM, str(210_000 * 3 * MERGE_FROM))
    assert len(reader) == 3 * (MERGE_FROM - 1)
    assert sums(ledger)[:2] == by_another_tool(home)[:2] == (3 * MERGE_FROM, 3 * MERGE_FROM)
    compact(Folder(home), now=lambda: 1000.0 + GRACE_SECONDS - 1)
    assert len(list(Folder(home).parts.glob("calls-*.parquet"))) == 1 + MERGE_FROM
    compact(Folder(home), now=lambda: 1000.0 + GRACE_SECONDS)
    assert [path.name for path in Folder(home).parts.glob("calls-*.parquet")] == [part.file]
    assert sums(ledger)[0] == by_another_tool(home)[0] == 3 * MERGE_FROM


def test_open_calls_move_on_with_rotation(home: Path, ledger: Ledger) -> None:
    """Each segment stands alone: a call open across many rotations and compactions is one row at any time."""
    recorder = small_segments(home)
    long, lost = start(stage="long"), start(stage="lost")
    recorder.reserve(long)
    recorder.reserve(lost)
    recorder.run(run())
    for turn in range(1, 6):
        for _ in range(5):
            call(recorder, stage="short")
        recorder.flush()
        rotated = ledger.compact()
        assert rotated.segments >= 1
        found = dict(ledger.sql("SELECT stage, count(*) FROM calls GROUP BY stage").fetchall())
        assert found == {"long": 1, "lost": 1, "short": 5 * turn}
        assert by_another_tool(home)[0] == 5 * turn + 2
        assert ledger.sql("SELECT status FROM runs").fetchall() == [("running",)]
    recorder.settle(end(long))
    recorder.run(run(status="completed"))
    recorder.flush()
    recorder._journal.forked()  # lets go of its segment as a process does that dies
    for _ in range(2):
        found = ledger.sql("SELECT stage, outcome, count(*) FROM calls GROUP BY ALL ORDER BY ALL").fetchall()
        assert found == [("long", "ok", 1), ("lost", "unknown", 1), ("short", "ok", 25)]
        assert ledger.sql("SELECT status FROM runs").fetchall() == [("completed",)]
        assert by_another_tool(home)[0] == 27
        ledger.compact()


def test_a_segment_is_taken_in_after_the_earlier_ones_of_its_writer(home: Path, ledger: Ledger) -> None:
    """Else a call open across both could be judged by the wrong one."""
    recorder = small_segments(home)
    for _ in range(20):
        call(recorder)
    recorder.flush()
    folder = Folder(home)
    (first, *rest) = sorted(path.name for path in folder.journal.glob("*-*.jsonl"))
    assert len(rest) >= 2
    held = folder.journal / first
    held.rename(held.with_suffix(".open"))
    with held.with_suffix(".open").open("rb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        assert segments.ready(folder, manifest.Manifest()) == {}
    assert sums(ledger)[0] == 20


def test_what_moved_on_is_found_in_the_next_segment_wherever_it_is(home: Path) -> None:
    """Its writer seals it, or it is archived, at any moment: the open calls it took over are found all the same."""
    recorder = small_segments(home, segment_bytes=1000)
    recorder.reserve(start("0b6e8a52-4c5e-4b0e-9d3e-0f4d6a3c2b1a"))
    for _ in range(3):
        call(recorder)
    recorder.flush()
    folder = Folder(home)
    first, second = sorted(folder.journal.glob("*-*"))[:2]
    for _ in range(2):
        assert segments.moved_on(folder, {first.stem: first}) == {("0b6e8a52-4c5e-4b0e-9d3e-0f4d6a3c2b1a", 1)}
        segments.archive(folder, [second.stem])


def test_segments_are_read_wherever_they_have_gone(ledger: Ledger, home: Path) -> None:
    """Renamed or archived since they were listed: a reader beside busy writers need not begin again."""
    call(ledger.recorder())
    listed = Folder(home).segments()
    ledger.recorder().close()
    for _ in range(2):
        with duckdb.connect() as connection:
            load_lines(connection, listed)
            assert connection.execute("SELECT count(*) FROM lines WHERE k = 'end'").fetchone() == (1,)
        ledger.compact()
    for path in Folder(home).archive.glob("*.gz"):
        path.unlink()
    with duckdb.connect() as connection, pytest.raises(FileNotFoundError):
        load_lines(connection, listed)


def test_a_segment_of_a_newer_version_is_left_alone(ledger: Ledger, home: Path) -> None:
    """Its columns are not ours to drop; its rows are read as far as we know them."""
    segment(ledger)
    (path,) = Folder(home).journal.glob("*-*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"schema":2', b'"schema":99', 1))
    assert ledger.compact().segments == 0
    assert sums(ledger)[0] == 3


TAILS = {
    "torn in the middle of a line": b'{"k":"end","call_id":"0b6e',
    "a torn line and zeros": b'{"k":"end","call_id' + b"\0" * 4096,
    "not UTF-8": b'{"k":"end","call_id":"\xff\xfe"}\n',
    "another JSON": b'[1, 2]\n"text"\n7\n',
    "half of a pair": b'{"k":"end","error_message":"\\ud83d"}\n',
}


@pytest.mark.parametrize("tail", TAILS)
def test_damaged_tails_cost_nothing_but_themselves(ledger: Ledger, home: Path, tail: str) -> None:
    """They are passed over by every reader, and compaction counts them."""
    segment(ledger)
    (path,) = Folder(home).journal.glob("*-*.jsonl")
    with path.open("ab") as file:
        file.write(TAILS[tail])
    assert sums(ledger) == (3, 3, Decimal("0.000630000"), 3000, 0)
    ledger.compact()
    assert sums(ledger) == by_another_tool(home) == (3, 3, Decimal("0.000630000"), 3000, 0)
    skipped = manifest.read_manifest(Folder(home)).skipped
    assert list(skipped) == [path.stem]
    assert skipped[path.stem] >= 1


def test_zeros_at_the_end_are_room_never_used(ledger: Ledger, home: Path) -> None:
    """As a killed writer leaves them, or a power cut: nothing that was acknowledged, so nothing is torn."""
    segment(ledger)
    (path,) = Folder(home).journal.glob("*-*.jsonl")
    with path.open("ab") as file:
        file.write(b"\0" * 5000)
    assert sums(ledger) == by_another_tool(home) == (3, 3, Decimal("0.000630000"), 3000, 0)
    ledger.compact()
    assert sums(ledger) == (3, 3, Decimal("0.000630000"), 3000, 0)
    assert manifest.read_manifest(Folder(home)).skipped == {}


def test_a_killed_writer_between_creation_and_lock_is_never_robbed(home: Path, ledger: Ledger) -> None:
    """The race that loses records: an orphan is only what was named ``.open``, which is always locked first."""
    folder = Folder(home)
    folder.create()
    unborn = folder.journal / "0123456789abcdef-000001.new"
    unborn.write_bytes(b"")
    ledger.compact()
    assert unborn.exists()
    long_ago = unborn.stat().st_mtime - segments.UNBORN_SECONDS - 1
    os.utime(unborn, (long_ago, long_ago))
    ledger.compact()
    assert not unborn.exists()


def test_a_living_segment_is_not_sealed(ledger: Ledger, home: Path) -> None:
    """Compaction leaves writers alone."""
    call(ledger.recorder())
    assert ledger.compact().sealed == 0
    assert len(list(Folder(home).journal.glob("*.open"))) == 1
    in_process(home, "call(recorder); recorder.flush(); os._exit(0)")
    assert ledger.compact().sealed == 1


CRASHES: dict[str, tuple[Any, str]] = {
    "before the manifest": (compaction, "write_manifest"),
    "before the archive": (compaction, "clear"),
    "in the archive": (segments, "sync_folder"),
    "before the part has its name": (compaction, "write_kind"),
    "before the views": (compaction, "show_parts"),
    "in a merge": (compaction, "_hold_to"),
}


@pytest.mark.parametrize("moment", CRASHES)
def test_a_crash_of_compaction_is_harmless(
    ledger: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """At whatever step: readers see the same sums, and the next compaction finishes the work."""
    for _ in range(MERGE_FROM - 1):
        segment(ledger)
        ledger.compact()
    segment(ledger)
    module, name = CRASHES[moment]

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt(name)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, crash)
        with pytest.raises(KeyboardInterrupt):
            ledger.compact()
    wanted = (24, 24, Decimal("0.005040000"), 24000, 0)
    assert sums(Ledger(home)) == by_another_tool(home) == wanted
    ledger.compact()
    assert sums(Ledger(home)) == by_another_tool(home) == wanted
    folder = Folder(home)
    state = manifest.read_manifest(folder)
    named = {part.file for part in state.parts} | {one.file for one in state.replaced}
    assert {path.name for path in folder.parts.glob("*.parquet")} == named
    assert not list(folder.journal.glob("*-*"))
    assert len(list(folder.archive.glob("*.gz"))) == MERGE_FROM


def test_only_one_compacts_at_a_time(ledger: Ledger, home: Path) -> None:
    """The second says so, after as long as it was told to wait."""
    segment(ledger)
    with upkeep(Folder(home)), pytest.raises(LedgerError, match="Another process"):
        ledger.compact(wait_s=0)
    assert ledger.compact(wait_s=0).segments == 1


def test_an_archived_segment_that_comes_back_is_not_counted_again(ledger: Ledger, home: Path) -> None:
    """From a backup, say."""
    segment(ledger)
    ledger.compact()
    (archived,) = Folder(home).archive.glob("*.gz")
    name = archived.name.removesuffix(".gz")
    (Folder(home).journal / name).write_bytes(gzip.decompress(archived.read_bytes()))
    ledger.compact()
    assert sums(ledger)[0] == 3


def break_main_copy(folder: Folder) -> None:
    folder.manifest.write_bytes(folder.manifest.read_bytes()[:-20])


def delete_main_copy(folder: Folder) -> None:
    folder.manifest.unlink()


def zero_main_copy(folder: Folder) -> None:
    folder.manifest.write_bytes(b"\0" * 300)


@pytest.mark.parametrize("damage", [break_main_copy, delete_main_copy, zero_main_copy])
def test_a_damaged_manifest_has_a_copy(ledger: Ledger, home: Path, damage: Callable[[Folder], None]) -> None:
    """And the next compaction heals it."""
    segment(ledger)
    ledger.compact()
    damage(Folder(home))
    assert sums(ledger)[0] == 3
    segment(ledger)
    ledger.compact()
    assert sums(ledger)[0] == 6
    Folder(home).manifest_copy.unlink()
    assert sums(ledger)[0] == 6


def test_without_any_manifest_nothing_is_made_up(ledger: Ledger, home: Path) -> None:
    """Parts are there but what counts is not known: an error that says what to do, no wrong sum."""
    segment(ledger)
    ledger.compact()
    Folder(home).manifest.unlink()
    Folder(home).manifest_copy.unlink()
    with pytest.raises(LedgerError, match="ledger rebuild"):
        sums(ledger)
    with pytest.raises(LedgerError, match="ledger rebuild"):
        ledger.compact()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-99])])
def test_a_damaged_part_is_an_error(ledger: Ledger, home: Path, damage: Callable[[Path], None]) -> None:
    """Never a smaller sum."""
    segment(ledger)
    ledger.compact()
    (part,) = Folder(home).parts.glob("calls*.parquet")
    damage(part)
    with pytest.raises((LedgerError, duckdb.Error)):
        sums(ledger)


def test_another_tool_may_keep_the_views_open_for_ever(ledger: Ledger, home: Path) -> None:
    """It always reads the present, through compaction and merge, and hinders nobody."""
    segment(ledger)
    with duckdb.connect(str(home / "ledger.duckdb"), read_only=True) as connection:
        for turn in range(1, MERGE_FROM + 2):
            assert connection.execute(SUMS).fetchone() == sums(ledger)
            assert ledger.compact().segments == 1
            assert connection.execute(SUMS).fetchone() == sums(ledger)
            segment(ledger)
            assert connection.execute("SELECT count(*) FROM calls").fetchone() == (3 * turn + 3,)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x" * 100)])
def test_the_views_file_can_be_thrown_away(ledger: Ledger, home: Path, damage: Callable[[Path], None]) -> None:
    """It holds no row; compaction makes it again."""
    segment(ledger)
    ledger.compact()
    damage(home / "ledger.duckdb")
    assert sums(ledger)[0] == 3
    ledger.compact()
    assert by_another_tool(home) == sums(ledger)


def test_a_moved_ledger_reads_as_before(ledger: Ledger, home: Path, tmp_path: Path) -> None:
    """The views name the place; they follow at the next compaction."""
    segment(ledger)
    ledger.compact()
    moved = tmp_path / "elsewhere"
    shutil.copytree(home, moved, symlinks=True)
    shutil.rmtree(home)
    assert sums(Ledger(moved))[0] == 3
    Ledger(moved).compact()
    assert by_another_tool(moved)[0] == 3


def test_a_read_only_folder_reads_fine(ledger: Ledger, home: Path) -> None:
    """Reading writes nothing: not a byte changes."""
    segment(ledger)
    ledger.compact()
    segment(ledger, calls=1)
    paths = sorted(home.rglob("*"))
    before = [(path, path.lstat().st_mtime_ns, path.lstat().st_mode) for path in paths]
    for path in (*paths, home):
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        reader = in_process_reading(home)
        assert reader == "4"
        assert by_another_tool(home)[0] == 4
    finally:
        for path, _, mode in (*before, (home, 0, 0o755)):
            if not path.is_symlink():
                path.chmod(mode)
    assert [(path, path.lstat().st_mtime_ns, path.lstat().st_mode) for path in sorted(home.rglob("*"))] == before


def in_process_reading(home: Path) -> str:
    """Read as somebody to whom permissions apply, also where tests run as root."""
    program = f"from dslkit.ledger import Ledger; print(Ledger({str(home)!r}).usage().total_requests)"
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run([*bound, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_reset_starts_a_new_count_and_loses_no_row(ledger: Ledger) -> None:
    """Also when all of it lies in parts."""
    soon = datetime.now(UTC) + timedelta(days=1)
    segment(ledger)
    ledger.reset_usage()
    assert ledger.usage().total_requests == 0
    segment(ledger, calls=2, started_at=soon)
    ledger.compact()
    assert ledger.usage().total_requests == 2
    assert ledger.usage(since=NOON).total_requests == 5
    assert ledger.usage(run="run-1").total_requests == 5
    assert sums(ledger)[0] == 5


def test_a_listing_misses_no_segment_that_is_renamed_meanwhile(home: Path) -> None:
    """A large folder is listed in several looks, and a name that changes between two of them may be in neither."""
    folder = Folder(home)
    folder.create()
    names = [f"{number:016x}-000001" for number in range(3000)]
    for name in names:
        (folder.journal / f"{name}.open").touch()

    def seal_all() -> None:
        for name in names:
            (folder.journal / f"{name}.open").rename(folder.journal / f"{name}.jsonl")

    sealing = threading.Thread(target=seal_all)
    sealing.start()
    while sealing.is_alive():
        assert list(folder.segments()) == names
    sealing.join()
    assert {path.suffix for path in folder.segments().values()} == {".jsonl"}
