"""The engine as papermill's own command line runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dslkit.ledger import Ledger
from tests.notebooks.executed import printed, statuses

if TYPE_CHECKING:
    from collections.abc import Callable

PAPERMILL = [sys.executable, "-m", "papermill", "--engine", "dslkit", "--no-progress-bar"]
CELL = "n: int = 5\nflag: bool = False\nname: str = 'x'\nitems: list[str] = []"


def papermill(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*PAPERMILL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def runs() -> list[tuple[str, str | None]]:
    """Status and error class of the runs in the ledger."""
    return Ledger(os.environ["DSLKIT_HOME"]).runs().select("status, error_type").fetchall()


def test_values_mean_what_a_person_typed(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook("print((n, flag, name, items))", parameters=CELL)
    typed = ("-p", "n", "7", "-p", "flag", "true", "-p", "name", "007", "-p", "items", "a,b")
    done = papermill(path, tmp_path / "out.ipynb", *typed)
    assert done.returncode == 0, done.stderr
    assert printed(tmp_path / "out.ipynb").strip() == "(7, True, '007', ['a', 'b'])"
    assert "transport encryption" not in done.stderr + (tmp_path / "out.ipynb").read_text()
    assert runs() == [("completed", None)]


def test_a_known_parameter_is_not_called_unknown(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """papermill reads neither type, and would warn; where another engine runs, its warning stays."""
    cell = "from typing import Literal\n\nmode: Literal['a', 'b'] = 'a'\nlimit: float | None = None"
    path = notebook("print(mode, limit)", parameters=cell)
    done = papermill(path, tmp_path / "out.ipynb", "-p", "mode", "b", "-p", "limit", "2")
    assert printed(tmp_path / "out.ipynb").split() == ["b", "2.0"]
    assert "unknown" not in done.stderr
    done = papermill(path, tmp_path / "other.ipynb", "--engine", "nbclient", "-p", "nothing", "b")
    assert "Passed unknown parameter: nothing" in done.stderr


def test_raw_and_file_parameters_work_too(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook("print((n, flag, name, items))", parameters=CELL)
    (tmp_path / "given.yaml").write_text("items: [a, b]\nn: 3\n")
    done = papermill(
        path, tmp_path / "out.ipynb", "-f", tmp_path / "given.yaml", "-r", "name", "1.0", "-y", "flag: yes"
    )
    assert done.returncode == 0, done.stderr
    assert printed(tmp_path / "out.ipynb").strip() == "(3, True, '1.0', ['a', 'b'])"


@pytest.mark.parametrize(
    ("name", "value", "said"), [("nn", "7", "did you mean 'n'?"), ("flag", "maybe", "does not fit bool")]
)
def test_a_wrong_parameter_is_one_clear_error(
    notebook: Callable[..., Path], tmp_path: Path, name: str, value: str, said: str
) -> None:
    done = papermill(notebook("1", parameters=CELL), tmp_path / "out.ipynb", "-p", name, value)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.ipynb").exists()
    assert runs() == []


def test_a_dead_kernel_has_papermills_exit_code(notebook: Callable[..., Path], tmp_path: Path) -> None:
    done = papermill(notebook("import os; os._exit(3)", "2"), tmp_path / "out.ipynb")
    assert done.returncode == 138
    assert "exit code 3" in done.stderr
    assert statuses(tmp_path / "out.ipynb") == ["failed", "pending"]
    assert runs() == [("failed", "DeadKernelError")]


@pytest.mark.parametrize(
    ("number", "status", "error_type"),
    [
        (signal.SIGINT, "interrupted", "KeyboardInterrupt"),
        (signal.SIGTERM, "interrupted", "SystemExit"),
        (signal.SIGKILL, "interrupted", None),
    ],
)
def test_stopped_from_outside(
    notebook: Callable[..., Path], tmp_path: Path, number: signal.Signals, status: str, error_type: str | None
) -> None:
    started = tmp_path / "kernel.pid"
    path = notebook(
        f"import os, pathlib, time; pathlib.Path({str(started)!r}).write_text(str(os.getpid())); time.sleep(60)", "2"
    )
    with subprocess.Popen([*PAPERMILL, str(path), str(tmp_path / "out.ipynb")], stderr=subprocess.PIPE) as process:
        assert eventually(lambda: started.exists() and started.read_text() != "")
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode != 0
    assert runs() == [(status, error_type)]
    expected = "running" if number is signal.SIGKILL else "failed"
    assert statuses(tmp_path / "out.ipynb") == [expected, "pending"]
    assert eventually(lambda: not alive(int(started.read_text()))), "an orphan kernel"


def eventually(condition: Callable[[], bool], patience_s: float = 20.0) -> bool:
    """Whether it becomes true; another process is at work, so real time must pass."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
