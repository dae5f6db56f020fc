"""Files appear whole or not at all, also on a full disk."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dslkit.batch.artefact import DiskFullError, clear_remains, disk_full_explained, sha256_of, write_whole

if TYPE_CHECKING:
    from pathlib import Path

# A limit on file size stands in for a full disk: the kernel itself refuses the write, half-way.
WRITE_TOO_MUCH = """
import resource, signal, sys
from pathlib import Path
from dslkit.batch.artefact import DiskFullError, write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_whole(Path(sys.argv[1]), "x" * 10_000)
except DiskFullError as error:
    print(error)
"""


def test_writes_text_and_tells_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.yml"
    digest = write_whole(path, "größer\n")
    assert path.read_text(encoding="utf-8") == "größer\n"
    assert digest == hashlib.sha256("größer\n".encode()).hexdigest() == sha256_of(path)
    assert list(path.parent.iterdir()) == [path]


def test_unreadable_file_has_no_hash(tmp_path: Path) -> None:
    assert sha256_of(tmp_path / "none") is None


def test_remains_of_the_dead_are_cleared(tmp_path: Path) -> None:
    """Of files half written, those whose writer lives stay."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = (f".a.yml.{dead.pid}.new", f".b.yml.{os.getpid()}.new", "c.yml", ".d.new", ".e.yml.mine.new")
    for name in names:
        (tmp_path / name).write_text("")
    clear_remains(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
    clear_remains(tmp_path / "none")


def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    write_whole(path, "old")
    answer = subprocess.run(
        [sys.executable, "-c", WRITE_TOO_MUCH, str(path)], capture_output=True, text=True, check=True
    )
    assert "No room on the disk" in answer.stdout
    assert "run the same command again" in answer.stdout
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_is_explained(tmp_path: Path, number: int) -> None:
    with pytest.raises(DiskFullError, match="Free some space"), disk_full_explained(tmp_path):
        raise OSError(number, os.strerror(number))


def test_other_errors_pass(tmp_path: Path) -> None:
    (tmp_path / "a.yml").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "a.yml", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.yml"]
