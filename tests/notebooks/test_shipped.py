"""The notebooks that ship: a story in short cells, without outputs, and each runs from top to bottom."""

from __future__ import annotations

import ast
import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dslkit.batch import generate_batch
from dslkit.notebooks import find, read_parameters, results, run
from dslkit.notebooks.document import source_of, tags_of
from dslkit.records import Requirement

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
GIVEN: dict[str, dict[str, object]] = {
    "benchmark": {"requirements": "tasks", "modes": ["simple", "rag"], "workers": 2},
    "generate_batch": {"requirements": "two.txt"},
    "compare_runs": {"first": "2000-01-01..2100-01-01", "second": "2000-01-01..2100-01-01"},
}
TASK = {
    "id": "t_2",
    "round": 2,
    "requirement": ["Translate a text (variable text)", "Add its language"],
    "inputs": ["text"],
}
NBVAL = ("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "60")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def code(path: Path) -> list[str]:
    """The sources of the code cells after the parameters."""
    return [source_of(cell) for cell in cells(path, "code") if "parameters" not in tags_of(cell)]


@each_notebook
def test_tells_a_story(path: Path) -> None:
    assert source_of(cells(path, "markdown")[0]).startswith("# ")
    assert 3 <= len(code(path)) <= (10 if path.stem == "cost_report" else 8)
    assert all(len(source.splitlines()) <= 16 for source in code(path))
    assert len(cells(path, "markdown")) >= len(code(path)) / 2


@each_notebook
def test_defines_nothing(path: Path) -> None:
    for source in code(path):
        tree = ast.parse(source)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        assert not [node for node in ast.walk(tree) if isinstance(node, kinds)]


@each_notebook
def test_has_typed_commented_parameters(path: Path) -> None:
    parameters = read_parameters(path)
    assert parameters
    assert [each.name for each in parameters if each.annotation is None] == []
    assert [each.name for each in parameters if not each.help and each.name != "title"] == []  # a title says itself
    (cell,) = [source_of(cell) for cell in cells(path, "code") if "parameters" in tags_of(cell)]
    assigned = [node for node in ast.parse(cell).body if isinstance(node, ast.Assign | ast.AnnAssign)]
    assert all(isinstance(node, ast.AnnAssign) for node in assigned)


@each_notebook
def test_is_kept_without_outputs(path: Path) -> None:
    content = json.loads(path.read_text())
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(path, "code"))
    assert set(content["metadata"]) <= {"kernelspec", "language_info"}


@each_notebook
def test_is_found_by_name(path: Path) -> None:
    assert find(path.stem) == find(path.name) == path


@pytest.fixture
def some_run(tmp_path: Path) -> None:
    """A run in the ledger, for the notebooks that tell of runs; in ``.dslkit`` too, where they look by themselves."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / ".dslkit").symlink_to(tmp_path / "home", target_is_directory=True)
    wanted = [Requirement(id="first", messages=("Translate a text (variable text) to French",))]
    asyncio.run(generate_batch(wanted, out=tmp_path / "made", engine=False))


@each_notebook
@pytest.mark.usefixtures("some_run")
def test_runs_in_papermill(path: Path, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("Translate a text (variable text) to French\nSummarise a text (variable text)\n")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "requirements.jsonl").write_text(json.dumps(TASK) + "\n")
    given = GIVEN.get(path.stem, {}) | (
        {"home": "home"} if "home" in {each.name for each in read_parameters(path)} else {}
    )
    made = run(path, tmp_path / "executed.ipynb", given, cell_timeout_s=60)
    assert (made.status, made.error_message) == ("completed", None)
    recorded = results(tmp_path / "executed.ipynb")
    assert bool(recorded) == any("record(" in source for source in code(path))


@pytest.mark.usefixtures("some_run")
def test_all_run_in_nbval(tmp_path: Path) -> None:
    """Every cell of every notebook, as a user's kernel runs it."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", dirs_exist_ok=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini", *NBVAL]
    done = subprocess.run(
        [*command, "notebooks"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert (tmp_path / "home").is_dir()
