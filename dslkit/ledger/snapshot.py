"""One consistent state of a ledger as DuckDB views, made without a lock and without writing.

The manifest is read, then the journal is listed, then the manifest is read again: if it is the same, the parts it
names and the segments it does not name are together all there is, each record once.  Small things (segments not yet
taken in) are read at once, so that a snapshot does not change under its reader; parts are immutable and stay for a
grace period after they were replaced.
"""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from dslkit.errors import LedgerError
from dslkit.ledger import schema
from dslkit.ledger.folder import OPEN, is_locked
from dslkit.ledger.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.ledger.folder import Folder

ATTEMPTS = 20  # each further one means that the ledger was changed in the few milliseconds of the one before
_NO_TAGS = "MAP {}::MAP(VARCHAR, VARCHAR)"


@dataclass(frozen=True, slots=True)
class State:
    """What counts at one moment.  ``living`` segments have a writer that was alive before they were read."""

    manifest: Manifest
    segments: dict[str, Path]
    living: frozenset[str]


def take_state(folder: Folder) -> State:
    """Manifest and segments that belong together; LedgerError when they keep changing or cannot be told."""
    manifest = read_manifest(folder)
    for _ in range(ATTEMPTS):
        segments = {name: path for name, path in folder.segments().items() if name not in manifest.taken}
        again = read_manifest(folder)
        if again.generation == manifest.generation:
            living = frozenset(name for name, path in segments.items() if path.suffix == OPEN and is_locked(path))
            return State(manifest, segments, living)
        manifest = again
    raise LedgerError(f"The ledger in {folder.root} changes too quickly to be read. Try again.")


def open_snapshot(root: duckdb.DuckDBPyConnection, folder: Folder) -> duckdb.DuckDBPyConnection:
    """A new cursor of the connection with the views ``calls``, ``runs`` and ``items`` of this moment."""
    missing: duckdb.IOException | None = None
    for _ in range(ATTEMPTS):
        state = take_state(folder)
        cursor = root.cursor()
        try:
            _load_segments(cursor, state)
            create_views(cursor, folder, state.manifest)
        except duckdb.IOException as error:
            # A segment was renamed or taken in, or a part replaced, since we looked: look again.
            cursor.close()
            missing = error
        else:
            return cursor
    raise LedgerError(
        f"The ledger in {folder.root} cannot be read: {missing}. Run `dslkit ledger verify` to see what is wrong."
    ) from missing


def _load_segments(cursor: duckdb.DuckDBPyConnection, state: State) -> None:
    """Fill temporary tables with what no part holds yet."""
    if state.segments:
        source = schema.from_lines([str(path) for path in state.segments.values()])
        cursor.execute(f"CREATE TEMP TABLE lines AS SELECT *, {segment_name('filename')} AS segment FROM {source}")
    else:
        cursor.execute(
            f"CREATE TEMP TABLE lines AS SELECT *, NULL::VARCHAR AS segment FROM ({schema.empty(schema.LINES)})"
        )
    cursor.execute("CREATE TEMP TABLE living (segment VARCHAR)")
    if state.living:
        names = ", ".join(f"({schema.text(name)})" for name in sorted(state.living))
        cursor.execute(f"INSERT INTO living VALUES {names}")
    cursor.execute(f"CREATE TEMP TABLE live_calls AS {attempts('lines')}")


def segment_name(filename: str) -> str:
    """SQL for the segment's id in a file name."""
    return f"regexp_extract({filename}, '([^/]+)[.][a-z]+$', 1)"


def attempts(source: str) -> str:
    """SQL for the attempts in lines: each end, and each start without one as an attempt of unknown outcome."""
    columns = schema.select_list(schema.CALLS)
    unknown = ", ".join("'unknown' AS outcome" if name == "outcome" else schema.quoted(name) for name in schema.CALLS)
    return (
        f"SELECT {columns} FROM {source} WHERE k = 'end' UNION ALL SELECT {unknown} FROM ("
        f"SELECT DISTINCT ON (call_id, attempt) * FROM {source} s WHERE k = 'start' AND NOT EXISTS ("
        f"SELECT 1 FROM {source} e WHERE e.k = 'end' AND e.call_id = s.call_id AND e.attempt = s.attempt))"
    )


def from_parts(folder: Folder, manifest: Manifest, kind: str) -> str:
    """SQL for all rows of a kind in parts."""
    files = [str(folder.parts / part.file) for part in manifest.of(kind)]
    columns = schema.PARTS[kind]
    if not files:
        return schema.empty(columns)
    listed = ", ".join(map(schema.text, files))
    return f"SELECT {schema.select_list(columns)} FROM read_parquet([{listed}])"


def create_views(cursor: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest) -> None:
    """The public views over parts and the temporary tables."""
    calls = f"{from_parts(folder, manifest, 'calls')} UNION ALL FROM live_calls"
    cursor.execute(f"CREATE TEMP VIEW calls AS {public_calls(calls)}")
    for kind, public in (("runs", public_runs), ("items", public_items), ("marks", public_marks)):
        columns = schema.select_list(schema.PARTS[kind])
        old = f"SELECT *, false AS living FROM ({from_parts(folder, manifest, kind)})"
        new = f"SELECT {columns}, segment IN (FROM living) AS living FROM lines WHERE k = '{kind[:-1]}'"
        cursor.execute(f"CREATE TEMP VIEW {kind} AS {public(f'{old} UNION ALL {new}')}")


def public_calls(source: str) -> str:
    """SQL of the view ``calls``."""
    shown = {name: schema.quoted(name) for name in schema.CALLS}
    shown["call_id"] = "call_id::VARCHAR AS call_id"
    shown["tags"] = f"coalesce(tags, {_NO_TAGS}) AS tags"
    shown["stream"] = "coalesce(stream, false) AS stream"
    shown["cache_hit"] = "coalesce(cache_hit, false) AS cache_hit"
    return f"SELECT {', '.join(shown.values())} FROM ({source})"


def public_runs(source: str) -> str:
    """SQL of the view ``runs``: the record of a run's end counts, else the latest; a dead run was interrupted."""
    shown = {name: schema.quoted(name) for name in schema.RUNS}
    shown["status"] = "CASE WHEN status = 'running' AND NOT living THEN 'interrupted' ELSE status END AS status"
    shown["tags"] = f"coalesce(tags, {_NO_TAGS}) AS tags"
    order = "status <> 'running' DESC, living DESC, recorded_at DESC"
    return f"SELECT {', '.join(shown.values())} FROM ({source}) {_latest('run_id', order)}"


def public_items(source: str) -> str:
    """SQL of the view ``items``: the latest record of each item of a run."""
    shown = {name: schema.quoted(name) for name in schema.ITEMS}
    shown["findings"] = "coalesce(findings, []) AS findings"
    shown["repairs"] = "coalesce(repairs, []) AS repairs"
    shown["tags"] = f"coalesce(tags, {_NO_TAGS}) AS tags"
    counts = [
        f"len(list_filter(coalesce(findings, []), lambda f: f.severity = '{severity}'))::INTEGER AS {severity}_findings"
        for severity in ("error", "warning")
    ]
    seconds = "epoch_us(ended_at) / 1e6 - epoch_us(started_at) / 1e6 AS seconds"
    columns = ", ".join([*shown.values(), seconds, *counts])
    return f"SELECT {columns} FROM ({source}) {_latest('run_id, item_id', 'recorded_at DESC')}"


def public_marks(source: str) -> str:
    """SQL of the view ``marks``: points in time to count from."""
    return f"SELECT name, recorded_at FROM ({source})"


def _latest(key: str, order: str) -> str:
    return f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {order}) = 1"
