"""``ledger.duckdb``: nothing but views, for any DuckDB client, at any time.

The views name no part: they read all segments of the journal, and ``live/``, a symbolic link to a folder of links to
the parts that count, without the rows of those segments.  So the file never changes, a client may keep it open for
ever, and what it reads is always the present.  (A run whose process was killed shows as ``running`` until the next
compaction: SQL cannot try a lock.)
"""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import duckdb

from dslkit.ledger import schema
from dslkit.ledger.folder import write_whole
from dslkit.ledger.meanings import MEANINGS
from dslkit.ledger.packing import packed, unpacked
from dslkit.ledger.parts import checksum
from dslkit.ledger.views import SEGMENT, attempts, view_queries

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.ledger.folder import Folder
    from dslkit.ledger.manifest import Manifest

_SCRIPT = "views.sql"
_EMPTY = "none"  # a name that no segment and no part has: DuckDB refuses a pattern that matches nothing


def show_parts(folder: Folder, manifest: Manifest) -> None:
    """Point ``live`` to exactly the parts of a manifest, in one rename, and see that ``ledger.duckdb`` is there."""
    if not _is_current(folder):
        _create_placeholders(folder)
    _show_exactly(folder, manifest)
    create_file(folder)  # now that there is nothing but what these views understand


def _show_exactly(folder: Folder, manifest: Manifest) -> None:
    shown = _target(folder.live)
    if shown is not None and set(os.listdir(shown)) == _names(manifest):  # noqa: PTH208 - names are what is compared
        return
    fresh = folder.root / f"live-{manifest.generation:08d}-{os.urandom(4).hex()}"
    fresh.mkdir()
    for name in _names(manifest):
        target = f"../parts/{_EMPTY}/{name}" if name.endswith(f"-{_EMPTY}.parquet") else f"../parts/{name}"
        (fresh / name).symlink_to(target)
    _point(folder.live, fresh.name)
    for old in folder.root.glob("live-*"):
        if old not in (fresh, shown):  # the one before stays: somebody may be reading it
            shutil.rmtree(old, ignore_errors=True)


def _names(manifest: Manifest) -> set[str]:
    return {f"{kind}-{_EMPTY}.parquet" for kind in schema.PARTS} | {part.file for part in manifest.parts}


def _point(link: Path, target: str) -> None:
    aside = link.with_name(f".{link.name}.{os.urandom(4).hex()}")
    aside.symlink_to(target)
    aside.replace(link)


def _target(link: Path) -> Path | None:
    """Where a link leads; None when it leads nowhere."""
    return link.resolve() if link.exists() else None


def create_file(folder: Folder) -> None:
    """Make ``ledger.duckdb`` unless the one there holds these very views, unharmed."""
    if _is_current(folder):
        return
    _create_placeholders(folder)
    aside = folder.home / f".ledger.{os.getpid()}.{os.urandom(4).hex()}.duckdb"
    try:
        with contextlib.closing(duckdb.connect(str(aside))) as connection:
            connection.execute(_script(folder))
        aside.replace(folder.views)
    finally:
        for left in (aside, aside.with_name(f"{aside.name}.wal")):
            left.unlink(missing_ok=True)
    write_whole(folder.root / _SCRIPT, _signed(folder).encode())


def _is_current(folder: Folder) -> bool:
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        return folder.live.exists() and (folder.root / _SCRIPT).read_text(encoding="utf-8") == _signed(folder)
    return False


def _signed(folder: Folder) -> str:
    return f"{_script(folder)}-- made {folder.views.name} with SHA-256 {checksum(folder.views)}\n"


def _create_placeholders(folder: Folder) -> None:
    """Files without a row for the patterns to match, and ``live`` where there is none yet."""
    nothing = folder.parts / _EMPTY
    nothing.mkdir(exist_ok=True)
    for kind, columns in schema.PARTS.items():
        aside = nothing / f".{kind}.{os.urandom(4).hex()}"
        try:
            duckdb.execute(
                f"COPY ({packed(kind, schema.empty(columns))}) TO {schema.text(str(aside))} (FORMAT parquet)"
            )
            aside.replace(nothing / f"{kind}-{_EMPTY}.parquet")
        finally:
            aside.unlink(missing_ok=True)
    (folder.journal / f"{_EMPTY}.jsonl").touch()
    if not folder.live.exists():
        _point(folder.live, f"parts/{_EMPTY}")


def _script(folder: Folder) -> str:
    """The views as SQL.  Each reads the journal first, once, and leaves out of the parts what it has seen there.

    A segment leaves the journal only after ``live`` leads to its rows, so whenever the two are listed in this order,
    each record is found in one of them at least; and if in both, it is counted once.
    """
    journal = schema.from_lines(str(folder.journal / "*.[oj]*"), filename=True)
    lines = f"SELECT * REPLACE ({SEGMENT} AS segment), suffix(filename, '.open') AS living FROM {journal}"
    unseen = "WHERE segment NOT IN (SELECT segment FROM lines)"
    parts = {
        kind: f"SELECT * FROM ({unpacked(kind, [folder.live / f'{kind}-*.parquet'])}) {unseen}" for kind in schema.PARTS
    }
    queries = view_queries(parts, attempts=attempts("lines"), living="living", priced=True)
    views = [f"CREATE VIEW {name} AS WITH lines AS MATERIALIZED ({lines}) {query}" for name, query in queries.items()]
    comments = [
        f"COMMENT ON COLUMN {view}.{schema.quoted(column)} IS {schema.text(meaning)}"
        for view, meanings in MEANINGS.items()
        for column, meaning in meanings.items()
    ]
    return "".join(f"{statement};\n" for statement in (*views, *comments))
