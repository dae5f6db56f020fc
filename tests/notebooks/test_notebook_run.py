"""Running a notebook for real: the ledger, the output notebook and the caller are told the same, however it ends."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.errors import UsageError
from dslkit.ledger import Ledger
from dslkit.notebooks import NotStartedError, ParameterError, kernel, results, run
from tests.notebooks.executed import outputs, printed, statuses

if TYPE_CHECKING:
    from collections.abc import Callable


def recorded(run_id: str) -> dict[str, Any]:
    """The run as a reader of the ledger sees it."""
    relation = Ledger(os.environ["DSLKIT_HOME"]).runs().filter(f"run_id = '{run_id}'")
    (row,) = relation.fetchall()
    return dict(zip(relation.columns, row, strict=True))


def test_a_run_is_recorded_with_everything(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook(
        "import os, sys\nprint(os.environ['DSLKIT_RUN_ID'], sys.executable, count, os.environ['DSLKIT_HOME'])",
        parameters="count: int = 1",
    )
    made = run(path, tmp_path / "out.ipynb", {"count": "2"})
    assert made.status == "completed"
    assert printed(tmp_path / "out.ipynb").split() == [made.run_id, sys.executable, "2", str(tmp_path / "home")]
    row = recorded(made.run_id)
    assert row["status"] == "completed"
    assert row["notebook"] == str(path)
    assert row["notebook_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads(row["parameters"]) == {"count": 2} if isinstance(row["parameters"], str) else True
    assert row["error_type"] is None
    assert len(made.cells) == 3
    assert all(each["status"] == "completed" and each["seconds"] >= 0 for each in made.cells)
    assert json.loads((tmp_path / "out.ipynb").read_text())["metadata"]["dslkit"] == {"run_id": made.run_id}


def test_a_failing_cell(notebook: Callable[..., Path], tmp_path: Path) -> None:
    made = run(notebook("1", "1 / 0", "3"), tmp_path / "out.ipynb")
    assert (made.status, made.error_type, made.error_message) == ("failed", "ZeroDivisionError", "division by zero")
    assert [each["status"] for each in made.cells] == ["completed", "failed", "pending"]
    assert recorded(made.run_id)["status"] == "failed"


def test_a_kernel_that_never_comes_up(
    notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run is recorded as failed, and returned like any other."""
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "ipykernel_launcher.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "early"))
    made = run(notebook("1"), tmp_path / "out.ipynb")
    assert (made.status, made.error_type) == ("failed", "DeadKernelError")
    assert "died before" in str(made.error_message)


def test_a_dead_kernel(notebook: Callable[..., Path], tmp_path: Path) -> None:
    made = run(notebook("1", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "3"), tmp_path / "out.ipynb")
    assert (made.status, made.error_type) == ("failed", "DeadKernelError")
    assert "SIGKILL" in str(made.error_message)
    assert recorded(made.run_id)["error_type"] == "DeadKernelError"
    assert statuses(tmp_path / "out.ipynb") == ["completed", "failed", "pending"]
    assert [each.get("ename") for each in outputs(tmp_path / "out.ipynb")] == [None, "DeadKernelError"]


def test_a_cell_timeout(notebook: Callable[..., Path], tmp_path: Path) -> None:
    made = run(notebook("import time; time.sleep(60)", "2"), tmp_path / "out.ipynb", cell_timeout_s=1)
    assert (made.status, made.error_type) == ("failed", "CellTimeoutError")
    assert recorded(made.run_id)["error_type"] == "CellTimeoutError"
    assert statuses(tmp_path / "out.ipynb") == ["failed", "pending"]


def test_leaving_early_without_an_error_completes(notebook: Callable[..., Path], tmp_path: Path) -> None:
    made = run(notebook("import sys; sys.exit()", "1 / 0"), tmp_path / "out.ipynb")
    assert made.status == "completed"
    assert [each["status"] for each in made.cells] == ["failed", "pending"]


def test_parameters_are_checked_before_anything_happens(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook("1", parameters="count: int = 1")
    with pytest.raises(ParameterError, match="did you mean 'count'"):
        run(path, tmp_path / "out.ipynb", {"cuont": 2})
    assert not (tmp_path / "out.ipynb").exists()
    assert not (tmp_path / "home").exists()


def test_a_known_parameter_is_not_called_unknown(
    notebook: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """papermill alone cannot read these types, and would warn."""
    path = notebook(
        "print(mode, limit)",
        parameters="from typing import Literal\n\nmode: Literal['a', 'b'] = 'a'\nlimit: float | None = None",
    )
    run(path, tmp_path / "out.ipynb", {"mode": "b", "limit": "2"})
    assert printed(tmp_path / "out.ipynb").split() == ["b", "2.0"]
    assert "unknown" not in caplog.text


def test_a_secret_never_reaches_a_file(notebook: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ParameterError):
        run(notebook("1", parameters="api_key: str = ''"), tmp_path / "out.ipynb", {"api_key": "hunter22"})
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) == 1
    assert "hunter22" not in texts[0]


def test_a_missing_kernel_is_said_with_those_there_are(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook("1", kernelspec={"name": "julia-9", "display_name": "Julia", "language": "python"})
    with pytest.raises(UsageError, match=r"No kernel 'julia-9' is installed. There are: .*python3"):
        run(path, tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()


def test_a_kernelspec_named_python3_elsewhere_is_not_used(
    notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    assert run(notebook("1"), None).status == "completed"


def test_sockets_of_killed_runs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the living and of strangers stay, and those of which it cannot be known yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(kernel, "_LONGEST_SOCKET_PATH", 1000)  # nothing listens here
    for name in ("dslkit-killed", "dslkit-young", "dslkit-strange", "other"):
        (tmp_path / name).mkdir()
        if name != "dslkit-strange":
            (tmp_path / name / "owner").touch()
    with kernel.sockets() as living:
        folder = Path(living["connection_file"]).parent
        for path in tmp_path.iterdir():
            if path.name != "dslkit-young":
                os.utime(path, (0, 0))
        with kernel.sockets():
            pass
        assert folder.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dslkit-strange", "dslkit-young", "other"]


def test_commit_and_dirty_flag(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook("1", name="kept.ipynb")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(tmp_path))
    for command in (("init", "-q"), ("add", "kept.ipynb"), ("commit", "-qm", "Keep it")):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    clean = run(path, None)
    assert (clean.commit, clean.dirty) == (head, False)
    path.write_text(path.read_text() + "\n")
    changed = run(path, None)
    assert (changed.commit, changed.dirty) == (head, True)
    assert changed.notebook_sha256 != clean.notebook_sha256


def test_outside_a_repository_nothing_is_claimed(notebook: Callable[..., Path]) -> None:
    made = run(notebook("1"), None)
    assert (made.commit, made.dirty) == (None, None)


def test_dates_and_paths_arrive_as_such(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook(
        "print(type(day).__name__, day.year, type(out).__name__, out.name)",
        parameters="import datetime as dt\nfrom pathlib import Path\nday = dt.date(2020, 1, 1)\nout: Path = Path('a')",
    )
    assert run(path, tmp_path / "out.ipynb", {"day": "2026-02-03", "out": "b/c"}).status == "completed"
    assert printed(tmp_path / "out.ipynb").split() == ["date", "2026", "PosixPath", "c"]


def test_the_error_message_carries_no_key(notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "correct-horse-battery")
    made = run(notebook("import os; raise ValueError('bad key ' + os.environ['OPENAI_API_KEY'])"), None)
    assert made.error_message == "bad key ***"


def test_recorded_results_are_read_back(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook("from dslkit.notebooks import record\nrecord(items=1, names=['a'])", "record(items=2)")
    assert run(path, tmp_path / "out.ipynb").status == "completed"
    assert results(str(tmp_path / "out.ipynb")) == {"items": 2, "names": ["a"]}


@pytest.mark.parametrize("place", ["missing/out.ipynb", "folder.ipynb", "file/out.ipynb"])
def test_no_place_for_the_output(notebook: Callable[..., Path], tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.ipynb").mkdir()
    with pytest.raises(NotStartedError, match="Cannot write the output notebook"):
        run(notebook("1"), place)
    assert Ledger(tmp_path / "home").runs().fetchall() == []


def test_a_disk_that_fills_up_ends_the_run_and_is_told(
    notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on file sizes stands in for the disk; it holds for this process, not for the kernel's memory."""
    path = notebook("print('x' * 2_000_000)", "2")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setitem(os.environ, "DSLKIT_HOME", str(tmp_path / "home"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        made = run(path, tmp_path / "out.ipynb")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (made.status, made.error_type) == ("failed", "OSError")
    assert recorded(made.run_id)["status"] == "failed"
    assert statuses(tmp_path / "out.ipynb")[0] == "running", "the last state that could be written, whole"
    assert not list(tmp_path.glob(".out*"))


def test_what_a_cell_prints_is_kept_up_to_a_limit(
    notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dslkit.notebooks.client.PRINTED_MOST", 1000)
    path = notebook("print('a' * 600)\nprint('b' * 600, flush=True)\nprint('c' * 600)", "print('after')")
    assert run(path, tmp_path / "out.ipynb").status == "completed"
    text = printed(tmp_path / "out.ipynb")
    assert "more than 1,000 characters" in text
    assert 1000 < len(text) < 1200
    assert text.endswith("after\n")


def test_what_a_cell_results_in_is_kept_up_to_a_limit(
    notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text is cut; a page is left out, and said to be."""
    monkeypatch.setattr("dslkit.notebooks.client.PRINTED_MOST", 1000)
    path = notebook("'a' * 5000", "from IPython.display import HTML, display\ndisplay(HTML('b' * 5000))", "'after'")
    assert run(path, tmp_path / "out.ipynb").status == "completed"
    shown: list[Any] = [output["data"] for output in outputs(tmp_path / "out.ipynb")]
    text, page, after = ("".join(data["text/plain"]) for data in shown)
    assert 1000 < len(text) < 1100
    assert "text/plain of 5,002 characters; the rest was left out" in text
    assert ("text/html" in shown[1], "text/html of 5,000 characters" in page) == (False, True)
    assert after == "'after'"


def test_bytes_that_are_no_text_do_no_harm(notebook: Callable[..., Path], tmp_path: Path) -> None:
    path = notebook(r"import os; os.write(1, b'\xff\x00bytes'); print('text')")
    assert run(path, tmp_path / "out.ipynb").status == "completed"
    assert "text" in printed(tmp_path / "out.ipynb")


def test_an_older_format_runs(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """4.0 knows no ids of cells."""
    path = notebook("print(count)", parameters="count: int = 1")
    content = json.loads(path.read_text()) | {"nbformat_minor": 0}
    for each in content["cells"]:
        del each["id"]
    path.write_text(json.dumps(content))
    assert run(path, tmp_path / "out.ipynb", {"count": 2}).status == "completed"
    assert printed(tmp_path / "out.ipynb") == "2\n"


def test_a_newer_format_is_refused(notebook: Callable[..., Path]) -> None:
    path = notebook("1")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"nbformat": 5}))
    with pytest.raises(UsageError, match="in notebook format 5: save it in format 4"):
        run(path, None)


def test_what_is_written_past_python_stays_among_the_outputs(
    notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Standard output is for what the run itself says, and standard error has no word of an interrupted kernel."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # ipykernel does not listen below Python in a test
    path = notebook(
        r"import os, time; os.write(1, b'\xff raw\n'); time.sleep(0.5)",
        "import subprocess; subprocess.run(['echo', 'child'])",
    )
    assert run(path, tmp_path / "out.ipynb").status == "completed"
    assert printed(tmp_path / "out.ipynb").split() == ["\N{REPLACEMENT CHARACTER}", "raw", "child"]
    assert capfd.readouterr() == ("", "")
