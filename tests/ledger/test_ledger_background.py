"""A process that ends while DuckDB is at work for it ends as any other, and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from ledger_writing import call, in_process

from dslkit.ledger import compactor
from dslkit.ledger.compaction import upkeep
from dslkit.ledger.folder import Folder

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.ledger import Ledger

CALLS = 20_000
MUCH = f"""
from pathlib import Path
from dslkit.ledger.folder import Folder
from dslkit.ledger import compactor
from dslkit.ledger.recorder import LedgerRecorder
compactor.DUE_BYTES = compactor.DUE_SEGMENTS = 10**9
much = LedgerRecorder(Folder(Path(os.environ["DSLKIT_HOME"]).resolve()), segment_bytes=500_000)
for _ in range({CALLS}): call(much)
much.close()
"""
# An interpreter with much to clear away is in its end for a while, in which a thread may come back from DuckDB.
ENDING = """
import time
from pathlib import Path
home = Path(os.environ["DSLKIT_HOME"])
def wait_for(path):
    while not path.exists(): time.sleep(0.001)
class Late:
    def __del__(self):
        until = time.monotonic() + 0.5
        while time.monotonic() < until: pass
late = Late()
"""
COMPACTING = """
from dslkit.ledger.folder import Folder
from dslkit.ledger.recorder import LedgerRecorder
rotating = LedgerRecorder(Folder(home.resolve()), segment_bytes=1)
call(rotating)
wait_for(home / "ledger" / "manifest.json")
"""
# A ledger so large that reading it never ends: in and out of DuckDB, again and again.
EXPORTING = """
import threading
from dslkit.telemetry import exporting as room
room.INTERVAL_S = room.FAREWELL_S = 0.0
reading = threading.Event()
def gather(views, **_):
    while True:
        views.execute("SELECT sum(range) FROM range(100_000)").fetchall()
        reading.set()
room.gather = gather
with room.exporting(home, print):
    reading.wait()
"""

ON_A_PATH = """
import json, sys, threading
sys.path[:] = json.loads(sys.argv[1])
from pathlib import Path
from dslkit.ledger import Ledger, compactor
compactor.DUE_SEGMENTS = 0
recorder = Ledger(Path(sys.argv[2])).recorder()
recorder.mark("here")
recorder.close()
for thread in threading.enumerate():
    if thread.name == "ledger-compact": thread.join()
"""


@pytest.fixture
def much(ledger: Ledger, home: Path) -> None:
    """A ledger that takes DuckDB a while."""
    assert in_process(home, MUCH).stderr == ""


@pytest.mark.usefixtures("much")
def test_a_compaction_outlives_the_process_that_wanted_it(ledger: Ledger, home: Path) -> None:
    done = in_process(home, ENDING + COMPACTING)
    assert (done.returncode, done.stderr) == (0, "")
    assert not ledger.verify().lost
    assert ledger.usage().total_requests == CALLS + 1
    ledger.compact()  # waits for the one under way
    assert {finding.severity for finding in ledger.verify().findings} <= {"note"}
    assert ledger.usage().total_requests == CALLS + 1


def test_an_export_is_broken_off_by_the_end_of_its_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    done = in_process(home, ENDING + EXPORTING)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "telemetry: The collector takes its time. What is missing goes with the next export.\n"


def test_what_cannot_be_compacted_is_recorded_all_the_same(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compactor, "DUE_SEGMENTS", 0)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    recorder = ledger.recorder()
    call(recorder)
    recorder.close()
    assert ledger.usage().total_requests == 1
    assert "No compaction of the ledger this time" in caplog.text


def test_one_process_at_a_time_compacts(ledger: Ledger, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes while another one is at it starts nothing, and does not wait."""
    monkeypatch.setattr(compactor, "DUE_SEGMENTS", 0)
    recorder = ledger.recorder()
    call(recorder)
    with upkeep(Folder(home.resolve())):
        before = set(psutil.Process().children())  # of other tests
        recorder.close()
        assert set(psutil.Process().children()) <= before
    assert not (home / "ledger" / "manifest.json").exists()


def test_the_compactor_finds_what_its_parent_found(ledger: Ledger, home: Path) -> None:
    """Also where only ``sys.path`` leads to dslkit: here, in an interpreter without our environment."""
    bare = getattr(sys, "_base_executable", sys.executable)
    done = subprocess.run([bare, "-c", ON_A_PATH, json.dumps(sys.path), str(home)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (home / "ledger" / "manifest.json").exists()
    assert ledger.usage().total_requests == 0
