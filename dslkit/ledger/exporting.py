"""Copies of the ledger for other tools: Parquet or CSV files, or one DuckDB database with tables."""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Literal

from dslkit.errors import UsageError
from dslkit.ledger.schema import quoted, text

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

ExportFormat = Literal["parquet", "csv", "duckdb"]
VIEWS = ("calls", "runs", "items", "contents")

_OPTIONS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER"}


def export(cursor: duckdb.DuckDBPyConnection, target: Path, of_format: ExportFormat) -> list[Path]:
    """Write the views of a snapshot; return the files.

    Args:
        cursor: with the views of a ledger.
        target: for ``duckdb`` the file, which must not exist; else a folder for a file of each view, made
            if need be, whose files of these names are replaced.
        of_format: in CSV, lists and maps are JSON texts.

    Raises:
        UsageError: the target is in the way, or no such format.
    """
    if of_format == "duckdb":
        return [_database(cursor, target)]
    if of_format not in _OPTIONS:
        raise UsageError(f"There is no export as {of_format!r}; there is parquet, csv and duckdb.")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file; name a folder for the files of the export.")
    target.mkdir(parents=True, exist_ok=True)
    return [_file(cursor, target, view, of_format) for view in VIEWS]


def _file(cursor: duckdb.DuckDBPyConnection, target: Path, view: str, of_format: str) -> Path:
    path = target / f"{view}.{of_format}"
    aside = target / f".{path.name}.{os.urandom(4).hex()}"
    columns = _flat(cursor, view) if of_format == "csv" else "*"
    try:
        cursor.execute(f"COPY (SELECT {columns} FROM {view}) TO {text(str(aside))} ({_OPTIONS[of_format]})")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _flat(cursor: duckdb.DuckDBPyConnection, view: str) -> str:
    described = cursor.execute(f"DESCRIBE {view}").fetchall()
    nested = {name for name, of_type, *_ in described if str(of_type).startswith("MAP") or str(of_type).endswith("[]")}
    return ", ".join(
        f"to_json({quoted(name)}) AS {quoted(name)}" if name in nested else quoted(name) for name, *_ in described
    )


def _database(cursor: duckdb.DuckDBPyConnection, target: Path) -> Path:
    if target.exists():
        raise UsageError(f"{target} exists; name a new file for the database.")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.parent / f".{target.name}.{os.urandom(4).hex()}"
    name = f"export_{os.urandom(4).hex()}"
    try:
        cursor.execute(f"ATTACH {text(str(aside))} AS {name}")
        try:
            for view in VIEWS:
                cursor.execute(f"CREATE TABLE {name}.{view} AS FROM {view}")
        finally:
            cursor.execute(f"DETACH {name}")
        aside.rename(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
    return target
