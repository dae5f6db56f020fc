"""Holding the ledger to itself: what is there, what is not known, and whether anything was lost."""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from dslkit.errors import LedgerError
from dslkit.ledger import schema
from dslkit.ledger.compaction import records
from dslkit.ledger.folder import OPEN, network_filesystem
from dslkit.ledger.manifest import is_whole
from dslkit.ledger.parts import measure, measured, nothing, read_part
from dslkit.ledger.rebuilding import is_sound, loaded, segments_of, since
from dslkit.ledger.segments import is_readable
from dslkit.ledger.session import connect
from dslkit.ledger.snapshot import open_snapshot, take_state
from dslkit.records import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dslkit.ledger.folder import Folder
    from dslkit.ledger.manifest import Manifest, Part
    from dslkit.ledger.parts import Measure
    from dslkit.ledger.snapshot import State
    from dslkit.records import Severity

_REBUILD = "Run `dslkit ledger rebuild`: it makes the parts again from the archived segments."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification found.  Counts first, then findings: an ``error`` is a loss, a ``note`` explains."""

    calls: int = 0
    unknown_outcome: int = 0
    segments: int = 0
    living: int = 0
    parts: int = 0
    archives: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether anything that was recorded cannot be read."""
        return any(finding.severity == "error" for finding in self.findings)


def verify(folder: Folder) -> Verified:
    """Check manifest, parts, archives and journal against each other; it takes no lock and writes nothing."""
    try:
        state = take_state(folder)
    except LedgerError as error:
        if isinstance(error.__cause__, OSError):
            raise  # whatever is there cannot be looked at, so nothing can be said of it
        return Verified(findings=(_finding("error", "manifest", str(error), _REBUILD),))
    with contextlib.closing(connect()) as connection:
        findings = [
            *_of_the_place(folder),
            *_of_parts(connection, folder, state.manifest),
            *_of_archives(connection, folder, state.manifest),
            *_of_torn_lines(state.manifest),
            *_of_the_journal(state),
        ]
        counts = {"segments": len(state.segments), "living": len(state.living), "parts": len(state.manifest.parts)}
        with contextlib.suppress(LedgerError, duckdb.Error):  # then a finding above says what cannot be read
            counts |= _calls(open_snapshot(connection, folder))
    unknown = counts.get("unknown_outcome", 0)
    if unknown:
        text = f"{unknown} attempts are of unknown outcome: under way, or their process died. They count at no price."
        findings.append(_finding("note", "unknown-outcome", text))
    return Verified(**counts, archives=len(folder.archives()), findings=tuple(findings))


def _finding(severity: Severity, code: str, message: str, remedy: str = "", path: Path | None = None) -> Finding:
    return Finding(code=code, severity=severity, message=message, remedy=remedy, path=str(path) if path else None)


def _calls(cursor: duckdb.DuckDBPyConnection) -> dict[str, int]:
    row = cursor.execute("SELECT count(*), count(*) FILTER (outcome = 'unknown') FROM calls").fetchone()
    assert row is not None  # an aggregate without groups has one row
    return {"calls": row[0], "unknown_outcome": row[1]}


def _of_the_place(folder: Folder) -> Iterator[Finding]:
    kind = network_filesystem(folder.home)
    if kind is not None:
        text = f"The ledger lies on a network filesystem ({kind}): safe only while one machine alone writes to it."
        yield _finding("warning", "network-filesystem", text, "Use a local disk on each machine.", folder.root)
    for path in (folder.manifest, folder.manifest_copy):
        if folder.manifest_copy.exists() + folder.manifest.exists() and not is_whole(path):
            text = "One of the two copies of the manifest is gone or damaged; the other counts."
            yield _finding("warning", "manifest-copy", text, "Run `dslkit ledger compact`.", path)


def _of_parts(connection: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest) -> Iterator[Finding]:
    for part in manifest.parts:
        path = folder.parts / part.file
        if not path.exists():
            yield _finding("error", "part-missing", f"A part with {part.rows} {part.kind} is gone.", _REBUILD, path)
        elif not is_sound(folder, part):
            text = f"A part with {part.rows} {part.kind} is not the file that was written: its checksum differs."
            yield _finding("error", "part-damaged", text, _REBUILD, path)
        elif measure(connection, part.kind, read_part(folder, part)) != measured(part):
            yield _finding("error", "part-differs", "A part's sums are not those it was booked with.", _REBUILD, path)


def _of_archives(connection: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest) -> Iterator[Finding]:
    """Whether the parts hold exactly what the archived segments say."""
    archives = folder.archives()
    damaged = [name for name, path in archives.items() if not is_readable(path)]
    for name in damaged:
        text = "An archived segment is damaged. Parts hold its records, but cannot be made again from it."
        yield _finding("warning", "archive-damaged", text, path=archives.pop(name))
    sound = [part for part in manifest.parts if is_sound(folder, part)]
    if len(sound) < len(manifest.parts):
        return  # what the others hold is not known, and said above
    held = _held(connection, folder, sound)
    missing = held.keys() - archives.keys() - manifest.taken
    if missing:
        text = f"{len(missing)} segments have no sound archive: the parts that hold them cannot be made again."
        yield _finding("note", "archive-missing", text)
    yield from _differences(connection, folder, manifest, archives)


def _held(connection: duckdb.DuckDBPyConnection, folder: Folder, parts: list[Part]) -> dict[str, None]:
    return {name: None for part in parts for name in segments_of(connection, folder, part)}


def _differences(
    connection: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest, archives: dict[str, Path]
) -> Iterator[Finding]:
    wanted = {kind: nothing(kind) for kind in schema.PARTS}
    for cursor, _ in loaded(connection, folder, archives):
        for kind in schema.PARTS:
            wanted[kind] += measure(cursor, kind, since(kind, records(kind), manifest.pruned_before))
    connection.execute("CREATE OR REPLACE TEMP TABLE archived (segment VARCHAR)")
    for name in archives:
        connection.execute("INSERT INTO archived VALUES (?)", [name])
    for kind in schema.PARTS:
        found = nothing(kind)
        for part in manifest.of(kind):
            rows = f"SELECT * FROM ({read_part(folder, part)}) WHERE segment IN (FROM archived)"
            found += measure(connection, kind, rows)
        if found != wanted[kind]:
            why = _why(found, wanted[kind])
            text = f"Parts hold {found.rows} {kind} where the archives have {wanted[kind].rows}: {why}."
            yield _finding("error", "parts-differ", text, _REBUILD)


def _why(found: Measure, wanted: Measure) -> str:
    differing = [name for name in wanted.sums if found.sums[name] != wanted.sums[name]]
    return f"sums of {', '.join(differing)} differ" if differing else "rows or contents differ"


def _of_torn_lines(manifest: Manifest) -> Iterator[Finding]:
    for name, count in sorted(manifest.skipped.items()):
        text = f"{count} torn or unreadable lines of segment {name} were passed over: writes that never finished."
        yield _finding("note", "torn", text)


def _of_the_journal(state: State) -> Iterator[Finding]:
    orphans = [name for name, path in state.segments.items() if path.suffix == OPEN and name not in state.living]
    waiting = len(state.segments) - len(orphans) - len(state.living)
    if orphans or waiting:
        text = f"{waiting} finished segments and {len(orphans)} of dead processes wait to be taken into parts."
        yield _finding("note", "not-taken-in", text, "Readers count them; `dslkit ledger compact` takes them in.")
