"""Compaction in a process of its own, started by whoever records when much has gathered.

It takes memory that a process which goes on would keep, time that its threads need, and DuckDB, of which no thread may
be inside when a process ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.errors import LedgerError
from dslkit.ledger.folder import SEALED, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

DUE_SEGMENTS = 32  # a snapshot of so many costs a reader some 30 ms more than one of none
DUE_BYTES = 8 * 1024 * 1024  # which costs each reader 100 ms and 25 MB
_NICE = 5  # what is recorded goes before
# It has the search path of its parent, so it is the same dslkit.
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from dslkit.ledger.compactor import main
main(*sys.argv[2:])
"""
_log = logging.getLogger(__name__)


def compact_if_due(folder: Folder) -> None:
    """Have segments taken into parts when many have gathered and nobody is at it; returns without waiting for the end.

    What goes wrong is logged and left to the next one: nothing of this process depends on it.
    """
    try:
        if _is_due(folder):
            with _locked(folder) as lock:
                if lock is not None:
                    process = _started(folder, lock)
                    threading.Thread(target=_heed, args=(process,), name="ledger-compact", daemon=True).start()
    except Exception as error:  # noqa: BLE001 - the caller's work is done, and recorded
        _log.warning("No compaction of the ledger this time: %s", error)


def compact_behind(folder: Folder) -> None:
    """The same for those who cannot even wait for its start."""
    with contextlib.suppress(RuntimeError):  # the process ends: others compact
        threading.Thread(target=compact_if_due, args=(folder,), name="ledger-compact", daemon=True).start()


def _is_due(folder: Folder) -> bool:
    sealed = [path for path in folder.segments().values() if path.suffix == SEALED]
    if len(sealed) >= DUE_SEGMENTS:
        return True
    with contextlib.suppress(FileNotFoundError):  # somebody else is compacting
        return sum(path.stat().st_size for path in sealed) >= DUE_BYTES
    return False


@contextlib.contextmanager
def _locked(folder: Folder) -> Iterator[int | None]:
    """The lock of whoever compacts, to be handed on; None when somebody has it."""
    from dslkit.ledger.compaction import take_lock  # noqa: PLC0415 - which needs DuckDB

    lock = take_lock(folder.lock)
    try:
        yield lock
    finally:
        if lock is not None:
            os.close(lock)  # a child that was started has it still


def _started(folder: Folder, lock: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path), str(folder.home), str(lock)]
    return subprocess.Popen(  # noqa: S603 - our own module
        command,
        pass_fds=[lock],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is not meant for it
    )


def _heed(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end, so that no zombie is left, and tell of a bad one."""
    _, said = process.communicate()
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        _log.warning("No compaction of the ledger this time: %s", last[0])


def main(home: str, lock: str) -> None:
    """Compact the ledger of a home whose lock is held."""
    from dslkit.ledger.compaction import compact  # noqa: PLC0415 - which needs DuckDB

    os.nice(_NICE)
    try:
        compact(Folder(Path(home)), lock=int(lock))
    except LedgerError as error:
        sys.exit(str(error))
