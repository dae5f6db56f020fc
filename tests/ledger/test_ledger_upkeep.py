"""verify, rebuild, prune, export, reprice: each says the truth and loses nothing it was not told to."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from ledger_writing import NOON, call, in_process, item, run, start

from dslkit.errors import UsageError
from dslkit.ledger import Ledger
from dslkit.ledger.folder import Folder
from dslkit.ledger.manifest import read_manifest, write_manifest
from dslkit.ledger.parts import read_part, write_part
from dslkit.pricing import Prices
from dslkit.records import Finding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLD = NOON - timedelta(days=60)


def rows(ledger: Ledger) -> list[Any]:
    return [
        ledger.calls().order("call_id, attempt").fetchall(),
        ledger.runs().order("run_id").fetchall(),
        ledger.items().order("item_id").fetchall(),
    ]


def codes(ledger: Ledger) -> set[tuple[str, str]]:
    return {(finding.severity, finding.code) for finding in ledger.verify().findings}


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months, three parts of calls, a run, items, a killed writer and one segment not taken in."""
    ledger = Ledger(tmp_path_factory.mktemp("made") / "home")
    recorder = ledger.recorder()
    for day in (OLD, NOON):
        for _ in range(4):
            call(recorder, started_at=day)
        recorder.item(
            item(f"item-{day:%m}", started_at=day, findings=(Finding(code="E", severity="error", message="m"),))
        )
        recorder.run(run(f"run-{day:%m}", started_at=day, status="completed"))
        recorder.close()
        ledger.compact()
    in_process(ledger.home, "call(recorder); recorder.reserve(start()); os.kill(os.getpid(), 9)")
    ledger.compact()
    call(recorder)
    recorder.close()
    return ledger.home


@pytest.fixture
def filled(made_once: Path, home: Path) -> Ledger:
    shutil.copytree(made_once, home, symlinks=True)
    return Ledger(home)


def test_a_sound_ledger_verifies(filled: Ledger) -> None:
    """With notes on what needs explaining."""
    found = filled.verify()
    assert not found.lost
    assert (found.calls, found.unknown_outcome, found.segments, found.living, found.archives) == (11, 1, 1, 0, 3)
    assert codes(filled) == {("note", "unknown-outcome"), ("note", "not-taken-in")}
    assert not Ledger(filled.home / "none").verify().findings


def _first(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite_a_cost(home: Path) -> None:
    """A part replaced, consistently with the manifest, by one with another sum."""
    folder = Folder(home)
    state = read_manifest(folder)
    old = state.of("calls")[0]
    with duckdb.connect() as connection:
        query = f"SELECT * REPLACE (cost_usd * 2 AS cost_usd) FROM ({read_part(folder, old)})"
        fresh = write_part(connection, folder, "calls", old.month, query)
    write_manifest(folder, replace(state, parts=tuple(fresh if part == old else part for part in state.parts)))


DAMAGE: dict[str, tuple[Callable[[Path], object], tuple[str, str], bool]] = {
    "a part is gone": (lambda home: _first(home / "ledger/parts", "calls-*").unlink(), ("error", "part-missing"), True),
    "a part is damaged": (
        lambda home: flip_a_byte(_first(home / "ledger/parts", "calls-*")), ("error", "part-damaged"), True),
    "a part is cut off": (
        lambda home: os.truncate(_first(home / "ledger/parts", "calls-*"), 2000), ("error", "part-damaged"), True),
    "a part has other sums than its segments": (rewrite_a_cost, ("error", "parts-differ"), True),
    "an archive is damaged": (
        lambda home: flip_a_byte(_first(home / "ledger/archive", "*.gz")), ("warning", "archive-damaged"), False),
    "an archive is gone": (
        lambda home: _first(home / "ledger/archive", "*.gz").unlink(), ("note", "archive-missing"), False),
    "a copy of the manifest is gone": (
        lambda home: (home / "ledger/manifest.json").unlink(), ("warning", "manifest-copy"), False),
    "the manifest is gone": (
        lambda home: [(home / "ledger" / name).unlink() for name in ("manifest.json", "manifest.copy.json")],
        ("error", "manifest"), True),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_verify_finds_and_rebuild_heals(filled: Ledger, name: str) -> None:
    """What is lost is an error; after a rebuild every row is back, once."""
    damage, wanted, lost = DAMAGE[name]
    before = rows(filled)
    damage(filled.home)
    assert wanted in codes(filled)
    assert filled.verify().lost is lost
    filled.rebuild()
    assert rows(filled) == before
    assert not filled.verify().lost
    filled.compact()
    assert rows(filled) == before
    assert {code for severity, code in codes(filled) if severity == "error"} == set()


def test_a_rebuild_gives_the_same_checksums(filled: Ledger) -> None:
    """And says so; for other tools as well."""
    before = rows(filled)
    done = filled.rebuild()
    assert (done.equal, done.segments, done.kept) == (True, 3, 0)
    assert rows(filled) == before
    with duckdb.connect(str(filled.home / "ledger.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (11,)


def test_a_rebuild_keeps_parts_that_have_no_archive(filled: Ledger) -> None:
    """With and without a manifest; and what shares a segment with them is not doubled."""
    before = rows(filled)
    for path in sorted((filled.home / "ledger/archive").glob("*.gz"))[:2]:
        path.unlink()
    assert filled.rebuild().kept > 0
    assert rows(filled) == before
    for name in ("manifest.json", "manifest.copy.json"):
        (filled.home / "ledger" / name).unlink()
    assert filled.rebuild().equal is None
    assert rows(filled) == before


def test_verify_counts_torn_lines(filled: Ledger) -> None:
    """They are no loss, but they are told."""
    (path,) = (filled.home / "ledger/journal").glob("*-*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"k":"end","call_id":"0b6e')
    filled.compact()
    assert ("note", "torn") in codes(filled)
    assert not filled.verify().lost


def test_pruning_removes_from_parts_and_archives(filled: Ledger) -> None:
    """For good: a rebuild does not bring anything back, and no file holds it any more."""
    old = filled.sql("SELECT call_id FROM calls ORDER BY started_at").fetchall()[0][0]
    done = filled.prune(NOON - timedelta(days=1))
    assert (done.rows, done.archives) == (6, 1)
    assert filled.usage(since=OLD).total_requests == 7
    assert [len(table) for table in rows(filled)] == [7, 1, 1]
    filled.rebuild()
    assert filled.usage(since=OLD).total_requests == 7
    assert not filled.verify().lost
    kept = [gzip.decompress(path.read_bytes()) for path in (filled.home / "ledger/archive").glob("*.gz")]
    assert old.encode() not in b"".join(kept)
    assert not list((filled.home / "ledger/parts").glob("*-2026-09-*"))


def test_pruning_within_a_segment(ledger: Ledger) -> None:
    """A segment with records of both sides of the instant loses those of before."""
    for day in (OLD, NOON):
        call(ledger.recorder(), started_at=day)
    ledger.recorder().close()
    assert ledger.prune(NOON).rows == 1
    assert ledger.usage().total_requests == 1
    (archive,) = (ledger.home / "ledger/archive").glob("*.gz")
    kinds = [json.loads(line)["k"] for line in gzip.decompress(archive.read_bytes()).splitlines()]
    assert kinds == ["head", "start", "end"]
    assert not ledger.verify().lost


@pytest.mark.parametrize("of_format", ["parquet", "csv"])
def test_export_as_files(filled: Ledger, tmp_path: Path, of_format: Any) -> None:
    """Every row of every view; again over the first."""
    for _ in range(2):
        paths = filled.export(tmp_path / "out", of_format)
    assert [path.name for path in paths] == [f"{name}.{of_format}" for name in ("calls", "runs", "items", "contents")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths)
    if of_format == "csv":
        with paths[0].open(newline="") as file:
            table = list(csv.DictReader(file))
        assert sum(Decimal(row["cost_usd"] or 0) for row in table) == Decimal("0.0021")
        assert json.loads(table[0]["tags"]) == {"team": "blue"}
    else:
        assert duckdb.read_parquet(str(paths[0])).order("call_id, attempt").fetchall() == rows(filled)[0]


def test_export_as_a_database(filled: Ledger, tmp_path: Path) -> None:
    """Tables, not views; an existing file is not touched."""
    target = tmp_path / "copy.duckdb"
    assert filled.export(target, "duckdb") == [target]
    with duckdb.connect(str(target), read_only=True) as connection:
        assert connection.execute("SELECT count(*), sum(cost_usd) FROM calls").fetchone() == (11, Decimal("0.0021"))
        assert connection.execute("SELECT DISTINCT table_type FROM information_schema.tables").fetchall() == [
            ("BASE TABLE",)
        ]
    with pytest.raises(UsageError, match="exists"):
        filled.export(target, "duckdb")
    with pytest.raises(UsageError, match="file"):
        filled.export(target, "csv")
    with pytest.raises(UsageError, match="xml"):
        filled.export(tmp_path / "x", "xml")  # type: ignore[arg-type]  # a caller without a type checker


def test_repricing_keeps_what_was_booked(home: Path, tmp_path: Path) -> None:
    """The latest price counts in every sum, before and after compaction; a second time changes nothing."""
    ledger = Ledger(home)
    recorder = ledger.recorder()
    known = call(recorder)
    unknown = call(recorder, request_model="house-model", ending={"response_model": "house-model"})
    free = call(recorder, ending={"cache_hit": True})
    recorder.reserve(start())
    assert ledger.usage().unknown_price_calls == 1
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "house-model"\ninput = 1\noutput = 10\n')
    recorder._prices = Prices(prices)  # as a process that starts with the new file
    done = ledger.reprice()
    assert (done.calls, done.changed, done.before_usd, done.after_usd) == (2, 1, Decimal(0), Decimal("0.002"))
    query = "SELECT call_id, cost_usd, booked_cost_usd, price_source FROM calls WHERE outcome = 'ok'"
    for _ in range(2):
        found = {call_id: tuple(rest) for call_id, *rest in ledger.sql(query).fetchall()}
        assert found[known] == (Decimal("0.00021"), Decimal("0.00021"), "genai-prices")
        assert found[unknown] == (Decimal("0.002"), None, "override")
        assert found[free] == (Decimal(0), Decimal(0), "cache")
        assert ledger.usage().estimated_cost_usd == Decimal("0.00221")
        assert ledger.usage().unknown_price_calls == 0
        recorder._open_calls.clear()
        recorder.close()
        ledger.compact()
    assert ledger.reprice().changed == 0
    assert not ledger.verify().lost
    with duckdb.connect(str(home / "ledger.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT sum(cost_usd) FROM calls").fetchone() == (Decimal("0.00221"),)
