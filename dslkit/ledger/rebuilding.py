"""Making parts again from archived segments, and letting old records go from both alike."""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

import contextlib
import gzip
import json
import time
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb

from dslkit.errors import LedgerError
from dslkit.ledger import schema
from dslkit.ledger.compaction import BATCH_BYTES, clear, load_batch, merge, migrate, records, upkeep, write_kind
from dslkit.ledger.folder import write_whole
from dslkit.ledger.manifest import Manifest, Part, Replaced, read_manifest, write_manifest
from dslkit.ledger.packing import unpacked
from dslkit.ledger.parts import Measure, checksum, measure, measured, nothing, read_part, version_of, write_part
from dslkit.ledger.segments import archive, batches, is_readable
from dslkit.ledger.session import another, connect
from dslkit.ledger.viewfile import show_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dslkit.ledger.folder import Folder

_LONG_AGO = 0.0  # replaced then: deleted at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild did.  ``kept`` parts hold segments that have no archive; ``equal`` is None where the old state was
    unknown, else whether the new parts add up to the very same rows.
    """

    segments: int
    rows: int
    kept: int
    equal: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a pruning removed."""

    rows: int
    archives: int


def rebuild(folder: Folder, *, wait_s: float = 30.0) -> Rebuilt:
    """Make all parts again from the archived segments; parts whose segments have no archive stay if they are sound."""
    with upkeep(folder, wait_s=wait_s), contextlib.closing(connect()) as connection:
        known, manifest = _state(folder)
        if known:
            archive(folder, manifest.taken)
        archives = {name: path for name, path in folder.archives().items() if is_readable(path)}
        available = archives.keys() | folder.segments().keys()
        kept = _irreplaceable(connection, folder, _candidates(connection, folder, manifest, known=known), available)
        held = {name for part in kept for name in segments_of(connection, folder, part)}
        sources = {name: path for name, path in archives.items() if name not in held}
        parts, skipped = _from_archives(connection, folder, sources, manifest.pruned_before)
        old = {one.file for one in manifest.parts} - {one.file for one in kept}
        fresh = Manifest(
            generation=manifest.generation + 1,
            parts=(*kept, *parts),
            replaced=(*manifest.replaced, *(Replaced(file=file, at=time.time()) for file in sorted(old))),
            pruned_before=manifest.pruned_before,
            skipped=skipped,
        )
        write_manifest(folder, fresh)
        merged = merge(connection, folder, migrate(connection, folder, fresh, time.time()), time.time())
        show_parts(folder, merged)
        clear(folder, merged, time.time())
    rows = sum(part.rows for part in fresh.parts)
    equal = totals(manifest.parts) == totals(fresh.parts) if known else None
    return Rebuilt(segments=len(sources), rows=rows, kept=len(kept), equal=equal)


def _state(folder: Folder) -> tuple[bool, Manifest]:
    """Whether the manifest is known, and it; else an empty one whose generation is later than any before."""
    try:
        return True, read_manifest(folder)
    except LedgerError:
        return False, Manifest(generation=int(time.time()))


def totals(parts: Iterable[Part]) -> dict[str, Measure]:
    """What parts add up to, by kind."""
    sums = {kind: nothing(kind) for kind in schema.PARTS}
    for part in parts:
        sums[part.kind] += measured(part)
    return sums


def _candidates(
    connection: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest, *, known: bool
) -> list[Part]:
    """The sound parts among those that count; without a manifest, all that can be read, the largest first."""
    if known:
        return [part for part in manifest.parts if is_sound(folder, part)]
    found = []
    for path in folder.parts.glob("*.parquet"):
        with contextlib.suppress(duckdb.Error):
            found.append(_describe(connection, path))
    return sorted(found, key=lambda part: -part.rows)


def is_sound(folder: Folder, part: Part) -> bool:
    """Whether a part's file is, byte for byte, the one that was written."""
    path = folder.parts / part.file
    try:
        return path.stat().st_size == part.bytes and checksum(path) == part.sha256
    except FileNotFoundError:
        return False


def _describe(connection: duckdb.DuckDBPyConnection, path: Path) -> Part:
    kind, year, month, _ = path.name.split("-", 3)
    version = version_of(connection, path)
    found = measure(connection, kind, unpacked(kind, [path], version))
    return Part(
        file=path.name,
        kind=kind,
        month=f"{year}-{month}",
        rows=found.rows,
        bytes=path.stat().st_size,
        sha256=checksum(path),
        content=found.content,
        sums=found.sums,
        schema=version,
    )


def segments_of(connection: duckdb.DuckDBPyConnection, folder: Folder, part: Part) -> set[str]:
    """The ids of the segments whose records a part holds."""
    rows = connection.execute(f"SELECT DISTINCT segment FROM ({read_part(folder, part)})").fetchall()
    return {str(segment) for (segment,) in rows}


def _irreplaceable(
    connection: duckdb.DuckDBPyConnection, folder: Folder, parts: list[Part], available: set[str]
) -> list[Part]:
    """Parts with a segment that lies nowhere else, and parts that share a segment with one of these; no row twice."""
    names = {part.file: segments_of(connection, folder, part) for part in parts}
    kept: list[Part] = []
    held: set[str] = set()
    rows: set[tuple[str, str, str]] = set()
    grown = True
    while grown:
        grown = False
        for part in parts:
            keys = {(part.kind, part.month, name) for name in names[part.file]}
            if part not in kept and not keys & rows and (names[part.file] - available or names[part.file] & held):
                kept.append(part)
                held |= names[part.file]
                rows |= keys
                grown = True
    return kept


def _from_archives(
    connection: duckdb.DuckDBPyConnection, folder: Folder, sources: dict[str, Path], pruned_before: str | None
) -> tuple[list[Part], dict[str, int]]:
    parts: list[Part] = []
    skipped: dict[str, int] = {}
    for cursor, torn in loaded(connection, folder, sources):
        skipped |= torn
        for kind in schema.PARTS:
            parts.extend(write_kind(cursor, folder, kind, since(kind, records(kind), pruned_before)))
    return parts, skipped


def loaded(
    connection: duckdb.DuckDBPyConnection, folder: Folder, sources: dict[str, Path]
) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, int]]]:
    """Load segments batch by batch, each into a cursor of its own, with the count of torn lines."""
    for batch in batches(sources, BATCH_BYTES // 8):  # archives are about eight times smaller than what they hold
        with contextlib.closing(another(connection)) as cursor:
            yield cursor, load_batch(cursor, folder, batch)


def since(kind: str, query: str, instant: str | None) -> str:
    """SQL for the rows that pruning up to an instant leaves."""
    if instant is None:
        return query
    return f"SELECT * FROM ({query}) WHERE {schema.INSTANTS[kind]} >= {schema.text(instant)}::TIMESTAMPTZ"


def prune(folder: Folder, before: datetime, *, wait_s: float = 30.0) -> Pruned:
    """Remove all records of before an instant from parts and archives; it cannot be undone."""
    before = before.replace(tzinfo=UTC) if before.tzinfo is None else before.astimezone(UTC)
    with upkeep(folder, wait_s=wait_s), contextlib.closing(connect()) as connection:
        manifest = read_manifest(folder)
        archive(folder, manifest.taken)
        parts = [part for old in manifest.parts for part in _pruned_part(connection, folder, old, before)]
        gone = {part.file for part in manifest.parts} - {part.file for part in parts}
        gone |= {one.file for one in manifest.replaced}  # it holds old records, too
        fresh = replace(
            manifest,
            generation=manifest.generation + 1,
            parts=tuple(parts),
            replaced=tuple(Replaced(file=file, at=_LONG_AGO) for file in sorted(gone)),
            pruned_before=max(before.isoformat(), manifest.pruned_before or ""),
        )
        write_manifest(folder, fresh)  # from here on, even a rebuild leaves the old records out
        show_parts(folder, fresh)
        changed = sum(_prune_archive(path, before) for path in folder.archives().values())
        clear(folder, fresh, time.time())
    rows = sum(part.rows for part in manifest.parts) - sum(part.rows for part in parts)
    return Pruned(rows=rows, archives=changed)


def _pruned_part(connection: duckdb.DuckDBPyConnection, folder: Folder, part: Part, before: datetime) -> list[Part]:
    rows = read_part(folder, part)
    remaining = since(part.kind, rows, before.isoformat())
    left = measure(connection, part.kind, remaining).rows
    if left == part.rows:
        return [part]
    return [write_part(connection, folder, part.kind, part.month, remaining)] if left else []


def _prune_archive(path: Path, before: datetime) -> bool:
    """Leave out the old lines of an archive; an archive without any other record is removed."""
    try:
        with gzip.open(path) as file:
            lines = file.readlines()
    except (OSError, EOFError, zlib.error):
        return False  # damaged; verify tells
    remaining = [line for line in lines if not _is_before(line, before)]
    if len(remaining) == len(lines):
        return False
    if len(remaining) <= 1:  # its head
        path.unlink()
    else:
        write_whole(path, gzip.compress(b"".join(remaining), compresslevel=6, mtime=0))
    return True


def _is_before(line: bytes, before: datetime) -> bool:
    try:
        values = json.loads(line)
        if values["k"] == "head":
            return False
        instant = values.get("started_at") or values.get("ended_at") or values["recorded_at"]
        return datetime.fromisoformat(instant) < before
    except (ValueError, KeyError, TypeError):
        return False  # torn: nothing in it can be read, and verify still counts it
