"""What holds for every verb: quick to start, errors as messages, no heavy package before it is needed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from dslkit.cli.terminal import plain
from dslkit.errors import AccountError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Dslkit

HEAVY = (
    "openai",
    "duckdb",
    "chromadb",
    "papermill",
    "pydantic_settings",
    "genai_prices",
    "ipywidgets",
    "yaml",
)


def test_help_loads_no_heavy_package() -> None:
    code = f"""
import sys
sys.argv = ["dslkit", "--help"]
from dslkit.cli import main
try:
    main()
except SystemExit:
    print([name for name in {HEAVY!r} if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"


def test_version(dslkit: Dslkit) -> None:
    assert dslkit("--version").out.startswith("dslkit 0.")


def test_nothing_shows_help(dslkit: Dslkit) -> None:
    assert "batch" in dslkit().out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("change something"), 2, "dslkit: change something\n"),
        (AccountError("no credit"), 1, "dslkit: no credit\n"),
        (AccountError("bad key sk-proj-0123456789abcdef"), 1, "dslkit: bad key [removed]\n"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "Free some space"),
        (RuntimeError('COPY failed: "No space left on device"'), 1, "Free some space"),
    ],
)
def test_errors_become_messages(
    dslkit: Dslkit, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str
) -> None:
    """Without a traceback, with an exit code that says whose turn it is."""

    def fail(_: object) -> object:
        raise error

    monkeypatch.setattr("dslkit.ledger.Ledger.snapshot", fail)
    done = dslkit("runs")
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words",
    ["runs", "usage", "log", "log --follow", "report", "watch --once", "ledger verify", "telemetry export --dry-run"],
)
def test_a_home_below_a_file_is_one_message(
    dslkit: Dslkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DSLKIT_HOME", str(tmp_path / "file" / "home"))
    done = dslkit(*words.split())
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"dslkit: The ledger in {tmp_path}/file/home/ledger cannot be ")
    assert "(Not a directory)" in done.err
    assert "DSLKIT_HOME" in done.err


def test_other_errors_keep_their_traceback(dslkit: Dslkit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is not dressed up as the user's."""

    def fail(_: object) -> object:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("dslkit.ledger.Ledger.snapshot", fail)
    with pytest.raises(PermissionError):
        dslkit("runs")


def test_small_sums_are_written_out() -> None:
    """Decimal's own 9E-7 is no price that anybody can read."""
    assert [plain(Decimal(text)) for text in ("9E-7", "0E-9", "12.50")] == ["0.0000009", "0.000000000", "12.50"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_characters(tmp_path: Path, encoding: str) -> None:
    """What is shown is shown as far as that goes; a file as result is UTF-8 everywhere."""
    program = """
from dslkit.cli import main
from dslkit.cli.terminal import write_output
write_output("Größe → 你\\n", None)
main()
"""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "DSLKIT_HOME": str(tmp_path)}
    run = [sys.executable, "-c", program, "--help"]
    shown = subprocess.run(run, env=environment, capture_output=True, check=True)
    assert shown.stdout.startswith("Größe → 你\n".encode())
    assert b"compile" in shown.stdout
