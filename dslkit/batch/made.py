"""What has been made since a batch began, in whatever process: so that nothing is asked twice.

Whoever finishes a piece of work adds its name to one file below the home, before others may claim it.  A batch looks at
what was added since it began, and only then into the ledger.  Whoever comes when nobody else is at work begins the file
anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class MadeLog:
    """The file, seen from ``since`` (bytes) on, from its present end when None."""

    def __init__(self, path: Path, *, since: int | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._made: set[int] = set()  # hashes, in half the memory: should two be equal, the ledger knows better
        if since is None:
            with contextlib.suppress(BlockingIOError):  # others are at work, and look from where they began
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(self._file, 0)
        fcntl.flock(self._file, fcntl.LOCK_SH)  # until it is closed, or this process ends
        self.since = os.fstat(self._file).st_size if since is None else since
        self._read = self.since

    def add(self, work: str) -> None:
        """Tell all that this was made; what was made is in the ledger by now."""
        os.write(self._file, f"{work}\n".encode())

    def has(self, work: str) -> bool:
        """Whether somebody made it since the batch began."""
        while added := os.pread(self._file, 1 << 20, self._read):
            lines = added[: added.rfind(b"\n") + 1]
            if not lines:
                break
            self._made.update(map(hash, lines.split()))
            self._read += len(lines)
        return hash(work.encode()) in self._made

    def close(self) -> None:
        """Let others begin anew."""
        os.close(self._file)
