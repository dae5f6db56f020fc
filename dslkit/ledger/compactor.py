"""Compaction in a process of its own: ``python -m dslkit.ledger.compactor HOME``.

Whoever records need not load DuckDB for it, keep the memory that a merge took, share its time with the threads of one,
or be inside of it when it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from dslkit.errors import LedgerError
from dslkit.ledger.folder import SEALED, Folder

DUE_SEGMENTS = 32  # a snapshot of so many costs a reader some 30 ms more than one of none
DUE_BYTES = 8 * 1024 * 1024  # which costs each reader 100 ms and 25 MB
_NICE = 5  # what is recorded goes before
_log = logging.getLogger(__name__)
_at_it = threading.Lock()


def compact_if_due(folder: Folder) -> None:
    """Take segments into parts when many have gathered; whoever comes by does it, for all.  Returns when it is done.

    What goes wrong is logged and left to the next one: nothing of this process depends on it.
    """
    if not _is_due(folder):
        return
    command = [sys.executable, "-P", "-m", __name__, str(folder.home)]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is not meant for it
            check=False,
        )
    except OSError as error:
        _log.info("No compaction this time: %s", error)
        return
    if done.returncode:
        _log.info("No compaction this time: %s", done.stderr.decode(errors="replace").strip())


def compact_behind(folder: Folder) -> None:
    """The same without waiting for it, one at a time."""
    with contextlib.suppress(RuntimeError):  # the process ends: others compact
        threading.Thread(target=_unless_at_it, args=(folder,), name="ledger-compact", daemon=True).start()


def _unless_at_it(folder: Folder) -> None:
    if _at_it.acquire(blocking=False):
        try:
            compact_if_due(folder)
        finally:
            _at_it.release()


def _after_fork() -> None:
    global _at_it  # noqa: PLW0603 - a thread of the parent may have held it
    _at_it = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _is_due(folder: Folder) -> bool:
    sealed = [path for path in folder.segments().values() if path.suffix == SEALED]
    if len(sealed) >= DUE_SEGMENTS:
        return True
    with contextlib.suppress(FileNotFoundError):  # somebody else is compacting
        return sum(path.stat().st_size for path in sealed) >= DUE_BYTES
    return False


def main() -> None:
    """Compact the ledger of the home that is named, unless another process is at it."""
    from dslkit.ledger.compaction import compact  # noqa: PLC0415 - DuckDB, which the importers of this module do without

    os.nice(_NICE)
    try:
        compact(Folder(Path(sys.argv[1])), wait_s=0)
    except LedgerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
