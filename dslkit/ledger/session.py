"""DuckDB connections as the ledger uses them: in memory, in UTC, and silent."""

from __future__ import annotations

import duckdb


def connect() -> duckdb.DuckDBPyConnection:
    """A connection to a database of its own, in memory."""
    return _settled(duckdb.connect(":memory:"))


def another(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A cursor of the connection, with temporary tables and views of its own."""
    return _settled(connection.cursor())


def _settled(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # it would print into the JSON of a command's output
    return connection
