"""Taking segments into parts.  One process at a time does it, any process may; writers and readers never wait for it.

The order makes every crash harmless: a part is complete and durable before the manifest names it, the manifest names
a segment before the segment is archived, and nothing is deleted before its replacement is durable.
"""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dslkit.errors import LedgerError
from dslkit.ledger import schema
from dslkit.ledger.loading import load_lines
from dslkit.ledger.manifest import Manifest, Part, Replaced, is_whole, read_manifest, write_manifest
from dslkit.ledger.parts import Measure, measured, months, nothing, of_month, read_part, write_part
from dslkit.ledger.segments import archive, batches, moved_on, ready, seal_orphans
from dslkit.ledger.session import another, changing, connect
from dslkit.ledger.viewfile import show_parts
from dslkit.ledger.views import attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import duckdb

    from dslkit.ledger.folder import Folder

BATCH_BYTES = 64 * 1024 * 1024
GRACE_SECONDS = 3600.0  # replaced parts stay this long, for readers under way
MERGE_FROM = 8  # so many parts of a size class become one of the next
LARGEST_ROWS = 4_000_000  # a part that has grown so far is left alone

# Lines lie in the order of the files, so a torn one belongs to the segment of the line before it.
_TORN = """SELECT coalesce(belongs, '?'), count(*) FROM (
    SELECT k, last_value(segment IGNORE NULLS) OVER (ORDER BY rowid ROWS UNBOUNDED PRECEDING) AS belongs FROM lines
) WHERE k IS NULL GROUP BY ALL"""

_held: set[int] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a compaction did; counts of files and rows."""

    sealed: int = 0
    segments: int = 0
    rows: int = 0
    merged: int = 0
    archived: int = 0


@contextlib.contextmanager
def upkeep(folder: Folder, *, wait_s: float = 30.0, lock: int | None = None) -> Iterator[None]:
    """Be the only one who changes manifest and parts; LedgerError when somebody else is for longer than ``wait_s``.

    ``lock`` is the descriptor of a lock that was handed over, to be closed at the end.
    """
    folder.create()
    descriptor = _waited_for(folder, wait_s) if lock is None else lock
    _held.add(descriptor)
    try:
        with changing(folder.root):
            yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _waited_for(folder: Folder, wait_s: float) -> int:
    deadline = time.monotonic() + wait_s
    while (descriptor := take_lock(folder.lock)) is None:
        if time.monotonic() >= deadline:
            raise LedgerError(f"Another process is at work on the ledger in {folder.root}. Try again when it is done.")
        time.sleep(0.02)
    return descriptor


def take_lock(path: Path) -> int | None:
    """The descriptor of a lock, which closing it gives back; None when somebody else has it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    with contextlib.suppress(OSError):
        if _lock_is_ours(descriptor, path):
            return descriptor
    os.close(descriptor)
    return None


def _lock_is_ours(descriptor: int, path: Path) -> bool:
    """Locked, and still the file that others would lock."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return os.fstat(descriptor).st_ino == path.stat().st_ino


def _after_fork() -> None:
    """A lock survives fork: without this, a child that outlives its parent would hold it for ever."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)


def compact(
    folder: Folder, *, wait_s: float = 30.0, lock: int | None = None, now: Callable[[], float] = time.time
) -> Compacted:
    """Take all sealed segments in, merge small parts, archive, and clear away what nobody reads any more."""
    with upkeep(folder, wait_s=wait_s, lock=lock), contextlib.closing(connect()) as connection:
        before = manifest = read_manifest(folder)
        if manifest.generation == 0:
            before = manifest = replace(manifest, generation=1)
            write_manifest(folder, manifest)  # from here on, parts without a manifest mean that it was lost
        elif not (is_whole(folder.manifest) and is_whole(folder.manifest_copy)):
            write_manifest(folder, manifest)
        before = manifest = migrate(connection, folder, manifest, now())
        sealed = seal_orphans(folder)
        paths = ready(folder, manifest)
        for batch in batches(paths, BATCH_BYTES):
            manifest = take_in(connection, folder, manifest, batch)
        rows = _rows(manifest) - _rows(before)
        merged = merge(connection, folder, manifest, now())
        show_parts(folder, merged)  # before segments leave the journal: see ``viewfile``
        archived = clear(folder, merged, now())
        fewer = len(manifest.parts) - len(merged.parts)
    return Compacted(sealed=len(sealed), segments=len(paths), rows=rows, merged=fewer, archived=archived)


def _rows(manifest: Manifest) -> int:
    return sum(part.rows for part in manifest.parts)


def take_in(
    connection: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest, batch: dict[str, Path]
) -> Manifest:
    """Write a batch of segments as parts and name both in a new manifest."""
    with contextlib.closing(another(connection)) as cursor:
        skipped = load_batch(cursor, folder, batch)
        parts = [part for kind in schema.PARTS for part in write_kind(cursor, folder, kind, records(kind))]
    taken = replace(
        manifest,
        generation=manifest.generation + 1,
        parts=(*manifest.parts, *parts),
        taken=manifest.taken | batch.keys(),
        skipped={**manifest.skipped, **skipped},
    )
    write_manifest(folder, taken)
    return taken


def load_batch(cursor: duckdb.DuckDBPyConnection, folder: Folder, batch: dict[str, Path]) -> dict[str, int]:
    """Load segments into the tables ``lines`` and ``ended``; return how many torn lines each had, if any."""
    load_lines(cursor, batch)
    torn = dict(cursor.execute(_TORN).fetchall())
    cursor.execute("CREATE TEMP TABLE carried (call_id UUID, attempt INTEGER)")
    keys = sorted(moved_on(folder, batch))
    if keys:
        cursor.executemany("INSERT INTO carried VALUES (?, ?)", [list(key) for key in keys])
    cursor.execute(f"CREATE TEMP TABLE ended AS {attempts('lines')}")
    known = "SELECT 1 FROM carried c WHERE c.call_id = ended.call_id AND c.attempt = ended.attempt"
    cursor.execute(f"DELETE FROM ended WHERE outcome = 'unknown' AND EXISTS ({known})")
    return torn


def records(kind: str) -> str:
    """SQL for the records of a kind among loaded segments."""
    if kind == "calls":
        return "FROM ended"
    return f"SELECT {schema.select_list(schema.PARTS[kind])} FROM lines WHERE k = '{kind[:-1]}'"


def write_kind(cursor: duckdb.DuckDBPyConnection, folder: Folder, kind: str, query: str) -> Iterator[Part]:
    """Write the records of a kind as one part a month."""
    for month in months(cursor, kind, query):
        yield write_part(cursor, folder, kind, month, of_month(kind, query, month))


def migrate(connection: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest, now: float) -> Manifest:
    """Write the parts of earlier versions again, in the present form.  A crash leaves the old ones in force."""
    old = [part for part in manifest.parts if part.schema < schema.VERSION]
    if not old:
        return manifest
    fresh = []
    for part in old:
        with contextlib.closing(another(connection)) as cursor:
            fresh.append(write_part(cursor, folder, part.kind, part.month, read_part(folder, part)))
        _hold_to(fresh[-1], measured(part))
    return _exchange(folder, manifest, old, fresh, now)


def _exchange(folder: Folder, manifest: Manifest, old: list[Part], fresh: list[Part], now: float) -> Manifest:
    """Let parts count instead of others, which stay for readers under way."""
    changed = replace(
        manifest,
        generation=manifest.generation + 1,
        parts=(*(part for part in manifest.parts if part not in old), *fresh),
        replaced=(*manifest.replaced, *(Replaced(file=part.file, at=now) for part in old)),
    )
    write_manifest(folder, changed)
    return changed


def merge(connection: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest, now: float) -> Manifest:
    """Merge small parts of a month, until no size class has many: each row is written again a few times in all."""
    while group := _mergeable(manifest):
        kind, month = group[0].kind, group[0].month
        query = " UNION ALL ".join(read_part(folder, part) for part in group)
        with contextlib.closing(another(connection)) as cursor:
            part = write_part(cursor, folder, kind, month, query)
        _hold_to(part, sum((measured(one) for one in group), nothing(kind)))
        manifest = _exchange(folder, manifest, group, [part], now)
    return manifest


def _mergeable(manifest: Manifest) -> list[Part]:
    classes: dict[tuple[str, str, int], list[Part]] = defaultdict(list)
    for part in manifest.parts:
        if part.rows < LARGEST_ROWS:
            classes[part.kind, part.month, _size_class(part.rows)].append(part)
    return next((group for group in classes.values() if len(group) >= MERGE_FROM), [])


def _size_class(rows: int) -> int:
    """Powers of eight, so that a merged part leaves its class."""
    return max(rows.bit_length() - 1, 0) // 3


def _hold_to(part: Part, wanted: Measure) -> None:
    if measured(part) != wanted:
        raise LedgerError(
            f"A merge came out as {measured(part)}, not {wanted}: a part is damaged. Run `dslkit ledger verify`."
        )


def clear(folder: Folder, manifest: Manifest, now: float) -> int:
    """Archive what was taken in, and delete parts that were replaced long enough ago and files nobody finished."""
    gone = archive(folder, manifest.taken)
    stale = {one.file for one in manifest.replaced if not 0 <= now - one.at < GRACE_SECONDS}
    counted = {one.file for one in manifest.parts} | {one.file for one in manifest.replaced}
    unfinished = [*folder.archive.glob(".*"), *folder.parts.glob(".*")]  # we hold the lock: nobody is at work on them
    unnamed = [path for path in folder.parts.glob("*.parquet") if path.name not in counted]
    for path in (*unfinished, *unnamed, *(folder.parts / file for file in stale)):
        path.unlink(missing_ok=True)
    if gone or stale:
        remaining = tuple(one for one in manifest.replaced if one.file not in stale)
        taken = manifest.taken - set(gone)
        write_manifest(folder, replace(manifest, generation=manifest.generation + 1, taken=taken, replaced=remaining))
    return len(gone)
