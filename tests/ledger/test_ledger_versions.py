"""A ledger of each earlier schema version is read as it is and migrates by itself, without losing a digit."""

from __future__ import annotations

import shutil
import tarfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from ledger_writing import call

from dslkit.errors import LedgerError
from dslkit.ledger import Ledger, compaction, schema
from dslkit.ledger.compaction import compact
from dslkit.ledger.folder import Folder
from dslkit.ledger.manifest import read_manifest, write_manifest
from dslkit.ledger.packing import unpacked

EARLIER = [path.name.removesuffix(".tar.gz") for path in sorted(Path(__file__).parent.glob("version_*.tar.gz"))]


@pytest.fixture(params=EARLIER)
def earlier(request: pytest.FixtureRequest, home: Path) -> Ledger:
    """Written by the release that had this version: two months in parts, a repriced call, a reset, a sealed segment,
    and one whose writer died with a call under way.
    """
    with tarfile.open(Path(__file__).parent / f"{request.param}.tar.gz") as archive:
        archive.extractall(home, filter="data")
    return Ledger(home)


def rows(ledger: Ledger) -> list[list[Any]]:
    return [
        ledger.calls().order("call_id, attempt").fetchall(),
        ledger.runs().order("run_id").fetchall(),
        ledger.items().order("item_id").fetchall(),
    ]


def by_another_tool(home: Path) -> list[Any]:
    with duckdb.connect(str(home / "ledger.duckdb"), read_only=True) as connection:
        return connection.execute("FROM calls ORDER BY call_id, attempt").fetchall()


def versions(ledger: Ledger) -> set[int]:
    return {part.schema for part in read_manifest(Folder(ledger.home)).parts}


def test_there_are_files_of_each_earlier_version() -> None:
    """Whoever raises the version adds those of the one before."""
    assert [f"version_{number}" for number in range(1, schema.VERSION)] == EARLIER


def test_it_reads_as_it_was_written(earlier: Ledger) -> None:
    """Without being changed."""
    calls, runs, items = rows(earlier)
    assert (len(calls), len(runs), len(items)) == (11, 2, 2)
    usage = earlier.usage(run="run-1")
    assert (usage.total_requests, usage.prompt_tokens, usage.unknown_outcome_calls) == (11, 8000, 1)
    assert usage.estimated_cost_usd == 7 * Decimal("0.00021") + Decimal("0.5")
    assert earlier.usage().total_requests == 7  # since the reset, at noon
    found = earlier.sql("""SELECT DISTINCT latency_s, time_to_first_chunk_s, response_id, server_request_id FROM calls
        WHERE outcome = 'ok'""").fetchall()
    assert found == [(1.000001, 0.123457, "chatcmpl-1", "req_1")]
    assert not earlier.verify().lost
    assert max(versions(earlier)) < schema.VERSION


def test_compaction_migrates_it(earlier: Ledger) -> None:
    """Each row, also for other tools; a rebuild from the archives of the old version comes out the same."""
    before = rows(earlier)
    done = earlier.compact()
    assert (done.segments, done.rows) == (2, 3)
    assert versions(earlier) == {schema.VERSION}
    assert rows(earlier) == before
    assert by_another_tool(earlier.home) == before[0]
    assert not earlier.verify().lost
    assert earlier.rebuild().equal is True
    assert rows(earlier) == before


def test_recording_migrates_it_first(earlier: Ledger) -> None:
    """So that the views of this version meet only parts that they understand."""
    before = rows(earlier)[0]
    call(earlier.recorder())
    assert versions(earlier) == {schema.VERSION}
    assert len(by_another_tool(earlier.home)) == len(before) + 1


def test_a_crash_of_the_migration_is_harmless(earlier: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old parts count until the manifest names the new ones."""
    before = rows(earlier)

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(compaction, "write_manifest", crash)
        with pytest.raises(KeyboardInterrupt):
            earlier.compact()
    assert rows(earlier) == before
    earlier.compact()
    assert rows(earlier) == before


def test_a_rebuild_knows_old_parts_without_a_manifest(earlier: Ledger) -> None:
    """Their files say of which version they are."""
    before = rows(earlier)
    folder = Folder(earlier.home)
    for path in (folder.manifest, folder.manifest_copy):
        path.unlink()
    shutil.rmtree(folder.archive)
    folder.archive.mkdir()
    earlier.rebuild()
    earlier.compact()
    assert rows(earlier) == before
    assert versions(earlier) == {schema.VERSION}


def test_a_changed_row_does_not_migrate_unseen(earlier: Ledger) -> None:
    """A part is held to the checksum of its rows."""
    folder = Folder(earlier.home)
    (path, *_) = folder.parts.glob("calls-*.parquet")
    rows = unpacked("calls", [path], 1)
    duckdb.execute(f"COPY (SELECT * REPLACE (cost_usd * 2 AS cost_usd) FROM ({rows})) TO '{path}' (FORMAT parquet)")
    with pytest.raises(LedgerError, match="verify"):
        compact(folder)
    assert max(versions(earlier)) < schema.VERSION


def test_a_newer_ledger_is_refused_but_recorded_into(
    ledger: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older dslkit reads nothing it may misread; what it records waits in the journal for the newer one."""
    call(ledger.recorder())
    ledger.recorder().close()
    ledger.compact()
    with monkeypatch.context() as patched:
        patched.setattr("dslkit.ledger.manifest.VERSION", schema.VERSION + 1)
        write_manifest(Folder(home), read_manifest(Folder(home)))
    with pytest.raises(LedgerError, match="update"):
        ledger.usage()
    call(ledger.recorder())
    ledger.recorder().close()
    monkeypatch.setattr("dslkit.ledger.manifest.VERSION", schema.VERSION + 1)
    assert Ledger(home).usage().total_requests == 2
