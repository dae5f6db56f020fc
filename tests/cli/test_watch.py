"""The live picture, seen through a pseudo-terminal while this process records."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from dslkit.analysis.live import read_status
from dslkit.cli import watch
from dslkit.ledger import Ledger
from dslkit.llm.gate import GateStatus
from dslkit.llm.gates import LaneStatus
from dslkit.llm.throttle import WindowUse
from dslkit.records import Run
from dslkit.settings import Settings
from tests.analysis.test_live import end, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Dslkit

PATIENCE_S = 200.0  # a frozen machine is not a failure
PROGRAM = [sys.executable, "-c", "from dslkit.cli import main; main()", "watch"]


class Screen:
    """A process in a pseudo-terminal, and all that it drew."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "140", "LINES": "50"}
        self.process = subprocess.Popen(PROGRAM, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.drawn = ""

    def wait_for(self, seen: Callable[[str], object]) -> None:
        until = time.monotonic() + PATIENCE_S
        while not seen(self.drawn):
            assert time.monotonic() < until, self.drawn[-2000:]
            self.read()

    def read(self) -> bool:
        if not select.select([self.master], [], [], 0.1)[0]:
            return True
        try:
            fresh = os.read(self.master, 65536).decode(errors="replace")
        except OSError:  # how Linux says that the other side is closed
            return False
        self.drawn += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", fresh)
        return bool(fresh)

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        while self.read() and self.process.poll() is None:
            pass
        code = self.process.wait(PATIENCE_S)
        os.close(self.master)
        return code


def test_shows_what_another_process_records_until_interrupted() -> None:
    recorder = Ledger(os.environ["DSLKIT_HOME"]).recorder()
    screen = Screen()
    try:
        screen.wait_for(lambda drawn: "attempts a minute" in drawn)
        assert "appeared" not in screen.drawn
        recorder.run(Run(run_id="r1", started_at=datetime.now(UTC), notebook="appeared.ipynb"))
        screen.wait_for(lambda drawn: "appeared.ipynb" in drawn)
    finally:
        code = screen.stop(signal.SIGINT)
    assert code == 0, screen.drawn[-2000:]


def test_a_polite_stop_is_one_too() -> None:
    screen = Screen()
    try:
        screen.wait_for(lambda drawn: "attempts a minute" in drawn)
    finally:
        code = screen.stop(signal.SIGTERM)
    assert code == 0


def test_without_a_terminal_it_writes_lines() -> None:
    with subprocess.Popen(PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=PATIENCE_S)
    assert re.match(r"\d\d:\d\d:\d\d  attempts a minute 0 \(of 100 allowed\); ", line)
    assert "; in flight 0 (0 in the queue); " in line
    assert (rest, said, process.returncode) == ("", "", 0)


def test_one_picture_shows_names_as_they_are(dslkit: Dslkit, tmp_path: Path) -> None:
    """Neither rich's markup nor a terminal's commands in a model's name do anything."""
    (tmp_path / "wishes.txt").write_text("one\ntwo\n", encoding="utf-8")
    recorder = Ledger(os.environ["DSLKIT_HOME"]).recorder()
    now = datetime.now(UTC)
    run = Run(run_id="r1", started_at=now, parameters={"requirements": "wishes.txt"}, notebook="[red]x\x1b[2J.ipynb")
    recorder.run(run)
    recorder.reserve(start(1, 0))
    recorder.settle(end(start(1, 0)))
    done = dslkit("watch", "--once")
    assert done.code == 0
    assert "[red]x�[2J.ipynb" in done.out
    assert "0 of 2 items" in done.out
    assert "\x1b" not in done.out


def test_an_empty_home_is_left_as_it_is(dslkit: Dslkit, tmp_path: Path) -> None:
    done = dslkit("watch", "--once")
    assert done.code == 0
    assert "spent today" in done.out
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("models", "told"), [(("offline",), "no limit set"), (("offline", "x"), "of 100 allowed")])
def test_the_offline_model_has_no_limit(dslkit: Dslkit, models: tuple[str, ...], told: str) -> None:
    """What the settings allow is said as soon as another model is asked, though no process states its limits yet."""
    recorder = Ledger(os.environ["DSLKIT_HOME"]).recorder()
    for number, model in enumerate(models):
        recorder.reserve(replace(start(number, 0), request_model=model, started_at=datetime.now(UTC)))
    (line,) = (line for line in dslkit("watch", "--once").out.splitlines() if line.startswith("attempts a minute"))
    assert line.split()[3] == str(len(models))
    assert told in line


@pytest.mark.parametrize("width", [60, 80, 120])
def test_fits_any_terminal_with_its_figures_whole(tmp_path: Path, width: int) -> None:
    """Two lanes of other processes state limits, which count for more than the settings of the one who watches."""
    ledger, now = Ledger(tmp_path), datetime.now(UTC)
    recorder = ledger.recorder()
    recorder.run(Run(run_id="0123456789", started_at=now, notebook="generate_batch.ipynb"))
    recorder.reserve(start(1, 0))
    recorder.settle(end(start(1, 0)))
    windows = WindowUse("requests", 60.0, 1200.0, 345.0, 0.0), WindowUse("tokens", 30.0, 240_000.0, 140_797.0, 0.0)
    own: dict[str, Any] = {"in_flight": 0, "waiting": 0, "longest_wait_s": 0.0, "concurrency": 64}
    gate = GateStatus(**own, windows=windows, all_in_flight=64, all_waiting=1_234, sent=345, refused=7)
    lanes = [LaneStatus("openai", f"gpt-4o-mini-2024-07-1{number}", gate) for number in range(2)]
    output = io.StringIO()
    screen = Console(width=width, file=output)
    screen.print(watch._picture(read_status(ledger.snapshot(), now), lanes, Settings(), width))
    drawn = output.getvalue()
    assert max(map(len, drawn.splitlines())) <= width
    whole = ("of 2,400 allowed", "of 960,000", "128", "2,468 in the queue", "345 of 1,200 requests / 60 s", "01234567")
    assert [words for words in whole if words not in drawn] == []
