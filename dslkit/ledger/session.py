"""DuckDB connections as the ledger uses them: in memory, in UTC, and silent; and what to say when a disk refuses."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import duckdb

from dslkit.errors import LedgerError
from dslkit.ledger.background import hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def connect() -> duckdb.DuckDBPyConnection:
    """A connection to a database of its own, in memory."""
    return _settled(duckdb.connect(":memory:"))


def another(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A cursor of the connection, with temporary tables and views of its own."""
    return _settled(connection.cursor())


@contextlib.contextmanager
def changing(root: Path) -> Iterator[None]:
    """A full disk or a damaged file in the middle of a change is a LedgerError; the change did not happen then."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        raise LedgerError(
            f"The ledger in {root} could not be changed and is as it was: {error}. "
            "Free some disk space if that is what is missing, else run `dslkit ledger verify`."
        ) from error


def _settled(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    hold(connection)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # it would print into the JSON of a command's output
    return connection
