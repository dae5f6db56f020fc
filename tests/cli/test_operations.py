"""Verbs that run notebooks: their help, and what they refuse before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

if TYPE_CHECKING:
    from conftest import Dslkit


def notebook_with(source: str) -> nbformat.NotebookNode:
    """One cell."""
    return new_notebook(
        cells=[new_code_cell(source)], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )


def test_help_names_the_notebooks_that_ship(dslkit: Dslkit) -> None:
    done = dslkit("run", "--help")
    assert done.code == 0
    assert "  generate_batch  Generate a batch of Dify workflows\n" in done.out
    assert "requirements.jsonl" not in done.out


@pytest.mark.parametrize("verb", ["run", "schedule"])
def test_help_says_what_a_notebook_takes(dslkit: Dslkit, verb: str) -> None:
    done = dslkit(verb, "generate_batch", "--help")
    assert done.code == 0
    assert "It takes:\n  requirements: str = 'requirements.jsonl'  # JSONL" in done.out


def test_help_of_no_notebook(dslkit: Dslkit) -> None:
    """Only notebooks are offered, of which data is none."""
    done = dslkit("run", "nope", "-h")
    assert done.code == 2
    assert "No notebook 'nope'" in done.err
    assert "monitor.ipynb" in done.err
    assert "requirements.jsonl" not in done.err


@pytest.mark.parametrize("flag", ["-p", "--parameter"])
def test_a_value_may_be_negative(dslkit: Dslkit, flag: str) -> None:
    """It is no option: what is wrong with it is its range."""
    done = dslkit("run", "generate_batch", flag, "budget_usd", "-1", "-p", "model", "offline")
    assert done.code == 2
    assert "budget_usd: '-1' does not fit float | None: Input should be greater than or equal to 0" in done.err
    assert dslkit("runs", "--json").out == "[]\n"


def test_a_parameter_without_value(dslkit: Dslkit) -> None:
    done = dslkit("run", "generate_batch", "-p", "model", "-o", "made.ipynb")
    assert done.code == 2
    assert "-p model lacks its value" in done.err


@pytest.mark.parametrize(
    ("unfinished", "code", "told"),
    [
        ([], 0, ""),
        (["a", "b"], 1, "nightly left items unfinished, which failed or have errors: a, b\n"),
        (
            list(range(12)),
            1,
            "nightly left items unfinished, which failed or have errors: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more\n",
        ),
    ],
)
def test_a_scheduler_sees_unfinished_items(
    dslkit: Dslkit, tmp_path: Path, unfinished: list[str], code: int, told: str
) -> None:
    found = f"from dslkit.notebooks import record\nrecord(items=3, unfinished={unfinished})"
    nbformat.write(notebook_with(found), tmp_path / "nightly.ipynb")
    done = dslkit("run", str(tmp_path / "nightly.ipynb"), "-o", str(tmp_path / "done.ipynb"))
    assert (done.code, done.err) == (code, told)
    assert f"items 3, unfinished {len(unfinished)}\n" in done.out


def test_what_a_notebook_recorded_is_told_in_a_line_without_secrets(
    dslkit: Dslkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "topsecretvalue-xyz-123456789")
    notebook = notebook_with("""
import os
from dslkit.notebooks import record
record(key=os.environ["OPENAI_API_KEY"], text="a\\nb" * 100, inner={"password": "hunter2"}, cost=None)
""")
    nbformat.write(notebook, tmp_path / "telling.ipynb")
    done = dslkit("run", str(tmp_path / "telling.ipynb"), "-o", str(tmp_path / "done.ipynb"))
    assert done.code == 0
    told = done.out.splitlines()[1]
    assert told.startswith("cost None, inner 1, key ***, text a ba ba b")
    assert told.endswith("…")
    assert len(told) < 200


@pytest.mark.parametrize("sides", [("nope", ".."), ("..", "soon.."), ("nope", "nope")])
def test_a_comparison_of_nothing_is_no_run(dslkit: Dslkit, sides: tuple[str, str]) -> None:
    """A slip of the caller is told before anything starts, and not kept."""
    assert dslkit("compare", *sides).code == 2
    assert dslkit("report", "--run", "nope").code == 2
    assert dslkit("runs", "--all", "--json").out == "[]\n"


def test_a_comparison_has_a_place_of_its_own(dslkit: Dslkit) -> None:
    """Runs go by the beginning of their ids; the report of one is where `dslkit batch` writes it."""
    dslkit("generate", "Translate a text (variable text) into German.", "--no-engine", "-o", "t.yml")
    run_id = json.loads(dslkit("runs", "--json").out)[0]["run_id"]
    done = dslkit("compare", run_id[:8], run_id[:8])
    assert (done.code, done.err) == (0, "")
    assert Path(done.out.strip()).name.startswith("comparison-")
    assert Path(done.out.strip()).is_file()
    assert Path(dslkit("report", "--run", run_id[:8]).out.strip()).name == f"{run_id}.html"
