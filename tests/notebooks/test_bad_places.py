"""Folders that are really read-only and disks that are really full, mounted so that only the run sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dslkit.ledger import Ledger
from tests.notebooks.executed import statuses

if TYPE_CHECKING:
    from collections.abc import Callable

CAN_MOUNT = Path("/proc/self/ns/mnt").exists() and not subprocess.call(
    ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], stderr=subprocess.DEVNULL
)
READ_ONLY = "mount --bind place place && mount -o remount,ro,bind place"
SMALL = "mount -t tmpfs -o size={size}k none place"
DSLKIT = f"{sys.executable} -c 'from dslkit.cli import main; main()'"
BATCH = "batch wishes.txt --no-engine --no-report"

pytestmark = pytest.mark.skipif(not CAN_MOUNT, reason="needs the rights to mount")


def dslkit(place: str, command: str, then: str = "true") -> subprocess.CompletedProcess[str]:
    """A command where the folder ``place`` is mounted so; ``then`` is done before it is gone."""
    Path("place").mkdir(exist_ok=True)
    line = f"{place} && {{ {DSLKIT} {command}; code=$?; {then}; exit $code; }}"
    return subprocess.run(["unshare", "--mount", "sh", "-c", line], capture_output=True, text=True, check=False)


def wishes(many: int) -> None:
    Path("wishes.txt").write_text(
        "\n".join(f"Translate a text (variable text{each}) to French" for each in range(many))
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run notebook.ipynb -o place/out.ipynb", "Cannot write the output notebook place/out.ipynb: Read-only"),
        ("run notebook.ipynb -o place/new/out.ipynb", "place/new: no such folder can be made (Read-only"),
        (f"{BATCH} --out place", "place: nothing can be written there (Read-only"),
        (f"{BATCH} --out place/new --no-notebook", "place/new: nothing can be written there (Read-only"),
    ],
)
def test_a_read_only_folder(notebook: Callable[..., Path], command: str, said: str) -> None:
    notebook("1")
    wishes(2)
    done = dslkit(READ_ONLY, command)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert Ledger("home").sql("SELECT count(*) FROM calls").fetchall() == [(0,)]


@pytest.mark.parametrize("command", [BATCH, f"{BATCH} --no-notebook", "run notebook.ipynb -o out.ipynb"])
def test_a_read_only_home(
    notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("DSLKIT_HOME", str(tmp_path / "place"))
    notebook("1")
    wishes(2)
    done = dslkit(READ_ONLY, command)
    assert (done.returncode, done.stdout) != (0, "")
    assert "Read-only" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_the_output_as_far_as_it_got(notebook: Callable[..., Path]) -> None:
    notebook("1", "print('x' * 1_000_000)", "3")
    done = dslkit(SMALL.format(size=200), "run notebook.ipynb -o place/out.ipynb", "cp place/* .; ls -A place > left")
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert Path("left").read_text().split() == ["out.ipynb"]
    assert statuses(Path("out.ipynb")) == ["completed", "running", "pending"]
    assert Ledger("home").sql("SELECT status, error_type FROM runs").fetchall() == [("failed", "OSError")]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_on_a_full_disk_goes_on_when_there_is_room(workers: int) -> None:
    """What is finished is whole, and not made again."""
    wishes(40)
    done = dslkit(
        SMALL.format(size=80),
        f"{BATCH} --out place --no-notebook --workers {workers}",
        "ls -A place > left; cp -r place kept",
    )
    assert done.returncode == 1
    assert "No room on the disk for place" in done.stderr
    left = Path("left").read_text().split()
    assert 10 < len(left) < 40
    assert all(name.endswith(".yml") and not name.startswith(".") for name in left)
    assert Ledger("home").sql("SELECT count(*) FROM items WHERE verdict = 'clean'").fetchall() == [(len(left),)]
    for each in Path("kept").iterdir():
        each.rename(Path("place") / each.name)
    again = dslkit("true", f"{BATCH} --out place --no-notebook")
    assert again.returncode == 0, again.stderr
    made = Ledger("home").sql("SELECT count(*) FROM items WHERE verdict = 'clean' AND reused_from IS NULL").fetchall()
    assert made == [(40,)]


def test_a_disk_that_is_full_under_the_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DSLKIT_HOME", str(tmp_path / "place"))
    wishes(400)
    done = dslkit(SMALL.format(size=700), f"{BATCH} --no-notebook", "cp -r place kept")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "disk" in done.stderr
    booked = Ledger("kept").sql("SELECT count(*) FROM items WHERE verdict = 'clean'").fetchall()
    assert 0 < booked[0][0] <= len(list(Path("out").glob("*.yml"))) < 400
