"""The reading side of a ledger, and the face of the room."""

# ruff: noqa: S608 - the queries are put together from constants of this room

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from dslkit.errors import LedgerError, UsageError
from dslkit.ledger import queries
from dslkit.ledger.compaction import Compacted, compact
from dslkit.ledger.exporting import ExportFormat, export
from dslkit.ledger.folder import Folder, resolved
from dslkit.ledger.following import Follower, Kind
from dslkit.ledger.manifest import read_manifest
from dslkit.ledger.meanings import MEANINGS
from dslkit.ledger.rebuilding import Pruned, Rebuilt, prune, rebuild
from dslkit.ledger.repricing import Repriced, reprice
from dslkit.ledger.schema import VERSION, text
from dslkit.ledger.session import changing, connect
from dslkit.ledger.snapshot import ATTEMPTS, open_snapshot
from dslkit.ledger.verification import Verified, verify
from dslkit.ledger.viewfile import create_file

if TYPE_CHECKING:
    from datetime import datetime

    from dslkit.ledger.recorder import LedgerRecorder


class Ledger:
    """What was called, what it cost, how long it took.  Cheap to open; reading takes no lock and writes nothing.

    Args:
        home: the folder of DSLKIT_HOME; it need not exist, then the ledger is empty.
        prices: a TOML file of price overrides, for recording and repricing.
    """

    def __init__(self, home: Path | str, *, prices: Path | None = None) -> None:
        self.home = Path(home)
        self._prices = prices
        self._folder = Folder(resolved(self.home))
        self._root: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()

    def recorder(self) -> LedgerRecorder:
        """The recorder of this process for this home, shared by all who ask; LedgerError when it cannot write."""
        from dslkit.ledger.recorder import shared  # noqa: PLC0415 - prices take 0.25 s to load, reading needs none

        recorder = shared(self._folder.home, self._prices)
        self._show()
        return recorder

    def _show(self) -> None:
        """See that ``ledger.duckdb`` is there, after the parts of an earlier version were written again for it."""
        try:
            version = read_manifest(self._folder).schema
        except LedgerError:
            return  # lost, or of a newer dslkit: what is recorded waits in the journal
        if version < VERSION:
            compact(self._folder)
        else:
            with changing(self._folder.root):
                create_file(self._folder)

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """The rows of a query over ``calls``, ``runs`` and ``items``, as they are now, held in memory.

        Raises:
            duckdb.Error: the query is wrong.
            LedgerError: the ledger cannot be read truthfully.
        """
        for _ in range(ATTEMPTS):
            generation = read_manifest(self._folder).generation
            try:
                return self._relation(query).materialize()
            except duckdb.IOException as error:
                if read_manifest(self._folder).generation == generation:
                    raise  # a file of the caller's own
                gone = error  # a part was replaced and its grace period ended since the views were made
        raise LedgerError(f"The ledger in {self._folder.root} changes too quickly to be read: {gone}.") from gone

    def calls(self) -> duckdb.DuckDBPyRelation:
        """One row an attempt, as of now; evaluated when used."""
        return self._relation("FROM calls")

    def runs(self) -> duckdb.DuckDBPyRelation:
        """One row a run, as of now; evaluated when used.  A run whose process died is ``interrupted``."""
        return self._relation("FROM runs")

    def items(self) -> duckdb.DuckDBPyRelation:
        """One row an item of a run, as of now; evaluated when used."""
        return self._relation("FROM items")

    def contents(self) -> duckdb.DuckDBPyRelation:
        """What was asked and answered: one row an attempt that was made with ``store_content``."""
        return self._relation("FROM contents")

    def columns(self, view: str = "calls") -> duckdb.DuckDBPyRelation:
        """The columns of a view, with type and meaning; UsageError for no view of the ledger."""
        if view not in MEANINGS:
            raise UsageError(f"The ledger has no {view!r}; it has {', '.join(MEANINGS)}.")
        cursor = self.snapshot()
        pairs = ", ".join(f"({text(column)}, {text(meaning)})" for column, meaning in MEANINGS[view].items())
        cursor.execute(f"CREATE TEMP VIEW meanings AS SELECT * FROM (VALUES {pairs}) v(column_name, meaning)")
        return cursor.sql(
            f"SELECT column_name, column_type, meaning FROM (DESCRIBE {view}) LEFT JOIN meanings USING (column_name)"
        )

    def usage(
        self, since: datetime | None = None, run: str | None = None, by: str | None = None
    ) -> queries.UsageTotals:
        """Totals of tokens and money (see queries.usage)."""
        return queries.usage(self.snapshot(), since=since, run=run, by=by)

    def follower(self, kinds: tuple[Kind, ...] = ("end",)) -> Follower:
        """Gives what is recorded from now on, look by look: the ends of attempts, or other kinds of records too."""
        return Follower(self._folder, kinds)

    def reset_usage(self) -> None:
        """Count from now on.  No row is lost: ``usage(since=…)`` reaches back as far as ever."""
        recorder = self.recorder()
        recorder.mark(queries.RESET)
        recorder.flush()

    def compact(self, *, wait_s: float = 30.0) -> Compacted:
        """Take finished segments into parts; harmless at any time.  LedgerError when another process is at it."""
        return compact(self._folder, wait_s=wait_s)

    def verify(self) -> Verified:
        """Whether anything was lost, and what needs explaining; takes no lock and writes nothing."""
        return verify(self._folder)

    def rebuild(self, *, wait_s: float = 30.0) -> Rebuilt:
        """Make all parts again from the archived segments."""
        return rebuild(self._folder, wait_s=wait_s)

    def prune(self, before: datetime, *, wait_s: float = 30.0) -> Pruned:
        """Remove all records of before an instant, for good: from segments (finished ones), parts and archives."""
        self.compact(wait_s=wait_s)
        return prune(self._folder, before, wait_s=wait_s)

    def export(self, target: Path, of_format: ExportFormat = "parquet") -> list[Path]:
        """Write the ledger as Parquet or CSV files into a folder, or as tables of a new DuckDB file."""
        return export(self.snapshot(), target, of_format)

    def reprice(self, since: datetime | None = None) -> Repriced:
        """Price calls again at today's knowledge of the rates of their day; what was booked is kept."""
        return reprice(self.snapshot(), self.recorder(), since)

    def snapshot(self) -> duckdb.DuckDBPyConnection:
        """A cursor with the views of this moment, for several queries over one and the same state."""
        return open_snapshot(self._connection(), self._folder)

    def _relation(self, query: str) -> duckdb.DuckDBPyRelation:
        relation = self.snapshot().sql(query)
        if relation is None:
            raise LedgerError("A ledger is read with SELECT; it is written by recording only.")
        return relation

    def _connection(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._root is None:
                self._root = connect()
            return self._root
