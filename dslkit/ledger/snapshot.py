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
from dslkit.ledger.folder import OPEN, SEALED, is_locked
from dslkit.ledger.loading import load_lines
from dslkit.ledger.manifest import Manifest, read_manifest
from dslkit.ledger.parts import read_parts
from dslkit.ledger.session import another
from dslkit.ledger.views import ended, unended, view_queries

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.ledger.folder import Folder

ATTEMPTS = 20  # each further one means that the ledger was changed in the few milliseconds of the one before


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
        segments = {
            name: path
            for name, path in folder.segments().items()
            if name not in manifest.taken and not (path.suffix == SEALED and folder.archived(name).exists())
        }
        again = read_manifest(folder)
        if again.generation == manifest.generation:
            living = frozenset(name for name, path in segments.items() if path.suffix == OPEN and is_locked(path))
            return State(manifest, segments, living)
        manifest = again
    raise LedgerError(f"The ledger in {folder.root} changes too quickly to be read. Try again.")


def open_snapshot(root: duckdb.DuckDBPyConnection, folder: Folder) -> duckdb.DuckDBPyConnection:
    """A new cursor of the connection with the views ``calls``, ``runs`` and ``items`` of this moment."""
    missing: Exception | None = None
    for _ in range(ATTEMPTS):
        state = take_state(folder)
        cursor = another(root)
        try:
            _load(cursor, state)
            _create_views(cursor, folder, state.manifest)
        except (duckdb.IOException, FileNotFoundError) as error:
            # A segment was renamed or taken in, or a part replaced, since we looked: look again.
            cursor.close()
            missing = error
        except duckdb.Error as error:
            missing = error  # a part is there, but damaged: looking again would not help
            break
        else:
            return cursor
    raise LedgerError(
        f"The ledger in {folder.root} cannot be read: {missing}. Run `dslkit ledger verify` to see what is wrong."
    ) from missing


def _load(cursor: duckdb.DuckDBPyConnection, state: State) -> None:
    """Fill temporary tables with what no part holds yet."""
    load_lines(cursor, state.segments)
    cursor.execute("CREATE TEMP TABLE living (segment VARCHAR)")
    if state.living:
        names = ", ".join(f"({schema.text(name)})" for name in sorted(state.living))
        cursor.execute(f"INSERT INTO living VALUES {names}")
    cursor.execute(f"CREATE TEMP TABLE unended AS {unended('lines')}")  # few; the others lie in ``lines`` already


def _create_views(cursor: duckdb.DuckDBPyConnection, folder: Folder, manifest: Manifest) -> None:
    parts = {kind: read_parts(folder, manifest.of(kind), kind) for kind in schema.PARTS}
    priced = (
        bool(manifest.of("prices")) or cursor.execute("FROM lines WHERE k = 'price' LIMIT 1").fetchone() is not None
    )
    attempts = f"{ended('lines')} UNION ALL FROM unended"
    queries = view_queries(parts, attempts=attempts, living="segment IN (FROM living)", priced=priced)
    for name, query in queries.items():
        cursor.execute(f"CREATE TEMP VIEW {name} AS {query}")
