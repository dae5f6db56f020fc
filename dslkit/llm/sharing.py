"""Where the state of a lane lives: in this process, or in a file that all processes of the machine map.

The file's lock is held for microseconds.  A process shows that it lives by a lock on a byte of its own: pids are
reused, locks are not.  Should somebody be stopped while holding the file's lock, nobody waits for it for long: what
cannot be written now is written with the next turn.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import logging
import mmap
import os
import subprocess
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from dslkit.llm.throttle import MAX_SLOTS, RING, Lane, Limit, table_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_CELL = 8
_PATIENCE_S = 0.05
_SPIN_S = 0.0002
_LIVENESS_EVERY_S = 0.5
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_shared: weakref.WeakValueDictionary[Path, FileState] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()
_forkable: weakref.WeakSet[MemoryState | FileState] = weakref.WeakSet()


class State(Protocol):
    """A lane behind a lock."""

    slot: int

    def run(self, act: Callable[[Lane], _T], busy: _T) -> _T:
        """Do something with the lane; ``busy`` when it cannot be had now."""

    def apply(self, act: Callable[[Lane], object]) -> None:
        """Do something with the lane, now or with the next turn."""

    def bury_the_dead(self, now: float) -> None:
        """Free what dead processes held."""

    def after_fork(self) -> None:
        """Called in a forked child."""


class MemoryState:
    """A lane of this process alone."""

    slot = 0

    def __init__(self, limits: Sequence[Limit], *, ring: int = RING) -> None:
        self._lock = threading.Lock()
        size = table_cells(ring) * _CELL
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # pages cost nothing until used
        self._lane = Lane(memoryview(memory).cast("d"), ring=ring)
        self._lane.bind(limits)
        _forkable.add(self)

    def run(self, act: Callable[[Lane], _T], busy: _T) -> _T:  # noqa: ARG002 - part of the protocol
        """Do it."""
        with self._lock:
            return act(self._lane)

    def apply(self, act: Callable[[Lane], object]) -> None:
        """Do it."""
        with self._lock:
            act(self._lane)

    def bury_the_dead(self, now: float) -> None:
        """Nobody shares this memory."""

    def after_fork(self) -> None:
        """Another thread may have held the lock when this child was forked off."""
        self._lock = threading.Lock()


class FileState:
    """A lane in a file.  Use ``file_state`` to get one: a process has one for each file."""

    def __init__(self, path: Path, *, ring: int = RING) -> None:
        self._path = path
        self._ring = ring
        self._table = self._alive = -1
        self._lock = threading.Lock()
        self._limits: dict[tuple[str, float], Limit] = {}
        self._backlog: list[Callable[[Lane], object]] = []
        self._buried_at = 0.0
        self._open()
        _forkable.add(self)

    def bind(self, limits: Sequence[Limit]) -> None:
        """Hold these limits too; of two for the same window the later counts."""
        self._limits.update({(limit.unit, limit.window_s): limit for limit in limits})
        self.apply(lambda lane: lane.bind(tuple(self._limits.values())))

    def run(self, act: Callable[[Lane], _T], busy: _T) -> _T:
        """Do something with the lane under the file's lock; ``busy`` when a stopped process has it."""
        with self._lock:
            if not self._acquire():
                return busy
            try:
                self._catch_up()
                return act(self._lane)
            finally:
                fcntl.flock(self._table, fcntl.LOCK_UN)

    def apply(self, act: Callable[[Lane], object]) -> None:
        """Do something with the lane, now or with the next turn."""
        with self._lock:
            self._backlog.append(act)
            if self._acquire():
                try:
                    self._catch_up()
                finally:
                    fcntl.flock(self._table, fcntl.LOCK_UN)

    def bury_the_dead(self, now: float) -> None:
        """Free what dead processes held; looks at most twice a second."""
        if now - self._buried_at < _LIVENESS_EVERY_S:
            return
        self._buried_at = now
        self.apply(self._bury)

    def after_fork(self) -> None:
        """A forked child shares the file's lock with its parent and has no slot: drop both, open anew when needed."""
        self._close()
        self._lock = threading.Lock()
        self._backlog = []

    def _close(self) -> None:
        for file in (self._table, self._alive):
            if file >= 0:
                os.close(file)
        self._table = self._alive = -1

    def __del__(self) -> None:
        self._close()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._alive = os.open(self._path.with_suffix(".alive"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._table = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.slot = -1
        fcntl.flock(self._table, fcntl.LOCK_EX)
        try:
            self._set_up()
        finally:
            fcntl.flock(self._table, fcntl.LOCK_UN)

    def _set_up(self) -> None:
        size = table_cells(self._ring) * _CELL
        if os.fstat(self._table).st_size < size:
            os.ftruncate(self._table, size)  # sparse: pages cost nothing until used
        self._lane = Lane(memoryview(mmap.mmap(self._table, size)).cast("d"), ring=self._ring)
        if self._lane.boot != boot_id():
            self._lane.reset(boot_id())
        self._bury(self._lane)
        self.slot = self._claim()
        self._lane.bind(tuple(self._limits.values()))

    def _claim(self) -> int:
        """Take a free slot by locking its byte; the lock ends with this process, whatever ends it."""
        for slot in range(MAX_SLOTS):
            if not self._lane.in_slot(slot) and _lock_byte(self._alive, slot):
                return slot
        raise OSError(f"More than {MAX_SLOTS} processes share {self._path}")

    def _bury(self, lane: Lane) -> None:
        for slot in range(MAX_SLOTS):
            if slot != self.slot and lane.in_slot(slot) and _lock_byte(self._alive, slot):
                lane.bury(time.monotonic(), slot)
                fcntl.lockf(self._alive, fcntl.LOCK_UN, 1, slot)

    def _acquire(self) -> bool:
        """Take the file's lock, but do not wait long: whoever holds it may be stopped."""
        if self._table < 0:
            self._open()
        until = None
        while True:
            try:
                fcntl.flock(self._table, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                now = time.monotonic()
                until = until or now + _PATIENCE_S
                if now > until:
                    return False
                time.sleep(_SPIN_S)
            else:
                return True

    def _catch_up(self) -> None:
        while self._backlog:
            self._backlog.pop(0)(self._lane)


def file_state(path: Path, limits: Sequence[Limit]) -> FileState:
    """This process' hold on the lane in ``path``, limited by ``limits`` besides what it was limited by before."""
    path = path.absolute()
    with _shared_lock:
        state = _shared.get(path)
        if state is None:
            state = _shared[path] = FileState(path)
    state.bind(limits)
    return state


def lane_name(provider: str, key: str, model: str) -> str:
    """A file name for what a key may do with a model; tells nothing of the key."""
    return hashlib.blake2b(f"{provider}\0{key}\0{model}".encode(), digest_size=12).hexdigest()


@functools.cache
def boot_id() -> float:
    """A number for this boot of the machine, the same in all its processes: stamps mean nothing across boots."""
    try:
        text = _BOOT_ID.read_text(encoding="ascii")
    except OSError:
        text = _sysctl_boot_id()
    return float(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest()))


def _sysctl_boot_id() -> str:
    """The boot id where there is no /proc: macOS."""
    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - a fixed command


def _lock_byte(file: int, byte: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError:
        return False
    return True


def _after_fork() -> None:
    for state in list(_forkable):
        state.after_fork()


os.register_at_fork(after_in_child=_after_fork)
