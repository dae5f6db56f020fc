"""Disks that are full, locks that do not hold: said clearly, and nothing acknowledged is lost."""

from __future__ import annotations

import errno
import fcntl
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ledger_writing import call, in_process

from dslkit.errors import LedgerError
from dslkit.ledger import Ledger, folder, recorder

# No file may grow beyond so many bytes: what a full disk does, without one.
LIMITED = """
import resource, sys
from dslkit.errors import LedgerError
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""


def limited(home: Path, body: str) -> str:
    """Run a piece of Python; return what it printed."""
    program = f"import os; from dslkit.ledger import Ledger; ledger = Ledger({str(home)!r})\n{LIMITED}\n{body}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def leftovers(home: Path) -> list[str]:
    return [str(path.relative_to(home)) for path in home.rglob(".*")]


def test_a_full_disk_refuses_a_recorder_at_once(home: Path) -> None:
    """As a LedgerError that says what to do, and without leaving half a file behind."""
    said = limited(home, "limit(20_000)\ntry:\n    ledger.recorder()\nexcept LedgerError as error:\n    print(error)")
    assert "Free some disk space" in said
    assert leftovers(home) == []
    assert call(Ledger(home).recorder())


def test_a_full_disk_stops_a_compaction_and_loses_nothing(ledger: Ledger, home: Path) -> None:
    """What cannot be taken in stays where it is, and is taken in when there is space."""
    in_process(home, "for _ in range(200): call(recorder)\nrecorder.close()")
    said = limited(home, "limit(2_000)\ntry:\n    ledger.compact()\nexcept LedgerError as error:\n    print(error)")
    assert "is as it was" in said
    assert ledger.usage().total_requests == 200
    assert not [name for name in leftovers(home) if "parts/." in name]
    assert ledger.compact().rows == 200
    assert ledger.usage().total_requests == 200
    assert not ledger.verify().lost


def test_what_a_full_disk_refused_waits_in_memory(home: Path, ledger: Ledger) -> None:
    """``flush`` says that it is not durable; once there is space, it is written, once."""
    said = in_process(
        home,
        LIMITED
        + """
for _ in range(5): call(recorder)
recorder.flush()
limit(6_000)
for _ in range(20): call(recorder)
try:
    recorder.flush()
except LedgerError as error:
    print(error)
limit(resource.RLIM_INFINITY)
recorder.flush()
os._exit(0)
""",
    ).stdout
    assert "records wait in memory, 0 are lost" in said
    assert ledger.usage().total_requests == 25
    assert not [finding for finding in ledger.verify().findings if finding.code == "torn"]


def test_a_ledger_that_cannot_be_looked_at(home: Path, ledger: Ledger) -> None:
    """Is none that is empty: a link to itself stands for all that keeps a folder from being opened."""
    home.symlink_to(home)
    for read in (ledger.snapshot, ledger.verify, ledger.follower, ledger.recorder):
        with pytest.raises(LedgerError, match=r"cannot be .*DSLKIT_HOME"):
            read()


def never(*_: Any) -> None:
    """A lock that everybody is granted."""


def refuse(*_: Any) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("flock", [never, refuse])
def test_locks_that_do_not_work_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch, flock: Any) -> None:
    """Before anything is written: two compactors would corrupt each other without a sign."""
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(LedgerError, match=r"locks do not work.*DSLKIT_HOME"):
        Ledger(home).recorder()
    with pytest.raises(LedgerError, match="locks do not work"):
        Ledger(home).compact()


MOUNTS = """proc /proc proc rw 0 0
/dev/vda / ext4 rw 0 0
server:/export {home} nfs4 rw,local_lock=none 0 0
"""


def test_a_network_filesystem_is_warned_of(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its locks may hold on this machine alone, which cannot be told from here; ``verify`` repeats it."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(home=tmp_path))
    monkeypatch.setattr(folder, "MOUNTS", mounts)
    assert folder.network_filesystem(home) == "nfs4"
    assert folder.network_filesystem(Path("/")) is None
    with caplog.at_level(logging.WARNING, recorder.__name__):
        Ledger(home).recorder()
    assert "one machine alone" in caplog.text
    assert "network-filesystem" in {finding.code for finding in Ledger(home).verify().findings}
