"""One window for several processes, by a file: shared, freed when its owner is killed, safe over fork and reboot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from dslkit.llm import sharing
from dslkit.llm.gate import Gate
from dslkit.llm.sharing import FileState, file_state, lane_name
from dslkit.llm.throttle import Limit

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = Limit("requests", 10, 600.0)
OTHER = """
import sys, time
from pathlib import Path
from dslkit.llm.gate import Gate
from dslkit.llm.sharing import file_state
from dslkit.llm.throttle import Limit
gate = Gate(file_state(Path(sys.argv[1]), [Limit("requests", 10, 600.0)]))
for number in range(int(sys.argv[2])):
    permit = gate.admit_blocking(1)
    if sys.argv[3] == "sent":
        permit.sent()
print("ready", flush=True)
sys.stdin.read()
"""


def other(path: Path, count: int, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OTHER, str(path), str(count), what]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def use(gate: Gate) -> tuple[float, float]:
    (window,) = gate.status().windows
    return window.used, window.pending


def test_two_processes_share_one_window(tmp_path: Path) -> None:
    path = tmp_path / "throttle" / "x.lane"
    gate = Gate(file_state(path, [LIMIT]))
    with other(path, 4, "sent") as process:
        assert use(gate) == (4, 0)
        for _ in range(6):
            gate.admit_blocking(1).sent()
        with pytest.raises(Exception, match="No turn"):
            gate.admit_blocking(1, max_wait_s=0.02)
        process.communicate("")
    assert use(gate) == (10, 0)


def test_a_killed_process_frees_what_it_held(tmp_path: Path) -> None:
    """Its unsent permits count as sent when its death is seen, so that the window is whole after one length."""
    path = tmp_path / "x.lane"
    gate = Gate(file_state(path, [LIMIT]))
    with other(path, 7, "held") as process:
        assert use(gate) == (0, 7)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    gate.state.bury_the_dead(time.monotonic() + 1)
    assert use(gate) == (7, 0)
    with other(path, 1, "held") as process:
        assert use(gate) == (7, 1)
        process.communicate("")


def test_one_process_has_one_hold_on_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.lane"
    one, two = file_state(path, [LIMIT]), file_state(path, [Limit("requests", 3, 600.0)])
    assert one is two
    gate = Gate(one)
    for _ in range(3):
        gate.admit_blocking(1).sent()
    with pytest.raises(Exception, match="No turn"):
        gate.admit_blocking(1, max_wait_s=0.02)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # threads of other tests; the child touches none
def test_a_forked_child_has_a_slot_of_its_own(tmp_path: Path) -> None:
    gate = Gate(file_state(tmp_path / "x.lane", [LIMIT]))
    held = gate.admit_blocking(1)
    before = gate.state.slot
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            own = gate.admit_blocking(1)
            own.sent()
            os.write(write_end, f"{gate.state.slot != before} {use(gate)} {gate.status().in_flight}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 100).decode() == "True (1.0, 1.0) 1"
    for end in (read_end, write_end):
        os.close(end)
    held.release()
    assert use(gate) == (1, 0)


def test_stamps_from_before_a_reboot_mean_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.lane"
    before = FileState(path)
    before.bind([LIMIT])
    gate = Gate(before)
    for _ in range(10):
        gate.admit_blocking(1).sent()
    monkeypatch.setattr(sharing, "boot_id", lambda: 42.0)
    after = FileState(path)
    after.bind([LIMIT])
    assert use(Gate(after)) == (0, 0)


def test_a_stopped_process_with_the_lock_stops_nobody(tmp_path: Path) -> None:
    """While somebody sits on the file's lock, nothing is admitted, nothing hangs, and nothing is forgotten."""
    path = tmp_path / "x.lane"
    gate = Gate(file_state(path, [LIMIT]))
    permit = gate.admit_blocking(1)
    script = "import fcntl,os,sys;f=os.open(sys.argv[1],os.O_RDWR);fcntl.flock(f,2);print('got',flush=True);input()"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        permit.sent()
        with pytest.raises(Exception, match="No turn"):
            gate.admit_blocking(1, max_wait_s=0.05)
        assert time.monotonic() - began < 5
        process.communicate("\n")
    assert use(gate) == (1, 0)


def test_the_name_of_a_lane_tells_nothing_of_the_key() -> None:
    name = lane_name("openai", "Bearer sk-secret", "gpt-4o")
    assert "secret" not in name
    assert name != lane_name("openai", "Bearer sk-other", "gpt-4o")
