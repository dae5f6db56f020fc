"""Threads that use DuckDB behind the scenes, and are out of it when the interpreter ends.

A daemon thread that comes back from DuckDB into an interpreter that is ending takes the process down with SIGABRT, and
one that is no daemon keeps the process waiting.  So what such a thread asks of DuckDB is broken off at exit.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

LEAVE_S = 1.0  # a query ends within milliseconds; a thread that waits for a network is left alone
_PAUSE_S = 0.02
_leaving = threading.Event()


class Background(threading.Thread):
    """A daemon thread whose queries raise ``duckdb.InterruptException`` when the process ends."""

    def __init__(self, work: Callable[[], object], *, name: str) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self._connections: list[weakref.ref[duckdb.DuckDBPyConnection]] = []

    def run(self) -> None:
        """Work, unless the process ends already."""
        if not _leaving.is_set():
            super().run()

    def hold(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Remember a connection that this thread has opened."""
        living = [one for one in self._connections if one() is not None]
        self._connections = [*living, weakref.ref(connection)]

    def break_off(self, until: float) -> None:
        """Interrupt each query, until the thread has ended or the clock (``time.monotonic``) shows ``until``."""
        while self.is_alive() and time.monotonic() < until:
            for connection in [one() for one in self._connections]:
                if connection is not None:
                    with contextlib.suppress(Exception):  # closed in this moment; DuckDB's errors load with DuckDB
                        connection.interrupt()
            self.join(_PAUSE_S)


def hold(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection of the present thread be broken off at exit, if the thread is one of these."""
    thread = threading.current_thread()
    if isinstance(thread, Background):
        thread.hold(connection)


def _at_exit() -> None:
    _leaving.set()
    until = time.monotonic() + LEAVE_S
    for thread in threading.enumerate():
        if isinstance(thread, Background):
            thread.break_off(until)


atexit.register(_at_exit)
