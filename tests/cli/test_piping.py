"""Output into a reader that leaves: the verb ends as other programs do, without a word."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dslkit.ledger import Ledger
from tests.analysis.test_live import end, start

if TYPE_CHECKING:
    from conftest import Dslkit

PATIENCE_S = 200.0
PROGRAM = [sys.executable, "-c", "from dslkit.cli import main; main()"]


def read_one_line(*words: str) -> tuple[str, int, str]:
    """The first line of a process's output, and how it ends when nobody reads on."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*PROGRAM, *words], env=environment, text=True, **pipes) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.stdout.close()
        _, said = process.communicate(timeout=PATIENCE_S)
    return line, process.returncode, said


def record() -> None:
    recorder = Ledger(os.environ["DSLKIT_HOME"]).recorder()
    recorder.reserve(start(1, 0))
    recorder.settle(end(start(1, 0)))


@pytest.mark.parametrize("words", [("watch",), ("sql", "FROM range(100_000)", "--json")])
def test_a_reader_that_has_enough(words: tuple[str, ...]) -> None:
    line, code, said = read_one_line(*words)
    assert line
    assert (code, said) == (141, "")


def test_a_reader_that_has_enough_of_a_log_that_goes_on() -> None:
    """Although nothing more is recorded."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*PROGRAM, "log", "--follow"], text=True, **pipes) as process:
        assert process.stdout is not None
        while not select.select([process.stdout], [], [], 0.1)[0]:
            record()
        assert "gpt-4o-mini" in process.stdout.readline()
        process.stdout.close()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (141, "")


@pytest.mark.parametrize(
    "words",
    [
        ("log",),
        ("log", "--json"),
        ("runs",),
        ("usage",),
        ("watch", "--once"),
        ("patterns", "list"),
        (),
        ("--help",),
        ("--version",),
        ("usage", "--help"),
        ("telemetry",),
    ],
)
def test_a_reader_that_never_came(words: tuple[str, ...]) -> None:
    record()
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run([*PROGRAM, *words], stdout=theirs, stderr=subprocess.PIPE, timeout=PATIENCE_S, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


WITHOUT = """
import os, sys
for descriptor in eval(sys.argv[1]):
    os.close(descriptor)
os.execv(sys.executable, [sys.executable, "-c", "from dslkit.cli import main; main()", *sys.argv[2:]])
"""


@pytest.mark.parametrize("closed", [[1], [0, 1], [0, 1, 2]])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, ("runs",)),
        (0, ("usage", "--json")),
        (0, ("log",)),
        (0, ("watch", "--once")),
        (0, ("sql", "SELECT 1")),
        (0, ("--help",)),
        (2, ("show", "unknown")),
    ],
)
def test_closed_output(closed: list[int], code: int, words: tuple[str, ...]) -> None:
    """As in ``>&-``: nothing can be shown, all else is as ever."""
    record()
    run = [sys.executable, "-c", WITHOUT, str(closed), *words]
    done = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert bool(done.stderr) == (code != 0 and 2 not in closed)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("runs",), ("log", "--json"), ("sql", "FROM range(100_000)", "--json"), ("--help",)])
def test_output_that_cannot_be_written(words: tuple[str, ...], unbuffered: str) -> None:
    """It is said to be the output: the ledger is well."""
    record()
    with Path("/dev/full").open("w") as full:
        pipes = {"stdout": full, "stderr": subprocess.PIPE}
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run([*PROGRAM, *words], env=environment, text=True, check=False, **pipes)
    assert done.returncode == 1
    assert done.stderr == "dslkit: Standard output cannot be written (No space left on device).\n"


def test_another_connection_that_breaks_is_not_kept_quiet(dslkit: Dslkit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> object:
        raise BrokenPipeError

    monkeypatch.setattr("dslkit.ledger.Ledger.snapshot", fail)
    with pytest.raises(RuntimeError, match="connection"):
        dslkit("runs")
