"""An append-only journal of JSON lines: one segment per process, any number of processes, no waiting on each other.

A segment is created as ``.new``, locked, and renamed to ``.open``: whoever finds an ``.open`` segment with a free lock
knows that its writer is dead.  Every append is one ``write`` of one line (it survives the process); ``flush`` makes all
earlier appends durable with one fdatasync, shared by all who wait.  When a segment has grown or aged it is sealed as
``.jsonl``, and what its owner still holds open is written again into the next one, so that each stands alone.

A busy segment has room made for it ahead, filled with zeros: an fdatasync that need not also make a new length durable
takes about two thirds of the time.  So zeros at the end of a segment are room that was never used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dslkit.errors import LedgerError
from dslkit.ledger.folder import NEW, OPEN, SEALED, lock_now, sync_data, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENT_SECONDS = 900.0
COMMIT_SECONDS = 0.01  # how long an append may stay undurable when nobody asks
RETRY_SECONDS = 0.5  # how often a full disk is tried again
BACKLOG_LINES = 100_000  # kept in memory while the disk is full; about 80 MB
BUSY_BYTES = 64 * 1024  # a segment that has grown so far gets room ahead
ROOM = bytes(256 * 1024)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Carried:
    """What moves on into the next segment: keys of open calls, and the lines to write again."""

    keys: Sequence[tuple[str, int]] = ()
    lines: Sequence[bytes] = ()


class Heading(Protocol):
    """Makes the first line of a segment."""

    def __call__(self, segment: str, carried: Carried) -> bytes:
        """The line for a segment of this id."""
        ...


class Segment:
    """One file of a journal, which this process has locked and alone writes to."""

    def __init__(self, folder: Path, name: str, first: bytes) -> None:
        self._folder = folder
        self.name = name
        self.born = time.monotonic()
        self.size = 0  # of its lines; the file may have room beyond
        self._room_to = 0
        self._named = False
        self.descriptor = self._create(first)

    def _create(self, first: bytes) -> int:
        path = self._folder / (self.name + NEW)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        try:
            lock_now(descriptor)
            _write_all(descriptor, first, 0)
            self.size = len(first)
            path.rename(self._folder / (self.name + OPEN))
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return descriptor

    def append(self, line: bytes) -> None:
        """Write one line, whole or not at all."""
        _write_all(self.descriptor, line, self.size)
        self.size += len(line)

    def make_room(self) -> None:
        """See to it that a busy segment need not grow with each line; nobody may append meanwhile."""
        if self.size < BUSY_BYTES or self._room_to - self.size > len(ROOM) // 4:
            return
        begin = max(self._room_to, self.size)
        with contextlib.suppress(OSError):  # a full disk: then lines are written as long as there is space for them
            self._room_to = begin + os.pwrite(self.descriptor, ROOM, begin)

    def sync(self) -> None:
        """Make everything appended durable; the segment's name, too."""
        sync_data(self.descriptor)
        if not self._named:
            sync_folder(self._folder)
            self._named = True

    def seal(self) -> None:
        """Make it durable and final, and give up the lock.  A segment that somebody deleted has nothing to seal."""
        os.ftruncate(self.descriptor, self.size)
        self.sync()
        with contextlib.suppress(FileNotFoundError):
            (self._folder / (self.name + OPEN)).rename(self._folder / (self.name + SEALED))
        os.close(self.descriptor)

    def abandon(self) -> None:
        """Close this process's copy without a trace: after a fork the file and its lock are the parent's."""
        os.close(self.descriptor)


def _write_all(descriptor: int, line: bytes, at: int) -> None:
    """Write a line; after a short write cut the torn line off again, so that nothing ever follows one."""
    written = 0
    try:
        written = os.pwrite(descriptor, line, at)
        while written < len(line):
            written += os.pwrite(descriptor, line[written:], at + written)
    except OSError:
        if written:
            os.ftruncate(descriptor, at)
        raise


class Journal:
    """Appends from any thread; safe over fork; never raises from ``append``.

    Args:
        folder: where segments lie; it exists.
        heading: makes the first line of a segment.
        carry: what is still open; called while appends wait, so it must not append.
        sealed: called, off the callers' time, when segments have been sealed on the way.
        segment_bytes, segment_seconds: a segment that reaches either is sealed.
    """

    def __init__(
        self,
        folder: Path,
        heading: Heading,
        carry: Callable[[], Carried],
        *,
        sealed: Callable[[], object] = lambda: None,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
    ) -> None:
        self._folder = folder
        self._heading = heading
        self._carry = carry
        self._sealed = sealed
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._begin()

    def _begin(self) -> None:
        """The state of a process that has written nothing yet."""
        self._writer = os.urandom(8).hex()
        self._sequence = 0
        self._segment: Segment | None = None
        self._retired: list[Segment] = []
        self._backlog: deque[tuple[bytes, Callable[[], object]]] = deque(maxlen=BACKLOG_LINES)
        self._busy = False  # a line is being written, or room made for lines
        self._lost = 0
        self._appended = 0
        self._durable = 0
        self._lock = threading.RLock()  # a stream collected as garbage settles in the middle of whatever runs
        self._syncing = threading.Lock()
        self._work = threading.Event()
        self._thread: threading.Thread | None = None

    def forked(self) -> None:
        """In a child: leave the parent's segments to the parent."""
        for segment in (self._segment, *self._retired):
            if segment is not None:
                with contextlib.suppress(OSError):
                    segment.abandon()
        self._begin()

    def append(self, line: bytes, then: Callable[[], object] = lambda: None) -> None:
        """Write one line; it survives this process when this returns, unless the disk refuses (then it waits).

        ``then`` runs once the line is in a segment and before that segment can be rotated: it notes what is open.
        """
        with self._lock:
            if self._busy or self._backlog or not self._write(line, then):
                self._keep(line, then)
            elif self._backlog:
                with contextlib.suppress(OSError):  # then it waits as ever
                    self._drain()
            self._appended += 1
        if not self._work.is_set():
            self._wake()

    def _keep(self, line: bytes, then: Callable[[], object]) -> None:
        if len(self._backlog) == BACKLOG_LINES:
            self._lost += 1
        self._backlog.append((line, then))

    def _write(self, line: bytes, then: Callable[[], object]) -> bool:
        try:
            self._put(line, then)
        except OSError as error:
            if not self._backlog:
                _log.error("The ledger cannot be written (%s); records wait in memory", error)
            return False
        return True

    def _put(self, line: bytes, then: Callable[[], object]) -> None:
        """Write a line; what the collector of garbage brings in the middle of that must not go to the same place."""
        self._busy = True
        try:
            self._ready().append(line)
            then()
        finally:
            self._busy = False

    def _ready(self) -> Segment:
        segment = self._segment
        if segment is None:
            self._segment = segment = self._open(Carried())
        elif segment.size >= self._segment_bytes or time.monotonic() - segment.born >= self._segment_seconds:
            self._segment = self._open(self._carry())
            self._retired.append(segment)  # sealed by whoever syncs next: not on the caller's time
            segment = self._segment
        return segment

    def _open(self, carried: Carried) -> Segment:
        name = f"{self._writer}-{self._sequence + 1:06d}"
        first = b"".join((self._heading(name, carried), *carried.lines))
        self._folder.mkdir(parents=True, exist_ok=True)
        segment = Segment(self._folder, name, first)
        self._sequence += 1
        return segment

    def flush(self) -> None:
        """Return when everything appended before is durable; LedgerError when the disk refuses it."""
        with self._lock:
            wanted = self._appended
        error = self._sync(wanted)
        if error is not None or self._lost:
            raise LedgerError(
                f"The ledger in {self._folder} cannot be written ({error or 'records were dropped'}): "
                f"{len(self._backlog)} records wait in memory, {self._lost} are lost. Free some disk space."
            )

    def _sync(self, wanted: int) -> OSError | None:
        """One fdatasync for all who wait: whoever comes first does it for those behind."""
        with self._syncing:
            if self._durable >= wanted and not self._retired:
                return None
            try:
                self._make_room()
                self._drain()
                with self._lock:
                    target, segment = self._appended, self._segment
                while self._retired:
                    self._retired[0].seal()
                    del self._retired[0]
                if segment is not None:
                    segment.sync()
                    self._forget_deleted(segment)
            except OSError as error:
                return error
            self._durable = target
        return None

    def _make_room(self) -> None:
        with self._lock:
            if self._segment is not None:
                self._busy = True
                try:
                    self._segment.make_room()
                finally:
                    self._busy = False

    def _forget_deleted(self, segment: Segment) -> None:
        """Somebody removed the ledger while we write: what comes from now on must not go the same way."""
        if os.fstat(segment.descriptor).st_nlink == 0:
            with self._lock:
                if self._segment is not segment:
                    return  # it has had its time, and is sealed next
                self._segment = None
            segment.abandon()
            _log.error("Somebody deleted the ledger segment %s; a new one is begun in %s", segment.name, self._folder)

    def _drain(self) -> None:
        """Write what waited for disk space."""
        while self._backlog:
            with self._lock:
                if self._backlog:
                    line, then = self._backlog[0]
                    self._put(line, then)
                    self._backlog.popleft()

    def _wake(self) -> None:
        self._work.set()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._commit_behind, name="ledger-commit", daemon=True)
            self._thread.start()

    def _commit_behind(self) -> None:
        """Make appends durable soon, off the caller's time."""
        while True:
            self._work.wait()
            time.sleep(COMMIT_SECONDS)
            self._work.clear()
            with self._lock:
                wanted, rotated = self._appended, bool(self._retired)
            if self._sync(wanted) is not None:
                time.sleep(RETRY_SECONDS)
                self._work.set()
            elif rotated:
                self._sealed()

    def close(self) -> None:
        """Flush, and seal the segment if nothing is open in it; the next append opens another."""
        with self._lock:
            segment = self._segment
            if segment is not None and not self._backlog and not self._carry().lines:
                self._segment = None
                self._retired.append(segment)
        self.flush()
