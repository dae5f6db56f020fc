"""Immutable Parquet parts: how records become one, and how a part is held to what went into it."""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.errors import LedgerError
from dslkit.ledger import schema
from dslkit.ledger.folder import sync_file, sync_folder
from dslkit.ledger.manifest import Part
from dslkit.ledger.packing import packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import duckdb

    from dslkit.ledger.folder import Folder

_VERSION_KEY = "dslkit_schema"
_WRITTEN = (
    "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 6, PARQUET_VERSION v2, ROW_GROUP_SIZE 122880, "
    f"KV_METADATA {{{_VERSION_KEY}: '{schema.VERSION}'}}"
)
_ORDER = {"calls": "started_at, call_id, attempt", "runs": "started_at, run_id, recorded_at"}
_STABLE = {"TIMESTAMPTZ": "epoch_us({})", "DOUBLE": "({} + 0.0)"}  # no time zone, and no negative zero
_SUMS = {"calls": ("cost_usd", "input_tokens", "output_tokens"), "prices": ("cost_usd",)}


@dataclass(frozen=True, slots=True)
class Measure:
    """What rows of a kind add up to; equal for equal rows in any order.  ``content`` is a checksum in hexadecimal."""

    rows: int
    content: str
    sums: dict[str, str | None]

    def __add__(self, other: Measure) -> Measure:
        content = (int(self.content, 16) + int(other.content, 16)) % 2**64
        sums = {name: _sum(self.sums[name], other.sums.get(name)) for name in self.sums}
        return Measure(self.rows + other.rows, f"{content:016x}", sums)


def _sum(one: str | None, other: str | None) -> str | None:
    """Sums of money are kept as integers of a billionth of a dollar: exact, and of one form."""
    return str(int(one or 0) + int(other or 0)) if one is not None or other is not None else None


def nothing(kind: str) -> Measure:
    """The measure of no rows."""
    return Measure(0, f"{0:016x}", dict.fromkeys(_SUMS.get(kind, ())))


def measure(cursor: duckdb.DuckDBPyConnection, kind: str, query: str) -> Measure:
    """Add up the rows of a query that has a kind's columns."""
    names = _SUMS.get(kind, ())
    sums = "".join(f", sum({_as_integer(name)})::VARCHAR" for name in names)
    row = cursor.execute(
        f"SELECT count(*), coalesce(sum(md5_number_lower({_row_text(kind)})), 0) {sums} FROM ({query})"
    ).fetchone()
    assert row is not None  # an aggregate without groups has one row
    rows, content, *values = row
    return Measure(rows, f"{int(content) % 2**64:016x}", dict(zip(names, values, strict=True)))


def _as_integer(name: str) -> str:
    return "(cost_usd * 1000000000)::HUGEINT" if name == "cost_usd" else name


def _row_text(kind: str) -> str:
    """A row as one text, the same in every version of DuckDB and in every session."""
    texts = (_STABLE.get(of_type, "{}").format(schema.quoted(name)) for name, of_type in schema.RECORDS[kind].items())
    return "concat_ws('|', " + ", ".join(f"coalesce({text}::VARCHAR, '~')" for text in texts) + ")"


def measured(part: Part) -> Measure:
    """What the manifest says of a part."""
    return Measure(part.rows, part.content, dict(part.sums))


def read_part(folder: Folder, part: Part) -> str:
    """SQL for the rows of a part."""
    return unpacked(part.kind, [folder.parts / part.file], part.schema)


def read_parts(folder: Folder, parts: Iterable[Part], kind: str) -> str:
    """SQL for the rows of parts of a kind, of whatever versions."""
    files: dict[int, list[Path]] = {}
    for part in parts:
        files.setdefault(part.schema, []).append(folder.parts / part.file)
    selects = [unpacked(kind, paths, version) for version, paths in sorted(files.items())]
    return " UNION ALL ".join(selects) or schema.empty(schema.PARTS[kind])


def version_of(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The schema version that a part's file says it is of; the first did not say."""
    query = f"SELECT value FROM parquet_kv_metadata({schema.text(str(path))}) WHERE key = '{_VERSION_KEY}'"
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 1


def months(cursor: duckdb.DuckDBPyConnection, kind: str, query: str) -> list[str]:
    """The months that rows belong to, as ``2026-11``; those without an instant to ``0000-00``."""
    rows = cursor.execute(f"SELECT DISTINCT {_month(kind)} FROM ({query}) ORDER BY 1").fetchall()
    return [str(month) for (month,) in rows]


def of_month(kind: str, query: str, month: str) -> str:
    """SQL for the rows of a query that belong to a month."""
    return f"SELECT * FROM ({query}) WHERE {_month(kind)} = {schema.text(month)}"


def _month(kind: str) -> str:
    return f"coalesce(strftime({schema.INSTANTS[kind]} AT TIME ZONE 'UTC', '%Y-%m'), '0000-00')"


def write_part(cursor: duckdb.DuckDBPyConnection, folder: Folder, kind: str, month: str, query: str) -> Part:
    """Write the rows of a query as a part, durably, and read it back.

    Raises:
        LedgerError: what is read back is not what was written.
    """
    name = f"{kind}-{month}-{os.urandom(6).hex()}.parquet"
    path, aside = folder.parts / name, folder.parts / f".{name}"
    rows = packed(kind, query, order=f"ORDER BY {_ORDER.get(kind, 'recorded_at')}")
    try:
        cursor.execute(f"COPY ({rows}) TO {schema.text(str(aside))} ({_WRITTEN})")
        sync_file(aside)
        found = _held_to(measure(cursor, kind, query), measure(cursor, kind, unpacked(kind, [aside])))
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(folder.parts)
    return Part(
        file=name,
        kind=kind,
        month=month,
        rows=found.rows,
        bytes=path.stat().st_size,
        sha256=checksum(path),
        content=found.content,
        sums=found.sums,
    )


def _held_to(wanted: Measure, found: Measure) -> Measure:
    if wanted != found:
        raise LedgerError(f"Wrote {wanted} to a part but read {found} back: the disk or its filesystem is at fault.")
    return found


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
